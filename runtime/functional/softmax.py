"""Softmax and its logarithm."""

from __future__ import annotations

from gradproof.runtime.arguments import check_tensor
from gradproof.runtime.autograd import apply
from gradproof.runtime.functional.shapes import around, axis
from gradproof.runtime.manifest import operators
from gradproof.runtime.tensor import Tensor


def softmax(input: Tensor, dim: int, *, label: str = "softmax") -> Tensor:
    """exp(x) over the sum of exp(x) along `dim`; any shape of at least one dimension.

    The maximum is taken off first, so that nothing overflows. As torch.nn.functional.softmax,
    without `dtype` and a default for `dim`. Errors: ShapeError for a wrong `dim`; DTypeError.

    >>> import gradproof as gp
    >>> gp.functional.softmax(gp.tensor([[1000.0, 1000.0]]), dim=1).numpy().tolist()
    [[0.5, 0.5]]
    """
    return _along("softmax", input, dim, label)


def log_softmax(input: Tensor, dim: int, *, label: str = "log_softmax") -> Tensor:
    """The logarithm of `softmax`, computed without it: x - max - log(sum exp(x - max)).

    As torch.nn.functional.log_softmax, without `dtype` and a default for `dim`. Errors: as
    `softmax`.

    >>> import gradproof as gp
    >>> gp.functional.log_softmax(gp.tensor([[0.0, -1000.0]]), dim=-1).numpy().tolist()
    [[0.0, -1000.0]]
    """
    return _along("log_softmax", input, dim, label)


def _along(operator: str, input: Tensor, dim: int, label: str) -> Tensor:
    check_tensor(input, "input", label)
    three = around(input.shape, axis(dim, input.shape, label))
    out = apply(operators()[operator], {"a": input.reshape(three)}, label=label)["y"]
    return out.reshape(input.shape)
