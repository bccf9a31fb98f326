"""Updates that can wait for the end of a step, and that are one flat pass over memory.

An optimizer's update, or a running average, is written for good: nothing in the step needs it any
more. Element by element on equal layouts it is the same equation for every parameter, whatever its
shape, so that one launch does many of them; see `sweep`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from gradproof.codegen.fast.affine import Affine
from gradproof.codegen.fast.emission import canonical_names
from gradproof.codegen.fast.layout import Axis, Layout
from gradproof.codegen.fast.nest import Access, Nest
from gradproof.codegen.fast.tasks import Step, Task
from gradproof.codegen.fast.vector_group import variables

FLAT = "i"  # the loop of a flat pass


@dataclass(frozen=True)
class Sink:
    """A task as a flat pass over `size` elements. form: its nests with tensors t0, t1, ... and
    scalars u0, u1, ..., over one loop of extent 0; back: what these names stand for."""

    task: Task
    size: int
    form: tuple[Nest, ...]
    back: Mapping[str, str]


def sinks(step: Step, home: Mapping[str, Layout], large_first: bool = True) -> list[list[Sink]]:
    """The sinks of a step by form; each form has two or more. large_first: else in the order of
    the step, so that those of one layer are done together."""
    forms: dict[tuple[Nest, ...], list[Sink]] = {}
    read: set[str] = set()  # by later tasks
    written: set[str] = set()
    for t in reversed(step.tasks):
        last = set(t.writes) <= step.external and not written & {*t.reads, *t.writes}
        found = _flat(t, step, home) if last and not read & set(t.writes) else None
        if found is not None:
            forms.setdefault(found.form, []).append(found)
        read |= t.reads
        written |= set(t.writes)
    groups = [g[::-1] for g in forms.values() if len(g) > 1]
    return [sorted(g, key=lambda x: -x.size) if large_first else g for g in groups[::-1]]


def _flat(t: Task, step: Step, home: Mapping[str, Layout]) -> Sink | None:
    """The task as a flat pass, or None where it is none."""
    nests = (*t.nests, *t.also)
    buffers = {*t.reads, *t.writes}
    if t.kind != "vector" or t.apart or not t.store or buffers & step.whole:
        return None
    if len({(runs(home[b]), home[b].size, home[b].has_border) for b in buffers}) > 1:
        return None
    out = nests[0].out
    if home[out.tensor].has_border or not _covers(nests[0], home[out.tensor].shape):
        return None
    if not all(_elementwise(n, out) and n.loops == nests[0].loops for n in nests):
        return None
    form, back = canonical_names(nests)
    return Sink(t, home[out.tensor].size, tuple(map(_as_flat, form)), back)


def _covers(n: Nest, shape: tuple[int, ...]) -> bool:
    """Whether the target's subscripts are the loops themselves, over its whole extents."""
    extents = dict(n.loops)
    names = [s.plain for s, e in zip(n.out.subscripts, shape, strict=True) if e > 1]
    return sorted(map(str, names)) == sorted(v for v, e in n.loops if e > 1) and all(
        extents[str(v)] == e for v, e in zip(names, (e for e in shape if e > 1), strict=True)
    )


def _elementwise(n: Nest, out: Access) -> bool:
    """Whether each element is a function of the same element of other tensors, and of scalars."""
    return (
        not n.reductions
        and not variables(n.value, n.extents)
        and all(a.subscripts == out.subscripts for a in (n.out, *n.reads))
        and all(a.outside == "never" for a in n.reads)
    )


def _as_flat(n: Nest) -> Nest:
    at = (Affine.of(FLAT),)
    reads = tuple(replace(a, subscripts=at) for a in n.reads)
    return replace(n, out=replace(n.out, subscripts=at), loops=((FLAT, 0),), reads=reads)


def runs(layout: Layout) -> tuple[Axis, ...]:
    """The axes, those that follow each other as one: equal runs, equal places.

    >>> runs(Layout.blocked((32,), 0)) == runs(Layout.row_major((32,)))
    True
    """
    found: list[Axis] = []
    for d, div, n in layout.axes:
        if n == 1:
            continue
        if found and found[-1][0] == d and found[-1][1] == div * n:
            found[-1] = (d, div, found[-1][2] * n)
        else:
            found.append((d, div, n))
    return tuple(found)


def without(tasks: Iterable[Task], groups: Iterable[Iterable[Sink]]) -> tuple[Task, ...]:
    """The tasks that are no sinks."""
    gone = {id(x.task) for g in groups for x in g}
    return tuple(t for t in tasks if id(t) not in gone)
