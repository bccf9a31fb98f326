"""A recorded step as a fixed list of launches: fused, placed, scheduled, its memory shared.

Graph -> nodes -> one shape per buffer -> tasks, fused -> layouts -> kernels -> memory -> Plan
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from typing import Any

import sympy as sp

from gradproof.codegen.fast.affine import Affine
from gradproof.codegen.fast.choices import Work, trial
from gradproof.codegen.fast.copies import tiled_copy
from gradproof.codegen.fast.emission import BASE, Launch, Program, canonical_names, on_copies
from gradproof.codegen.fast.fusion import fused
from gradproof.codegen.fast.fusion_operands import served, with_operands
from gradproof.codegen.fast.fusion_sums import sums_of_products
from gradproof.codegen.fast.fusion_windows import apart, with_windows
from gradproof.codegen.fast.graph import Graph
from gradproof.codegen.fast.kernel import FastKernel
from gradproof.codegen.fast.layout import Layout
from gradproof.codegen.fast.nest import Access, Nest
from gradproof.codegen.fast.placement import Wish, batch_lanes, place
from gradproof.codegen.fast.plan_data import as_data
from gradproof.codegen.fast.schedules import Schedules, schedules
from gradproof.codegen.fast.sinks import sinks, without
from gradproof.codegen.fast.steps import alike, check_tasks, step_of, with_moments, work
from gradproof.codegen.fast.sweep import add_sweeps
from gradproof.codegen.fast.tasks import Step, Task
from gradproof.derive.language import Definition

log = logging.getLogger(__name__)


def _what(graph: Graph, t: Task) -> str:
    call = graph.calls[t.call]
    return f"{call.operator} {call.target}"


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
        return as_data(program, step, home, whole, self.schedules.vectors)

    def trials(
        self, data: Mapping[str, Any], definition: Callable[[str], Definition]
    ) -> list[dict[str, Any]]:
        """Each different sum of products of a recorded step with its candidates; see `trial`."""
        program, *_ = self._scheduled(data, definition)
        return [trial(key, w, what, self.schedules) for key, (w, what) in program.works.items()]

    def _scheduled(
        self, data: Mapping[str, Any], definition: Callable[[str], Definition]
    ) -> tuple[Program, Step, dict[str, Layout], frozenset[str]]:
        """The program, the step that it computes, the layouts of buffers, and the integer ones."""
        graph = Graph.of(data)
        step = with_windows(fused(step_of(graph, definition)), self.schedules.windows)
        wishes, home = self._placed(step)
        if self.on_cpu and (other := with_operands(step)) is not step:
            again, there = self._placed(other)
            if served(again, there):
                step, wishes, home = other, again, there
        check_tasks(step)
        whole = frozenset(b for b, x in graph.buffers.items() if x.dtype == "int")
        asked = {id(w.task): w.layouts for w in wishes}
        program = Program(layouts=dict(home))
        late = sinks(step, home) if self.on_cpu else []
        tasks = with_moments(without(step.tasks, late))
        for task, sums in sums_of_products(step.shapes, tasks):
            program.what = _what(graph, task)
            if sums is not None and self._with_sums(program, graph, task, sums, home, asked):
                continue
            self._emit(program, task, step, home, asked.get(id(task)), whole)
            if sums is not None:
                program.what = _what(graph, sums)
                self._emit(program, sums, step, home, None, whole)
        for group in late:
            add_sweeps(program, group, graph)
        return program, step, home, whole

    def _with_sums(
        self,
        program: Program,
        graph: Graph,
        t: Task,
        sums: Task,
        home: Mapping[str, Layout],
        asked: Mapping[int, Mapping[str, Layout]],
    ) -> bool:
        """A sum of products and sums over its elements together, where these layouts suit both."""
        if not self.schedules.sums or id(t) not in asked:
            return False
        own = {b: home[b] for b in {t.out, *t.reads}}
        if self.schedules.working(t.nests, own, asked[id(t)]) != own:
            return False
        both = replace(t, also=(*sums.nests, *sums.also))
        what, program.what = program.what, f"{program.what} + {_what(graph, sums)}"
        if self._contract(program, both, home) is None:
            program.what = what
            return False
        return True

    def _placed(self, step: Step) -> tuple[list[Wish], dict[str, Layout]]:
        """What sums of products ask for, and where every buffer lies."""
        wishes = self._wishes(step, {})
        if prefer := batch_lanes(step, wishes):
            wishes = self._wishes(step, prefer)
        return wishes, place(step, wishes)

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
        program: Program,
        t: Task,
        step: Step,
        home: Mapping[str, Layout],
        asked: Mapping[str, Layout] | None,
        whole: frozenset[str],
    ) -> None:
        if t.kind == "opaque":
            self._emit_opaque(program, t, step, home, whole)
            return
        if t.kind == "contract" and asked is not None:
            own = {b: home[b] for b in {t.out, *t.reads, *t.writes}}
            best = self.schedules.working(t.nests, own, asked)
            for local in (best, own, own | dict(asked)):
                if self._on_copies(program, t, step, home, local, whole):
                    return
        if t.kind == "contract" and t.also:
            for part in apart(t):
                self._emit(program, part, step, home, asked, whole)
            return
        self._vector(program, t, home, whole)

    def _on_copies(
        self,
        program: Program,
        t: Task,
        step: Step,
        home: Mapping[str, Layout],
        local: Mapping[str, Layout],
        whole: frozenset[str],
    ) -> bool:
        """A sum of products in these layouts, on copies of what lies elsewhere; False where it has
        no kernel there."""
        moved = {b: f"{b}~{len(program.launches)}" for b in local if local[b] != home[b]}
        names = {b: moved.get(b, b) for b in local}
        named = {names[b]: layout for b, layout in local.items()}
        task = on_copies(t, names)
        trial = Program(dict(program.kernels), [], {}, {}, made=program.made)
        if moved and not self._contract(trial, task, named):
            return False
        for b, copy in moved.items():
            program.layouts[copy] = local[b]
            if b in t.reads:
                self._copy(program, b, copy, step, home[b], local[b], whole)
        found = self._contract(program, task, named)
        for b, copy in moved.items():
            if b in t.writes:
                self._copy(program, copy, b, step, local[b], home[b], whole)
        return found is not None

    def _contract(
        self, program: Program, t: Task, layouts: Mapping[str, Layout]
    ) -> tuple[FastKernel, ...] | None:
        nests, back = canonical_names((*t.nests, *t.also))
        local = {name: layouts[b] for name, b in back.items() if b in layouts}
        main, also = nests[: len(t.nests)], nests[len(t.nests) :]
        work = Work(main, local, also, t.store)

        def make() -> tuple[str, tuple[FastKernel, ...] | None]:
            key = work.key(self.precision, self.machine)
            return key, self._chosen(program, work, key)

        given = "sum", main, tuple(sorted(local.items())), also, t.store
        key, found = program.once(given, make)
        if found is not None:
            program.works.setdefault(key, (work, []))[1].append(program.what)
            program.add(found, back)
        return found

    def _chosen(self, program: Program, w: Work, key: str) -> tuple[FastKernel, ...] | None:
        """The kernels of the choice for this work, else the default ones."""
        choice = self.choices.get(key)
        if choice is not None:
            try:
                return self.schedules.contraction(BASE, w.nests, w.layouts, w.also, w.store, choice)
            except ValueError as error:
                program.stale[key] = str(error)
        return self.schedules.contraction(BASE, w.nests, w.layouts, w.also, w.store)

    def _vector(
        self, program: Program, t: Task, home: Mapping[str, Layout], whole: frozenset[str]
    ) -> None:
        nests, back = canonical_names((*t.nests, *t.also))
        local = {name: home[b] for name, b in back.items() if b in home}
        ints = frozenset(name for name, b in back.items() if b in whole)
        given = nests, tuple(sorted(local.items())), ints
        if t.kind == "moments":
            pair = partial(self.schedules.moments, BASE, nests[0], nests[1], local)
            both = program.once(("moments", *given), pair)
            if both is None:
                for n in (*t.nests, *t.also):
                    self._vector(program, Task("vector", t.call, n.out.tensor, (n,)), home, whole)
                return
            program.add(both, back)
            return
        groups = (nests,) if t.also else alike(nests) if self.on_cpu else [(n,) for n in nests]
        for group in groups:
            make = partial(self.schedules.vector, BASE, group, local, ints)
            program.add(program.once(("vector", group, *given), make), back)

    def _emit_opaque(
        self,
        program: Program,
        t: Task,
        step: Step,
        home: Mapping[str, Layout],
        whole: frozenset[str],
    ) -> None:
        names: dict[str, str] = {}
        for b in sorted({*t.reads, *t.writes}):
            plain = Layout.row_major(step.shapes[b])
            if home[b].axes != plain.axes:
                names[b] = f"{b}~{len(program.launches)}"
                program.layouts[names[b]] = plain
                if b in t.reads:
                    self._copy(program, b, names[b], step, home[b], plain, whole)
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
                self._copy(program, names[b], b, step, plain, home[b], whole)

    def _copy(
        self,
        program: Program,
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
        ints = frozenset(["t0", "t1"]) if {source, target} & whole else frozenset()
        layouts = {"t0": to_layout, "t1": from_layout}
        tiled = tiled_copy(BASE, to_layout, from_layout, bool(ints)) if self.on_cpu else None
        kernels = (tiled,) if tiled else self.schedules.vector(BASE, (nest,), layouts, ints)
        program.add(kernels, {"t0": target, "t1": source})
        program.what = what
