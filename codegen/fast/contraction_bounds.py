"""Terms of a sum of products that are zero because a factor lies outside its tensor, left out.

In z[x] = sum over i of w[i] * Y[x - i] with Y zero outside of 0 .. n-1 only the i with
0 <= x - i < n count. Where many do not (a small image under a wide window) the loop over i begins
and ends with them, so that border and sum are as long as each place needs. The border stays: what
is left out is a choice of the model, and a tile of several x takes the terms of all of them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import sympy as sp

from gradproof.codegen.fast.affine import Affine
from gradproof.codegen.fast.layout import Layout
from gradproof.codegen.fast.nest import Reduction
from gradproof.codegen.fast.problem import Sum, Tile
from gradproof.codegen.fast.strided import Strided

WORTH = 0.8  # of a loop's steps: with more terms left, unrolled loops without bounds are faster

Loops = Mapping[str, int]


def bounds_of(
    s: Strided, r: Reduction, lane: str, layouts: Mapping[str, Layout]
) -> tuple[Affine, ...]:
    """What must be >= 0 for a term to count, over one loop of the sum and one of the target each;
    only of loops for which it is worth it."""
    outer, inner = dict(s.loops), dict(r.loops)
    found: list[Affine] = []
    for b in dict.fromkeys(_conditions(s, r, layouts)):
        loops = b.loops - {lane}
        summed, placed = loops & set(inner), loops & set(outer)
        same = all(s.nest.extents.get(v) == n for v, n in s.extents.items() if v in loops)
        known = summed | placed == b.loops and len(summed) == len(placed) == 1 and same
        if known and all(abs(b.coefficient(v)) == 1 for v in summed):
            found.append(b)
    worth = {v for v in inner if _left(v, inner[v], found, outer, ()) <= WORTH}
    return tuple(b for b in found if b.loops & worth)


def _conditions(s: Strided, r: Reduction, layouts: Mapping[str, Layout]) -> Iterator[Affine]:
    """That the factors which are zero outside of their tensors are inside."""
    factors = {str(f.as_base_exp()[0]) for f in sp.Mul.make_args(r.term)}
    for k, a in enumerate(s.nest.reads):
        if f"r{k}" in factors and a.outside == "zero":
            for at, n in zip(a.subscripts, layouts[a.tensor].shape, strict=True):
                low, high = at.limits(s.nest.extents)
                if low < 0:
                    yield at
                if high >= n:
                    yield Affine(n - 1) - at


def terms_left(s: Sum, outer: Loops, tile: Tile) -> float:
    """The share of a sum's terms that tiles of this size compute."""
    share = 1.0
    for v, n in s.loops:
        if v in s.bounded:
            share *= _left(v, n, s.within, outer, tile)
    return share


def _left(
    v: str, n: int, within: tuple[Affine, ...] | list[Affine], outer: Loops, tile: Tile
) -> float:
    steps, share = dict(tile), 1.0
    mine = [b for b in within if v in b.loops]
    for x in sorted(frozenset().union(*(b.loops for b in mine)) - {v}):
        about = [_widened(b, tile) for b in mine if x in b.loops]
        count = sum(
            all(b.const + b.coefficient(v) * i + b.coefficient(x) * k >= 0 for b in about)
            for k in range(0, outer[x], steps.get(x, 1))
            for i in range(n)
        )
        share *= count / n / len(range(0, outer[x], steps.get(x, 1)))
    return share


def _widened(b: Affine, tile: Tile) -> Affine:
    """For all places of a tile, of which the first one is meant."""
    return b + Affine(sum(max(0, b.coefficient(x) * (k - 1)) for x, k in tile))


def limits(
    s: Sum, v: str, first: str, end: str, tile: Tile, live: frozenset[str]
) -> tuple[str, str]:
    """Where a loop begins and ends, as text; live: loops that have a variable, others are at 0."""
    for b in s.within:
        k = b.coefficient(v)
        if k:
            rest = _widened(b, tile).without({v})
            rest = Affine(rest.const) + rest.only(live)
            if k > 0:
                first = f"max({first}, {rest * -1})"
            else:
                end = f"min({end}, {rest + Affine(1)})"
    return first, end
