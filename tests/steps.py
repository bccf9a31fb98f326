"""A recorded step evaluated by NumPy: call by call as defined, or task by task as planned.

`Recorded.of` traces a step. `Recorded.interpreted` follows the definitions; `run` follows the tasks
of a planned `Step`, and refuses one whose result would depend on the order of its elements.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gradproof.codegen.fast.graph import Call, Graph, _equation
from gradproof.codegen.fast.nest import Nest
from gradproof.codegen.fast.steps import step_of
from gradproof.codegen.fast.tasks import Step, Task
from gradproof.derive.arithmetic import Numbers
from gradproof.derive.language import Definition
from gradproof.derive.machine import Machine
from gradproof.runtime.compile import _definition
from gradproof.runtime.recorded import RecordedGraph
from gradproof.runtime.tensor import Tensor
from gradproof.runtime.trace import Deferred, tracing
from tests.nests import evaluate

Array = NDArray[Any]
Arrays = dict[str, Array]
Outputs = Sequence[Tensor]


class Race(AssertionError):
    """A task reads an element that it writes elsewhere: its result depends on the order."""


@dataclass(frozen=True)
class Recorded:
    """A traced step: its graph, the numbers that it starts from, and the buffers that it gives."""

    graph: Graph
    definitions: Mapping[str, Definition]
    start: Mapping[str, Array]
    scalars: Mapping[str, float | int]
    names: Callable[[Tensor], str]

    @classmethod
    def of(cls, step: Callable[[], Outputs]) -> Recorded:
        """Trace a step without parameters, which returns the tensors that are kept."""
        with tracing() as trace:
            outputs = step()
        for leaf in trace.leaves:
            leaf.grad = None
        found = RecordedGraph(trace, {id(t.storage) for t in outputs})
        graph = Graph.of(found.data)
        start = {
            b: np.full(x.shape, np.nan) if _empty(found.tensors[b]) else found.tensors[b].numpy()
            for b, x in graph.buffers.items()
            if x.kind != "temporary"
        }
        asked: dict[int, list[str]] = {}
        for name, slot in found.slots.items():
            asked.setdefault(slot.call, []).append(name)
        scalars: dict[str, float | int] = {}
        for item in trace.order:
            if callable(item):
                item()
                continue
            for name in asked.get(item, ()):
                value = found.slots[name].value
                scalars[name] = value() if callable(value) else value
        operators = {c.binding.operator.name: c.binding.operator for c in trace.calls}
        definitions = {name: _definition(op) for name, op in operators.items()}
        return cls(graph, definitions, start, scalars, found.name)

    @property
    def unfused(self) -> Step:
        """One task per call."""
        return step_of(self.graph, self.definitions.__getitem__)

    def arrays(self, dtype: Any) -> Arrays:
        """The external buffers before the step, the real ones as `dtype`."""
        return {
            b: a.astype(np.int64 if self.graph.buffers[b].dtype == "int" else dtype)
            for b, a in self.start.items()
        }

    def interpreted(self, dtype: Any = np.float64) -> Arrays:
        """The external buffers after the step, call by call, from the definitions alone."""
        arrays = self.arrays(dtype)
        for call in self.graph.calls:
            b = call.tensors[call.target]
            seen = self.computed(call, arrays)
            arrays[b] = seen.reshape(self.graph.buffers[b].shape)
        return {b: arrays[b] for b in self.start}

    def computed(self, call: Call, arrays: Mapping[str, Array]) -> Array:
        """The target of one call, in the shape in which the definition has it."""
        definition = self.definitions[call.operator]
        variant = next(v for v in definition.variants() if v.name == call.variant)
        part, _ = _equation(variant, call.target)
        machine = Machine.sized(part, call.sizes)
        machine.numbers = Wide()
        machine.scalars = {n: np.longdouble(self.scalars[s]) for n, s in call.scalars.items()}
        machine.scalars |= {
            n: int(self.scalars[call.scalars[n]])
            for n, kind in part.scalars
            if kind == "uint"
            if n in call.scalars
        }
        for name, b in call.tensors.items():
            if b in arrays:
                machine.tensors[name] = arrays[b].reshape(machine.shapes[name])
        machine.numbers.dtype = next(
            (a.dtype for a in machine.tensors.values() if a.dtype.kind == "f"), np.float64
        )
        with np.errstate(all="ignore"):
            return machine.equation(call.target)


class Wide(Numbers):
    """Floats of any width."""

    def element(self, x: Any) -> Any:
        return self.dtype.type(x)

    def function(self, name: str, x: Array) -> Array:
        found: Array = {"exp": np.exp, "log": np.log, "tanh": np.tanh, "fabs": np.abs}[name](x)
        return found


def _empty(t: Tensor) -> bool:
    return isinstance(t.storage, Deferred) and t.storage.empty


def run(step: Step, recorded: Recorded, dtype: Any = np.float64) -> Arrays:
    """The external buffers after a planned step, task by task.

    Errors: Race; AssertionError where a task leaves an element out or writes one twice."""
    shapes = {b: x.shape for b, x in recorded.graph.buffers.items()}
    arrays = {b: a.reshape(step.shapes[b]) for b, a in recorded.arrays(dtype).items()}
    for t in step.tasks:
        assert t.reads <= set(arrays), f"{t.out}: {set(t.reads) - set(arrays)} is not computed yet"
        if t.kind == "opaque":
            call = recorded.graph.calls[t.call]
            arrays[t.out] = recorded.computed(call, arrays).reshape(step.shapes[t.out])
        else:
            _check_races(t)
            inside = _run_task(t, step, arrays, recorded.scalars)
            arrays |= {b: a for b, a in inside.items() if b in t.writes}
    return {b: arrays[b].reshape(shapes[b]) for b in recorded.start}


def _run_task(
    t: Task, step: Step, arrays: Arrays, scalars: Mapping[str, float | int]
) -> dict[str, Array]:
    if t.also:
        _check_group(t)
    inside = dict(arrays)
    written = [_target(t.nests, step, inside, scalars)]
    inside[t.out] = written[0]
    for n in t.also:
        inside[n.out.tensor] = _target((n,), step, inside, scalars)
    return {b: inside[b] for b in {t.out, *(n.out.tensor for n in t.also)}}


def _target(
    nests: tuple[Nest, ...],
    step: Step,
    arrays: Mapping[str, Array],
    scalars: Mapping[str, float | int],
) -> Array:
    """All phases; every element exactly once."""
    (name,) = {n.out.tensor for n in nests}
    shape = step.shapes[name]
    count = np.zeros(shape, np.int64)
    out: Array | None = None
    for n in nests:
        with np.errstate(all="ignore"):
            places, value = evaluate(n, arrays, scalars)
        np.add.at(count, places, np.ones(value.shape, np.int64))
        out = np.zeros(shape, value.dtype) if out is None else out
        out[places] = value
    assert (count == 1).all(), f"{name}: elements written {np.unique(count)} times"
    assert out is not None
    return out


def _check_races(t: Task) -> None:
    """What a task reads of its own targets is the element that it writes, outside of sums."""
    nests = (*t.nests, *t.also)
    written = {n.out.tensor: n.out for n in nests}
    for n in nests:
        inner = {k for r in n.reductions for k in n.used(r.term)}
        inner |= {k for r in n.reductions for c in r.conditions for k in n.used(c)}
        for k, read in enumerate(n.reads):
            if read.tensor not in written:
                continue
            places = {m.out.subscripts for m in nests if m.out.tensor == read.tensor}
            own = n.out.subscripts if n.out.tensor == read.tensor else None
            at = places if own is None else {own}
            if read.subscripts not in at or k in inner or read.outside != "never":
                raise Race(f"{n.out} reads {read}, which the same task writes")


def _check_group(t: Task) -> None:
    """Nests that share a pass run over the same loops, also those of their sums."""
    extents: dict[str, int] = {}
    for n in (*t.nests, *t.also):
        assert n.loops == t.nests[0].loops, f"{n.out} runs over {n.loops}"
        own = [*n.loops, *(x for r in n.reductions for x in r.loops)]
        assert len(n.extents) == len(set(own)), f"{n.out}: one loop has two extents"
        for v, e in own:
            assert extents.setdefault(v, e) == e, f"{t.out} and {n.out}: loop {v}"


def rounding(exact: Arrays, recorded: Recorded, step: Step) -> dict[str, float]:
    """How far float64 is from wider floats in the same step, at most; and 4 units in the last
    place. A plan that only rounds elsewhere is closer than that in wider floats."""
    narrow = run(step, recorded, np.float64)
    unit = 4 * np.finfo(np.float64).eps
    return {
        b: float(np.abs(narrow[b] - a).max() + unit * np.abs(a).max()) if a.size else 0.0
        for b, a in exact.items()
    }
