"""Tensors of which each window has one element other than zero, and sums over them.

    d[S*u + i(k)] = (p[u] == k ? a(u) : 0)      for all numbers k, of which p[u] is one
    sum over x of d[x] * Y[x + j]  =  sum over u of a(u) * Y[S*u + i(p[u]) + j]

So is the gradient of a maximum over windows. The right side has a term for each window, not for
each element, and d need not be stored.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from itertools import product

import sympy as sp

from gradproof.codegen.fast.affine import Affine
from gradproof.codegen.fast.fusion_safety import overwritten
from gradproof.codegen.fast.inline import renamed
from gradproof.codegen.fast.nest import Access, Loop, Nest
from gradproof.codegen.fast.tasks import Step, Task

POINTS = 16  # of a window, at most


@dataclass(frozen=True)
class Selection:
    """A tensor d as above. base: its subscripts S*u over `loops`; offsets: i(k) by k; reads[place]
    is p; value: a over the reads."""

    loops: tuple[Loop, ...]
    base: tuple[Affine, ...]
    offsets: tuple[tuple[int, ...], ...]
    reads: tuple[Access, ...]
    place: int
    value: sp.Expr


@dataclass(frozen=True)
class Chosen:
    """A sum over windows of value * image. `target`: the sum's nest; shifts: what number k adds to
    the subscripts of the image; windows: loops over them, among the `summed` ones."""

    target: Nest
    image: Access
    shifts: tuple[tuple[int, ...], ...]
    summed: tuple[Loop, ...]
    windows: tuple[str, ...]
    reads: tuple[Access, ...]
    place: int
    value: sp.Expr


def selection(step: Step, t: Task) -> Selection | None:
    """What a task's target holds, if it is such a tensor."""
    if t.kind != "vector" or t.also or t.out not in step.passing or t.apart:
        return None
    phases = [n for n in t.nests if n.reductions]
    if (
        len(phases) < 2
        or len(phases) > POINTS
        or any(n.value != 0 for n in t.nests if n not in phases)
    ):
        return None
    found = [_phase(n) for n in phases]
    parts = [f for f in found if f is not None]
    if len(parts) < len(found):
        return None
    first = phases[0]
    same = {(n.loops, n.reads, n.scalars) for n in phases}
    alike = {(place, value, base) for place, _, value, base, _ in parts}
    by_number = {number: offset for _, number, _, _, offset in parts}
    if len(same) > 1 or len(alike) > 1 or first.scalars or set(by_number) != set(range(len(parts))):
        return None
    place, _, value, base, _ = parts[0]
    if not _one_of(step, first.reads[place].tensor, len(parts)):
        return None
    offsets = tuple(by_number[k] for k in range(len(parts)))
    return Selection(first.loops, base, offsets, first.reads, place, value)


def _phase(n: Nest) -> tuple[int, int, sp.Expr, tuple[Affine, ...], tuple[int, ...]] | None:
    """Which read is p, its number in this phase, the value there, and the subscripts in parts."""
    (r, *more) = n.reductions
    if more or r.kind != "sum" or r.loops or r.guards or len(r.conditions) != 1:
        return None
    if n.value.xreplace({_symbol("a0"): sp.Integer(0)}) != 0 or any(
        a.outside != "never" for a in n.reads
    ):
        return None
    (c,) = r.conditions
    used = n.used(c)
    if not isinstance(c, sp.Eq) or len(used) != 1 or len(c.free_symbols) != 1:
        return None
    numbers = sp.solve(c.lhs - c.rhs, *c.free_symbols)
    value = n.value.xreplace({_symbol("a0"): r.term})
    if len(numbers) != 1 or not numbers[0].is_Integer or used[0] in n.used(value):
        return None
    if {str(x) for x in value.free_symbols} - {f"r{k}" for k in range(len(n.reads))}:
        return None
    base = tuple(s - Affine(s.const) for s in n.out.subscripts)
    return used[0], int(numbers[0]), value, base, tuple(s.const for s in n.out.subscripts)


def _one_of(step: Step, buffer: str, count: int) -> bool:
    """Whether a tensor holds numbers below `count`: positions of a maximum over so many points."""
    if buffer not in step.passing:
        return False
    for n in (n for t in step.tasks for n in (*t.nests, *t.also) if n.out.tensor == buffer):
        if len(n.reductions) != 1 or str(n.value) != "a0":
            return False
        (r,) = n.reductions
        if r.kind != "argmax" or r.place is None or r.guards:
            return False
        points = product(*(range(e) for _, e in r.loops))
        names = [v for v, _ in r.loops]
        places = {
            r.place.substitute({v: Affine(k) for v, k in zip(names, point, strict=True)}).const
            for point in points
        }
        if places != set(range(count)) or r.place.loops - set(names):
            return False
    return True


def with_chosen(
    step: Step, tasks: tuple[Task, ...], may: Callable[[Chosen], bool]
) -> tuple[tuple[Task, ...], dict[int, Chosen]]:
    """The tasks, with sums over such tensors as sums over windows, and without the tensors that
    nobody reads any more; and what sums of products are, by the task's id, where they `may`."""
    found = list(tasks)
    chosen: dict[int, Chosen] = {}
    for at, p in enumerate(tasks):
        sel = selection(step, p)
        readers = [k for k, t in enumerate(tasks) if p.out in t.reads]
        if sel is None or not readers or overwritten(list(tasks), at, max(readers), p.reads):
            continue
        for k in readers:
            t = found[k]
            c = None if t.also or len(t.nests) != 1 else _over_windows(*t.nests, p.out, sel, step)
            if c is None:
                continue
            if t.kind == "vector" and not c.image.tensor:
                found[k] = replace(t, nests=(_total(c),))
            elif t.kind == "contract" and c.image.tensor and may(c):
                chosen[id(t)] = c
        left = [t for t in found if p.out in t.reads and id(t) not in chosen]
        if not left:
            found[at] = replace(p, nests=())
    return tuple(t for t in found if t.nests or t.kind == "opaque"), chosen


def _total(c: Chosen) -> Nest:
    """A plain sum over windows."""
    (r,) = c.target.reductions
    return replace(c.target, reads=c.reads, reductions=(replace(r, loops=c.summed, term=c.value),))


def _over_windows(n: Nest, buffer: str, sel: Selection, step: Step) -> Chosen | None:
    """A sum of d, or of its product with one image, over windows; then the image has no name."""
    places = [k for k, a in enumerate(n.reads) if a.tensor == buffer]
    if len(n.reductions) != 1 or len(places) != 1 or n.scalars or len(n.reads) > 2:
        return None
    (r,), (own,) = n.reductions, places
    product_of_all = sp.Mul(*(_symbol(f"r{k}") for k in range(len(n.reads))))
    plain = r.kind == "sum" and not r.guards and not r.conditions and r.term == product_of_all
    a = n.reads[own]
    if not plain or a.outside != "never" or str(n.value) != "a0":
        return None
    where = _places(a, sel, dict(r.loops))
    if where is None or any(
        n.extents[str(at.plain)] != e
        for at, e in zip(a.subscripts, step.shapes[buffer], strict=True)
    ):
        return None
    mine, replaced = where
    names = {v for v, _ in (*n.loops, *r.loops)}
    if names & {f"{x}_w" for x in replaced}:
        return None
    reads = tuple(
        replace(x, subscripts=tuple(s.substitute(mine) for s in x.subscripts)) for x in sel.reads
    )
    extents = {str(mine[v].plain): e for v, e in sel.loops}
    summed = tuple((f"{v}_w", extents[f"{v}_w"]) if v in replaced else (v, e) for v, e in r.loops)
    image = next((x for k, x in enumerate(n.reads) if k != own), Access("", ()))
    moved = {v: sel.base[d].substitute(mine) for v, d in replaced.items()}
    shifts = tuple(
        tuple(
            sum(s.coefficient(v) * offset[d] for v, d in replaced.items()) for s in image.subscripts
        )
        for offset in sel.offsets
    )
    image = replace(image, subscripts=tuple(s.substitute(moved) for s in image.subscripts))
    windows = tuple(f"{v}_w" for v, _ in r.loops if v in replaced)
    return Chosen(n, image, shifts, summed, windows, reads, sel.place, sel.value)


def _places(
    a: Access, sel: Selection, summed: Mapping[str, int]
) -> tuple[dict[str, Affine], dict[str, int]] | None:
    """The loops of the selection in those of a sum, which names one over windows x_w; and the
    dimension along which each of the sum's loops x runs over windows."""
    mine: dict[str, Affine] = {}
    replaced: dict[str, int] = {}
    for d, (s, base) in enumerate(zip(a.subscripts, sel.base, strict=True)):
        if s.plain is None or len(base.loops) != 1:
            return None
        (v,) = base.loops
        moves = base.plain is None or any(offset[d] for offset in sel.offsets)
        if v in mine or (moves and s.plain not in summed):
            return None
        mine[v] = Affine.of(f"{s.plain}_w" if moves else s.plain)
        if moves:
            replaced[s.plain] = d
    plain = [s.plain for s in a.subscripts]
    return (mine, replaced) if len(set(plain)) == len(plain) and replaced else None


def canonical_choice(c: Chosen) -> tuple[Chosen, dict[str, str]]:
    """The same with tensors t0, t1, ..., and what they stand for."""
    used = (c.target.out, c.image, *c.reads, *c.target.reads)
    names = {b: f"t{k}" for k, b in enumerate(dict.fromkeys(a.tensor for a in used))}

    def named(a: Access) -> Access:
        return replace(a, tensor=names[a.tensor])

    short = replace(
        c,
        target=renamed(c.target, names),
        image=named(c.image),
        reads=tuple(map(named, c.reads)),
    )
    return short, {short: b for b, short in names.items()}


def _symbol(name: str) -> sp.Symbol:
    return sp.Symbol(name, real=True)
