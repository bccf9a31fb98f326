"""A sum of products as its register tiles see it, and which elements a tile reads."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from math import prod

import sympy as sp

from gradproof.codegen.fast.affine import Affine
from gradproof.codegen.fast.nest import Loop

LINE = 16  # elements of a cache line

Tile = tuple[tuple[str, int], ...]
Box = tuple[tuple[int, int], ...]  # (stride, steps) of each loop


@dataclass(frozen=True)
class Read:
    """A factor: which read of the nest, its address, and whether it is a vector along the lane."""

    index: int
    address: Affine
    vector: bool


@dataclass(frozen=True)
class Sum:
    """One sum into the accumulators, over `loops`; within: terms count only where all of these are
    >= 0, the others are zero (`contraction_bounds`)."""

    loops: tuple[Loop, ...]
    reads: tuple[Read, ...]
    term: sp.Expr
    within: tuple[Affine, ...] = ()

    @property
    def bounded(self) -> frozenset[str]:
        """The loops that leave terms out."""
        return frozenset(v for v, _ in self.loops if any(v in b.loops for b in self.within))

    @property
    def steps(self) -> int:
        """Terms of one element."""
        return prod(n for _, n in self.loops)

    @property
    def shared(self) -> bool:
        """All operands are vectors: their loads are shared between unrolled steps."""
        return all(r.vector for r in self.reads)


@dataclass(frozen=True)
class Problem:
    """Sums over output loops; the lane is not among the loops. reduced: the lane is summed.
    points: loops over a window, which a tile covers or leaves out; folds: reductions over it."""

    loops: tuple[Loop, ...]
    out: Affine
    sums: tuple[Sum, ...]
    lane: str
    reduced: bool
    points: tuple[str, ...] = ()
    folds: int = 0

    @property
    def main(self) -> Sum | None:
        """The longest sum, which decides the tile."""
        return max(self.sums, key=lambda s: s.steps, default=None)


def _addresses(box: Box) -> set[int]:
    """All sum(stride * i), i < steps."""
    found = {0}
    for stride, steps in box:
        found = {o + stride * i for o in found for i in range(steps)}
    return found


@lru_cache(maxsize=65536)
def distinct(box: Box) -> int:
    """How many addresses there are in a box."""
    return len(_addresses(box))


@lru_cache(maxsize=65536)
def carried(box: Box, stride: int, steps: int) -> int:
    """How many addresses of a box are read before and again after some of `steps`, each of which
    moves the box by `stride`: the compiler loads them once and holds them meanwhile.

    >>> carried(((1, 6),), 1, 3), carried(((16, 6),), 1, 4)
    (5, 0)
    """
    reads = [{o + stride * u for o in _addresses(box)} for u in range(steps)]
    held = (set().union(*reads[:u]) & set().union(*reads[u:]) for u in range(1, steps))
    return max(map(len, held), default=0)


def box(r: Read, tile: Tile) -> Box:
    """Strides and steps of a read within a tile."""
    return tuple(sorted((k, n) for v, n in tile if (k := r.address.coefficient(v))))


def loads(r: Read, tile: Tile) -> int:
    """Different elements of a read within a tile."""
    return distinct(box(r, tile))
