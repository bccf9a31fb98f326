"""Elementwise equations written into the loads of the sums of products that read them.

What lies between is then neither stored nor loaded, but each element is computed as often as it is
loaded. That pays where fewer outputs than lanes use an element, so that the lanes run along the
operand and 16 elements are computed at once, and enough of them to hide it. Where the operand is
broadcast, element by element, a pass of its own is faster. Factors that do not depend on the
element (a deviation's reciprocal root) become small tensors of their own.

A read that may lie outside is not replaced: there the sum needs a zero, and f(0) need not be one.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from math import prod

import sympy as sp

from gradproof.codegen.fast.affine import Affine
from gradproof.codegen.fast.fusion_safety import overwritten, sound
from gradproof.codegen.fast.inline import elementwise, inlined
from gradproof.codegen.fast.invariants import hoisted
from gradproof.codegen.fast.layout import Layout
from gradproof.codegen.fast.nest import Access, Nest
from gradproof.codegen.fast.operands import expressions, main_read
from gradproof.codegen.fast.placement import Wish
from gradproof.codegen.fast.program import LANES
from gradproof.codegen.fast.tasks import SMALL, Step, Task
from gradproof.codegen.fast.winograd import transformed

# A rough model, in cycles for each element of what is no longer stored; measured on one core.
_TILE = 6  # outputs that use an element once it is loaded
_FEWEST = 8  # with less, loads are all that counts
_OPERATION = 0.05  # in lanes
_PASS = 0.9  # storing and loading the element again


def with_operands(step: Step, always: bool = False) -> Step:
    """Producers written into the operands of their consumers where that pays, or `always`."""
    for p in step.tasks:
        changed = _changed(step, p, always)
        step = changed or step
    return step


def _changed(step: Step, p: Task, always: bool) -> Step | None:
    tasks = list(step.tasks)
    if p.kind != "vector" or p.also or p.apart or len(p.nests) != 1 or p.out not in step.passing:
        return None
    (nest,) = p.nests
    at = next(k for k, t in enumerate(tasks) if t is p)
    readers = [k for k, t in enumerate(tasks) if p.out in t.reads]
    if not elementwise(nest) or not readers or step.size(p.out) <= SMALL:
        return None
    if overwritten(tasks, at, max(readers), p.reads):
        return None
    if any(not _takes(tasks[k], p.out) for k in readers):
        return None
    small, short = _parts(p, nest)
    if not always and not _pays(step, p, short, [tasks[k] for k in readers]):
        return None
    for k in readers:
        nests = [inlined(short, n) for n in tasks[k].nests]
        if any(n is None or not sound(n) for n in nests):
            return None
        tasks[k] = replace(tasks[k], nests=tuple(n for n in nests if n is not None))
    tasks[at : at + 1] = [Task("vector", p.call, n.out.tensor, (n,)) for n in small]
    shapes = {n.out.tensor: tuple(e for _, e in n.loops) for n in small}
    return replace(step, tasks=tuple(tasks), shapes={**step.shapes, **shapes})


def _takes(t: Task, buffer: str) -> bool:
    """Whether a sum of products reads the buffer in its terms only, always inside, in a form that
    no transform takes."""
    if t.kind != "contract" or t.also or transformed(t.nests):
        return False
    for n in t.nests:
        places = [k for k, r in enumerate(n.reads) if r.tensor == buffer]
        terms = sp.Tuple(*[r.term for r in n.reductions])
        if set(places) & set(n.used(n.value)) or not set(places) <= set(n.used(terms)):
            return False
        if any(n.reads[k].outside != "never" for k in places):
            return False
    return True


def _parts(p: Task, n: Nest) -> tuple[list[Nest], Nest]:
    """Nests of what does not change with every element, and the rest, which reads their targets."""
    full = {v for v, _ in n.loops}
    fixed = {f"r{k}" for k, r in enumerate(n.reads) if r.loops < full}
    fixed |= {name for name, _ in n.scalars}
    found: dict[sp.Expr, sp.Symbol] = {}
    value = hoisted(n.value, fixed, found)
    reads, small = list(n.reads), []
    symbols: dict[sp.Basic, sp.Basic] = {}
    for k, (part, name) in enumerate(found.items()):
        used = [n.reads[j] for j in n.used(part)]
        loops = tuple(x for x in n.loops if any(x[0] in r.loops for r in used))
        if not loops:
            symbols[name] = part
            continue
        out = Access(f"{p.out}|{k}", tuple(Affine.of(v) for v, _ in loops))
        scalars = tuple(s for s in n.scalars if s[0] in {str(x) for x in part.free_symbols})
        small.append(_renumbered(Nest(out, loops, n.reads, (), part, scalars)))
        reads.append(out)
        symbols[name] = sp.Symbol(f"r{len(reads) - 1}", real=True)
    scalars = tuple(s for s in n.scalars if s[0] in {str(x) for x in value.free_symbols})
    return small, _renumbered(
        replace(n, reads=tuple(reads), value=value.xreplace(symbols), scalars=scalars)
    )


def _renumbered(n: Nest) -> Nest:
    """Only the reads that the value mentions."""
    used = n.used(n.value)
    symbols: dict[sp.Basic, sp.Basic] = {
        sp.Symbol(f"r{k}", real=True): sp.Symbol(f"r{j}", real=True) for j, k in enumerate(used)
    }
    return replace(n, reads=tuple(n.reads[k] for k in used), value=n.value.xreplace(symbols))


def _pays(step: Step, p: Task, short: Nest, readers: Sequence[Task]) -> bool:
    """Whether computing it with every load costs less than storing and loading it."""
    size, operations = step.size(p.out), int(short.value.count_ops()) + 1
    spent = 0.0
    for n in (n for t in readers for n in t.nests):
        own = next(r for r in n.reads if r.tensor == p.out)
        others = prod(e for v, e in n.extents.items() if v not in own.loops)
        if not _FEWEST <= others < LANES:
            return False
        loads = max(1.0, prod(n.extents.values()) / size / _TILE)
        spent += loads * operations * _OPERATION
    return spent < _PASS * len(readers)


def served(wishes: Iterable[Wish], home: Mapping[str, Layout]) -> bool:
    """Whether every computed operand lies as its sum of products asks, in lanes: with a copy
    nothing would be won."""
    for wish in wishes:
        for n in wish.task.nests:
            for r in n.reductions:
                for e in expressions(n, r.term):
                    read = n.reads[int(str(main_read(n, e))[1:])]
                    layout = home[read.tensor]
                    lanes = [d for d, _ in enumerate(layout.shape) if layout.block(d) == LANES]
                    outer = dict(n.loops)
                    along = [d for d in lanes if read.subscripts[d].plain in outer]
                    if layout.axes != wish.layouts[read.tensor].axes or not along:
                        return False
    return True
