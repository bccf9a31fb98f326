"""Elementwise equations written into their consumers, where that saves passes over memory."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

import sympy as sp

from gradproof.codegen.fast.fusion_passes import kind_of_pass
from gradproof.codegen.fast.fusion_safety import overwritten, sound
from gradproof.codegen.fast.inline import elementwise, inlined
from gradproof.codegen.fast.nest import Nest
from gradproof.codegen.fast.tasks import SMALL, Step, Task


def with_producers_inlined(step: Step) -> Step:
    """Elementwise tasks written into all their consumers, one after the other."""
    tasks = list(step.tasks)
    for producer in step.tasks:
        at = next((k for k, t in enumerate(tasks) if t.out == producer.out), None)
        if at is None:
            continue
        changed = _into_consumers(step, tasks, at)
        if changed is not None:
            tasks = changed
    return replace(step, tasks=tuple(tasks))


def _into_consumers(step: Step, tasks: list[Task], at: int) -> list[Task] | None:
    p = tasks[at]
    if p.apart or p.kind != "vector" or p.out not in step.passing or len(p.nests) != 1:
        return None
    (nest,) = p.nests
    consumers = [k for k, t in enumerate(tasks) if p.out in t.reads]
    if not elementwise(nest) or _costly(nest) or not consumers:
        return None
    if any(tasks[k].kind != "vector" for k in consumers):
        return None
    if overwritten(tasks, at, max(consumers), p.reads):
        return None
    if not _saves_passes(step, p, [tasks[k] for k in consumers]):
        return None
    new = list(tasks)
    for k in consumers:
        nests = [inlined(nest, n) if _mentions(n, p.out) else n for n in tasks[k].nests]
        if any(n is None for n in nests):
            return None
        new[k] = replace(tasks[k], nests=tuple(n for n in nests if n is not None))
        if not all(map(sound, new[k].nests)):
            return None
    del new[at]
    return new


def _saves_passes(step: Step, p: Task, consumers: Iterable[Task]) -> bool:
    """Whether less memory is gone over where the consumers read what p reads."""
    before, after = _traffic(step, {*p.reads, p.out}), 0
    for reads, writes in _passes(consumers, shared=p.reads <= step.external):
        before += _traffic(step, reads | writes)
        after += _traffic(step, (reads - {p.out}) | p.reads | writes)
    return after <= before or step.size(p.out) <= SMALL


def _passes(consumers: Iterable[Task], shared: bool) -> Iterable[tuple[set[str], set[str]]]:
    """What each pass over memory reads and writes. shared: sums over the same loops are one pass,
    as they will be. Else they count one by one: behind a sum of products the producer is better
    off as that one's last step."""
    found: dict[object, tuple[set[str], set[str]]] = {}
    for c in consumers:
        kind = kind_of_pass(c) if shared and c.nests[0].reductions else None
        reads, writes = found.setdefault(kind or c.out, (set(), set()))
        reads |= c.reads
        writes |= set(c.writes)
    return found.values()


def _costly(n: Nest) -> bool:
    """Transcendental functions of full tensors are computed once."""
    full = {v for v, _ in n.loops}
    for f in n.value.atoms(sp.exp, sp.log, sp.tanh, sp.erf):
        names = {str(s) for s in f.free_symbols}
        if any(f"r{k}" in names and r.loops == full for k, r in enumerate(n.reads)):
            return True
    return False


def _mentions(n: Nest, buffer: str) -> bool:
    return any(r.tensor == buffer for r in n.reads)


def _traffic(step: Step, buffers: Iterable[str]) -> int:
    return sum(step.size(b) for b in buffers)
