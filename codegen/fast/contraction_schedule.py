"""Around a register tile: which loops are work-groups, which reductions run outside, in what order.

    work-groups / outside / hoisted sums in pieces / inner / tiles / sums, the last steps unrolled

Work-groups divide the largest factor where they can, so that each of them reads its own part. What
is left of it and exceeds the second-level cache is divided by the loops `outside`.
A sum is hoisted in pieces until what a tile reads stays in the first-level cache; the target holds
the partial sums meanwhile. Sums longer than `PART` terms add partial sums, so that rounding errors
grow like the sum of the extents and not like their product.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import prod

from gradproof.codegen.fast.affine import Affine
from gradproof.codegen.fast.nest import Loop
from gradproof.codegen.fast.problem import LINE, Problem, Read, Sum
from gradproof.codegen.fast.tiles import Region, Tiling, balanced, innermost, unrollings

CACHE = 18 * 1024  # bytes that a tile reads: what stays in a first-level cache of 32 KB
CACHE_2 = 512 * 1024  # of the second level, for the largest factor
GROUPS = 8
FEW = 4  # work-groups: two for each of two cores
PART = 256  # terms of a partial sum


@dataclass(frozen=True)
class Around:
    """A sum in its order: `outer` loops add partial sums of the `inner` ones; the last inner loop
    steps by `unroll`. Loops are (name, steps)."""

    sum: Sum
    outer: tuple[Loop, ...]
    inner: tuple[Loop, ...]
    unroll: int


@dataclass(frozen=True)
class Schedule:
    """grid: (loop, first, count, step); hoisted: (loop, extent, piece); outside, inner: (loop,
    extent, step); tiled: the loop with regions, "" for none; factors: steps of the other tiled
    loops; points: of a window, one after the other."""

    grid: tuple[tuple[str, int, int, int], ...]
    outside: tuple[tuple[str, int, int], ...]
    hoisted: tuple[tuple[str, int, int], ...]
    inner: tuple[tuple[str, int, int], ...]
    tiled: str
    regions: tuple[Region, ...]
    factors: tuple[tuple[str, int], ...]
    sums: tuple[Around, ...]
    points: tuple[Loop, ...] = ()

    @property
    def groups(self) -> int:
        """Work-groups."""
        return prod(count for _, _, count, _ in self.grid)


def schedules(p: Problem, t: Tiling, hoist: bool) -> tuple[Schedule, ...]:
    """The loops around a tile; more than one where the regions of a loop are groups of their own.
    hoist: the target may hold partial sums."""
    tiled, steps = t.tile[0] if t.tile else ("", 1)
    extents, tile = dict(p.loops), dict(t.tile)
    order = sorted(p.loops, key=lambda x: -abs(p.out.coefficient(x[0])))
    order.sort(key=lambda x: not _divides(p, x[0]))
    points = tuple((v, n) for v, n in p.loops if v in p.points and v not in tile and n > 1)
    order = [x for x in order if x not in points]
    rest = [(v, n, tile.get(v, 1)) for v, n in order if v != tiled and n > tile.get(v, 1)]
    grid = _grid(p, rest)
    groups = prod(g[2] for g in grid)
    regions = balanced(extents[tiled], steps) if tiled else ((0, 1, 1),)
    far = hoist and groups >= FEW and len(p.sums) == 1 and not p.reduced and bool(_hoisted(p, t))
    alone = bool(tiled) and groups < GROUPS and extents[tiled] > steps and not far
    rest = [x for x in rest if x[0] not in {v for v, *_ in grid}]
    outside = _outside(p, rest, tile)
    rest = [x for x in rest if x not in outside]
    reused = bool(rest) or (extents.get(tiled, 1) > steps and not alone)
    hoisted = _hoisted(p, t) if hoist and reused and len(p.sums) == 1 else ()
    pieces = {v: piece for v, _, piece in hoisted}
    sums = tuple(_around(s, t if s is p.main else None, tile, pieces) for s in p.sums)
    factors = t.tile[1:]
    if not alone:
        return (
            Schedule(
                tuple(grid), outside, hoisted, tuple(rest), tiled, regions, factors, sums, points
            ),
        )
    return tuple(
        Schedule(
            (*grid, (tiled, first, count, n)), outside, hoisted, tuple(rest), "", ((0, 1, n),),
            ((tiled, n), *factors), sums, points,
        )
        for first, count, n in regions
    )  # fmt: skip


def _grid(p: Problem, rest: list[tuple[str, int, int]]) -> list[tuple[str, int, int, int]]:
    """Loops that are work-groups: `GROUPS` of them; but `FEW` will do where more would read a
    large factor from memory once more each."""
    grid: list[tuple[str, int, int, int]] = []
    for v, n, step in rest:
        groups = prod(g[2] for g in grid)
        if groups >= GROUPS or (groups >= FEW and not p.reduced and _again(p, v)):
            break
        grid.append((v, 0, n // step, step))
    return grid


def _again(p: Problem, loop: str) -> bool:
    """Whether steps of an output loop read the same parts of a factor larger than the cache."""
    s = p.main
    if s is None:
        return False
    extents = dict(p.loops) | dict(s.loops)
    return any(
        not r.address.coefficient(loop) and 4 * _elements(r, p.lane, extents) > CACHE_2
        for r in s.reads
    )


def _largest(p: Problem) -> Read | None:
    """The factor that fills most memory."""
    s = p.main
    if s is None:
        return None
    extents = dict(p.loops) | dict(s.loops)
    return max(s.reads, key=lambda r: _elements(r, p.lane, extents))


def _divides(p: Problem, loop: str) -> bool:
    """Whether steps of an output loop read parts of the largest factor that do not overlap."""
    s, r = p.main, _largest(p)
    if s is None or r is None or not r.address.coefficient(loop):
        return False
    extents = dict(p.loops) | dict(s.loops)
    stride = abs(r.address.coefficient(loop))
    nearer = [(v, abs(k)) for v, k in r.address.terms if v not in (loop, p.lane)]
    return stride > sum(k * (extents[v] - 1) for v, k in nearer if k <= stride)


def _outside(
    p: Problem, rest: list[tuple[str, int, int]], tile: dict[str, int]
) -> tuple[tuple[str, int, int], ...]:
    """Output loops that go first so that the others find the largest factor in the cache."""
    s, r = p.main, _largest(p)
    found: list[tuple[str, int, int]] = []
    while s is not None and r is not None:
        left = [x for x in rest if x not in found]
        extents = dict(s.loops) | {v: n for v, n, _ in left} | tile
        along = [x for x in left if r.address.coefficient(x[0])]
        if len(left) < 2 or not along or 4 * _elements(r, p.lane, extents) <= CACHE_2:
            break
        found.append(max(along, key=lambda x: abs(r.address.coefficient(x[0]))))
    return tuple(found)


def _order(s: Sum, unroll: str) -> tuple[Loop, ...]:
    """Loops with bounds first: the others then go on through equal steps."""
    loops = sorted(innermost(s), key=lambda x: x[0] not in s.bounded)
    return (*(x for x in loops if x[0] != unroll), *(x for x in loops if x[0] == unroll))


def _around(s: Sum, t: Tiling | None, tile: dict[str, int], pieces: dict[str, int]) -> Around:
    loop, steps = t.unroll if t else next(unrollings(s, prod(tile.values())))
    order = [(v, pieces.get(v, n)) for v, n in _order(s, loop)]
    inner: list[Loop] = []
    while order and (not inner or prod(n for _, n in inner) * order[-1][1] <= PART):
        inner.insert(0, order.pop())
    return Around(s, tuple(order), tuple(inner), steps)


def _hoisted(p: Problem, t: Tiling) -> tuple[tuple[str, int, int], ...]:
    """Loops of the sum and their pieces, so that what a tile reads fits the cache."""
    s = p.main
    if s is None:
        return ()
    loop, steps = t.unroll
    order = _order(s, loop)
    extents = dict(order) | dict(t.tile)
    whole = tuple(x for x in innermost(s) if x[0] not in s.bounded)
    found = []
    for v, n in whole if s.bounded else order[:-1]:
        least = steps if v == loop else 1
        if _footprint(s, p.lane, extents) <= CACHE:
            break
        fits = [
            k
            for k in range(least, n + 1, least)
            if n % k == 0 and _footprint(s, p.lane, {**extents, v: k}) <= CACHE
        ]
        piece = max(fits, default=least)
        if piece < n:
            found.append((v, n, piece))
            extents[v] = piece
    return tuple(found)


def _footprint(s: Sum, lane: str, extents: dict[str, int]) -> int:
    return 4 * sum(_elements(r, lane, extents) for r in s.reads)


def _elements(r: Read, lane: str, extents: dict[str, int]) -> int:
    """Elements that a read brings into the cache, in whole lines."""
    strides = [
        (abs(k), extents[v]) for v, k in r.address.terms if v != lane and extents.get(v, 1) > 1
    ]
    unit = LINE if r.vector or min((k for k, _ in strides), default=1) >= LINE else 1
    span = sum(k * (n - 1) for k, n in strides) + unit
    return min(prod(n for _, n in strides) * unit, span)


def chunked(p: Problem) -> Problem:
    """Long loops of sums in two, v = c*v_c + v, so that partial sums can end within them."""
    sums = []
    for s in p.sums:
        loops: list[Loop] = []
        where: dict[str, Affine] = {}
        for v, n in s.loops:
            piece = max(k for k in range(1, PART // 2 + 1) if n % k == 0)
            if n > PART and piece >= PART // 8:
                loops += [(f"{v}_c", n // piece), (v, piece)]
                where[v] = Affine.of(f"{v}_c") * piece + Affine.of(v)
            else:
                loops.append((v, n))
        reads = tuple(Read(r.index, r.address.substitute(where), r.vector) for r in s.reads)
        within = tuple(b for b in s.within if not b.loops & set(where))
        sums.append(Sum(tuple(loops), reads, s.term, within))
    return replace(p, sums=tuple(sums))
