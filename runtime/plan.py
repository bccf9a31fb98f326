"""A step planned once and run many times: a fixed list of launches on memory that is reused.

`plan(step, *examples)` calls `step` once without running anything, and hands what it would do to
the planner: equations are fused, temporaries get the layouts that fast kernels want and share
memory. What comes back is kept in the user's cache, so the next process need not plan again.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from gradproof.runtime.device import Device, DeviceInfo
from gradproof.runtime.dispatch import Launch, is_recording, reference_launch
from gradproof.runtime.errors import ArgumentError, GradproofError, ShapeError
from gradproof.runtime.layout import Layout
from gradproof.runtime.tensor import Storage, Tensor, upload
from gradproof.runtime.trace import Deferred, Trace, refuse, tracing
from gradproof.runtime.tuned import tuned_choices

PRECISIONS = ("fast", "accurate")
Outputs = tuple[Tensor, ...]


def plan(step: Callable[..., Any], *examples: Tensor, precision: str = "fast") -> PlannedStep:
    """Plan a function of tensors: a model's forward pass, or a whole training step.

    step: called once with `examples`; it returns a tensor or a tuple of tensors, and may update
    parameters in place (`optimizer.step()`). It must not read or copy values. examples: tensors;
    later calls take arrays or tensors of the same shapes, which are copied into these. precision:
    "fast" allows fused Winograd transforms of 4 outputs per axis, "accurate" of 2.
    Gradients are the step's own: each run starts without, and `.grad` is None after it.
    Errors: GradproofError where the step reads a value; ArgumentError for another precision or
    result, and for examples that share memory; DTypeError, DeviceError for a step of two real
    types or devices.

    >>> import gradproof as gp
    >>> layer = gp.nn.Linear(4, 2)
    >>> x = gp.tensor([[1.0, 2.0, 3.0, 4.0]])
    >>> planned = plan(lambda t: gp.functional.relu(layer(t)), x)
    >>> bool((planned(x).numpy() == gp.functional.relu(layer(x)).numpy()).all())
    True
    """
    if precision not in PRECISIONS:
        raise ArgumentError(f"plan: precision={precision!r}, expected one of {PRECISIONS}")
    for k, t in enumerate(examples):
        if not isinstance(t, Tensor):
            raise ArgumentError(f"plan: example {k} is {type(t).__name__}, expected a Tensor")
        if any(t.storage is other.storage for other in examples[:k]):
            raise ArgumentError(f"plan: example {k} shares its memory with one before it")
    trace, outputs, single = _traced(step, examples)
    return PlannedStep(trace, examples, outputs, single, precision)


def planned_data(
    step: Callable[..., Any], *examples: Tensor, precision: str = "fast", machine: str = ""
) -> tuple[Mapping[str, Any], int]:
    """The plan of a step as data, and the bytes of its temporaries; nothing is built or run.
    machine: for which, as `codegen.fast.schedules` names it; by default the tensors' device."""
    trace, outputs, _ = _traced(step, examples)
    graph = _Graph(trace, {id(t.storage) for t in outputs})
    found = _plan_of(trace, graph, precision, machine)
    sizes = {"real": np.dtype(graph.dtype).itemsize, "int": 4}
    return found, sum(n * sizes[kind] for n, kind in found["slots"])


def tuning_trials(
    step: Callable[..., Any], *examples: Tensor, precision: str = "fast"
) -> tuple[list[dict[str, Any]], Device, str]:
    """What `runtime.tuning` measures for a step: see `compile.trials_of_graph`; the tensors' device
    and the name of their real type."""
    from gradproof.runtime.compile import trials_of_graph

    trace, outputs, _ = _traced(step, examples)
    graph = _Graph(trace, {id(t.storage) for t in outputs})
    device = next(iter(trace.calls[0].tensors.values())).device
    used = [c.binding.operator for c in trace.calls]
    found = trials_of_graph(graph.data, used, precision, vector_machine(device.info))
    return found, device, graph.dtype


def _traced(step: Callable[..., Any], examples: tuple[Tensor, ...]) -> tuple[Trace, Outputs, bool]:
    """What a step would do, its results, and whether it returns one tensor alone."""
    with tracing() as trace:
        result = step(*examples)
    single = isinstance(result, Tensor)
    outputs = (result,) if single else result
    if not isinstance(outputs, tuple) or not outputs:
        raise ArgumentError(
            f"plan: the step returns {_kind(result)}, expected a Tensor or a tuple of Tensors"
        )
    for k, t in enumerate(outputs):
        if not isinstance(t, Tensor):
            raise ArgumentError(f"plan: result {k} of the step is {_kind(t)}, expected a Tensor")
        trace.check_known(t)
    if not trace.calls:
        raise GradproofError("plan: the step launches no kernel")
    return trace, outputs, single


def _kind(value: Any) -> str:
    return repr(value) if value is None or value == () else type(value).__name__


def _plan_of(trace: Trace, graph: _Graph, precision: str, machine: str = "") -> dict[str, Any]:
    from gradproof.runtime.compile import plan_graph

    device = next(iter(trace.calls[0].tensors.values())).device
    used = [c.binding.operator for c in trace.calls]
    machine = machine or vector_machine(device.info)
    return plan_graph(graph.data, used, precision, machine, tuned_choices(device.info))


@dataclass(frozen=True)
class _Slot:
    """A scalar of a recorded call: a number, or a function that is asked before every run."""

    call: int
    name: str
    value: Any


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
        inputs: tuple[Tensor, ...],
        outputs: Outputs,
        single: bool,
        precision: str,
    ) -> None:
        self._trace, self._inputs, self._single = trace, inputs, single
        self.device = next(iter(trace.calls[0].tensors.values())).device
        self.outputs = tuple(t.detach() for t in outputs)
        self._graph = graph = _Graph(trace, {id(t.storage) for t in outputs})
        self.plan = _plan_of(trace, graph, precision)
        self.dtype, self._slots, self._written = graph.dtype, graph.slots, graph.written
        self._values: dict[str, float | int] = {}
        _give_memory(self.outputs, self.plan, graph)
        self._memory = _Memory(self.plan, graph, self.device)
        self._build()
        self._bind_all()

    # -- running ----------------------------------------------------------------------------------
    def __call__(self, *arrays: Tensor | np.ndarray[Any, Any]) -> Any:
        """Copy new inputs in, run the step, and give its outputs, the same tensors every time.

        Errors: ShapeError for another number of inputs; those of `Tensor.copy_`. On error nothing
        has changed.
        """
        refuse("planned step", "plans do not nest")
        if len(arrays) != len(self._inputs):
            raise ShapeError(
                f"the planned step takes {len(self._inputs)} inputs, {len(arrays)} were given"
            )
        pairs = zip(self._inputs, arrays, strict=True)
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
        for storage in self._written:
            storage.version += 1

    def _ask(self) -> None:
        """Host effects and changing scalars, in the order in which they were recorded."""
        by_call: dict[int, list[str]] = self._asked
        for item in self._trace.order:
            if callable(item):
                item()
                continue
            for slot in by_call.get(item, ()):
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
            built = self.device.build(self.plan["source"], options, names, label="planned step")
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
            call = self._trace.calls[x["call"]]
            named = dict(zip(x["note"].split(","), buffers, strict=True))
            tensors = {n: named[self._graph.name(t)] for n, t in call.tensors.items()}
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
        local = x["local"]
        launch = Launch(self.device, kernel, (x["groups"] * local,), (local,), tuple(buffers))
        return launch, tuple(changing)

    def _reference_scalars(self, number: int) -> tuple[Any, ...]:
        call = self._trace.calls[number]
        slots = {s.name: n for n, s in self._slots.items() if s.call == number}
        found = []
        for position, a in enumerate(call.spec.arguments):
            if a.kind == "scalar":
                kind = np.uint32 if a.dtype == "uint" else np.dtype(self.dtype).type
                found.append(_Changing(position, kind, slots[a.name]))
                value = self._slots[slots[a.name]].value
                if not callable(value):
                    self._constant(slots[a.name], value)
        return tuple(found)

    def _constant(self, slot: str, value: float | int) -> None:
        self.__dict__.setdefault("_values", {})[slot] = value

    @property
    def launches(self) -> int:
        """Kernels that one run launches."""
        return len(self._bound)

    @property
    def bytes_planned(self) -> int:
        """Memory of the temporaries, in bytes."""
        nbytes: int = self._memory.nbytes
        return nbytes


# Processors, as LLVM calls them, for which it uses 32 registers of 512 bits.
_WIDE = ("avx512", "lake", "rapids", "-v4", "znver4", "znver5")
_NARROW = ("skylake", "kabylake", "cometlake", "alderlake", "raptorlake", "meteorlake")


def vector_machine(device: DeviceInfo) -> str:
    """What the planner schedules for: "gpu" (and the work-items of a group where they are below
    256), or what vectors of 16 lanes become on a CPU: "avx512" or "avx2", by the processor that the
    compiler names in the device's version.

    PoCL before LLVM 15 takes a Zen 4 for a Zen 3, and so uses half the registers that it has.
    """
    if device.kind != "cpu":
        items = min(device.max_work_group, device.max_work_item_sizes[0])
        return "gpu" if items >= 256 else f"gpu {2 ** (items.bit_length() - 1)}"
    name = device.version.rsplit("-gnu-", 1)[-1].lower()
    wide = any(part in name for part in _WIDE) and name not in _NARROW
    return "avx512" if wide else "avx2"


class _Graph:
    """A trace as plain data for the planner, and what its names stand for.

    kept: identities of the storages that the step returns.
    """

    def __init__(self, trace: Trace, kept: set[int]) -> None:
        self.storages: dict[str, Storage] = {}
        self.tensors: dict[str, Tensor] = {}
        self._names: dict[int, str] = {}
        self.slots: dict[str, _Slot] = {}
        self.dtype = ""
        buffers: dict[str, Any] = {}
        calls = []
        for number, call in enumerate(trace.calls):
            tensors = {name: self._add(t) for name, t in call.tensors.items()}
            for t in call.tensors.values():
                buffers.setdefault(self.name(t), _buffer(t, kept))
                self.dtype = self.dtype if t.dtype.kind == "i" else str(t.dtype)
            scalars = {}
            for name, value in call.scalars.items():
                scalars[name] = slot = f"s{len(self.slots)}"
                self.slots[slot] = _Slot(number, name, value)
            calls.append(
                {
                    "operator": call.binding.operator.name,
                    "variant": call.binding.variant.name,
                    "target": call.spec.target,
                    "sizes": call.binding.sizes,
                    "tensors": tensors,
                    "scalars": scalars,
                }
            )
        self.data = {"calls": calls, "buffers": buffers}
        targets = [c.tensors[c.spec.target].storage for c in trace.calls]
        self.written = [
            s
            for s in dict.fromkeys(targets)
            if not isinstance(s, Deferred) or not s.empty or id(s) in kept
        ]

    def _add(self, t: Tensor) -> str:
        key = id(t.storage)
        if key not in self._names:
            self._names[key] = f"b{len(self._names)}"
            self.storages[self._names[key]] = t.storage
            self.tensors[self._names[key]] = t
        return self._names[key]

    def name(self, t: Tensor) -> str:
        """The buffer of a tensor."""
        return self._names[id(t.storage)]


def _buffer(t: Tensor, kept: set[int]) -> dict[str, Any]:
    """A buffer as plain data. Parameters and images may be moved, small and integer ones not."""
    whole = t.dtype.kind == "i"
    found: dict[str, Any] = {"shape": list(t.shape), "dtype": "int" if whole else "real"}
    if isinstance(t.storage, Deferred) and t.storage.empty and id(t.storage) not in kept:
        return found | {"kind": "temporary"}
    layout = t.storage.layout
    if layout is not None:
        lies = {"shape": layout.shape, "axes": layout.axes, "low": layout.low}
        return found | {"kind": "external", "layout": lies}
    movable = not whole and t.ndim > 1
    return found | {"kind": "movable" if movable else "external"}


class _Memory:
    """The slots of a plan as buffers, zeroed once: borders stay zero. Tensors from outside are put
    into the layouts of the plan, and again where something else has moved them since."""

    def __init__(self, plan: Mapping[str, Any], graph: _Graph, device: Device) -> None:
        self._graph, self._slot = graph, plan["slot"]
        self._layouts = {
            b: Layout(tuple(x["shape"]), tuple(map(tuple, x["axes"])), tuple(x["low"]))
            for b, x in plan["layouts"].items()
        }
        sizes = {"real": np.dtype(graph.dtype).itemsize, "int": 4}
        self._buffers = [_zeros(n * sizes[kind], device) for n, kind in plan["slots"]]
        self.nbytes = sum(n * sizes[kind] for n, kind in plan["slots"])
        used = {b for x in plan["launches"] for b in x["buffers"]}
        self._outside = sorted(used & set(graph.storages) - set(self._slot))
        self._bound: list[Any] = []

    def place(self) -> None:
        """Every tensor from outside where the plan wants it."""
        for b in self._outside:
            t, storage = self._graph.tensors[b], self._graph.storages[b]
            storage.move(t.size, t.dtype, self._layouts.get(b))
        self._bound = [self._graph.storages[b].buffer for b in self._outside]

    def moved(self) -> bool:
        """Whether some tensor has another buffer than when it was placed."""
        now = (self._graph.storages[b].buffer for b in self._outside)
        return any(a is not b for a, b in zip(now, self._bound, strict=True))

    def buffer(self, name: str) -> Any:
        """The OpenCL buffer of a buffer of the plan."""
        if name in self._slot:
            return self._buffers[self._slot[name]]
        return self._graph.storages[name].buffer


def _zeros(nbytes: int, device: Device) -> Any:
    return upload(np.zeros(nbytes + 64, np.uint8), device)


def _give_memory(outputs: Outputs, plan: Mapping[str, Any], graph: _Graph) -> None:
    """Outputs of the step are kept: they get memory of their own, zeros at first."""
    for t in outputs:
        if isinstance(t.storage, Deferred) and t.storage.empty:
            x = plan["layouts"].get(graph.name(t))
            t.storage.layout = None
            size = t.size
            if x is not None:
                axes = tuple(map(tuple, x["axes"]))
                t.storage.layout = Layout(tuple(x["shape"]), axes, tuple(x["low"]))
                size = t.storage.layout.size
            t.storage.buffer = _zeros(max(1, size) * t.dtype.itemsize, t.device)
