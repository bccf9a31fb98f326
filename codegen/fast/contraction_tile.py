"""What the text of a register tile is about, and its places in memory."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import product

import sympy as sp

from gradproof.codegen.fast.affine import Affine
from gradproof.codegen.fast.contraction_schedule import Schedule
from gradproof.codegen.fast.problem import LINE, Problem, Tile
from gradproof.codegen.fast.tile_sums import Row
from gradproof.codegen.fast.windows import Fold

Point = Mapping[str, int]


@dataclass(frozen=True)
class Store:
    """A value and where it goes; `stored` is False for one that only others read; `whole`: its
    tensor is one of integers; `row`: that of a term of a sum, which is added up
    (`contraction_sums`)."""

    tensor: str
    address: Affine
    value: sp.Expr
    stored: bool = True
    whole: bool = False
    row: Row | None = None


@dataclass(frozen=True)
class Phase:
    """A problem with its reads (tensor, address) by number and its stores in order; in their values
    `acc` is the sum, `r_k` a read, `v_k` the k-th value.

    folds: reductions `a_k` of the values over the points of windows; results: what is stored for
    each window."""

    problem: Problem
    reads: tuple[tuple[str, Affine], ...]
    stores: tuple[Store, ...]
    folds: tuple[Fold, ...] = ()
    results: tuple[Store, ...] = ()


def points(tile: Tile) -> list[dict[str, int]]:
    """The places of a tile, in order."""
    names = [v for v, _ in tile]
    return [
        dict(zip(names, x, strict=True)) for x in product(*[range(n) for _, n in tile])
    ]  # fmt: skip


def offset(address: Affine, point: Point) -> int:
    """What a place of the tile adds to an address."""
    return sum(address.coefficient(v) * k for v, k in point.items())


def base(s: Schedule, address: Affine) -> Affine:
    """The address of the tile's first place; loops that the tile covers have no variable."""
    return Affine(address.const) + address.only(live_loops(s))


def live_loops(s: Schedule) -> frozenset[str]:
    """Loops that have a variable."""
    live = {x[0] for x in s.grid} | {x[0] for x in (*s.outside, *s.inner)} | {s.tiled}
    live |= {v for v, _ in s.points}
    return frozenset(live | {v for a in s.sums for v, _ in a.sum.loops})


def aligned(p: Phase, address: Affine) -> bool:
    """Whether every vector begins at a multiple of the lanes."""
    rest = address.without({p.problem.lane})
    return all(k % LINE == 0 for k in (rest.const, *(k for _, k in rest.terms)))


def vector_load(pointer: str, place: str, is_aligned: bool) -> str:
    """A vector from memory."""
    return f"{'VECTOR' if is_aligned else 'LOADED'}({pointer}, {place})"


def declared_as(name: str, vector: bool) -> str:
    """The declaration of a constant."""
    return f"const {'REALV' if vector else 'REAL'} {name}"
