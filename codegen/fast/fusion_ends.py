"""Elementwise equations as the last step of a sum, a window or a phase, which is not stored."""

from __future__ import annotations

from dataclasses import replace

from gradproof.codegen.fast.fusion_safety import overwritten, sound
from gradproof.codegen.fast.inline import composed, elementwise, with_loops_of
from gradproof.codegen.fast.nest import Nest
from gradproof.codegen.fast.program import LANES
from gradproof.codegen.fast.tasks import SMALL, Step, Task


def with_epilogues(step: Step) -> Step:
    """Elementwise tasks behind sums, windows and phases, as long as there are any."""
    tasks = list(step.tasks)
    k = 0
    while k < len(tasks):
        changed = _with_epilogue(step, tasks, k) if _has_end(step, tasks[k]) else None
        if changed is None:
            k += 1
        else:
            tasks = changed
    return replace(step, tasks=tuple(tasks))


def _with_epilogue(step: Step, tasks: list[Task], k: int) -> list[Task] | None:
    """Task k with one more consumer at its end, moved to where that one stood."""
    t = tasks[k]
    if t.also or t.out not in step.passing:
        return None
    consumers = [j for j, c in enumerate(tasks) if t.out in c.reads]
    if sum(t.out in other.writes for other in tasks) > 1:
        return None  # another one computes the other phases
    if len(consumers) != 1 or tasks[consumers[0]].kind != "vector":
        return None
    (j,) = consumers
    c = tasks[j]
    if len(c.nests) != 1 or c.also or c.apart or not elementwise(c.nests[0]):
        return None
    if overwritten(tasks, k, j, t.reads):
        return None
    if c.out in step.external and not _row_by_row(t.nests[0]):
        return None
    whole = []
    for n in t.nests:
        then = with_loops_of(c.nests[0], n)
        if then is None or not sound(both := composed(n, then)):
            return None
        whole.append(both)
    new = list(tasks)
    new[j] = replace(t, out=c.out, nests=tuple(whole))
    del new[k]
    return new


def _has_end(step: Step, t: Task) -> bool:
    """Whether a large result is computed element by element, but not elementwise."""
    windows = len(t.nests) > 1 or any(n.reductions for n in t.nests)
    return t.kind == "contract" or (t.kind == "vector" and windows and step.size(t.out) > SMALL)


def _row_by_row(n: Nest) -> bool:
    """Whether vectors along the last dimension of the target suit a row-major buffer."""
    last = n.out.subscripts[-1].plain if n.out.subscripts else None
    return last is not None and dict(n.loops)[last] >= LANES
