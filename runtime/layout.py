"""How a tensor's elements lie in its buffer.

Tensors are row-major. A planned step may move a tensor's elements to where its kernels want them:
blocks of neighbouring channels together, a border of zeros around an image. The tensor stays what
it is: reading and writing it converts, and an operator outside the plan gets it row-major again.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

Axis = tuple[int, int, int]  # dimension, divisor, count
KEPT = 1 << 20  # elements of a layout whose addresses are kept; those of more take too much memory


@dataclass(frozen=True)
class Layout:
    """A bijection from subscripts to addresses: `axes` of the memory, outermost first, each the
    digit (subscript + low) // divisor % count of one dimension.

    >>> Layout((3, 4), ((0, 1, 3), (1, 1, 4)), (0, 0)).address((1, 2))
    6
    """

    shape: tuple[int, ...]
    axes: tuple[Axis, ...]
    low: tuple[int, ...]

    @property
    def size(self) -> int:
        """Elements of the memory, with borders."""
        return prod(count for _, _, count in self.axes)

    def address(self, subscripts: Sequence[int]) -> int:
        """The address of an element."""
        place = 0
        for d, divisor, count in self.axes:
            place = place * count + (subscripts[d] + self.low[d]) // divisor % count
        return place


def row_major(shape: Sequence[int]) -> Layout:
    """One axis per dimension, in order.

    >>> row_major((3, 4)).address((1, 2))
    6
    """
    return Layout(tuple(shape), tuple((d, 1, n) for d, n in enumerate(shape)), (0,) * len(shape))


def addresses(layout: Layout) -> NDArray[np.int64]:
    """The address of every element, in row-major order of the shape."""
    return _kept(layout) if layout.size <= KEPT else _addresses(layout)


def _addresses(layout: Layout) -> NDArray[np.int64]:
    """Each dimension adds its own part."""
    places = np.zeros(layout.shape, np.int64)
    stride = 1
    for d, divisor, count in reversed(layout.axes):
        digits = (np.arange(layout.shape[d]) + layout.low[d]) // divisor % count
        along = [1] * len(layout.shape)
        along[d] = -1
        places += digits.reshape(along) * stride
        stride *= count
    return places.reshape(-1)


_kept = lru_cache(maxsize=64)(_addresses)


def laid_out(elements: NDArray[Any], layout: Layout | None) -> NDArray[Any]:
    """Row-major elements (any shape) as a layout's memory (layout.size,); borders are zero.

    >>> laid_out(np.array([1, 2]), Layout((2,), ((0, 1, 4),), (1,))).tolist()
    [0, 1, 2, 0]
    """
    flat = np.ascontiguousarray(elements.reshape(-1))
    if layout is None:
        return flat
    memory = np.zeros(layout.size, elements.dtype)
    memory[addresses(layout)] = flat
    return memory
