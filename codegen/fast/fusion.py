"""Which equations of a step become one kernel.

Decided by access patterns and by what lies in memory, in this order:

1. equations whose result nobody reads leave;
2. a copy is another name;
3. an elementwise equation is written into its consumers where that saves passes over memory
   (`fusion_inline`);
4. an elementwise equation behind a sum of products becomes that one's last step (`fusion_ends`);
5. equations that reduce over the same loops share one pass, and so do elementwise equations of
   which one goes on with the other's result (`fusion_passes`);
6. what an argmax selected is read as the maximum (`fusion_selected`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from gradproof.codegen.fast.fusion_ends import with_epilogues
from gradproof.codegen.fast.fusion_inline import with_producers_inlined
from gradproof.codegen.fast.fusion_passes import with_shared_reductions
from gradproof.codegen.fast.fusion_selected import with_selected
from gradproof.codegen.fast.inline import elementwise, renamed
from gradproof.codegen.fast.tasks import Step, Task


def fused(step: Step) -> Step:
    """All six, in order."""
    step = without_unused(step)
    step = without_copies(step)
    step = with_producers_inlined(step)
    step = with_epilogues(step)
    return with_selected(with_shared_reductions(step))


def without_unused(step: Step) -> Step:
    """Only the tasks that an external buffer needs."""
    needed, kept = set(step.external), []
    for t in reversed(step.tasks):
        if any(w in needed for w in t.writes):
            kept.append(t)
            needed |= t.reads
    return replace(step, tasks=tuple(reversed(kept)))


def without_copies(step: Step) -> Step:
    """A temporary that equals another one, element by element, is that one."""
    names: dict[str, str] = {}
    tasks = []
    # The reference kernels know their buffers by the recorded names.
    known = frozenset().union(*(t.opaque_reads for t in step.tasks))
    for t in step.tasks:
        t = _renamed(t, names)
        source = None if t.out in known else _copied(t, step)
        if source is None:
            tasks.append(t)
        else:
            names[t.out] = source
    return replace(step, tasks=tuple(tasks))


def _copied(t: Task, step: Step) -> str | None:
    if t.kind != "vector" or t.out not in step.passing or len(t.nests) != 1:
        return None
    (n,) = t.nests
    if not elementwise(n) or len(n.reads) != 1 or str(n.value) != "r0":
        return None
    (source,) = n.reads
    same = source.subscripts == n.out.subscripts
    same = same and step.shapes[source.tensor] == step.shapes[t.out]
    same = same and (source.tensor in step.whole) == (t.out in step.whole)
    return source.tensor if same and source.tensor in step.passing else None


def _renamed(t: Task, names: Mapping[str, str]) -> Task:
    if not names.keys() & t.reads:
        return t
    return replace(t, nests=tuple(renamed(n, names) for n in t.nests))
