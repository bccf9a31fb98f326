"""Parts of a tensor: what `tensor[...]` gives."""

from __future__ import annotations

from types import EllipsisType

from gradproof.runtime.arguments import check_tensor, whole
from gradproof.runtime.autograd import apply
from gradproof.runtime.errors import ArgumentError, ShapeError
from gradproof.runtime.functional.shapes import around
from gradproof.runtime.manifest import operators
from gradproof.runtime.tensor import Tensor

Key = int | slice | EllipsisType | None


def index(input: Tensor, key: Key | tuple[Key, ...], *, label: str = "index") -> Tensor:
    """input[key], for integers, slices with a positive step, `...` and None (a new dimension).

    A copy where anything is left out, differentiable; in PyTorch it is a view. Without tensors,
    lists and masks as indices. Errors: ShapeError for an index out of range, too many of them, an
    empty part or a step below 1; ArgumentError for other kinds of indices; DTypeError for an
    integer tensor of which a part is taken.

    >>> import gradproof as gp
    >>> t = gp.tensor([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]])
    >>> t[1].numpy().tolist(), t[:, -1].numpy().tolist(), t[..., ::2].shape
    ([4.0, 5.0, 6.0], [3.0, 6.0], (2, 2))
    """
    check_tensor(input, "input", label)
    shape: list[int] = []
    out, k = input, 0
    for item in _for_each_dimension(key, input, label):
        if item is None:
            shape.append(1)
            continue
        chosen = _positions(item, k, input, label)
        if chosen != range(input.shape[k]):
            out = part(out, k, chosen, label)
        if isinstance(item, slice):
            shape.append(len(chosen))
        k += 1
    return out.reshape(shape)


def part(input: Tensor, axis: int, positions: range, label: str) -> Tensor:
    """The elements at some positions along one dimension, a copy. positions: ascending, not empty.

    >>> import gradproof as gp
    >>> part(gp.tensor([1.0, 2.0, 3.0]), 0, range(0, 3, 2), "part").numpy().tolist()
    [1.0, 3.0]
    """
    before, extent, after = around(input.shape, axis)
    sizes = {"F": positions.start, "S": positions.step, "X": len(positions)}
    operands = {"Y": input.reshape(before, extent, after)}
    out = apply(operators()["slice_axis"], operands, sizes, label=label)["z"]
    return out.reshape(*input.shape[:axis], len(positions), *input.shape[axis + 1 :])


def _for_each_dimension(
    key: Key | tuple[Key, ...], input: Tensor, label: str
) -> list[int | slice | None]:
    """One integer or slice for each dimension, and None for new ones: `...` is written out."""
    items = list(key) if isinstance(key, tuple) else [key]
    named = sum(item is not None and item is not Ellipsis for item in items)
    dots = [n for n, item in enumerate(items) if item is Ellipsis]
    if named > input.ndim or len(dots) > 1:
        raise ShapeError(
            f"{label}: {named} indices and {len(dots)} '...' for shape {input.shape}, "
            f"expected at most {input.ndim} indices and one '...'"
        )
    where = dots[0] if dots else len(items)
    rest: list[Key] = [slice(None)] * (input.ndim - named)
    filled = [*items[:where], *rest, *items[where + 1 :]]
    return [item for item in filled if not isinstance(item, EllipsisType)]


def _positions(item: object, axis: int, input: Tensor, label: str) -> range:
    """The positions along one dimension that an index or a slice names."""
    extent = input.shape[axis]
    where = f"dimension {axis} of shape {input.shape}"
    if isinstance(item, slice):
        try:
            found = range(*item.indices(extent))
        except (TypeError, ValueError) as error:  # what a slice's bounds may be
            raise ArgumentError(f"{label}: {item} of {where}: {error}") from None
        if found.step < 1 or not found:
            why = "is empty" if found.step > 0 else "has a step below 1"
            raise ShapeError(f"{label}: {item} of {where} {why}")
        return found
    k = whole(item)
    if k is None or isinstance(item, Tensor):
        raise ArgumentError(
            f"{label}: {type(item).__name__} as an index of {where}, "
            "expected an integer, a slice, '...' or None"
        )
    if not -extent <= k < extent:
        raise ShapeError(f"{label}: index {k} is out of range for {where}")
    return range(k % extent, k % extent + 1)
