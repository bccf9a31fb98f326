"""Sums over a tensor beside the sum of products that computes it: one pass over memory less."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from gradproof.codegen.fast.fusion_safety import overwritten
from gradproof.codegen.fast.graph import Shape
from gradproof.codegen.fast.tasks import Task
from gradproof.codegen.fast.tile_sums import summed


def sums_of_products(
    shapes: Mapping[str, Shape], tasks: Iterable[Task]
) -> list[tuple[Task, Task | None]]:
    """Every task, and beside a sum of products the task that sums over its elements, if there is
    one that may do so where that one stands. A schedule that does not take both does one after
    the other."""
    order = list(tasks)
    taken: dict[int, int] = {}
    for k, t in enumerate(order):
        for j in range(k + 1, len(order)) if t.kind == "contract" and t.store else ():
            if (
                t.out in order[j].reads
                and j not in taken.values()
                and _may_join(shapes, order, k, j)
            ):
                taken[k] = j
                break
    beside = set(taken.values())
    return [
        (t, order[taken[k]] if k in taken else None) for k, t in enumerate(order) if k not in beside
    ]


def _may_join(shapes: Mapping[str, Shape], order: list[Task], k: int, j: int) -> bool:
    """Whether task j sums over what task k alone computes, and no task between them minds."""
    t, s = order[k], order[j]
    nests = (*s.nests, *s.also)
    if s.kind not in ("vector", "moments") or s.apart or not all(n.reductions for n in nests):
        return False
    if t.also or summed(t.out, nests, shapes[t.out]) is None:
        return False
    if any(t.out in other.writes for other in order if other is not t):
        return False
    writes = set(s.writes)
    between = order[k + 1 : j]
    if overwritten(order, k, j, s.reads) or writes & {*t.reads, *t.writes}:
        return False
    return not any(writes & {*b.reads, *b.writes} for b in between)
