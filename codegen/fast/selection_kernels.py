"""Sums over windows of a value times an image, at the place that each window selects.

    out[o, row, run] = sum over windows u of a[o, u] * image[place(p[o, u]) + row + run]

The loops of the image's output that lie together in memory are one run of neighbours; runs and rows
are accumulators, and a term is a number times the vectors of all rows. First the values and places
of some windows are computed in lanes, then they are taken one by one. A work-group takes a part of
the first loop of the sum; a last kernel adds these up and puts them where the target lies.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from itertools import product
from math import prod

import sympy as sp

from gradproof.codegen.fast.affine import Affine
from gradproof.codegen.fast.contraction_layouts import border
from gradproof.codegen.fast.kernel import FastKernel
from gradproof.codegen.fast.layout import Layout
from gradproof.codegen.fast.machine import Machine
from gradproof.codegen.fast.nest import Access, Loop, Nest, Reduction
from gradproof.codegen.fast.problem import LINE
from gradproof.codegen.fast.selections import Chosen
from gradproof.codegen.fast.values import value_text
from gradproof.codegen.fast.vector import vector_kernel
from gradproof.codegen.render import environment

LANES = LINE
PIECE = 8  # lanes of an accumulator
GROUPS = 8
CHUNK = 64  # windows for each lane, whose values are computed together
MOST = 32  # accumulators
# Cycles, measured: for a window, for a piece of its sum; dense, for eight multiply-adds; for an
# element of the image's copy
WINDOW, OWN, DENSE, COPIED = 2.5, 0.75, 0.67, 0.5
GAIN = 1.15  # a copy and a kernel more must be worth it


@dataclass(frozen=True)
class _Plan:
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


def image_layout(c: Chosen, shape: tuple[int, ...]) -> Layout | None:
    """Where the image should lie: dimensions that are loops of the target innermost; with room for
    a vector that runs over the end."""
    loops = dict(c.target.loops)
    inner = [d for d, s in enumerate(c.image.subscripts) if s.plain in loops or s == Affine()]
    outer = [d for d in range(len(shape)) if d not in inner]
    if not outer:
        return None
    (own,) = [k for k, a in enumerate(c.target.reads) if a.tensor == c.image.tensor]
    low, high = border(c.target.reads[own].tensor, (c.target,), shape)
    spare = outer[min(1, len(outer) - 1)]
    after = (*outer, *inner)[outer.index(spare) + 1 :]
    stride = prod(low[d] + shape[d] + high[d] for d in after)
    high = tuple(h + -(-PIECE // stride) * (d == spare) for d, h in enumerate(high))
    plain = Layout.row_major(shape, low, high)
    return replace(plain, axes=tuple(plain.axes[d] for d in (*outer, *inner)))


def selection_kernels(
    name: str, c: Chosen, layouts: Mapping[str, Layout], machine: Machine
) -> tuple[FastKernel, ...] | None:
    """The kernels of such a sum; None where the layouts do not allow it, or where the dense sum is
    likely to be faster. layouts: that of the image as `image_layout` gives it."""
    p = _plan(c, layouts)
    if p is None or not _pays(c, p, layouts):
        return None
    slots = _slots(p)
    shares = f"{name}_shares"
    kernel = _kernel(name, c, p, slots, shares, machine)
    extents = [e * (LANES if v == f"{p.lane}_b" else 1) for v, e in p.outer]
    shape = (slots, *extents, len(p.rows), p.pieces * PIECE)
    end = _end(c, p, shares, slots)
    try:
        last = vector_kernel(f"{name}_total", (end,), {**layouts, shares: Layout.row_major(shape)})
    except ValueError:
        return None
    return kernel, last


# -- loops and addresses ------------------------------------------------------------------------
def _plan(c: Chosen, layouts: Mapping[str, Layout]) -> _Plan | None:
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
    if not together or any(abs(image.coefficient(v)) < PIECE for v, _ in apart):
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
    return _Plan(
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


def _slots(p: _Plan) -> int:
    """In how many parts the first loop of the sum is divided."""
    groups, n = prod(e for _, e in p.outer), p.summed[0][1]
    return next(k for k in range(1, n + 1) if n % k == 0 and (k * groups >= GROUPS or k == n))


def _pays(c: Chosen, p: _Plan, layouts: Mapping[str, Layout]) -> bool:
    lanes = LANES if p.lane_out else 1
    if p.accumulators * lanes > MOST * LANES or p.accumulators > MOST:
        return False
    windows = prod(e for _, e in c.summed) * prod(
        e for v, e in c.target.loops if v in c.reads[c.place].loops
    )
    own = WINDOW + OWN * p.accumulators + COPIED * layouts[c.image.tensor].size / windows
    return GAIN * own < DENSE * len(c.shifts) * p.run * len(p.rows) / PIECE


# -- text ---------------------------------------------------------------------------------------
def _kernel(
    name: str, c: Chosen, p: _Plan, slots: int, shares: str, machine: Machine
) -> FastKernel:
    most = machine.registers - 3
    offsets = [row + PIECE * k for row in p.rows for k in range(p.pieces)]
    passes = -(-len(offsets) // most)
    each = -(-len(offsets) // passes)
    numbered = list(enumerate(offsets))
    used = sorted({int(str(x)[1:]) for x in c.value.free_symbols} | {c.place})
    tensors = dict.fromkeys([c.image.tensor, *(c.reads[k].tensor for k in used)])
    values = [
        (k, c.reads[k].tensor, str(p.reads[k].without({p.lane}))) for k in used if k != c.place
    ]
    names = {f"r{k}": f"r_{k}" for k in used}
    windows = {v for v, _ in p.chunk}
    around = {v for v, _ in (*p.outer, *p.summed)}
    where = Affine()
    for v, e in p.outer:
        where = where * e + Affine.of(v)
    text = environment().get_template("fast_selection.cl.j2").render(
        name=name,
        about=[f"{c.target.out} = sum of {c.value} at {c.image}, by {c.reads[c.place]}"],
        tensors=[(t, "int" if t == c.reads[c.place].tensor else "REAL") for t in tensors],
        slots=slots,
        first=(p.summed[0][0], p.summed[0][1] // slots),
        outer=p.outer,
        summed=p.summed[1:],
        chunk=p.chunk,
        count=prod(e for _, e in p.chunk),
        values=values,
        place=(c.reads[c.place].tensor, str(p.reads[c.place].without({p.lane}))),
        value=value_text(c.value, names, frozenset(names)),
        shifts=list(enumerate(p.shifts))[1:],
        base=p.shifts[0],
        moves=str(p.image.only(windows)),
        image=c.image.tensor,
        start=str(Affine(p.image.const) + p.image.only(around)),
        stride=p.image.coefficient(p.lane),
        lane_out=p.lane_out,
        passes=[numbered[k : k + each] for k in range(0, len(numbered), each)],
        total=len(offsets),
        lanes=LANES if p.lane_out else 1,
        where=str(where),
        sums=prod(e for _, e in p.outer),
    )  # fmt: skip
    size = slots * prod(e for _, e in p.outer) * (LANES if p.lane_out else 1) * len(offsets) * PIECE
    groups = slots * prod(e for _, e in p.outer)
    flops = 2 * prod(c.target.extents.values())
    arguments = tuple((t, False) for t in tensors)
    return FastKernel(
        name, text, (*arguments, (shares, True)), groups, (), flops, ((shares, size),), "selected"
    )


def _end(c: Chosen, p: _Plan, shares: str, slots: int) -> Nest:
    """The target as the sum of all shares."""
    row, run = Affine(), Affine()
    for v, e in p.row_loops:
        row = row * e + Affine.of(v)
    for v, e in reversed(p.run_loops):
        run = run * e + Affine.of(v)
    outer = [Affine.of(v.removesuffix("_b") if p.lane_out else v) for v, _ in p.outer]
    read = Access(shares, (Affine.of("slot_"), *outer, row, run))
    total = Reduction("sum", (("slot_", slots),), sp.Symbol("r0", real=True))
    return Nest(c.target.out, c.target.loops, (read,), (total,), c.target.value)
