"""The one place between layers and kernels: operands in, results out.

A launch is a kernel object with its arguments set. While a `Tape` records, every launch is kept
and can be enqueued again with the same buffers: one training step, replayed on new data that
`Tensor.copy_` put in place. Scalars that change from step to step (learning rate, dropout's call
number) are given as functions and asked again at each replay.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field, replace
from functools import cache, lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np

from gradproof.runtime.anomaly import Applied, active_watch, place_of_call
from gradproof.runtime.binding import Binding
from gradproof.runtime.errors import DeviceError, DTypeError, GradproofError
from gradproof.runtime.half import stored_as_half
from gradproof.runtime.limits import too_large
from gradproof.runtime.manifest import Argument, KernelSpec, Operator
from gradproof.runtime.repeats import is_repeat
from gradproof.runtime.schedule import (
    REALS,
    Plan,
    choose_phases,
    constants,
    plan_tiles,
    scalar_type,
)
from gradproof.runtime.targets import stored_halves, stored_kinds, too_large_target
from gradproof.runtime.trace import Scalar, active_trace

if TYPE_CHECKING:
    from collections.abc import Iterator

    import pyopencl as cl

    from gradproof.runtime.device import Device
    from gradproof.runtime.tensor import Storage, Tensor

# Work-group sizes: one group runs on one core, so a CPU gets small groups where elements are few.
CPU_GROUPS, CPU_SMALL, GPU_GROUP, SIMULATOR_GROUP = 64, 8, 64, 16


@dataclass
class Launch:
    """A kernel with its arguments set, and what keeps its buffers alive; `tensors`: by position,
    where it is recorded; `label`: the layer or operator, for errors."""

    device: Device
    kernel: cl.Kernel
    global_size: tuple[int, ...]
    local_size: tuple[int, ...]
    keep: tuple[Any, ...]
    changing: tuple[tuple[int, type[np.generic], Callable[[], float | int]], ...] = ()
    tensors: tuple[tuple[int, Tensor], ...] = ()
    label: str = ""

    def bind(self) -> None:
        """Set the buffers that the tensors have now."""
        for position, t in self.tensors:
            self.kernel.set_arg(position, t.buffer)

    def __call__(self) -> None:
        """Enqueue the kernel, asking anew for scalars that change."""
        for position, kind, value in self.changing:
            self.kernel.set_arg(position, kind(value()))
        self.device.launch(self.kernel, self.global_size, self.local_size, self.label)


@dataclass
class Tape:
    """What was launched while recording, in order.

    >>> tape = Tape()
    >>> len(tape)
    0
    """

    actions: list[Callable[[], None]] = field(default_factory=list)
    gradients: list[Tensor] = field(default_factory=list)  # those that the recorded step made
    bound: dict[Storage, tuple[Tensor, Any]] = field(default_factory=dict)  # with its buffer
    checks: dict[int, Applied] = field(default_factory=dict)  # by the actions until then
    marks: dict[str, Tensor] = field(default_factory=dict)  # may be read, see `runtime.reading`

    def add(self, launch: Launch) -> None:
        """Record a launch."""
        self.actions.append(launch)
        for _, t in launch.tensors:
            self.bound[t.storage] = t, t.storage.buffer

    def replay(self) -> None:
        """Do everything again, on the same tensors."""
        if any(storage.buffer is not b for storage, (_, b) in self.bound.items()):
            self._bind()  # a planned step has moved some of them
        watch = active_watch()
        for k, action in enumerate(self.actions, 1):
            action()
            if watch is not None and k in self.checks:
                self.checks[k].check(watch)

    def _bind(self) -> None:
        for action in self.actions:
            if isinstance(action, Launch):
                action.bind()
        self.bound = {storage: (t, t.buffer) for storage, (t, _) in self.bound.items()}

    def __len__(self) -> int:
        return len(self.actions)


# Of this thread: what others do meanwhile is not recorded.
_tapes: ContextVar[tuple[Tape, ...]] = ContextVar("the tapes that record now", default=())
STALE = (
    "record: a parameter has a gradient from before the recording; "
    "call zero_grad() inside the recorded block"
)


@contextmanager
def record() -> Iterator[Tape]:
    """Record every launch of this thread inside the block; the block itself runs as usual."""
    tape = Tape()
    token = _tapes.set((*_tapes.get(), tape))
    try:
        yield tape
    finally:
        _tapes.reset(token)


_whole: ContextVar[bool] = ContextVar("all kernels of an operator are built", default=False)


@contextmanager
def whole_programs() -> Iterator[None]:
    """Inside, all reference kernels of an operator are built together, as one program.

    That is for whoever runs all of them: to build a program takes longer than a kernel.
    """
    token = _whole.set(True)
    try:
        yield
    finally:
        _whole.reset(token)


def is_recording() -> bool:
    """Whether a tape records."""
    return bool(_tapes.get())


def recording_tapes() -> tuple[Tape, ...]:
    """The tapes that record now."""
    return _tapes.get()


def note_gradient(leaf: Tensor, old: Tensor | None, new: Tensor) -> None:
    """Called when the gradient of `leaf` becomes `new`; `old` is what it was before, if anything.

    Errors: GradproofError where a recorded step would add to a gradient from before the
    recording: every replay would add the same old values.
    """
    trace = active_trace()
    if trace is not None:
        if old is not None and not any(leaf is other for other in trace.leaves):
            raise GradproofError(STALE)
        trace.leaves.append(leaf)
    for tape in _tapes.get():
        if old is not None and not any(old is g for g in tape.gradients):
            raise GradproofError(STALE)
        tape.gradients.append(new)


def host_effect(action: Callable[[], None]) -> None:
    """Do something on the host now, and again at every replay of a step that is being recorded.

    While a step is planned nothing runs, so the action waits for the first run. Nothing is done
    where a forward pass is repeated."""
    if is_repeat():
        return
    trace = active_trace()
    if trace is not None:
        trace.order.append(action)
        return
    action()
    for tape in _tapes.get():
        tape.actions.append(action)


def execute(
    binding: Binding,
    kernels: Iterable[KernelSpec],
    operands: Mapping[str, Tensor],
    scalars: Mapping[str, Scalar],
    *,
    into: Mapping[str, Tensor] | None = None,
    label: str,
    place: str = "",
    like: Mapping[str, Tensor] | None = None,
) -> dict[str, Tensor]:
    """Run kernels in order on operands; every tensor that they compute is returned by name.

    into: target -> tensor to write to, in place of a new one. scalars: a function is asked at
    every launch. place: the layer, where it is known better than `label` says. like: what
    gradients are of, where that is no operand, for their dtype. Errors: DTypeError
    and DeviceError where operands do not go together; AnomalyError, see `detect_anomaly`.
    """
    from gradproof.runtime.tensor import Tensor

    specs = tuple(kernels)
    dtype, device = _common(binding, operands, label)
    trace = active_trace()
    if trace is not None:
        return trace.defer(
            binding, specs, operands, scalars, into or {}, dtype, device, label, place
        )
    run = _Run(binding, dict(operands), scalars, dtype, device, label)
    plans = {spec.name: plan_tiles(binding, spec, dtype, device) for spec in specs}
    kinds = stored_kinds(binding, specs, dtype, {**(like or {}), **operands})
    stored = dict(zip((spec.target for spec in specs), kinds, strict=True))
    halves = (
        stored_halves({**operands, **(into or {})}, stored) if dtype == "float16" else frozenset()
    )
    if (large := too_large_target(binding, specs, kinds, device)) is not None:
        raise too_large(f"{place or place_of_call(label)}: {large[0]}", large[1], device.info)
    forms = {s.name: choose_phases(binding, s) for s in specs if plans[s.name] is None}
    plain = tuple(form.name for form in forms.values())
    together = tuple(binding.operator.kernels) if _whole.get() else plain
    own = binding.operator, together, dtype, device, halves
    built = _objects(_reference, *own) if plain else {}
    computed: dict[str, Tensor] = {}
    names: dict[str, str] = {}
    for spec, kind in zip(specs, kinds, strict=True):
        target = (into or {}).get(spec.target)
        if target is None:
            target = Tensor.empty(binding.shape(spec.target), kind, device, label)
        computed[spec.target] = run.tensors[spec.target] = target
        plan = plans[spec.name]
        if plan is None:
            form = forms[spec.name]
            _launch(run, built[form.name], form.arguments, binding.work_items(form))
        else:
            _launch_tiled(run, plan)
        target.storage.version += 1
        names[spec.target] = plan.spec.kernel if plan else forms[spec.name].name
    _check(binding, names, operands, computed, place or label)
    return computed


def _check(
    binding: Binding,
    kernels: Mapping[str, str],
    operands: Mapping[str, Tensor],
    computed: Mapping[str, Tensor],
    where: str,
) -> None:
    """Errors: AnomalyError, see `detect_anomaly`; the replays of a recording check the same."""
    watch = active_watch()
    if (watch is None and not _tapes.get()) or not computed:
        return
    written = {id(t.storage) for t in computed.values()}
    replaced = frozenset(n for n, t in operands.items() if id(t.storage) in written)
    done = Applied(binding, kernels, dict(operands), dict(computed), replaced, where)
    for tape in _tapes.get():
        tape.checks[len(tape.actions)] = done
    if watch is not None:
        done.check(watch)


@dataclass(frozen=True)
class _Run:
    """What the launches of one `execute` share."""

    binding: Binding
    tensors: dict[str, Tensor]
    scalars: Mapping[str, Scalar]
    dtype: str
    device: Device
    label: str


def _common(binding: Binding, tensors: Mapping[str, Tensor], label: str) -> tuple[str, Device]:
    """The real dtype and the device that all operands share; float16 where some of them are, beside
    others in float32."""
    names = binding.operator.names
    dtype, first, device = None, "", None
    for name, t in tensors.items():
        spec = binding.variant.tensors[name]
        shown = names.get(name, name)
        kind = str(t.dtype)
        if (spec.dtype == "int") != (kind == "int32"):
            expected = "int32" if spec.dtype == "int" else "float32, float64 or float16"
            raise DTypeError(f"{label}: {shown} has dtype {kind}, expected {expected}")
        if spec.dtype == "real":
            if dtype not in (None, kind) and {dtype, kind} != {"float16", "float32"}:
                raise DTypeError(f"{label}: {first} has dtype {dtype}, but {shown} has {kind}")
            dtype, first = kind if dtype != "float16" else dtype, first or shown
        if device is not None and t.device is not device:
            raise DeviceError(
                f"{label}: operands are on different devices, {device.info.name} and "
                f"{t.device.info.name}"
            )
        device = t.device
    if dtype is None or device is None:
        raise DTypeError(f"{label}: there is no real operand")
    if dtype == "float64" and not device.info.fp64:
        raise DeviceError(f"{label}: {device.info.name} has no float64; use float32")
    return dtype, device


def _launch_tiled(run: _Run, plan: Plan) -> None:
    """Pack the operands, then run the tiled kernel; the packed copies are dropped after it."""
    from gradproof.runtime.tensor import Tensor

    built = _objects(_tiled, plan, run.device)
    packed = {
        pack.target: Tensor.empty((items,), run.dtype, run.device, run.label)
        for pack, items in plan.packs
    }
    local = replace(run, tensors=run.tensors | packed)
    for pack, items in plan.packs:
        _launch(local, built[pack.name], pack.arguments, items)
    _launch(local, built[plan.spec.kernel], plan.spec.arguments, plan.work_items, group=1)


# A kernel object has one set of arguments, and threads share it: they set these and launch in turn.
_arguments = threading.RLock()


def _launch(
    run: _Run, kernel: cl.Kernel, arguments: tuple[Argument, ...], items: int, group: int = 0
) -> None:
    keep: list[Any] = []
    fixed, changing = list[tuple[int, Any]](), []
    for position, a in enumerate(arguments):
        if a.kind == "scalar":
            kind = np.uint32 if a.dtype == "uint" else scalar_type(run.dtype)
            value = run.scalars[a.name]
            if callable(value):
                changing.append((position, kind, value))
            else:
                fixed.append((position, kind(value)))
            continue
        sizes = a.kind == "sizes"
        keep.append(_sizes(run.binding, run.device) if sizes else run.tensors[a.name].buffer)
        fixed.append((position, keep[-1]))
    global_size, local_size = ((items,), (group,)) if group else _geometry(items, run.device)
    of = (run.device, kernel, global_size, local_size, tuple(keep), tuple(changing))
    launch = Launch(*of, label=run.label)
    with _arguments:
        for position, argument in fixed:
            kernel.set_arg(position, argument)
        launch()
    if _tapes.get():
        named = ((k, a.name) for k, a in enumerate(arguments) if a.kind not in ("scalar", "sizes"))
        launch.tensors = tuple((k, run.tensors[name].detach()) for k, name in named)
    for tape in _tapes.get():
        tape.add(launch)


def reference_launch(
    binding: Binding,
    spec: KernelSpec,
    buffers: Mapping[str, Any],
    dtype: str,
    device: Device,
) -> Launch:
    """The reference kernel of one equation on row-major buffers, all but its scalars set."""
    form = choose_phases(binding, spec)
    built = _reference.__wrapped__(binding.operator, (form.name,), dtype, device)
    kernel = built[form.name]
    keep = []
    for position, a in enumerate(form.arguments):
        if a.kind != "scalar":
            sizes = a.kind == "sizes"
            keep.append(_sizes(binding, device) if sizes else buffers[a.name])
            kernel.set_arg(position, keep[-1])
    global_size, local_size = _geometry(binding.work_items(form), device)
    return Launch(device, kernel, global_size, local_size, tuple(keep))


def reference_geometry(binding: Binding, form: KernelSpec, device: Device) -> tuple[int, int]:
    """Work-items and work-group size of a reference kernel."""
    (items,), (group,) = _geometry(binding.work_items(form), device)
    return items, group


def _objects(build: Any, *arguments: Any) -> Mapping[str, cl.Kernel]:
    """Kernel objects by name, from a cached builder; a recorded launch keeps its arguments, so it
    gets objects of its own."""
    objects: Mapping[str, cl.Kernel] = (build.__wrapped__ if _tapes.get() else build)(*arguments)
    return objects


@cache
def _reference(
    op: Operator,
    names: tuple[str, ...],
    dtype: str,
    device: Device,
    halves: frozenset[str] = frozenset(),
) -> Mapping[str, cl.Kernel]:
    """Reference kernels that run together, as one program; halves: tensors stored in float16."""
    label = op.name if len(names) == len(op.kernels) else ", ".join(names)
    source = op.program(names)
    source = stored_as_half(source, halves) if halves else source
    return device.build(source, reference_options(op, dtype), names, label=label)


def reference_options(op: Operator, dtype: str) -> list[str]:
    """How reference kernels are built: each size is a place in their last argument."""
    sizes = [f"-DSIZE_{s}=sizes[{k}]" for k, s in enumerate(op.sizes)]
    return [f"-DREAL={REALS[dtype]}", *constants(dtype), *sizes]


@lru_cache(maxsize=4096)
def _tiled(plan: Plan, device: Device) -> Mapping[str, cl.Kernel]:
    """The kernels of a tiled program."""
    names = [*(pack.name for pack, _ in plan.packs), plan.spec.kernel]
    return device.build(plan.spec.source, plan.options, names, label=plan.spec.kernel)


@lru_cache(maxsize=4096)
def _sizes(binding: Binding, device: Device) -> Any:
    """The operator's sizes as the last argument of each of its kernels."""
    from gradproof.runtime.tensor import upload

    return upload(np.fromiter(binding.sizes.values(), np.int32, len(binding.sizes)), device)


@lru_cache(maxsize=4096)
def _geometry(items: int, device: Device) -> tuple[tuple[int], tuple[int]]:
    info = device.info
    if info.kind == "simulator":
        local = SIMULATOR_GROUP
    elif info.kind == "cpu":
        local = CPU_GROUPS if items >= 4 * CPU_GROUPS * info.compute_units else CPU_SMALL
    else:
        local = GPU_GROUP
    local = min(local, info.max_work_group, info.max_work_item_sizes[0])
    return (-(-items // local) * local,), (local,)
