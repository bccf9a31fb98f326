"""A planned step, bound to its buffers: what `gp.plan` returns."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from gradproof.runtime.compilers import start_compilers
from gradproof.runtime.dispatch import Launch, is_recording, reference_launch
from gradproof.runtime.errors import GradproofError, ShapeError
from gradproof.runtime.planned_memory import PlannedMemory, give_memory
from gradproof.runtime.recorded import RecordedGraph
from gradproof.runtime.tensor import Tensor
from gradproof.runtime.trace import Trace, refuse

Outputs = tuple[Tensor, ...]


@dataclass
class _Changing:
    """A scalar argument that is set again where its value has changed, which takes 10 µs."""

    position: int
    kind: type[np.generic]
    slot: str
    last: float | int | None = None

    def refresh(self, kernel: Any, values: Mapping[str, float | int]) -> None:
        """Set the argument, unless it has the value already."""
        value = values[self.slot]
        if value != self.last or self.last is None:
            kernel.set_arg(self.position, self.kind(value))
            self.last = value


class PlannedStep:
    """What `plan` returns. `launches`: kernels of one run; `bytes_planned`: memory of its
    temporaries, in bytes."""

    def __init__(
        self,
        trace: Trace,
        graph: RecordedGraph,
        plan: Mapping[str, Any],
        inputs: tuple[Tensor, ...],
        outputs: Outputs,
        single: bool,
    ) -> None:
        self.trace, self.inputs, self._single = trace, inputs, single
        self.device = next(iter(trace.calls[0].tensors.values())).device
        self.outputs = tuple(t.detach() for t in outputs)
        self.graph, self.plan = graph, plan
        self.dtype, self._slots, self.written = graph.dtype, graph.slots, graph.written
        self._values: dict[str, float | int] = {}
        give_memory(self.outputs, self.plan, graph)
        self._memory = PlannedMemory(self.plan, graph, self.device)
        self._build()
        self._bind_all()

    # -- running ----------------------------------------------------------------------------------
    def __call__(self, *arrays: Tensor | np.ndarray[Any, Any]) -> Any:
        """Copy new inputs in, run the step, and give its outputs, the same tensors every time.

        Errors: ShapeError for another number of inputs; those of `Tensor.copy_`. On error nothing
        has changed.
        """
        refuse("planned step", "plans do not nest")
        if len(arrays) != len(self.inputs):
            raise ShapeError(
                f"the planned step takes {len(self.inputs)} inputs, {len(arrays)} were given"
            )
        pairs = zip(self.inputs, arrays, strict=True)
        new = [
            (own, own.accepted(given, f"input {k} of the step"))
            for k, (own, given) in enumerate(pairs)
            if given is not own
        ]
        for own, accepted in new:
            own.overwrite(accepted)
        self.run()
        return self.outputs[0] if self._single else self.outputs

    def run(self) -> None:
        """Run the step on what its inputs hold now; does not wait for the device.

        Errors: GradproofError inside another plan or a recording.
        """
        refuse("planned step", "plans do not nest")
        if is_recording():
            raise GradproofError("planned step: it cannot be a part of a recording")
        if self._memory.moved():
            self._bind_all()
        self._ask()
        for kernel, scalar in self._scalars:
            scalar.refresh(kernel, self._values)
        self.device.launch_all(self._launches)
        for storage in self.written:
            storage.version += 1

    def _ask(self) -> None:
        """Host effects and changing scalars, in the order in which they were recorded."""
        for item in self.trace.order:
            if callable(item):
                item()
                continue
            for slot in self._asked.get(item, ()):
                self._values[slot] = self._slots[slot].value()

    # -- binding ----------------------------------------------------------------------------------
    def _build(self) -> None:
        """The program, and which slots each call asks for."""
        self._asked: dict[int, list[str]] = {}
        for name, slot in self._slots.items():
            if callable(slot.value):
                self._asked.setdefault(slot.call, []).append(name)
        names = sorted({x["kernel"] for x in self.plan["launches"] if x["kernel"]})
        self._program: Any = None
        if names:
            options = tuple(self.plan["options"][self.dtype])
            start_compilers(
                self.plan["source"],
                options,
                self.plan["launches"],
                self._memory.largest,
                self.dtype,
                self.device.context.devices[0],
            )
            built = self.device.build(
                self.plan["source"], options, names[:1], label="planned step", large=True
            )
            self._program = next(iter(built.values())).program

    def _bind_all(self) -> None:
        """Every launch on the buffers that its tensors have now, in the layouts of the plan."""
        self._memory.place()
        self._bound = [self._bind(x) for x in self.plan["launches"]]
        self._scalars = [(launch.kernel, s) for launch, found in self._bound for s in found]
        self._launches = [(x.kernel, x.global_size, x.local_size) for x, _ in self._bound]

    def _bind(self, x: Mapping[str, Any]) -> tuple[Launch, tuple[Any, ...]]:
        import pyopencl as cl

        buffers = [self._memory.buffer(b) for b in x["buffers"]]
        if not x["kernel"]:
            call = self.trace.calls[x["call"]]
            named = dict(zip(x["note"].split(","), buffers, strict=True))
            tensors = {n: named[self.graph.name(t)] for n, t in call.tensors.items()}
            return reference_launch(call.binding, call.spec, tensors, self.dtype, self.device), (
                self._reference_scalars(x["call"])
            )
        kernel = cl.Kernel(self._program, x["kernel"])
        for position, buffer in enumerate(buffers):
            kernel.set_arg(position, buffer)
        changing = []
        for k, (slot, dtype) in enumerate(x["scalars"]):
            kind = np.uint32 if dtype == "uint" else np.dtype(self.dtype).type
            value = self._slots[slot].value
            if callable(value):
                changing.append(_Changing(len(buffers) + k, kind, slot))
            else:
                kernel.set_arg(len(buffers) + k, kind(value))
        behind = len(buffers) + len(x["scalars"])
        for k, size in enumerate(x["sizes"]):
            kernel.set_arg(behind + k, np.int32(size))
        local = x["local"]
        launch = Launch(self.device, kernel, (x["groups"] * local,), (local,), tuple(buffers))
        return launch, tuple(changing)

    def _reference_scalars(self, number: int) -> tuple[Any, ...]:
        call = self.trace.calls[number]
        slots = {s.name: n for n, s in self._slots.items() if s.call == number}
        found = []
        for position, a in enumerate(call.spec.arguments):
            if a.kind == "scalar":
                kind = np.uint32 if a.dtype == "uint" else np.dtype(self.dtype).type
                found.append(_Changing(position, kind, slots[a.name]))
                value = self._slots[slots[a.name]].value
                if not callable(value):
                    self._values[slots[a.name]] = value
        return tuple(found)

    @property
    def launches(self) -> int:
        """Kernels that one run launches."""
        return len(self._bound)

    @property
    def bytes_planned(self) -> int:
        """Memory of the temporaries, in bytes."""
        nbytes: int = self._memory.nbytes
        return nbytes
