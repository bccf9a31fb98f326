"""Equations over the same loops in one pass over memory."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import replace

import sympy as sp

from gradproof.codegen.fast.affine import Affine
from gradproof.codegen.fast.inline import elementwise
from gradproof.codegen.fast.nest import Nest
from gradproof.codegen.fast.tasks import Step, Task


def with_shared_reductions(step: Step) -> Step:
    """Reductions over the same loops together, where the first of them stands."""
    tasks: list[Task] = []
    alike: dict[object, list[int]] = defaultdict(list)  # numbers of tasks that might share a pass
    for t in step.tasks:
        kind = kind_of_pass(t)
        home = next((k for k in alike[kind] if _share(tasks, k, t)), None) if kind else None
        if home is None:
            alike[kind].append(len(tasks))
            tasks.append(t)
        else:
            first = tasks[home]
            (own,) = t.nests
            aligned = _over_loops(own, first.nests[0])
            tasks[home] = replace(first, also=(*first.also, aligned))
    return replace(step, tasks=tuple(tasks))


def kind_of_pass(t: Task) -> tuple[object, ...] | None:
    """Equal for tasks whose loops match; None for a task that shares with no other."""
    if t.kind != "vector" or t.also or len(t.nests) != 1:
        return None
    (n,) = t.nests
    signature = _signature(n)
    return None if signature is None else (bool(n.reductions), *signature)


def _share(tasks: list[Task], k: int, t: Task) -> bool:
    """Whether task k may do the work of t too, which comes after all of `tasks`."""
    first = tasks[k]
    (n,) = t.nests
    if not n.reductions and not (elementwise(n) and _fits(first, n)):
        return False
    reads, writes = set(t.reads), set(t.writes)
    if n.reductions and (reads & set(first.writes) or writes & {*first.reads, *first.writes}):
        return False
    between = tasks[k + 1 :]
    return not any(
        not reads.isdisjoint(other.writes)
        or not writes.isdisjoint(other.writes)
        or not writes.isdisjoint(other.reads)
        for other in between
    )


def _fits(first: Task, n: Nest) -> bool:
    """Whether an elementwise nest goes on with what the task has just written, or reads what it
    reads too, at the same element, and meets no other element of what either writes."""
    aligned = _over_loops(n, first.nests[0])
    targets = {m.out for m in (*first.nests, *first.also)}
    reads = {r for m in (*first.nests, *first.also) for r in m.reads}
    if not any(r in reads or r.tensor in first.writes for r in aligned.reads):
        return False
    inside = [r for r in aligned.reads if r.tensor in {t.tensor for t in targets}]
    clash = [r for r in reads if r.tensor == n.out.tensor and r != aligned.out]
    places = [t.subscripts for t in targets]
    return all(r.subscripts in places for r in inside) and not clash


def _signature(n: Nest) -> tuple[object, ...] | None:
    """Extents of the output loops in the order of the target, and of the sums' loops, which all
    sums share; None where there is no such order."""
    order = [s.plain for s in n.out.subscripts if s != Affine()]
    extents = dict(n.loops)
    inner = {tuple(e for _, e in r.loops) for r in n.reductions}
    if None in order or len(order) != len(n.loops) or len(inner) > 1:
        return None
    return (tuple(extents[str(v)] for v in order), *inner)


def _over_loops(n: Nest, other: Nest) -> Nest:
    """The nest with the names of another one's loops, in the order of the targets' subscripts."""
    mine = [str(s.plain) for s in n.out.subscripts if s != Affine()]
    theirs = [str(s.plain) for s in other.out.subscripts if s != Affine()]
    names = dict(zip(mine, theirs, strict=True))
    for a, b in zip(n.reductions, other.reductions[:1] * len(n.reductions), strict=False):
        names |= dict(zip((v for v, _ in a.loops), (v for v, _ in b.loops), strict=True))
    where = {v: Affine.of(w) for v, w in names.items()}
    symbols: dict[sp.Basic, sp.Basic] = {
        sp.Symbol(v, integer=True): sp.Symbol(w, integer=True) for v, w in names.items()
    }
    moved = [
        replace(a, subscripts=tuple(s.substitute(where) for s in a.subscripts)) for a in n.reads
    ]
    return Nest(
        replace(n.out, subscripts=tuple(s.substitute(where) for s in n.out.subscripts)),
        other.loops,
        tuple(moved),
        tuple(
            replace(
                r,
                loops=tuple((names[v], e) for v, e in r.loops),
                term=r.term.xreplace(symbols),
                guards=tuple(g.substitute(where) for g in r.guards),
                conditions=tuple(c.xreplace(symbols) for c in r.conditions),
                place=None if r.place is None else r.place.substitute(where),
            )
            for r in n.reductions
        ),
        n.value.xreplace(symbols),
        n.scalars,
    )
