"""A planned forward pass as tables for a host in another language: programs, buffers, launches.

Everything that Python decides is decided here: sizes, places, layouts, geometry. What is left for
the host is to make the buffers, to set the arguments and to launch.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gradproof.runtime.dispatch import reference_geometry, reference_options
from gradproof.runtime.errors import GradproofError, ShapeError
from gradproof.runtime.layout import laid_out
from gradproof.runtime.planned_memory import layout_of, piece_sizes
from gradproof.runtime.planned_step import PlannedStep
from gradproof.runtime.schedule import choose_phases
from gradproof.runtime.tensor import OVERHANG
from gradproof.runtime.trace import TracedCall

KERNELS = "kernels.cl"


@dataclass(frozen=True)
class HostProgram:
    """An OpenCL program: the name of its file, its text and its build options."""

    file: str
    source: str
    options: tuple[str, ...]

    @property
    def crc(self) -> int:
        """CRC-32 of its text."""
        return zlib.crc32(self.source.encode())


@dataclass(frozen=True)
class HostBuffer:
    """kind "zeros": memory of its own, zeroed once; "weights": the next `bytes` of the weights;
    "part": of the buffer number `parent`, from byte `offset` on."""

    name: str
    kind: str
    bytes: int
    parent: int = 0
    offset: int = 0


@dataclass(frozen=True)
class HostArgument:
    """kind "buffer": the number of one; else a number of kind "real", "int" or "uint"."""

    kind: str
    value: float | int


@dataclass(frozen=True)
class HostLaunch:
    """A kernel of program number `program`; `work_items` are a multiple of `group`."""

    program: int
    kernel: str
    work_items: int
    group: int
    arguments: tuple[HostArgument, ...]
    what: str


@dataclass
class HostPlan:
    """The tables. `weights`: their arrays as they lie in memory, in order; `input`, `output`: the
    numbers of these buffers, which are row-major; `overhang`: bytes that may be read behind the end
    of every buffer that is no part of another."""

    programs: list[HostProgram] = field(default_factory=list)
    buffers: list[HostBuffer] = field(default_factory=list)
    launches: list[HostLaunch] = field(default_factory=list)
    weights: list[NDArray[Any]] = field(default_factory=list)
    input: int = 0
    output: int = 0
    overhang: int = OVERHANG


def host_plan(step: PlannedStep, names: Mapping[int, str]) -> HostPlan:
    """The tables of a forward pass planned by `plan_row_major` of one input and one result.

    names: identity of a storage -> how errors and comments call it.
    Errors: GradproofError where it changes something besides its result, has a number that is
    asked for in every run, or does not read its input.
    """
    _check_constant(step)
    return _Tables(step, names).found


class _Tables:
    """Builds the tables of one step."""

    def __init__(self, step: PlannedStep, names: Mapping[int, str]) -> None:
        self.step, self.names, self.found = step, names, HostPlan()
        self._itemsize = {"real": np.dtype(step.dtype).itemsize, "int": 4}
        self._numbers: dict[Any, int] = {}  # of buffers, by what they are
        self._programs: dict[tuple[str, tuple[str, ...]], int] = {}
        self.found.input = self._own("images", step.inputs[0])
        self.found.output = self._own("logits", step.outputs[0])
        for kind, pieces in sorted(piece_sizes(step.plan).items()):
            for number, elements in enumerate(pieces):
                nbytes = max(1, elements) * self._itemsize[kind]
                whole = HostBuffer(f"temporaries ({kind})", "zeros", nbytes)
                self._add((kind, number), whole)
        self.found.launches = [self._launch(x) for x in step.plan["launches"]]
        used = {a.value for x in self.found.launches for a in x.arguments if a.kind == "buffer"}
        if self.found.input not in used:
            raise GradproofError("export: the model's result does not depend on the images")

    # -- buffers ----------------------------------------------------------------------------------
    def _own(self, name: str, t: Any) -> int:
        if t.storage.layout is not None:
            raise GradproofError(f"export: the plan moved the {name}, which stay row-major")
        return self._add(id(t.storage), HostBuffer(name, "zeros", t.size * t.dtype.itemsize))

    def _add(self, key: Any, buffer: HostBuffer) -> int:
        self._numbers[key] = len(self.found.buffers)
        self.found.buffers.append(buffer)
        return self._numbers[key]

    def _buffer(self, name: str) -> int:
        """The number of a buffer of the plan."""
        places = self.step.plan["places"]
        if name not in places:
            return self._outside(name)
        kind, place, room = places[name]
        key = kind, place, room
        if key not in self._numbers:
            size = self._itemsize[kind]
            number, place = (
                divmod(place, piece) if (piece := self.step.plan["piece"]) else (0, place)
            )
            parent = self._numbers[kind, number]
            part = HostBuffer("temporary", "part", room * size, parent, place * size)
            self._add(key, part)
        return self._numbers[key]

    def _outside(self, name: str) -> int:
        t = self.step.graph.tensors[name]
        if id(t.storage) not in self._numbers:
            x = self.step.plan["layouts"].get(name)
            called = self.names.get(id(t.storage), "constant")
            memory = laid_out(t.storage.read(t.size, t.dtype), None if x is None else layout_of(x))
            self._weights(id(t.storage), f"{called} {t.shape}", memory)
        return self._numbers[id(t.storage)]

    def _weights(self, key: Any, name: str, memory: NDArray[Any]) -> int:
        self.found.weights.append(memory)
        return self._add(key, HostBuffer(name, "weights", memory.nbytes))

    # -- launches ---------------------------------------------------------------------------------
    def _launch(self, x: Mapping[str, Any]) -> HostLaunch:
        if not x["kernel"]:
            return self._reference(x)
        plan = self.step.plan
        program = self._program(plan["source"], tuple(plan["options"][self.step.dtype]))
        slots = self.step.graph.slots
        arguments = (
            *(HostArgument("buffer", self._buffer(b)) for b in x["buffers"]),
            *(HostArgument(kind, slots[slot].value) for slot, kind in x["scalars"]),
            *(HostArgument("int", size) for size in x["sizes"]),
        )
        items = x["groups"] * x["local"]
        return HostLaunch(program, x["kernel"], items, x["local"], arguments, x["what"])

    def _reference(self, x: Mapping[str, Any]) -> HostLaunch:
        """The launch of an equation that has no planned kernel."""
        call = self.step.trace.calls[x["call"]]
        form = choose_phases(call.binding, call.spec)
        op, dtype = call.binding.operator, self.step.dtype
        program = self._program(op.program((form.name,)), tuple(reference_options(op, dtype)))
        buffers = dict(zip(x["note"].split(","), map(self._buffer, x["buffers"]), strict=True))
        arguments = tuple(self._argument(a, call, buffers) for a in form.arguments)
        items, group = reference_geometry(call.binding, form, self.step.device)
        return HostLaunch(program, form.name, items, group, arguments, f"{op.name} {form.target}")

    def _argument(self, a: Any, call: TracedCall, buffers: Mapping[str, int]) -> HostArgument:
        if a.kind == "scalar":
            value: Any = call.scalars[a.name]
            return HostArgument(a.dtype, value)
        if a.kind == "sizes":
            key = call.binding, "sizes"
            if key not in self._numbers:
                sizes = np.fromiter(call.binding.sizes.values(), np.int32)
                self._weights(key, f"sizes of {call.binding.operator.name}", sizes)
            return HostArgument("buffer", self._numbers[key])
        return HostArgument("buffer", buffers[self.step.graph.name(call.tensors[a.name])])

    def _program(self, source: str, options: tuple[str, ...]) -> int:
        key = source, options
        if key not in self._programs:
            self._programs[key] = count = len(self._programs)
            own = source is self.step.plan["source"]
            file = KERNELS if own else f"reference_{count}.cl"
            self.found.programs.append(HostProgram(file, source, options))
        return self._programs[key]


def _check_constant(step: PlannedStep) -> None:
    """Errors: GradproofError where a run is more than its launches."""
    for call in _changing(step):
        raise GradproofError(
            f"export: {call.label} takes a number that changes from run to run, expected a model"
            " that gives the same logits for the same images"
        )
    if any(callable(item) for item in step.trace.order):
        raise GradproofError("export: the model does something on the host in each run")
    results = {id(t.storage) for t in step.outputs}
    for call in step.trace.calls:
        target = call.tensors[call.spec.target].storage
        if id(target) not in results and any(target is s for s in step.written):
            raise GradproofError(
                f"export: {call.label} changes {call.spec.target} in each run, expected a model"
                " whose only results are its logits"
            )
    if len(results & {id(s) for s in step.written}) != len(step.outputs):
        raise ShapeError("export: the model returns a tensor that it does not compute")


def _changing(step: PlannedStep) -> Iterator[TracedCall]:
    """The calls that have a changing scalar."""
    for slot in step.graph.slots.values():
        if callable(slot.value):
            yield step.trace.calls[slot.call]
