"""Reductions over windows that tile a sum of products, in the kernel that computes the sum."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

from gradproof.codegen.fast.fusion_safety import overwritten
from gradproof.codegen.fast.graph import Shape
from gradproof.codegen.fast.nest import Nest
from gradproof.codegen.fast.tasks import Step, Task
from gradproof.codegen.fast.windows import windowed

Suits = Callable[[tuple[Nest, ...], Mapping[str, Shape]], bool]


def with_windows(step: Step, suits: Suits) -> Step:
    """Sums of products with the windows that are reduced next. suits: whether a sum of products
    has kernels that can do so. What others read too is stored as well."""
    tasks = list(step.tasks)
    for t in step.tasks:
        if (
            t.kind == "contract"
            and not t.also
            and len(t.nests) == 1
            and suits(t.nests, step.shapes)
        ):
            k = tasks.index(t)
            tasks = _with_window(step, tasks, k) or tasks
    return replace(step, tasks=tuple(tasks))


def apart(t: Task) -> tuple[Task, Task]:
    """A sum of products and the reductions over its windows as tasks of their own."""
    first, *rest = t.also
    pool = Task("vector", t.call, first.out.tensor, (first,), tuple(rest))
    return replace(t, also=(), store=True), pool


def _with_window(step: Step, tasks: list[Task], k: int) -> list[Task] | None:
    """Task k at the place of its first reader, which it does as well."""
    t = tasks[k]
    readers = [j for j, c in enumerate(tasks) if t.out in c.reads]
    if t.out not in step.passing or not readers:
        return None
    j = readers[0]
    c = tasks[j]
    if c.kind != "vector" or c.apart or len(c.nests) != 1 or not _real(step, c):
        return None
    pools = (*c.nests, *c.also)
    found = windowed(t.nests[0], pools)
    store = len(readers) > 1
    if found is None or (store and not found.whole):
        return None
    if overwritten(tasks, k, j, t.reads) or set(c.writes) & t.reads:
        return None
    new = list(tasks)
    new[j] = replace(t, also=pools, store=store)
    del new[k]
    return new


def _real(step: Step, c: Task) -> bool:
    """Whether integers are written only as positions of maxima, and none are read."""
    for n in (*c.nests, *c.also):
        kinds = {f"a{k}": r.kind for k, r in enumerate(n.reductions)}
        if (n.out.tensor in step.whole) != (kinds.get(str(n.value)) == "argmax"):
            return False
    return not c.reads & step.whole
