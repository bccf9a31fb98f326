"""A recorded step as a fixed list of launches: fused, placed, scheduled, its memory shared.

Graph -> nodes -> one shape per buffer -> tasks, fused -> layouts -> kernels -> memory -> Plan
"""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from math import prod
from typing import Any

import sympy as sp

from gradproof.codegen.fast.affine import Affine
from gradproof.codegen.fast.choices import Work, trial
from gradproof.codegen.fast.copies import tiled_copy
from gradproof.codegen.fast.fusion import Step, Task, by_kind, fused, kind_of
from gradproof.codegen.fast.graph import Graph, Node, Shape, nodes
from gradproof.codegen.fast.inline import renamed
from gradproof.codegen.fast.kernel import FastKernel
from gradproof.codegen.fast.layout import Layout
from gradproof.codegen.fast.memory import Need, share
from gradproof.codegen.fast.nest import Access, Nest
from gradproof.codegen.fast.placement import Wish, batch_lanes, place
from gradproof.codegen.fast.program import fast_options, fast_program
from gradproof.codegen.fast.schedules import Schedules, schedules
from gradproof.codegen.fast.validate import check_nests
from gradproof.codegen.fast.views import canonical, on_canonical, reshaping
from gradproof.derive.language import Definition

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Launch:
    """One kernel on buffers (`buffers` in the order of its arguments), or, where `kernel` is empty,
    the reference kernel of recorded call `call`."""

    kernel: str
    buffers: tuple[str, ...]
    scalars: tuple[tuple[str, str], ...] = ()
    groups: int = 0
    local: int = 1
    call: int = -1
    writes: tuple[str, ...] = ()
    flops: int = 0
    note: str = ""
    what: str = ""


@dataclass
class _Program:
    """Kernels of equal text are one kernel."""

    kernels: dict[str, FastKernel] = field(default_factory=dict)  # by their text without name
    launches: list[Launch] = field(default_factory=list)
    sizes: dict[str, int] = field(default_factory=dict)  # scratch and copies, in elements
    layouts: dict[str, Layout] = field(default_factory=dict)
    what: str = ""  # the equations that the next kernels compute
    works: dict[str, tuple[Work, list[str]]] = field(default_factory=dict)  # sums of products
    stale: dict[str, str] = field(default_factory=dict)  # choices that are none here, and why

    def add(self, found: tuple[FastKernel, ...], base: str, tensors: Mapping[str, str]) -> None:
        """Launches of kernels whose names begin with `base`; tensors: argument -> buffer."""
        own = f"#{len(self.launches)}."
        buffers = dict(tensors)
        for k in found:
            for name, size in k.scratch:
                buffers.setdefault(name, own + name)
                self.sizes[buffers[name]] = size
        for k in found:
            text = re.sub(rf"\b{base}", "@", k.text)
            kernel = self.kernels.setdefault(text, k)
            self.launches.append(
                Launch(
                    kernel.name,
                    tuple(buffers[t] for t, _ in k.tensors),
                    tuple((buffers[s], kind) for s, kind in k.scalars),
                    k.groups,
                    k.local,
                    writes=tuple(buffers[t] for t, written in k.tensors if written),
                    flops=k.flops,
                    note=k.note,
                    what=self.what,
                )
            )

    @property
    def next_name(self) -> str:
        """Begins the names of the next kernels."""
        return f"k{len(self.kernels)}_"


@dataclass(frozen=True)
class Planner:
    """How to plan: `precision` "fast" or "accurate", `machine`: for which, see `schedules`;
    `choices`: what a tuner found, by `Work.key`, see `choices`."""

    precision: str = "fast"
    machine: str = "avx2"
    choices: Mapping[str, str] = field(default_factory=dict)

    @cached_property
    def schedules(self) -> Schedules:
        """The family of schedules for the machine."""
        return schedules(self.precision, self.machine)

    @property
    def on_cpu(self) -> bool:
        """Whether one work-item does the work of a group."""
        return self.schedules.vectors

    def plan(
        self, data: Mapping[str, Any], definition: Callable[[str], Definition]
    ) -> dict[str, Any]:
        """The plan of a recorded step as plain data. data: see `Graph.of`.

        A choice that is none for its work is ignored; one warning says so."""
        program, step, home, whole = self._scheduled(data, definition)
        if program.stale:
            count, first = len(program.stale), next(iter(program.stale.values()))
            log.warning("%d tuned choices are ignored; tune again (%s)", count, first)
        return _as_data(program, step, home, whole, self.schedules.vectors)

    def trials(
        self, data: Mapping[str, Any], definition: Callable[[str], Definition]
    ) -> list[dict[str, Any]]:
        """Each different sum of products of a recorded step with its candidates; see `trial`."""
        program, *_ = self._scheduled(data, definition)
        return [trial(key, w, what, self.schedules) for key, (w, what) in program.works.items()]

    def _scheduled(
        self, data: Mapping[str, Any], definition: Callable[[str], Definition]
    ) -> tuple[_Program, Step, dict[str, Layout], frozenset[str]]:
        """The program, the step that it computes, the layouts of buffers, and the integer ones."""
        graph = Graph.of(data)
        step = fused(step_of(graph, definition))
        check_tasks(step)
        whole = frozenset(b for b, x in graph.buffers.items() if x.dtype == "int")
        wishes = self._wishes(step, {})
        if prefer := batch_lanes(step, wishes):
            wishes = self._wishes(step, prefer)
        home = place(step, wishes)
        asked = {id(w.task): w.layouts for w in wishes}
        program = _Program(layouts=dict(home))
        for task in _with_moments(step.tasks):
            call = graph.calls[task.call]
            program.what = f"{call.operator} {call.target}"
            self._emit(program, task, step, home, asked.get(id(task)), whole)
        return program, step, home, whole

    def _wishes(self, step: Step, prefer: Mapping[str, int]) -> list[Wish]:
        """What the sums of products of a step ask for."""
        found = []
        for t in step.tasks:
            if t.kind == "contract":
                layouts = self.schedules.layouts(t.nests, step.shapes, prefer)
                if layouts is not None:
                    found.append(Wish(t, layouts, work(t.nests)))
        return found

    def _emit(
        self,
        program: _Program,
        t: Task,
        step: Step,
        home: Mapping[str, Layout],
        asked: Mapping[str, Layout] | None,
        whole: frozenset[str],
    ) -> None:
        if t.kind == "opaque":
            self._emit_opaque(program, t, step, home)
            return
        if t.kind == "contract" and asked is not None:
            if not self.schedules.slow(t.nests, home) and self._contract(program, t, dict(home)):
                return
            local = {b: home[b] for b in {*t.reads, *t.writes}} | dict(asked)
            moved = {b: f"{b}~{len(program.launches)}" for b in asked if local[b] != home[b]}
            names = {b: moved.get(b, b) for b in local}
            trial = _Program(dict(program.kernels), [], {}, {})
            named = {names[b]: layout for b, layout in local.items()}
            renamed_task = _on_copies(t, names)
            if self._contract(trial, renamed_task, named):
                for b, copy in moved.items():
                    program.layouts[copy] = local[b]
                    if b in t.reads:
                        self._copy(program, b, copy, step, home[b], local[b], whole)
                self._contract(program, renamed_task, named)
                for b, copy in moved.items():
                    if b in t.writes:
                        self._copy(program, copy, b, step, local[b], home[b], whole)
                return
        self._vector(program, t, home, whole)

    def _contract(
        self, program: _Program, t: Task, layouts: Mapping[str, Layout]
    ) -> tuple[FastKernel, ...] | None:
        base = program.next_name
        nests, back = _canonical_names((*t.nests, *t.also))
        local = {name: layouts[b] for name, b in back.items() if b in layouts}
        main, also = nests[: len(t.nests)], nests[len(t.nests) :]
        work = Work(main, local, also, t.store)
        key = work.key(self.precision, self.machine)
        found = self._chosen(program, base, work, key)
        if found is not None:
            program.works.setdefault(key, (work, []))[1].append(program.what)
            program.add(found, base, back)
        return found

    def _chosen(
        self, program: _Program, base: str, w: Work, key: str
    ) -> tuple[FastKernel, ...] | None:
        """The kernels of the choice for this work, else the default ones."""
        choice = self.choices.get(key)
        if choice is not None:
            try:
                return self.schedules.contraction(base, w.nests, w.layouts, w.also, w.store, choice)
            except ValueError as error:
                program.stale[key] = str(error)
        return self.schedules.contraction(base, w.nests, w.layouts, w.also, w.store)

    def _vector(
        self, program: _Program, t: Task, home: Mapping[str, Layout], whole: frozenset[str]
    ) -> None:
        base = program.next_name
        nests, back = _canonical_names((*t.nests, *t.also))
        local = {name: home[b] for name, b in back.items() if b in home}
        ints = frozenset(name for name, b in back.items() if b in whole)
        if t.kind == "moments":
            both = self.schedules.moments(base, nests[0], nests[1], local)
            if both is None:
                for n in (*t.nests, *t.also):
                    self._vector(program, Task("vector", t.call, n.out.tensor, (n,)), home, whole)
                return
            program.add(both, base, back)
            return
        groups = (nests,) if t.also else tuple((n,) for n in nests)
        for k, group in enumerate(groups):
            if k:
                base = program.next_name
            program.add(self.schedules.vector(base, group, local, ints), base, back)

    def _emit_opaque(
        self, program: _Program, t: Task, step: Step, home: Mapping[str, Layout]
    ) -> None:
        names: dict[str, str] = {}
        for b in sorted({*t.reads, *t.writes}):
            plain = Layout.row_major(step.shapes[b])
            if home[b].axes != plain.axes:
                names[b] = f"{b}~{len(program.launches)}"
                program.layouts[names[b]] = plain
                if b in t.reads:
                    self._copy(program, b, names[b], step, home[b], plain, frozenset())
        buffers = tuple(sorted({*t.reads, *t.writes}))
        program.launches.append(
            Launch(
                "",
                tuple(names.get(b, b) for b in buffers),
                call=t.call,
                writes=tuple(names.get(b, b) for b in t.writes),
                note=",".join(buffers),
                what=program.what,
            )
        )
        for b in t.writes:
            if b in names:
                plain = program.layouts[names[b]]
                self._copy(program, names[b], b, step, plain, home[b], frozenset())

    def _copy(
        self,
        program: _Program,
        source: str,
        target: str,
        step: Step,
        from_layout: Layout,
        to_layout: Layout,
        whole: frozenset[str],
    ) -> None:
        """The same elements in another layout."""
        loops = tuple((f"i{d}", n) for d, n in enumerate(from_layout.shape) if n > 1)
        subscripts = tuple(
            Affine.of(f"i{d}") if n > 1 else Affine() for d, n in enumerate(from_layout.shape)
        )
        nest = Nest(
            Access("t0", subscripts),
            loops,
            (Access("t1", subscripts),),
            (),
            sp.Symbol("r0", real=True),
        )
        what, program.what = program.what, "copy for " + program.what
        base = program.next_name
        ints = frozenset(["t0", "t1"]) if {source, target} & whole else frozenset()
        layouts = {"t0": to_layout, "t1": from_layout}
        tiled = tiled_copy(base, to_layout, from_layout, bool(ints)) if self.on_cpu else None
        kernels = (tiled,) if tiled else self.schedules.vector(base, (nest,), layouts, ints)
        program.add(kernels, base, {"t0": target, "t1": source})
        program.what = what


def step_of(graph: Graph, definition: Callable[[str], Definition]) -> Step:
    """The graph's calls as tasks on buffers of one shape each."""
    found = nodes(graph, definition)
    shapes = canonical(found, {b: x.shape for b, x in graph.buffers.items()})
    external = frozenset(b for b, x in graph.buffers.items() if x.kind != "temporary")
    fixed = {
        b: x.layout if x.layout is not None and x.layout.shape == shapes[b] else None
        for b, x in graph.buffers.items()
        if x.kind == "external"
    }
    tasks: list[Task] = []
    for node in found:
        before, node, after = _with_flat_operands(node, shapes, external)
        nests = on_canonical(node, shapes)
        opaque = node.reads if nests is None else frozenset[str]()
        if nests is not None:
            check_nests(nests, shapes)
        own = [
            Task(kind, node.call, node.out, part, opaque_reads=opaque)
            for kind, part in by_kind(nests)
        ]
        tasks += [*before, *own, *after]
    whole = frozenset(b for b, x in graph.buffers.items() if x.dtype == "int")
    return Step(tuple(tasks), shapes, external, fixed, whole)


def _with_flat_operands(
    node: Node, shapes: dict[str, Shape], external: frozenset[str]
) -> tuple[list[Task], Node, list[Task]]:
    """A sum of products with an operand that outweighs the others by far works on flat copies of
    these, as it sees them: the large one then needs no copy of its own."""
    if kind_of(node.nests) != "contract":
        return [], node, []
    size = {b: prod(shape) for b, shape in node.shapes.items()}
    heavy = max(size.values())
    names = {
        b: f"{b}|{node.call}"
        for b, shape in node.shapes.items()
        if b not in external
        and len(shape) < len(shapes[b])
        and size[b] < heavy
        and sum(n > 1 for n in shape) < sum(n > 1 for n in shapes[b])
    }
    before, after = [], []
    for b, flat in names.items():
        shapes[flat] = node.shapes[b]
        if b == node.out:
            back = reshaping(flat, b, shapes[b], shapes[flat], to_coarser=False)
            after.append(Task("vector", node.call, b, (back,), apart=True))
        else:
            there = reshaping(b, flat, shapes[b], shapes[flat], to_coarser=True)
            before.append(Task("vector", node.call, flat, (there,), apart=True))
    moved = replace(
        node,
        out=names.get(node.out, node.out),
        reads=frozenset(names.get(b, b) for b in node.reads),
        nests=tuple(renamed(n, names) for n in node.nests or ()),
        shapes={names.get(b, b): shape for b, shape in node.shapes.items()},
    )
    return before, moved, after


def check_tasks(step: Step) -> None:
    """What holds of every equation before it is fused holds afterwards. Errors: Unsound."""
    together: dict[tuple[int, str], tuple[Nest, ...]] = {}
    for task in step.tasks:
        key = task.call, task.out
        together[key] = (*together.get(key, ()), *task.nests)
        for nest in task.also:
            check_nests((nest,), step.shapes)
    for nests in together.values():
        check_nests(nests, step.shapes)


def work(nests: tuple[Nest, ...]) -> int:
    """Multiplications and additions of a sum of products."""
    return sum(2 * prod(n.extents.values()) for n in nests)


def _with_moments(tasks: tuple[Task, ...]) -> Iterator[Task]:
    """A sum and a sum of squared deviations from it that follow each other, as one task."""
    waiting: Task | None = None
    for t in tasks:
        if waiting is not None and _pair(waiting, t):
            yield Task("moments", waiting.call, waiting.out, waiting.nests, t.nests)
            waiting = None
            continue
        if waiting is not None:
            yield waiting
        waiting = t
    if waiting is not None:
        yield waiting


def _pair(a: Task, b: Task) -> bool:
    if a.kind != "vector" or b.kind != "vector" or a.also or b.also:
        return False
    if len(a.nests) != 1 or len(b.nests) != 1 or a.out not in b.reads:
        return False
    first, second = a.nests[0].reductions, b.nests[0].reductions
    return len(first) == len(second) == 1 and first[0].loops == second[0].loops


def _canonical_names(nests: tuple[Nest, ...]) -> tuple[tuple[Nest, ...], dict[str, str]]:
    """The nests with tensors t0, t1, ... and scalars u0, u1, ...; and what they stand for.

    So equal work has equal text, whichever buffers it is on."""
    names: dict[str, str] = {}
    slots: dict[str, str] = {}
    for n in nests:
        for a in (n.out, *n.reads):
            names.setdefault(a.tensor, f"t{len(names)}")
        for slot, _ in n.scalars:
            slots.setdefault(slot, f"u{len(slots)}")
    found = tuple(_with_slots(renamed(n, names), slots) for n in nests)
    return found, {short: long for long, short in (names | slots).items()}


def _with_slots(n: Nest, slots: Mapping[str, str]) -> Nest:
    """Other names for scalars."""
    mapping: dict[sp.Basic, sp.Basic] = {
        s: sp.Symbol(slots[str(s)], **s.assumptions0)
        for e in (n.value, *(e for r in n.reductions for e in (r.term, *r.conditions)))
        for s in e.free_symbols
        if str(s) in slots
    }
    return replace(
        n,
        value=n.value.xreplace(mapping),
        reductions=tuple(
            replace(
                r,
                term=r.term.xreplace(mapping),
                conditions=tuple(c.xreplace(mapping) for c in r.conditions),
            )
            for r in n.reductions
        ),
        scalars=tuple((slots[s], kind) for s, kind in n.scalars),
    )


def _on_copies(t: Task, names: Mapping[str, str]) -> Task:
    return replace(
        t,
        out=names.get(t.out, t.out),
        nests=tuple(renamed(n, names) for n in t.nests),
        also=tuple(renamed(n, names) for n in t.also),
    )


def _as_data(
    program: _Program,
    step: Step,
    home: Mapping[str, Layout],
    whole: frozenset[str],
    vectors: bool,
) -> dict[str, Any]:
    """Launches with their buffers' slots; the text of the program."""
    first: dict[str, int] = {}
    last: dict[str, int] = {}
    for k, launch in enumerate(program.launches):
        for b in launch.buffers:
            first.setdefault(b, k)
            last[b] = k
    needs = {}
    for b in first:
        if b in step.external:
            continue
        layout = program.layouts.get(b)
        size = program.sizes[b] if layout is None else layout.size
        key = "" if layout is None or not layout.has_border else str((layout.axes, layout.low))
        kind = "int" if b.split("~")[0] in whole else "real"
        needs[b] = Need(size, kind, first[b], last[b], key)
    memory = share(needs)
    return {
        "source": fast_program(program.kernels.values(), vectors),
        "options": {d: list(fast_options(d)) for d in ("float32", "float64")},
        "kernels": [k.name for k in program.kernels.values()],
        "launches": [
            {
                "kernel": x.kernel,
                "buffers": list(x.buffers),
                "scalars": [list(s) for s in x.scalars],
                "groups": x.groups,
                "local": x.local,
                "call": x.call,
                "flops": x.flops,
                "note": x.note,
                "what": x.what,
            }
            for x in program.launches
        ],
        "layouts": {
            b: {"shape": x.shape, "axes": x.axes, "low": x.low}
            for b, x in home.items()
            if b in step.external and x.axes != Layout.row_major(x.shape).axes
        },
        "slots": [list(s) for s in memory.slots],
        "slot": dict(memory.slot),
    }
