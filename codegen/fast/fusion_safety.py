"""When the work of one task may be done by another, at that one's place in the step."""

from __future__ import annotations

from collections.abc import Iterable

import sympy as sp

from gradproof.codegen.fast.nest import Nest
from gradproof.codegen.fast.tasks import Task

LONGEST = 256  # operations and operands of a nest; y = y*y - y, written into itself, doubles them


def overwritten(tasks: list[Task], first: int, last: int, reads: Iterable[str]) -> bool:
    """Whether some task after `first` and before the end of `last` writes what was read."""
    wanted = set(reads)
    return any(wanted & set(t.writes) for t in tasks[first + 1 : last])


def sound(n: Nest) -> bool:
    """Whether a nest made of two is short enough, and reads of a target in place only the element
    that it writes, and not inside a sum: elements come in any order."""
    parts = (n.value, *(r.term for r in n.reductions))
    if sum(1 for e in parts for _ in sp.preorder_traversal(e)) > LONGEST:
        return False
    inner = {k for r in n.reductions for k in n.used(sp.Tuple(r.term, *r.conditions))}
    return all(
        r == n.out and k not in inner for k, r in enumerate(n.reads) if r.tensor == n.out.tensor
    )
