"""A recorded step as a fixed list of launches: fused, placed, scheduled, its memory shared.

Graph -> nodes -> one shape per buffer -> tasks, fused -> layouts -> kernels -> memory -> Plan
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from gradproof.codegen.fast.choices import Work, trial
from gradproof.codegen.fast.counts import check_counts
from gradproof.codegen.fast.emission import Program
from gradproof.codegen.fast.emitter import Emitter
from gradproof.codegen.fast.fusion import fused
from gradproof.codegen.fast.fusion_operands import served, with_operands
from gradproof.codegen.fast.fusion_sums import sums_of_products
from gradproof.codegen.fast.fusion_windows import with_windows
from gradproof.codegen.fast.graph import Graph
from gradproof.codegen.fast.layout import Layout
from gradproof.codegen.fast.placement import Wish, batch_lanes, place
from gradproof.codegen.fast.plan_data import as_data
from gradproof.codegen.fast.schedules import Schedules, schedules, unlimited
from gradproof.codegen.fast.selections import with_chosen
from gradproof.codegen.fast.sinks import sinks, without
from gradproof.codegen.fast.steps import check_tasks, step_of, with_moments, work
from gradproof.codegen.fast.sweep import add_sweeps
from gradproof.codegen.fast.tasks import Step, Task
from gradproof.derive.language import Definition

log = logging.getLogger(__name__)


def _what(graph: Graph, *tasks: Task) -> str:
    """The equations that tasks compute, for people."""
    calls = [graph.calls[t.call] for t in tasks]
    return " + ".join(f"{c.operator} {c.target}" for c in calls)


@dataclass(frozen=True)
class Planner:
    """How to plan: `precision` "fast" or "accurate", `machine`: for which, see `schedules`;
    `choices`: what a tuner found, by `Work.key`, see `choices`; `recompute`: memory matters more
    than time, see `recompute`; `piece`: elements of one allocation of temporaries, 0 for all."""

    precision: str = "fast"
    machine: str = "avx2"
    choices: Mapping[str, str] = field(default_factory=dict)
    recompute: bool = False
    piece: int = 0

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

        A choice that is none for its work is ignored; one warning says so. "replaced" of the plan
        says which schedules do not fit the machine's limits, and what takes their place.
        Errors: TooLarge, see `counts`."""
        program, step, home, whole = self._scheduled(data, definition)
        if program.stale:
            count, first = len(program.stale), next(iter(program.stale.values()))
            log.warning("%d tuned choices are ignored; tune again (%s)", count, first)
        s = self.schedules
        own = program, step, home, whole
        return as_data(*own, s.vectors, s.limits, self.recompute, self.piece)

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
        for t in step.tasks:
            check_counts(t.call, (*t.nests, *t.also), home)
        whole = frozenset(b for b, x in graph.buffers.items() if x.dtype == "int")
        asked = {id(w.task): w.layouts for w in wishes}
        program = Program(layouts=dict(home))
        given = self.schedules, self.choices, self._key, program, step, home, whole
        emitter = Emitter(*given, unlimited(self.precision, self.machine))
        late = sinks(step, home, not self.recompute) if self.on_cpu else []
        tasks = without(step.tasks, late)
        tasks, chosen = with_chosen(step, tasks, emitter.may_select)
        for task, sums in sums_of_products(step.shapes, with_moments(tasks)):
            layouts = asked.get(id(task))
            program.what = _what(graph, *([task] if sums is None else [task, sums]))
            alone = sums is None or id(task) in chosen
            if sums is not None and not alone and emitter.with_sums(task, sums, layouts):
                continue
            program.what = _what(graph, task)
            if id(task) in chosen:
                emitter.selected(chosen[id(task)])
            else:
                emitter.emit(task, layouts)
            if sums is not None:
                program.what = _what(graph, sums)
                emitter.emit(sums, None)
        for group in late:
            add_sweeps(program, group, graph)
        return program, step, home, whole

    def _key(self, w: Work) -> str:
        return w.key(self.precision, self.machine)

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
