"""Where the elements of a tensor lie: an index map, bijective by construction.

Each axis of the memory is one digit of one dimension: `(dim, div, count)` is the digit
(subscript // div) % count, the outermost axis first. A dimension's digits form a mixed radix, so
different subscripts have different digits, and different digits have different addresses.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from math import prod

import numpy as np
from numpy.typing import NDArray

from gradproof.codegen.fast.affine import Affine

Axis = tuple[int, int, int]  # dimension, divisor, count


@dataclass(frozen=True)
class Layout:
    """Axes of the memory, outermost first, and a border (`low`, `high`) of zeros per dimension.

    Errors: ValueError where the axes of a dimension are no mixed radix of its extent.

    >>> blocked = Layout.blocked((2, 32, 8, 8), 1, low=(0, 0, 1, 1), high=(0, 0, 1, 1))
    >>> blocked.axes
    ((0, 1, 2), (1, 16, 2), (2, 1, 10), (3, 1, 10), (1, 1, 16))
    >>> blocked.size
    6400
    """

    shape: tuple[int, ...]
    axes: tuple[Axis, ...]
    low: tuple[int, ...] = ()
    high: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        none = (0,) * len(self.shape)
        object.__setattr__(self, "low", self.low or none)
        object.__setattr__(self, "high", self.high or none)
        for d, n in enumerate(self.padded):
            radix = 1
            for _, div, count in sorted(a for a in self.axes if a[0] == d):
                if div != radix:
                    raise ValueError(f"dimension {d}: {self.axes} is no mixed radix")
                radix *= count
            if radix < n:
                raise ValueError(f"dimension {d}: {self.axes} has {radix} places for {n}")

    @classmethod
    def row_major(
        cls, shape: Iterable[int], low: tuple[int, ...] = (), high: tuple[int, ...] = ()
    ) -> Layout:
        """One axis per dimension, in order."""
        shape = tuple(shape)
        ends = zip(shape, low or (0,) * len(shape), high or (0,) * len(shape), strict=True)
        return cls(shape, tuple((d, 1, n + a + b) for d, (n, a, b) in enumerate(ends)), low, high)

    @classmethod
    def blocked(
        cls,
        shape: Iterable[int],
        lane: int,
        *,
        lanes: int = 16,
        low: tuple[int, ...] = (),
        high: tuple[int, ...] = (),
        order: tuple[int, ...] = (),
        second: int | None = None,
    ) -> Layout:
        """`lanes` neighbours in dimension `lane` lie together, innermost; the last block is filled
        up. order: of the dimensions (their blocks); second: a dimension blocked likewise, next to
        the lanes."""
        plain = cls.row_major(shape, low, high)
        blocks = [lane] + ([] if second is None else [second])
        outer: list[Axis] = []
        for d in order or range(len(plain.shape)):
            _, _, n = plain.axes[d]
            outer.append((d, lanes, -(-n // lanes)) if d in blocks else (d, 1, n))
        inner = [(d, 1, lanes) for d in reversed(blocks)]
        return cls(plain.shape, (*outer, *inner), plain.low, plain.high)

    @cached_property
    def padded(self) -> tuple[int, ...]:
        """The extents with the border."""
        return tuple(a + n + b for a, n, b in zip(self.low, self.shape, self.high, strict=True))

    @cached_property
    def strides(self) -> tuple[int, ...]:
        """The stride of each axis, in elements."""
        counts = [count for _, _, count in self.axes]
        return tuple(prod(counts[k + 1 :]) for k in range(len(counts)))

    @property
    def size(self) -> int:
        """Elements of the memory, borders and filled-up blocks included."""
        return prod(count for _, _, count in self.axes)

    @property
    def has_border(self) -> bool:
        """Whether some of the memory must stay zero: the border."""
        return any(self.low) or any(self.high)

    def block(self, dim: int) -> int:
        """How many neighbours of a dimension lie together in its innermost digit; 1: all."""
        inner = [count for d, div, count in self.axes if d == dim and div == 1]
        return inner[0] if any(d == dim and div > 1 for d, div, _ in self.axes) else 1

    def address(self, subscripts: tuple[Affine, ...], extents: Mapping[str, int]) -> Affine | None:
        """The address as an affine expression, or None where some digit is not affine.

        >>> rows = Layout.blocked((2, 32), 1)  # the digits follow each other: rows
        >>> c, i = Affine.of("c"), Affine.of("i")
        >>> str(rows.address((Affine(), c * 4 + i), {"c": 8, "i": 4}))
        '4*c + i'
        >>> apart = Layout.blocked((32, 2), 0)
        >>> apart.address((c * 4 + i, Affine()), {"c": 8, "i": 4}) is None
        True
        """
        out = Affine()
        for (d, div, count), stride in self._joined:
            digit: Affine | None = subscripts[d] + Affine(self.low[d])
            if div > 1:
                digit = digit.quotient(div, extents) if digit is not None else None
            if digit is not None and self._inner(d, div, count):
                digit = digit.remainder(count, extents)
            if digit is None:
                return None
            out = out + digit * stride
        return out

    @cached_property
    def _joined(self) -> tuple[tuple[Axis, int], ...]:
        """The axes with their strides; digits of a dimension that follow each other are one."""
        found: list[tuple[Axis, int]] = []
        for (d, div, count), stride in zip(self.axes, self.strides, strict=True):
            above, outer, more = found[-1][0] if found else (-1, 0, 0)
            if above == d and outer == div * count:
                found[-1] = (d, div, more * count), stride
            else:
                found.append(((d, div, count), stride))
        return tuple(found)

    def _inner(self, dim: int, div: int, count: int) -> bool:
        """Whether a digit of this dimension comes above this one."""
        return any(d == dim and other == div * count for d, other, _ in self.axes)

    def indices(self) -> NDArray[np.int64]:
        """The address of every element, in row-major order of the shape."""
        places = np.zeros(self.shape, np.int64)
        grid = np.indices(self.shape, dtype=np.int64)
        for (d, div, count), stride in zip(self.axes, self.strides, strict=True):
            places += (grid[d] + self.low[d]) // div % count * stride
        return places.reshape(-1)
