"""Operators on tensors, with PyTorch's names and arguments; shapes are checked first.

Every function takes `label`, the name by which an error speaks of it: a layer gives its own.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import cast

from gradproof.runtime.arguments import (
    Padding,
    Pair,
    ceil_padding,
    check_rank,
    check_tensor,
    divisor,
    integer,
    number,
    pair,
    sides,
)
from gradproof.runtime.autograd import apply
from gradproof.runtime.binding import bind
from gradproof.runtime.dispatch import Scalar, execute, host_effect
from gradproof.runtime.errors import DTypeError, ShapeError
from gradproof.runtime.manifest import operators
from gradproof.runtime.random import next_dropout_key
from gradproof.runtime.tensor import Tensor


def conv2d(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Pair = 1,
    padding: Padding = 0,
    dilation: Pair = 1,
    groups: int = 1,
    *,
    label: str = "conv2d",
) -> Tensor:
    """2-D convolution (correlation), as torch.nn.functional.conv2d. The lecture's F1.

    input (N, C, H, W); weight (O, C/groups, KH, KW); bias (O,) or None; returns (N, O, OH, OW) with
    OH = floor((H + top + bottom - dilation*(KH - 1) - 1)/stride) + 1.
    padding: an int, (vertical, horizontal), ((top, bottom), (left, right)), "valid", or "same" at
    stride 1; negative values crop. Errors: ShapeError names `label` and both sizes.

    >>> import numpy as np, gradproof as gp
    >>> x, w = gp.tensor(np.ones((1, 1, 3, 3))), gp.tensor(np.ones((1, 1, 2, 2)))
    >>> gp.functional.conv2d(x, w).numpy()[0, 0].tolist()
    [[4.0, 4.0], [4.0, 4.0]]
    """
    check_rank(input, 4, "input", label)
    check_rank(weight, 4, "weight", label)
    (sh, sw), (dh, dw) = pair(label, "stride", stride), pair(label, "dilation", dilation)
    groups = integer(label, "groups", groups)
    if weight.shape[0] % groups:
        raise ShapeError(f"{label}: groups={groups} does not divide {weight.shape[0]} out_channels")
    if input.shape[1] != weight.shape[1] * groups:
        raise ShapeError(
            f"{label}: input has {input.shape[1]} channels, expected {weight.shape[1] * groups} "
            f"(weight {weight.shape}, groups={groups})"
        )
    span = (dh * (weight.shape[2] - 1), dw * (weight.shape[3] - 1))
    (top, bottom), (left, right) = sides(padding, span, (sh, sw), label)
    sizes = {"G": groups, "SH": sh, "SW": sw, "DH": dh, "DW": dw}
    sizes |= {"PT": top, "PB": bottom, "PL": left, "PR": right}
    operands = {"Y": input, "w": weight, "b": bias}
    return apply(operators()["conv2d"], operands, sizes, label=label)["z"]


def linear(
    input: Tensor, weight: Tensor, bias: Tensor | None = None, *, label: str = "linear"
) -> Tensor:
    """input @ weight.T + bias, as torch.nn.functional.linear.

    input (N, in_features); weight (out_features, in_features); returns (N, out_features).
    Errors: ShapeError names `label` and both numbers of features.

    >>> import gradproof as gp
    >>> gp.functional.linear(gp.tensor([[1.0, 2.0]]), gp.tensor([[3.0, 4.0]])).numpy().tolist()
    [[11.0]]
    """
    check_rank(input, 2, "input", label)
    check_rank(weight, 2, "weight", label)
    if input.shape[1] != weight.shape[1]:
        raise ShapeError(
            f"{label}: input has {input.shape[1]} features, expected {weight.shape[1]} "
            f"(weight {weight.shape})"
        )
    return apply(operators()["linear"], {"Y": input, "w": weight, "b": bias}, label=label)["z"]


def relu(input: Tensor, *, label: str = "relu") -> Tensor:
    """max(input, 0) for any shape; its derivative at 0 is 0, and NaN stays NaN.

    Errors: DTypeError for an integer tensor.

    >>> import gradproof as gp
    >>> gp.functional.relu(gp.tensor([-1.0, 2.0])).numpy().tolist()
    [0.0, 2.0]
    """
    check_tensor(input, "input", label)
    flat = apply(operators()["relu"], {"Y": input.reshape(-1)}, label=label)["z"]
    return flat.reshape(input.shape)


def add(input: Tensor, other: Tensor, *, label: str = "add") -> Tensor:
    """input + other, element by element, of equal shapes: the residual connection.

    Errors: ShapeError where the shapes differ; nothing is broadcast.

    >>> import gradproof as gp
    >>> (gp.tensor([1.0]) + gp.tensor([2.0])).numpy().tolist()
    [3.0]
    """
    check_tensor(input, "input", label)
    check_tensor(other, "other", label)
    if input.shape != other.shape:
        raise ShapeError(f"{label}: shapes {input.shape} and {other.shape} differ")
    operands = {"Y": input.reshape(-1), "R": other.reshape(-1)}
    return apply(operators()["add"], operands, label=label)["z"].reshape(input.shape)


def max_pool2d(
    input: Tensor,
    kernel_size: Pair,
    stride: Pair | None = None,
    padding: Pair = 0,
    dilation: Pair = 1,
    ceil_mode: bool = False,
    *,
    label: str = "max_pool2d",
) -> Tensor:
    """Maximum over windows, as torch.nn.functional.max_pool2d; padding is never chosen.

    input (N, C, H, W); stride defaults to kernel_size. The first maximum in row-major order gets
    the gradient; NaN counts as the maximum. Errors: ShapeError names `label`, also where a window
    would hold padding alone.

    >>> import numpy as np, gradproof as gp
    >>> x = gp.tensor(np.arange(16.0).reshape(1, 1, 4, 4))
    >>> gp.functional.max_pool2d(x, 2).numpy()[0, 0].tolist()
    [[5.0, 7.0], [13.0, 15.0]]
    """
    check_rank(input, 4, "input", label)
    kh, kw = pair(label, "kernel_size", kernel_size)
    sh, sw = pair(label, "stride", kernel_size if stride is None else stride)
    dh, dw = pair(label, "dilation", dilation)
    ph, pw = pair(label, "padding", padding, None)
    more = (0, 0)
    if ceil_mode:
        more = (
            ceil_padding(input.shape[2], kh, sh, ph, dh),
            ceil_padding(input.shape[3], kw, sw, pw, dw),
        )
    sizes = {"KH": kh, "KW": kw, "SH": sh, "SW": sw, "DH": dh, "DW": dw}
    sizes |= {"PT": ph, "PB": ph + more[0], "PL": pw, "PR": pw + more[1]}
    return apply(operators()["max_pool2d"], {"Y": input}, sizes, label=label)["z"]


def avg_pool2d(
    input: Tensor,
    kernel_size: Pair,
    stride: Pair | None = None,
    padding: Pair = 0,
    count_include_pad: bool = True,
    *,
    label: str = "avg_pool2d",
) -> Tensor:
    """Mean over windows, as torch.nn.functional.avg_pool2d.

    input (N, C, H, W); stride defaults to kernel_size. count_include_pad: divide by the window's
    size, or else by the number of its elements inside the image. Errors: ShapeError names `label`.

    >>> import numpy as np, gradproof as gp
    >>> x = gp.tensor(np.arange(16.0).reshape(1, 1, 4, 4))
    >>> gp.functional.avg_pool2d(x, 2).numpy()[0, 0].tolist()
    [[2.5, 4.5], [10.5, 12.5]]
    """
    check_rank(input, 4, "input", label)
    kh, kw = pair(label, "kernel_size", kernel_size)
    sh, sw = pair(label, "stride", kernel_size if stride is None else stride)
    ph, pw = pair(label, "padding", padding, None)
    if not (0 <= ph <= kh // 2 and 0 <= pw <= kw // 2):
        raise ShapeError(
            f"{label}: padding {(ph, pw)} is more than half of kernel_size {(kh, kw)}, or negative"
        )
    sizes = {"KH": kh, "KW": kw, "SH": sh, "SW": sw, "PT": ph, "PB": ph, "PL": pw, "PR": pw}
    name = "avg_pool2d" if count_include_pad else "avg_pool2d_valid"
    return apply(operators()[name], {"Y": input}, sizes, label=label)["z"]


def adaptive_avg_pool2d(
    input: Tensor, output_size: Pair, *, label: str = "adaptive_avg_pool2d"
) -> Tensor:
    """Mean over output_size windows that cover the image, as torch.nn.functional has it.

    input (N, C, H, W); returns (N, C, *output_size). Errors: ShapeError names `label`.

    >>> import numpy as np, gradproof as gp
    >>> x = gp.tensor(np.arange(4.0).reshape(1, 1, 2, 2))
    >>> gp.functional.adaptive_avg_pool2d(x, 1).numpy().item()
    1.5
    """
    check_rank(input, 4, "input", label)
    oh, ow = pair(label, "output_size", output_size)
    name = "adaptive_avg_pool2d"
    return apply(operators()[name], {"Y": input}, {"OH": oh, "OW": ow}, label=label)["z"]


def batch_norm(
    input: Tensor,
    running_mean: Tensor | None,
    running_var: Tensor | None,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    training: bool = False,
    momentum: float | Callable[[], float] = 0.1,
    eps: float = 1e-5,
    *,
    label: str = "batch_norm",
) -> Tensor:
    """Batch normalisation, as torch.nn.functional.batch_norm.

    input (N, C), (N, C, L) or (N, C, H, W); the other tensors (C,). In training the batch's mean
    and biased variance normalise, and running_mean, running_var (if given) move towards the mean
    and the unbiased variance by `momentum`, in place. Otherwise the running statistics normalise.
    Errors: ShapeError where a size is not C, where training has one value per channel, or where
    inference lacks running statistics.

    >>> import gradproof as gp
    >>> x = gp.tensor([[1.0], [3.0]])
    >>> gp.functional.batch_norm(x, None, None, training=True, eps=0.0).numpy().tolist()
    [[-1.0], [1.0]]
    """
    check_tensor(input, "input", label)
    if input.ndim not in (2, 3, 4):
        raise ShapeError(f"{label}: input has shape {input.shape}, expected 2, 3 or 4 dimensions")
    channels = input.shape[1]
    statistics = {"running_mean": running_mean, "running_var": running_var}
    if (running_mean is None) != (running_var is None):
        raise ShapeError(f"{label}: running_mean and running_var come together or not at all")
    if number(eps, "eps", label) < 0.0:
        raise ShapeError(f"{label}: eps={eps}, expected at least 0")
    if not callable(momentum):
        number(momentum, "momentum", label)
    for name, t in {**statistics, "weight": weight, "bias": bias}.items():
        if t is not None:
            check_tensor(t, name, label)
        if t is not None and t.shape != (channels,):
            raise ShapeError(
                f"{label}: input has {channels} channels, but {name} has shape {t.shape}"
            )
    x = input.reshape(input.shape[0], channels, -1)
    operands: dict[str, Tensor | None] = {"X": x, "gamma": weight, "beta": bias}
    scalars = {"eps": eps}
    if not training:
        if running_mean is None or running_var is None:
            raise ShapeError(f"{label}: inference needs running_mean and running_var")
        operands |= {"mean": running_mean, "var": running_var}
        op = operators()["batch_norm_inference"]
        return apply(op, operands, {}, scalars, label=label)["y"].reshape(input.shape)
    m = x.shape[0] * x.shape[2]
    if m < 2:
        raise ShapeError(
            f"{label}: training needs more than one value per channel, input has shape "
            f"{input.shape}"
        )
    tracking = running_mean is not None and running_var is not None
    also = ("mean", "var") if tracking else ()
    out = apply(operators()["batch_norm"], operands, {}, scalars, label=label, also=also)
    if tracking:
        _move(cast(Tensor, running_mean), out["mean"], momentum, 1.0, label)
        _move(cast(Tensor, running_var), out["var"], momentum, m / (m - 1), label)
    return out["y"].reshape(input.shape)


def dropout(
    input: Tensor, p: float = 0.5, training: bool = True, *, label: str = "dropout"
) -> Tensor:
    """Zero each element with probability p and scale the rest by 1/(1-p); only in training.

    Any shape. The mask comes from Philox4x32-10 keyed by `manual_seed`, so it is the same on every
    device. Errors: ShapeError where p is outside [0, 1).

    >>> import gradproof as gp
    >>> gp.functional.dropout(gp.tensor([1.0, 2.0]), training=False).numpy().tolist()
    [1.0, 2.0]
    """
    check_tensor(input, "input", label)
    if not 0.0 <= number(p, "p", label) < 1.0:
        raise ShapeError(f"{label}: p={p}, expected 0 <= p < 1")
    if not training or p == 0.0:
        return input
    state: dict[str, int] = {}

    def draw() -> None:
        state["key0"], state["key1"], state["call"] = next_dropout_key()

    host_effect(draw)
    scalars: Mapping[str, Scalar] = {
        "key0": lambda: state["key0"],
        "key1": lambda: state["key1"],
        "call": lambda: state["call"],
        "threshold": min(round(p * 2**32), 2**32 - 1),
        "scale": 1.0 / (1.0 - p),
    }
    flat = apply(operators()["dropout"], {"Y": input.reshape(-1)}, {}, scalars, label=label)["z"]
    return flat.reshape(input.shape)


def cross_entropy(
    input: Tensor, target: Tensor, reduction: str = "mean", *, label: str = "cross_entropy"
) -> Tensor:
    """Softmax with cross-entropy against labels, as torch.nn.functional.cross_entropy.

    input (N, C) logits; target (N,) int32 in 0..C-1; returns a tensor without dimensions, the mean
    over the N samples or their sum. Errors: ShapeError, DTypeError; DataError names a label out of
    range.

    >>> import gradproof as gp
    >>> logits = gp.tensor([[0.0, 0.0]])
    >>> round(gp.functional.cross_entropy(logits, gp.tensor([1])).item(), 4)
    0.6931
    """
    check_rank(input, 2, "input", label)
    check_rank(target, 1, "target", label)
    if input.shape[0] != target.shape[0]:
        raise ShapeError(f"{label}: {input.shape[0]} rows of logits, {target.shape[0]} labels")
    if target.dtype.name != "int32":
        raise DTypeError(f"{label}: target has dtype {target.dtype}, expected int32 labels")
    scalars = {"divisor": divisor(input.shape[0], reduction, label)}
    operands = {"a": input, "t": target}
    op = operators()["softmax_cross_entropy"]
    return apply(op, operands, {}, scalars, label=label)["loss"]


def mse_loss(
    input: Tensor, target: Tensor, reduction: str = "mean", *, label: str = "mse_loss"
) -> Tensor:
    """Squared error, the mean over all elements or their sum, as torch.nn.functional.mse_loss.

    Two tensors of equal shape; returns a tensor without dimensions. Errors: ShapeError where the
    shapes differ; nothing is broadcast.

    >>> import gradproof as gp
    >>> gp.functional.mse_loss(gp.tensor([1.0, 2.0]), gp.tensor([1.0, 4.0])).item()
    2.0
    """
    check_tensor(input, "input", label)
    check_tensor(target, "target", label)
    if input.shape != target.shape:
        raise ShapeError(f"{label}: shapes {input.shape} and {target.shape} differ")
    scalars = {"divisor": divisor(input.size, reduction, label)}
    operands = {"a": input.reshape(-1), "t": target.reshape(-1)}
    return apply(operators()["mse"], operands, {}, scalars, label=label)["loss"]


def _move(
    running: Tensor,
    batch: Tensor,
    momentum: float | Callable[[], float],
    unbias: float,
    label: str,
) -> None:
    """running <- (1 - momentum) * running + momentum * unbias * batch, in place."""
    op = operators()["running_average"]
    operands = {"old": running, "batch": batch}
    binding = bind(op, op.without(), {n: t.shape for n, t in operands.items()}, {}, label)
    scalars: Mapping[str, Scalar] = {"momentum": momentum, "unbias": unbias}
    kernels = binding.forward(frozenset({"new"}))
    execute(binding, kernels, operands, scalars, into={"new": running}, label=label)
