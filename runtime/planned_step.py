"""A planned step, bound to its buffers: what `gp.plan` returns."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from typing import Any

import numpy as np

from gradproof.runtime.anomaly import Watch, active_watch
from gradproof.runtime.checked_step import CheckedStep
from gradproof.runtime.compilers import start_compilers
from gradproof.runtime.dispatch import Launch, is_recording, reference_launch
from gradproof.runtime.errors import GradproofError, ShapeError
from gradproof.runtime.marked import BEFORE, MarkedValues
from gradproof.runtime.planned_limits import check_launches, say_limits
from gradproof.runtime.planned_memory import PlannedMemory, StepMemory, give_memory
from gradproof.runtime.reading import active_reading
from gradproof.runtime.recorded import RecordedGraph
from gradproof.runtime.tensor import Tensor
from gradproof.runtime.trace import Trace, refuse

Outputs = tuple[Tensor, ...]


class _Changing:
    """The arguments of a launch with changing scalars. Where one has changed all are set again at
    once, some µs for 50 of them; a number that is set alone takes 10 µs."""

    def __init__(
        self, kernel: Any, arguments: list[Any], slots: dict[int, tuple[Any, str]]
    ) -> None:
        """slots: position -> the scalar's type, and its slot."""
        kinds = [np.int32 if isinstance(a, np.int32) else None for a in arguments]
        for position, (kind, _) in slots.items():
            kinds[position] = kind
        kernel.set_scalar_arg_dtypes(kinds)
        self._kernel, self._arguments, self._positions = kernel, arguments, list(slots)
        self._names = [name for _, name in slots.values()]
        self._last: list[float | int] | None = None

    def refresh(self, values: Mapping[str, float | int]) -> None:
        """Set the arguments, unless the scalars have the values already."""
        now = [values[name] for name in self._names]
        if now == self._last:
            return
        for position, value in zip(self._positions, now, strict=True):
            self._arguments[position] = value
        self._kernel.set_args(*self._arguments)
        self._last = now


class PlannedStep:
    """What `plan` returns. `launches`: kernels of one run; `memory`: what it takes;
    `bytes_planned`: memory of its temporaries, in bytes."""

    def __init__(
        self,
        trace: Trace,
        graph: RecordedGraph,
        plan: Mapping[str, Any],
        inputs: tuple[Tensor, ...],
        outputs: Outputs,
        single: bool,
        recompute: bool = False,
    ) -> None:
        self.trace, self.inputs, self._single = trace, inputs, single
        self.device = next(iter(trace.calls[0].tensors.values())).device
        self.outputs = tuple(t.detach() for t in outputs)
        self.graph, self.plan = graph, plan
        self.dtype, self._slots, self.written = graph.dtype, graph.slots, graph.written
        self._values: dict[str, float | int] = {}
        self.memory = StepMemory.of(plan, graph)
        self.memory.check(self.device.info, recompute)
        check_launches(plan, graph, self.device.info)
        say_limits(plan, self.memory)
        give_memory(self.outputs, self.plan, graph)
        self._memory = PlannedMemory(self.plan, graph, self.device)
        self._checked: CheckedStep | None = None
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

        Errors: GradproofError inside another plan or a recording; AnomalyError inside
        `detect_anomaly`, where the step is run launch by launch.
        """
        refuse("planned step", "plans do not nest")
        if is_recording():
            raise GradproofError("planned step: it cannot be a part of a recording")
        if self._memory.moved():
            self._bind_all()
        self._ask()
        for changing in self._changing:
            changing.refresh(self._values)
        watch, read = active_watch(), active_reading()
        marked = None if read is None else self._marked
        try:
            if watch is not None:
                self._run_checked(watch, marked)
            elif marked is not None:
                self._run_reading(marked)
            else:
                self.device.launch_all(self._launches, self._words)
        finally:
            for storage in self.written:
                storage.version += 1
        if read is not None and marked is not None:
            read |= marked.values(self._values)

    @cached_property
    def _marked(self) -> MarkedValues:
        return MarkedValues(self.trace, self.graph, self.plan, self._memory)

    def _run_checked(self, watch: Watch, marked: MarkedValues | None) -> None:
        if self._checked is None:
            self._checked = CheckedStep(self.trace, self.graph, self.plan, self._memory)
        if marked is not None:
            marked.after(BEFORE)
        after = None if marked is None else marked.after
        self._checked.run(self._bound, self._values, watch, after)

    def _run_reading(self, marked: MarkedValues) -> None:
        """The launches in parts, between which complete values are read."""
        marked.after(BEFORE)
        start = 0
        for k in sorted({*marked.due, len(self._launches) - 1} - {BEFORE}):
            self.device.launch_all(self._launches[start : k + 1], self._words[start : k + 1])
            marked.after(k)
            start = k + 1

    def _ask(self) -> None:
        """Host effects and changing scalars, in the order in which they were recorded."""
        values = self._values
        for slot, ask in self._asked:
            values[slot] = ask()

    # -- binding ----------------------------------------------------------------------------------
    def _build(self) -> None:
        """The program, and what is asked before each run, in order."""
        scalars: dict[int, list[tuple[str, Any]]] = {}
        for name, slot in self._slots.items():
            if callable(slot.value):
                scalars.setdefault(slot.call, []).append((name, slot.value))
        self._asked: list[tuple[str, Any]] = []  # a slot, or "" for a host effect, and what to call
        for item in self.trace.order:
            self._asked += [("", item)] if callable(item) else scalars.get(item, [])
        names = sorted({x["kernel"] for x in self.plan["launches"] if x["kernel"]})
        self._program: Any = None
        if names:
            options = tuple(self.plan["options"][self.dtype])
            built = self.device.build(
                self.plan["source"], options, names[:1], label="planned step", large=True
            )
            self._program = next(iter(built.values())).program
            start_compilers(  # now, as they find the program that was just built in PoCL's files
                self.plan["source"],
                options,
                self.plan["launches"],
                self._memory.largest,
                self.dtype,
                self.device.context.devices[0],
            )

    def _bind_all(self) -> None:
        """Every launch on the buffers that its tensors have now, in the layouts of the plan."""
        self._memory.place()
        self._changing: list[_Changing] = []
        self._bound = [self._bind(x) for x in self.plan["launches"]]
        self._words = self._described()
        self._launches = [(x.kernel, x.global_size, x.local_size) for x in self._bound]

    def _described(self) -> list[str]:
        """Each launch, and whose results it writes, for errors."""
        writers: dict[str, list[str]] = {}
        for c in self.trace.calls:
            writers.setdefault(self.graph.name(c.tensors[c.spec.target]), []).append(c.place)
        words = []
        for k, x in enumerate(self.plan["launches"], 1):
            kernel = x["kernel"] or self.trace.calls[x["call"]].spec.name
            places = dict.fromkeys(p for b in x["writes"] for p in writers.get(b, ()))
            layers = f" of {', '.join(places)}" if places else ""
            count = len(self.plan["launches"])
            words.append(
                f"kernel {kernel}, launch {k} of {count} of a planned step: {x['what']}{layers}"
            )
        return words

    def _bind(self, x: Mapping[str, Any]) -> Launch:
        import pyopencl as cl

        buffers = [self._memory.buffer(b) for b in x["buffers"]]
        if not x["kernel"]:
            call = self.trace.calls[x["call"]]
            named = dict(zip(x["note"].split(","), buffers, strict=True))
            tensors = {n: named[self.graph.name(t)] for n, t in call.tensors.items()}
            launch = reference_launch(call.binding, call.spec, tensors, self.dtype, self.device)
            self._set(launch.kernel, *self._reference_arguments(x["call"], launch))
            return launch
        kernel = cl.Kernel(self._program, x["kernel"])
        scalars = [(self._kind(dtype), slot) for slot, dtype in x["scalars"]]
        arguments = [*buffers, *[None] * len(scalars), *map(np.int32, x["sizes"])]
        self._set(kernel, arguments, dict(enumerate(scalars, len(buffers))))
        local = x["local"]
        return Launch(self.device, kernel, (x["groups"] * local,), (local,), tuple(buffers))

    def _reference_arguments(
        self, number: int, launch: Launch
    ) -> tuple[list[Any], dict[int, tuple[Any, str]]]:
        slots = {t.name: n for n, t in self._slots.items() if t.call == number}
        arguments: list[Any] = list(launch.keep)
        found = {}
        for position, a in enumerate(self.trace.calls[number].spec.arguments):
            if a.kind == "scalar":
                found[position] = (self._kind(a.dtype), slots[a.name])
                arguments.insert(position, None)
        return arguments, found

    def _kind(self, dtype: str) -> Any:
        return np.uint32 if dtype == "uint" else np.dtype(self.dtype).type

    def _set(self, kernel: Any, arguments: list[Any], slots: dict[int, tuple[Any, str]]) -> None:
        """Set all arguments, now or, where a scalar changes, before the runs."""
        values = {n: self._slots[n].value for _, n in slots.values()}
        if any(map(callable, values.values())):
            self._values |= {n: v for n, v in values.items() if not callable(v)}
            self._changing.append(_Changing(kernel, arguments, slots))
            return
        for position, (kind, name) in slots.items():
            arguments[position] = kind(values[name])
        for position, value in enumerate(arguments):
            kernel.set_arg(position, value)

    @property
    def launches(self) -> int:
        """Kernels that one run launches."""
        return len(self._bound)

    @property
    def bytes_planned(self) -> int:
        """Memory of the temporaries, in bytes."""
        return self.memory.temporaries
