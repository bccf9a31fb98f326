"""Sums, means and maxima over dimensions: one kernel for each dimension, the last one first."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from gradproof.runtime.arguments import check_tensor
from gradproof.runtime.autograd import apply
from gradproof.runtime.errors import DTypeError
from gradproof.runtime.functional.shapes import around, axes, axis
from gradproof.runtime.labels import Extremes
from gradproof.runtime.manifest import operators
from gradproof.runtime.tensor import Tensor, no_grad

Axes = int | Sequence[int] | None


class Maximum(NamedTuple):
    """What `max` along a dimension returns: the maxima and where the first of them are (int32)."""

    values: Tensor
    indices: Tensor


def sum(input: Tensor, dim: Axes = None, keepdim: bool = False, *, label: str = "sum") -> Tensor:
    """The sum over `dim`, one dimension or several, all by default; any shape.

    keepdim: the dimensions stay, with extent 1. As torch.sum, without `dtype`. Errors: ShapeError
    for a wrong `dim`; DTypeError for an integer tensor.

    >>> import gradproof as gp
    >>> gp.functional.sum(gp.tensor([[1.0, 2.0], [3.0, 4.0]]), dim=0).numpy().tolist()
    [4.0, 6.0]
    """
    return _reduce("sum_axis", input, dim, keepdim, label)


def mean(input: Tensor, dim: Axes = None, keepdim: bool = False, *, label: str = "mean") -> Tensor:
    """The mean over `dim`, one dimension or several, all by default; any shape.

    keepdim: the dimensions stay, with extent 1. As torch.mean, without `dtype`. Errors: as `sum`.

    >>> import gradproof as gp
    >>> gp.functional.mean(gp.tensor([[1.0, 2.0], [3.0, 4.0]]), dim=(0, 1)).item()
    2.5
    """
    return _reduce("mean_axis", input, dim, keepdim, label)


def amax(input: Tensor, dim: Axes = None, keepdim: bool = False, *, label: str = "amax") -> Tensor:
    """The maximum over `dim`, one dimension or several, all by default; NaN is the largest.

    keepdim: the dimensions stay, with extent 1. As torch.amax, but the gradient goes to the first
    of several equal maxima, in row-major order, where torch.amax splits it evenly. Errors: as
    `sum`.

    >>> import gradproof as gp
    >>> gp.functional.amax(gp.tensor([[1.0, 2.0], [3.0, 4.0]]), dim=1).numpy().tolist()
    [2.0, 4.0]
    """
    return _reduce("max_axis", input, dim, keepdim, label)


def max(
    input: Tensor, dim: int | None = None, keepdim: bool = False, *, label: str = "max"
) -> Tensor | Maximum:
    """The maximum of all elements; with `dim`, `Maximum(values, indices)` along that dimension.

    Of equal maxima the first counts, for the indices and the gradient. NaN is the largest. As
    torch.max, with int32 indices, and without the maximum of two tensors. Errors: as `sum`.

    >>> import gradproof as gp
    >>> values, indices = gp.functional.max(gp.tensor([[1.0, 2.0], [3.0, 3.0]]), dim=1)
    >>> values.numpy().tolist(), indices.numpy().tolist()
    ([2.0, 3.0], [1, 0])
    """
    if dim is None:
        return _reduce("max_axis", input, None, keepdim, label)
    check_real(input, label)
    k = axis(dim, input.shape, label)
    operands = {"Y": input.reshape(around(input.shape, k))}
    out = apply(operators()["max_axis"], operands, label=label, also=("z_argmax",))
    indices = out["z_argmax"]
    indices.storage.extremes = Extremes.below(input.shape[k])
    shape = input.shape[:k] + (1,) * keepdim + input.shape[k + 1 :]
    return Maximum(out["z"].reshape(shape), indices.reshape(shape))


def argmax(
    input: Tensor, dim: int | None = None, keepdim: bool = False, *, label: str = "argmax"
) -> Tensor:
    """Where the first maximum along `dim` is, int32; by default in row-major order among all.

    As torch.argmax. Errors: as `sum`.

    >>> import gradproof as gp
    >>> gp.functional.argmax(gp.tensor([[1.0, 4.0], [3.0, 2.0]]), dim=1).numpy().tolist()
    [1, 0]
    """
    check_real(input, label)
    flat = input.reshape(-1) if dim is None else input
    with no_grad():
        found = max(flat, 0 if dim is None else dim, keepdim, label=label)
    indices = found[1]
    return indices.reshape((1,) * input.ndim if keepdim else ()) if dim is None else indices


def check_real(t: object, label: str) -> None:
    """Errors: DTypeError where `t` is no tensor of reals, also where no kernel would run."""
    check_tensor(t, "input", label)
    if isinstance(t, Tensor) and t.dtype.kind != "f":
        raise DTypeError(f"{label}: input has dtype {t.dtype}, expected float32 or float64")


def _reduce(operator: str, input: Tensor, dim: Axes, keepdim: bool, label: str) -> Tensor:
    check_real(input, label)
    shape, out = input.shape, input
    reduced = axes(dim, shape, label)
    for k in reversed(reduced):  # what is left of a later one is an extent of 1
        if shape[k] != 1:
            operands = {"Y": out.reshape(around(shape, k))}
            out = apply(operators()[operator], operands, label=label)["z"]
            shape = (*shape[:k], 1, *shape[k + 1 :])
    kept = shape if keepdim else tuple(n for k, n in enumerate(shape) if k not in reduced)
    return out.reshape(kept)
