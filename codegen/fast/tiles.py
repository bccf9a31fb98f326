"""Register tiles of a sum of products: which output loops, how many steps of each, at what cost.

A tile holds the vectors of its output elements in registers through the reduction. Its cost is
counted in instructions for each multiply-add: loads that the tile shares are counted once, a loop
that its steps do not divide is cut into nearly equal tiles, and few accumulators wait for each
other. The model only orders the tiles; any tile is exact.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import combinations
from math import prod

from gradproof.codegen.fast.contraction_bounds import terms_left
from gradproof.codegen.fast.machine import Machine
from gradproof.codegen.fast.nest import Loop
from gradproof.codegen.fast.problem import LINE, Problem, Sum, Tile, box, carried, loads

UNROLLED = 112  # multiply-adds in the innermost loop's text
ACROSS = 8  # instructions to sum a vector
WAITING = 8  # instructions to bring what a window holds so far, for each point
ALIKE = 0.02  # costs that differ by less are equal: the tile that lies closest together wins
FAR = 2048  # elements between what a tile should not read together
PAIRED = 0.96  # of the cost, where a tile does the same in several images
MANY = 8  # pairs of them, at least, to share among cores

Region = tuple[int, int, int]  # first step, number of tiles, steps of a tile


@dataclass(frozen=True)
class Tiling:
    """Steps for each tiled loop; only the first loop may leave a remainder. `unroll`: of the
    longest sum, its innermost loop and steps."""

    lane: str
    tile: Tile
    unroll: tuple[str, int]
    cost: float = 0.0

    def __str__(self) -> str:
        tile = " ".join(f"{v}={n}" for v, n in self.tile)
        return f"lane {self.lane} tile {tile or '1'} unroll {self.unroll[0]}={self.unroll[1]}"


def balanced(extent: int, steps: int) -> tuple[Region, ...]:
    """Tiles of at most `steps`, as few and as equal as they can be.

    >>> balanced(14, 6)
    ((0, 2, 5), (10, 1, 4))
    """
    tiles = -(-extent // steps)
    small, more = divmod(extent, tiles)
    regions = ((0, more, small + 1), (more * (small + 1), tiles - more, small))
    return tuple(r for r in regions if r[1])


def innermost(s: Sum) -> tuple[Loop, ...]:
    """The loops of a sum, the longest strides outermost: those of vectors, then of scalars."""

    def strides(x: Loop) -> tuple[int, int]:
        of = [abs(r.address.coefficient(x[0])) for r in s.reads if r.vector]
        rest = [abs(r.address.coefficient(x[0])) for r in s.reads if not r.vector]
        return -min(of, default=0), -max(rest, default=0)

    return tuple(sorted(s.loops, key=strides))


def unrollings(s: Sum, accumulators: int) -> Iterator[tuple[str, int]]:
    """Innermost loops and steps worth a try: one that takes all its steps, if there is one."""
    order = innermost(s)
    most = max(1, UNROLLED // accumulators)
    whole = [x for x in order if x[0] not in s.bounded]
    if not order:
        yield "", 1
    elif not whole:
        yield order[-1][0], 1
    elif s.shared:
        for v, n in whole:
            yield from ((v, u) for u in range(1, 17) if n % u == 0 and u <= most)
    else:
        v, n = whole[-1]
        yield v, next(u for u in (n if n <= 7 else 4, 4, 2, 1) if n % u == 0 and u <= most)


def overlapping(s: Sum, tile: Tile, loop: str, steps: int) -> bool:
    """Whether steps of a loop read some scalars in common. A compiler then keeps these from one
    step to the next, and where registers are few it stores sums in between."""
    return any(
        loads(r, (*tile, (loop, steps))) < steps * loads(r, tile) for r in s.reads if not r.vector
    )


def tilings(p: Problem, m: Machine) -> tuple[Tiling, ...]:
    """All tiles that fit the registers, the cheapest first."""
    s = p.main
    if s is None:
        return (Tiling(p.lane, (), ("", 1)),)
    found = []
    for tile in _tiles(p.loops, m.vectors):
        if not _whole_windows(p, dict(tile)):
            continue
        for unroll in unrollings(s, prod(n for _, n in tile)):
            cost = _cost(p, s, tile, unroll, m)
            if cost is not None:
                cost *= terms_left(s, dict(p.loops), tile)
                stride = sum(abs(p.out.coefficient(v)) for v, _ in tile)
                found.append((round(cost / ALIKE), stride, Tiling(p.lane, tile, unroll, cost)))
    return tuple(t for _, _, t in sorted(found, key=lambda x: (x[0], x[1], x[2].cost, str(x[2]))))


def _tiles(loops: tuple[Loop, ...], most: int) -> Iterator[Tile]:
    """Up to three loops; steps of the first cover it evenly, those of the others divide it."""
    yield ()
    for a, n in loops:
        others = [x for x in loops if x[0] != a]
        for t in range(2, min(n, most) + 1):
            if -(-n // -(-n // t)) != t:
                continue
            yield ((a, t),)
            for (b, nb), (c, nc) in combinations([*others, ("", 1)], 2):
                for f in _divisors(nb, most // t):
                    for g in (1,) if c == "" else _divisors(nc, most // t // f):
                        yield ((a, t), (b, f), *(((c, g),) if c else ()))


def _whole_windows(p: Problem, tile: dict[str, int]) -> bool:
    """Whether a tile covers the last loops of a window, and leaves out the others: its points then
    come in their order, on which the first maximum depends."""
    covered = [v in tile for v in p.points]
    return covered == sorted(covered) and all(
        tile[v] == dict(p.loops)[v] for v in p.points if v in tile
    )


def _divisors(n: int, most: int) -> Iterator[int]:
    return (k for k in range(2, min(n, most) + 1) if n % k == 0)


def _cost(p: Problem, s: Sum, tile: Tile, unroll: tuple[str, int], m: Machine) -> float | None:
    """Instructions for each multiply-add; None where the registers do not suffice."""
    extents = dict(p.loops)
    accumulators = prod(n for _, n in tile)
    across = ACROSS * unroll[1] * accumulators / max(1, s.steps) if p.reduced else 0.0
    if m.pieces * accumulators + _operands(s, tile, unroll, m) > m.registers:
        return None
    covered = {v for v, _ in tile}.issuperset(p.points)
    waiting = 0.0 if covered else WAITING * p.folds / max(1, s.steps)
    if not tile:
        return (_cycles(s, tile, unroll, m) + across) / unroll[1] + waiting
    (a, t), rest = tile[0], tile[1:]
    done = sum(
        count * _cycles(s, ((a, steps), *rest), unroll, m)
        for _, count, steps in balanced(extents[a], t)
    )
    factor = extents[a] * prod(n for _, n in rest) * unroll[1]
    near = _lines(s, tile) * (PAIRED if _pairs(p, s, tile) else 1.0)
    return done / factor * near + across / accumulators / unroll[1] + waiting


def _operands(s: Sum, tile: Tile, unroll: tuple[str, int], m: Machine) -> int:
    """Registers for operands: one read streams by, the others stay; so do scalars that several
    unrolled steps read."""
    if s.shared:
        counts = sorted(loads(r, (*tile, unroll)) for r in s.reads)
        return m.pieces * (sum(counts[:-1]) + 1)
    (loop, steps), rest = unroll, [r for r in s.reads if not r.vector]
    scalars = sum(carried(box(r, tile), r.address.coefficient(loop), steps) for r in rest)
    return m.pieces * sum(loads(r, tile) for r in s.reads if r.vector) + max(1, scalars)


def _cycles(s: Sum, tile: Tile, unroll: tuple[str, int], m: Machine) -> float:
    """Of the innermost loop's text, with a share of what surrounds it; in units of one vector."""
    u = unroll[1]
    accumulators = prod(n for _, n in tile)
    if s.shared:
        vectors, scalars = sum(loads(r, (*tile, unroll)) for r in s.reads), 0
    else:
        vectors = u * sum(loads(r, tile) for r in s.reads if r.vector)
        scalars = u * sum(loads(r, tile) for r in s.reads if not r.vector)
    busy = max(u * accumulators, vectors + scalars / m.pieces, u * m.latency)
    around = (12 + 2 * accumulators) * u / max(1, s.steps)
    return busy + 0.15 * vectors + 0.5 + around


def _lines(s: Sum, tile: Tile) -> float:
    """Scalars that lie a cache line apart cost more; so does a tile whose first loop runs across
    images: work-groups then share what they read."""
    near = {v for v, _ in (*tile, *innermost(s)[-2:])}
    cost = 1.0
    for r in s.reads:
        strides = {v: abs(k) for v, k in r.address.terms if v in near}
        if not r.vector and strides and min(strides.values()) >= LINE:
            cost = max(cost, 1.3)
        if not r.vector and strides.get(tile[0][0], 0) > FAR:
            cost = max(cost, 1.25)
    return cost


def _pairs(p: Problem, s: Sum, tile: Tile) -> bool:
    """Whether a tile skips lines (a stride), and then runs across images: it spans fewer of the
    lines that it skips, and its vectors are brought into the cache for fewer work-groups."""
    extents, scalars = dict(p.loops), [r.address for r in s.reads if not r.vector]
    skips = any(LINE < abs(a.coefficient(tile[0][0])) <= 4 * LINE for a in (p.out, *scalars))
    far = {v for a in scalars for v, k in a.terms if abs(k) > FAR}
    return skips and any(v in far and extents[v] >= MANY * n for v, n in tile[1:])
