"""Loops and addresses of a sum over windows at the places that they select."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from itertools import product
from math import prod

from gradproof.codegen.fast.affine import Affine
from gradproof.codegen.fast.layout import Layout
from gradproof.codegen.fast.nest import Access, Loop
from gradproof.codegen.fast.problem import LINE
from gradproof.codegen.fast.selections import Chosen

LANES = LINE
PIECE = 8  # lanes of an accumulator
CHUNK = 64  # windows for each lane, whose values are computed together


@dataclass(frozen=True)
class SelectionPlan:
    """Loops and addresses. lane: of the values, `lane_out` where it is one of the target; outer:
    the target's loops that the image lacks; rows: what each row adds to the image's address; run:
    its length; run_loops, row_loops: of the target; chunk: windows computed together."""

    lane: str
    lane_out: bool
    outer: tuple[Loop, ...]
    summed: tuple[Loop, ...]
    chunk: tuple[Loop, ...]
    image: Affine
    shifts: tuple[int, ...]
    reads: tuple[Affine, ...]
    run: int
    run_loops: tuple[Loop, ...]
    row_loops: tuple[Loop, ...]
    rows: tuple[int, ...]

    @property
    def pieces(self) -> int:
        """Accumulators of a row."""
        return -(-self.run // PIECE)

    @property
    def accumulators(self) -> int:
        """Of all rows."""
        return self.pieces * len(self.rows)


def selection_plan(c: Chosen, layouts: Mapping[str, Layout]) -> SelectionPlan | None:
    """None where some address is not affine, or no loop is the lane of all that is read."""
    loops, summed = dict(c.target.loops), dict(c.summed)
    value_loops = c.reads[c.place].loops
    own = c.image.loops & set(loops)
    if own & value_loops or own | value_loops | set(summed) != set(loops) | set(summed):
        return None
    if not set(summed) <= value_loops:
        return None
    lane = _lane(c, layouts)
    if lane is None:
        return None
    extents = {**loops, **summed}
    split = {lane: Affine.of(f"{lane}_b") * LANES + Affine.of(lane)}
    parts = {**extents, f"{lane}_b": extents[lane] // LANES, lane: LANES}

    def address(a: Access) -> Affine | None:
        return layouts[a.tensor].address(tuple(s.substitute(split) for s in a.subscripts), parts)

    found = [address(a) for a in c.reads]
    image = address(c.image)
    reads = tuple(x for x in found if x is not None)
    if image is None or len(reads) < len(found) or any(x.coefficient(lane) != 1 for x in reads):
        return None
    shifts = []
    for shift in c.shifts:
        there = tuple(s + Affine(k) for s, k in zip(c.image.subscripts, shift, strict=True))
        moved = address(replace(c.image, subscripts=there))
        if moved is None or moved.terms != image.terms:
            return None
        shifts.append(moved.const - image.const)
    run, together = 1, []
    for v in sorted(own, key=lambda v: image.coefficient(v)):
        if loops[v] > 1 and image.coefficient(v) == run:
            together.append((v, loops[v]))
            run *= loops[v]
    apart = tuple(
        (v, e) for v, e in c.target.loops if v in own and (v, e) not in together and e > 1
    )
    rows = tuple(
        sum(image.coefficient(v) * k for (v, _), k in zip(apart, at, strict=True))
        for at in product(*(range(e) for _, e in apart))
    )
    if not together:
        return None
    lane_out = lane in loops
    outer = [(v, e) for v, e in c.target.loops if v not in own]
    order = [x for x in c.summed if x[0] not in c.windows] + [
        x for x in c.summed if x[0] in c.windows
    ]
    sums = [(f"{v}_b", e // LANES) if v == lane else (v, e) for v, e in order]
    chunk: list[Loop] = []
    while sums and sums[-1][0] in c.windows and prod(e for _, e in chunk) * sums[-1][1] <= CHUNK:
        chunk.insert(0, sums.pop())
    if not chunk or not sums:
        return None
    return SelectionPlan(
        lane, lane_out,
        tuple((f"{v}_b", e // LANES) if v == lane else (v, e) for v, e in outer),
        tuple(sums), tuple(chunk), image, tuple(shifts), reads,
        run, tuple(together), apart, rows,
    )  # fmt: skip


def _lane(c: Chosen, layouts: Mapping[str, Layout]) -> str | None:
    """The loop of 16 neighbours in all that the value reads."""
    extents = {**dict(c.target.loops), **dict(c.summed)}
    found = set()
    for a in c.reads:
        layout = layouts[a.tensor]
        blocks = [s.plain for d, s in enumerate(a.subscripts) if layout.block(d) == LANES]
        found.add(blocks[0] if len(blocks) == 1 else None)
    (lane, *more) = found
    return (
        lane if lane and not more and extents[lane] % LANES == 0 and lane not in c.windows else None
    )
