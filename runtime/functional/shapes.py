"""Dimensions by number, as PyTorch counts them: from the end where negative."""

from __future__ import annotations

import math
from collections.abc import Sequence

from gradproof.runtime.arguments import whole
from gradproof.runtime.errors import ShapeError


def axis(dim: object, shape: tuple[int, ...], label: str, name: str = "dim") -> int:
    """The dimension `dim` of a shape, counted from 0.

    Errors: ShapeError where there is no such dimension.

    >>> axis(-1, (2, 3, 4), "softmax")
    2
    """
    k, rank = whole(dim), len(shape)
    if k is None or not -rank <= k < rank:
        raise ShapeError(
            f"{label}: {name}={dim!r}, expected an integer from {-rank} to {rank - 1} "
            f"for shape {shape}"
            if rank
            else f"{label}: {name}={dim!r}, but the tensor has no dimensions"
        )
    return k % rank


def axes(dim: int | Sequence[int] | None, shape: tuple[int, ...], label: str) -> tuple[int, ...]:
    """The dimensions `dim`, all for None, in ascending order.

    Errors: ShapeError where one does not exist, is named twice, or there is none.

    >>> axes((-1, 0), (2, 3, 4), "sum"), axes(None, (2, 3), "sum")
    ((0, 2), (0, 1))
    """
    if dim is None:
        return tuple(range(len(shape)))
    dims = tuple(dim) if isinstance(dim, tuple | list) else (dim,)
    found = {axis(d, shape, label) for d in dims}
    if not dims or len(found) < len(dims):
        raise ShapeError(f"{label}: dim={dim!r}, expected different dimensions, or None for all")
    return tuple(sorted(found))


def around(shape: tuple[int, ...], axis: int) -> tuple[int, int, int]:
    """(before, extent, after): a shape as three dimensions, the middle one being `axis`.

    >>> around((2, 3, 4, 5), 1)
    (2, 3, 20)
    """
    return math.prod(shape[:axis]), shape[axis], math.prod(shape[axis + 1 :])
