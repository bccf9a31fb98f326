"""Sums over windows of a value times an image, at the place that each window selects.

    out[o, row, run] = sum over windows u of a[o, u] * image[place(p[o, u]) + row + run]

The loops of the image's output that lie together in memory are one run of neighbours; runs and rows
are accumulators, and a term is a number times the vectors of all rows. First the values and places
of some windows are computed in lanes, then they are taken one by one. A work-group takes a part of
the first loop of the sum; a last kernel adds these up and puts them where the target lies.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from math import prod

import sympy as sp

from gradproof.codegen.fast.affine import Affine
from gradproof.codegen.fast.contraction_layouts import border
from gradproof.codegen.fast.kernel import FastKernel
from gradproof.codegen.fast.layout import Layout
from gradproof.codegen.fast.machine import Machine
from gradproof.codegen.fast.nest import Access, Nest, Reduction
from gradproof.codegen.fast.selection_plan import LANES, PIECE, SelectionPlan, selection_plan
from gradproof.codegen.fast.selections import Chosen
from gradproof.codegen.fast.values import value_text
from gradproof.codegen.fast.vector import vector_kernel
from gradproof.codegen.render import environment

GROUPS = 8
MOST = 32  # accumulators
# Cycles, measured: for a window, for a piece of its sum; dense, for eight multiply-adds; for an
# element of the image's copy
WINDOW, OWN, DENSE, COPIED = 2.5, 0.75, 0.67, 0.5
GAIN = 1.15  # a copy and a kernel more must be worth it


def image_layout(c: Chosen, shape: tuple[int, ...]) -> Layout | None:
    """Where the image should lie: dimensions that are loops of the target innermost."""
    loops = dict(c.target.loops)
    inner = [d for d, s in enumerate(c.image.subscripts) if s.plain in loops or s == Affine()]
    outer = [d for d in range(len(shape)) if d not in inner]
    if not outer:
        return None
    (own,) = [k for k, a in enumerate(c.target.reads) if a.tensor == c.image.tensor]
    low, high = border(c.target.reads[own].tensor, (c.target,), shape)
    plain = Layout.row_major(shape, low, high)
    (_, _, n), *rest = (plain.axes[d] for d in (*outer, *inner))
    spare = -(-PIECE // prod(count for _, _, count in rest))  # for vectors that run over the end
    return replace(plain, axes=((outer[0], 1, n + spare), *rest))


def selection_kernels(
    name: str, c: Chosen, layouts: Mapping[str, Layout], machine: Machine
) -> tuple[FastKernel, ...] | None:
    """The kernels of such a sum; None where the layouts do not allow it, or where the dense sum is
    likely to be faster. layouts: that of the image as `image_layout` gives it."""
    p = selection_plan(c, layouts)
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


def _slots(p: SelectionPlan) -> int:
    """In how many parts the first loop of the sum is divided."""
    groups, n = prod(e for _, e in p.outer), p.summed[0][1]
    return next(k for k in range(1, n + 1) if n % k == 0 and (k * groups >= GROUPS or k == n))


def _pays(c: Chosen, p: SelectionPlan, layouts: Mapping[str, Layout]) -> bool:
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
    name: str, c: Chosen, p: SelectionPlan, slots: int, shares: str, machine: Machine
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


def _end(c: Chosen, p: SelectionPlan, shares: str, slots: int) -> Nest:
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
