"""How a tensor's elements lie in its buffer. One layout exists so far: row-major.

Kernels say nothing about layouts; `Tensor` carries one and the dispatch compares it with what the
kernel was generated for, so that a blocked layout can come in without touching a layer.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Layout:
    """A bijection from subscripts to addresses, by name."""

    name: str

    def address(self, subscripts: tuple[int, ...], shape: tuple[int, ...]) -> int:
        """The address of an element.

        >>> ROW_MAJOR.address((1, 2), (3, 4))
        6
        """
        address = 0
        for s, n in zip(subscripts, shape, strict=True):
            address = address * n + s
        return address


ROW_MAJOR = Layout("row-major")
