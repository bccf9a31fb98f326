"""Activations, element by element; the operators are in derive/ops/activations.py."""

from __future__ import annotations

import math

from gradproof.runtime.arguments import check_tensor, number
from gradproof.runtime.autograd import apply
from gradproof.runtime.errors import ShapeError
from gradproof.runtime.manifest import operators
from gradproof.runtime.tensor import Tensor


def relu(input: Tensor, *, label: str = "relu") -> Tensor:
    """max(input, 0) for any shape; its derivative at 0 is 0, and NaN stays NaN.

    Errors: DTypeError for an integer tensor.

    >>> import gradproof as gp
    >>> gp.functional.relu(gp.tensor([-1.0, 2.0])).numpy().tolist()
    [0.0, 2.0]
    """
    return _elementwise("relu", input, label)


def leaky_relu(input: Tensor, negative_slope: float = 0.01, *, label: str = "leaky_relu") -> Tensor:
    """The input where it is positive, else negative_slope * input; any shape.

    The derivative at 0 is negative_slope, as torch.nn.functional.leaky_relu has it; without
    `inplace`. Errors: DTypeError for an integer tensor; ShapeError for a slope that is no number.

    >>> import gradproof as gp
    >>> gp.functional.leaky_relu(gp.tensor([-2.0, 2.0]), 0.5).numpy().tolist()
    [-1.0, 2.0]
    """
    slope = number(negative_slope, "negative_slope", label)
    return _elementwise("leaky_relu", input, label, slope=slope)


def gelu(input: Tensor, approximate: str = "none", *, label: str = "gelu") -> Tensor:
    """x Φ(x), Φ the standard normal distribution's function; any shape. Hendrycks, Gimpel 2016.

    approximate: "none", or "tanh" for x/2 (1 + tanh(sqrt(2/pi) (x + 0.044715 x³))). As
    torch.nn.functional.gelu. Errors: DTypeError for an integer tensor; ShapeError for another
    `approximate`.

    >>> import gradproof as gp
    >>> gp.functional.gelu(gp.tensor([0.0, 10.0])).numpy().tolist()
    [0.0, 10.0]
    """
    if approximate == "none":
        return _elementwise("gelu", input, label)
    if approximate == "tanh":
        return _elementwise("gelu_tanh", input, label, scale=math.sqrt(2 / math.pi))
    raise ShapeError(f"{label}: approximate={approximate!r}, expected 'none' or 'tanh'")


def silu(input: Tensor, *, label: str = "silu") -> Tensor:
    """x sigmoid(x); any shape. Elfwing, Uchibe, Doya 2017; torch.nn.functional.silu, not in place.

    Errors: DTypeError for an integer tensor.

    >>> import gradproof as gp
    >>> gp.functional.silu(gp.tensor([0.0, 100.0])).numpy().tolist()
    [0.0, 100.0]
    """
    return _elementwise("silu", input, label)


def sigmoid(input: Tensor, *, label: str = "sigmoid") -> Tensor:
    """1 / (1 + exp(-x)); any shape; never overflows. As torch.sigmoid.

    Errors: DTypeError for an integer tensor.

    >>> import gradproof as gp
    >>> gp.functional.sigmoid(gp.tensor([-1000.0, 0.0, 1000.0])).numpy().tolist()
    [0.0, 0.5, 1.0]
    """
    return _elementwise("sigmoid", input, label)


def tanh(input: Tensor, *, label: str = "tanh") -> Tensor:
    """The hyperbolic tangent; any shape. As torch.tanh.

    Errors: DTypeError for an integer tensor.

    >>> import gradproof as gp
    >>> gp.functional.tanh(gp.tensor([0.0, 1000.0])).numpy().round(6).tolist()
    [0.0, 1.0]
    """
    return _elementwise("tanh", input, label)


def softplus(
    input: Tensor, beta: float = 1.0, threshold: float = 20.0, *, label: str = "softplus"
) -> Tensor:
    """log(1 + exp(beta x)) / beta, and x where beta x > threshold; any shape.

    As torch.nn.functional.softplus. Errors: DTypeError for an integer tensor; ShapeError for
    beta = 0 and for what is no number.

    >>> import gradproof as gp
    >>> gp.functional.softplus(gp.tensor([-1000.0, 30.0])).numpy().tolist()
    [0.0, 30.0]
    """
    scalars = {
        "beta": number(beta, "beta", label),
        "threshold": number(threshold, "threshold", label),
    }
    if beta == 0:
        raise ShapeError(f"{label}: beta={beta}, expected another number than 0")
    return _elementwise("softplus", input, label, **scalars)


def _elementwise(operator: str, input: Tensor, label: str, **scalars: float) -> Tensor:
    check_tensor(input, "input", label)
    operands = {"Y": input.reshape(-1)}
    flat = apply(operators()[operator], operands, {}, scalars, label=label)["z"]
    return flat.reshape(input.shape)
