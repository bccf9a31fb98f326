"""Which equations of a step become one kernel.

Decided by access patterns and by what lies in memory, in this order:

1. equations whose result nobody reads leave;
2. a copy is another name;
3. an elementwise equation is written into its consumers where that saves passes over memory;
4. an elementwise equation behind a sum of products becomes that one's last step;
5. equations that reduce over the same loops share one pass, and so do elementwise equations of
   which one goes on with the other's result.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from math import prod

import sympy as sp

from gradproof.codegen.fast.affine import Affine
from gradproof.codegen.fast.graph import Shape
from gradproof.codegen.fast.inline import composed, elementwise, inlined, renamed, with_loops_of
from gradproof.codegen.fast.layout import Layout
from gradproof.codegen.fast.nest import Nest

LANES = 16
SMALL = 4096  # elements: below, a pass over memory does not count
LONGEST = 256  # operations and operands of a nest; y = y*y - y, written into itself, doubles them


@dataclass(frozen=True)
class Task:
    """What becomes one kernel (or a few): `nests` compute `out`, `also` the targets beside it.

    kind: "contract", "vector" (also: a group over the same loops) or "opaque", the reference kernel
    of recorded call `call`. `store`: whether `out` itself is stored. `apart`: it changes where
    elements lie, and is merged with nothing.
    """

    kind: str
    call: int
    out: str
    nests: tuple[Nest, ...] = ()
    also: tuple[Nest, ...] = ()
    opaque_reads: frozenset[str] = frozenset()
    store: bool = True
    apart: bool = False

    @cached_property
    def writes(self) -> tuple[str, ...]:
        """All targets that are stored."""
        own = (self.out,) if self.store else ()
        return tuple(dict.fromkeys((*own, *(n.out.tensor for n in self.also))))

    @cached_property
    def reads(self) -> frozenset[str]:
        """All buffers that it reads from memory."""
        inside = {n.out.tensor for n in self.also} | {self.out}
        found = {r.tensor for n in self.nests for r in n.reads}
        found |= {r.tensor for n in self.also for r in n.reads if r.tensor not in inside}
        return self.opaque_reads | found


@dataclass(frozen=True)
class Step:
    """Tasks in order; the shapes of the buffers; those that live outside the step, and of these
    where the elements lie (`fixed`; an external one that is not there may be moved); `whole`: those
    of integers."""

    tasks: tuple[Task, ...]
    shapes: Mapping[str, Shape]
    external: frozenset[str]
    fixed: Mapping[str, Layout | None] = field(default_factory=dict)
    whole: frozenset[str] = frozenset()

    def size(self, buffer: str) -> int:
        """Elements of a buffer."""
        return prod(self.shapes[buffer])

    @cached_property
    def passing(self) -> frozenset[str]:
        """Temporaries that are written once: no later write changes what a read of them means."""
        count = Counter(b for t in self.tasks for b in t.writes)
        return frozenset(b for b, n in count.items() if n == 1) - self.external


def kind_of(nests: tuple[Nest, ...] | None) -> str:
    """ "contract" for a sum of a product of different reads, else "vector"."""
    if nests is None:
        return "opaque"
    return "contract" if all(map(is_contraction, nests)) else "vector"


def by_kind(nests: tuple[Nest, ...] | None) -> list[tuple[str, tuple[Nest, ...]]]:
    """The phases of an equation by kind: those without a term are apart from sums of products."""
    whole = kind_of(nests)
    if nests is None or whole == "contract":
        return [(whole, nests or ())]
    sums = tuple(n for n in nests if is_contraction(n))
    rest = tuple(n for n in nests if n not in sums)
    if not sums or any(n.reductions for n in rest):
        return [(whole, nests)]
    return [("contract", sums), ("vector", rest)]


def is_contraction(n: Nest) -> bool:
    """Whether the nest is a function of one sum of a product of two or more reads.

    >>> from gradproof.codegen.fast.specialise import specialise
    >>> from gradproof.derive.ops.linear import linear
    >>> is_contraction(*specialise(linear, linear.equations[0], {"N": 2, "K": 8, "O": 16}))
    True
    """
    if len(n.reductions) != 1:
        return False
    (r,) = n.reductions
    factors = sp.Mul.make_args(r.term)
    names = {f"r{k}" for k in range(len(n.reads))}
    return (
        r.kind == "sum"
        and len(factors) >= 2
        and all(f.is_Symbol and str(f) in names for f in factors)
        and not r.conditions
        and prod(e for _, e in r.loops) > 1
    )


def fused(step: Step) -> Step:
    """All five, in order."""
    step = without_unused(step)
    step = without_copies(step)
    step = with_producers_inlined(step)
    step = with_epilogues(step)
    return with_shared_reductions(step)


# -- 1, 2 ---------------------------------------------------------------------------------------
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


# -- 3 ------------------------------------------------------------------------------------------
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
    if _overwritten(tasks, at, max(consumers), p.reads):
        return None
    if not _saves_passes(step, p, [tasks[k] for k in consumers]):
        return None
    new = list(tasks)
    for k in consumers:
        nests = [inlined(nest, n) if _mentions(n, p.out) else n for n in tasks[k].nests]
        if any(n is None for n in nests):
            return None
        new[k] = replace(tasks[k], nests=tuple(n for n in nests if n is not None))
        if not all(map(_sound, new[k].nests)):
            return None
    del new[at]
    return new


def _saves_passes(step: Step, p: Task, consumers: Iterable[Task]) -> bool:
    """Whether less memory is gone over where the consumers read what p reads."""
    before, after = _traffic(step, {*p.reads, p.out}), 0
    for c in consumers:
        before += _traffic(step, {*c.reads, *c.writes})
        after += _traffic(step, {*(c.reads - {p.out}), *p.reads, *c.writes})
    return after <= before or step.size(p.out) <= SMALL


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


def _overwritten(tasks: list[Task], first: int, last: int, reads: Iterable[str]) -> bool:
    """Whether some task after `first` and before the end of `last` writes what was read."""
    wanted = set(reads)
    return any(wanted & set(t.writes) for t in tasks[first + 1 : last])


def _sound(n: Nest) -> bool:
    """Whether a nest made of two is short enough, and reads of a target in place only the element
    that it writes, and not inside a sum: elements come in any order."""
    parts = (n.value, *(r.term for r in n.reductions))
    if sum(1 for e in parts for _ in sp.preorder_traversal(e)) > LONGEST:
        return False
    inner = {k for r in n.reductions for k in n.used(sp.Tuple(r.term, *r.conditions))}
    return all(
        r == n.out and k not in inner for k, r in enumerate(n.reads) if r.tensor == n.out.tensor
    )


# -- 4 ------------------------------------------------------------------------------------------
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
    if _overwritten(tasks, k, j, t.reads):
        return None
    if c.out in step.external and not _row_by_row(t.nests[0]):
        return None
    whole = []
    for n in t.nests:
        then = with_loops_of(c.nests[0], n)
        if then is None or not _sound(both := composed(n, then)):
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


# -- 5 ------------------------------------------------------------------------------------------
def with_shared_reductions(step: Step) -> Step:
    """Reductions over the same loops together, where the first of them stands."""
    tasks: list[Task] = []
    alike: dict[object, list[int]] = defaultdict(list)  # numbers of tasks that might share a pass
    for t in step.tasks:
        kind = _kind_of_pass(t)
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


def _kind_of_pass(t: Task) -> tuple[object, ...] | None:
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
    if not n.reductions and not (elementwise(n) and _goes_on(first, n)):
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


def _goes_on(first: Task, n: Nest) -> bool:
    """Whether an elementwise nest reads what the task has just written, at the same element, and
    writes nothing that the task reads elsewhere."""
    if not any(r.tensor in first.writes for r in n.reads):
        return False
    aligned = _over_loops(n, first.nests[0])
    targets = {m.out for m in (*first.nests, *first.also)}
    inside = [r for r in aligned.reads if r.tensor in {t.tensor for t in targets}]
    reads = {r for m in (*first.nests, *first.also) for r in m.reads}
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
