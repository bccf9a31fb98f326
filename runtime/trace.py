"""A step recorded without running it: which equation is applied to which tensors.

Inside `tracing()` every operator only notes what it would launch; its results are tensors without
memory (`Deferred`). What was noted is planned as a whole, see `runtime/plan.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from gradproof.runtime.errors import DeviceError, DTypeError, GradproofError
from gradproof.runtime.tensor import Storage, Tensor

if TYPE_CHECKING:
    from gradproof.runtime.binding import Binding
    from gradproof.runtime.device import Device
    from gradproof.runtime.manifest import KernelSpec

Scalar = float | int | Callable[[], float | int]


class Deferred(Storage):
    """Memory that a planned step will have; until then nothing can be read from it."""

    def __init__(self, device: Device, label: str) -> None:
        self._buffer: Any = None
        self.label = label
        super().__init__(None, device)

    @property
    def empty(self) -> bool:
        """Whether there is no memory yet."""
        return self._buffer is None

    @property
    def buffer(self) -> Any:
        """The OpenCL buffer. Errors: GradproofError while there is none."""
        if self._buffer is None:
            raise GradproofError(
                f"{self.label}: its value is not known while a step is being planned, and is not "
                "kept after it; return it from the planned function, or do not read it there"
            )
        return self._buffer

    @buffer.setter
    def buffer(self, value: Any) -> None:
        self._buffer = value


@dataclass(frozen=True)
class TracedCall:
    """One kernel that would be launched, with its tensors and scalars by name; place: the layer."""

    binding: Binding
    spec: KernelSpec
    tensors: Mapping[str, Tensor]
    scalars: Mapping[str, Scalar]
    label: str
    place: str = ""


@dataclass
class Trace:
    """Everything that a step does; `order`: host effects and the numbers of calls as they came,
    `leaves`: tensors that got a gradient, `versions`: of all targets, before the trace, `marks`:
    what may be read while it runs, see `runtime.reading`."""

    calls: list[TracedCall] = field(default_factory=list)
    order: list[Callable[[], None] | int] = field(default_factory=list)
    leaves: list[Tensor] = field(default_factory=list)
    versions: dict[Storage, int] = field(default_factory=dict)
    marks: dict[str, Tensor] = field(default_factory=dict)
    dtype: str = ""
    device: Device | None = None

    def defer(
        self,
        binding: Binding,
        specs: tuple[KernelSpec, ...],
        operands: Mapping[str, Tensor],
        scalars: Mapping[str, Scalar],
        into: Mapping[str, Tensor],
        dtype: str,
        device: Device,
        label: str,
        place: str = "",
    ) -> dict[str, Tensor]:
        """Note the kernels of one operator; their targets by name, without memory.

        Errors: DTypeError, DeviceError for others than those of the operators before; those of
        `check_known`.
        """
        self._check_common(dtype, device, label)
        for t in operands.values():
            self.check_known(t)
        tensors, computed = dict(operands), dict[str, Tensor]()
        for spec in specs:
            target = into.get(spec.target)
            if target is None:
                whole = binding.variant.tensors[spec.target].dtype == "int"
                kind = np.dtype("int32" if whole else dtype)
                storage = Deferred(device, f"{label}: {spec.target}")
                target = Tensor(storage, binding.shape(spec.target), kind)
            names = [a.name for a in spec.arguments if a.kind == "scalar"]  # in a fixed order
            used = {n: tensors[n] for n in spec.reads if n != spec.target or n in tensors}
            call = TracedCall(
                binding,
                spec,
                used | {spec.target: target},
                {n: scalars[n] for n in names},
                label,
                place or label,
            )
            if spec.target in used and used[spec.target] is not target:
                raise GradproofError(f"{label}: {spec.target} is read and written under one name")
            self.order.append(len(self.calls))
            self.calls.append(call)
            computed[spec.target] = tensors[spec.target] = target
            self.versions.setdefault(target.storage, target.storage.version)
            target.storage.version += 1
        return computed

    def check_known(self, t: Tensor) -> None:
        """Errors: GradproofError for a tensor that another plan left without memory."""
        if isinstance(t.storage, Deferred) and t.storage not in self.versions:
            _ = t.storage.buffer

    def _check_common(self, dtype: str, device: Device, label: str) -> None:
        if dtype == "float16":
            raise DTypeError(
                f"{label}: operands are float16, expected float32 or float64 where a step is"
                " planned or exported; float16 runs as it is called"
            )
        self.dtype, self.device = self.dtype or dtype, self.device or device
        if dtype != self.dtype:
            raise DTypeError(
                f"{label}: operands are {dtype} in a step that began with {self.dtype}; "
                "plan them apart"
            )
        if device is not self.device:
            raise DeviceError(
                f"{label}: operands are on {device.info.name} in a step that began on "
                f"{self.device.info.name}; plan them apart"
            )


# Of this thread: what others do meanwhile is not recorded.
_active: ContextVar[Trace | None] = ContextVar("the trace that records now", default=None)


def active_trace() -> Trace | None:
    """The trace that records now, or None."""
    return _active.get()


@contextmanager
def tracing(trace: Trace | None = None) -> Iterator[Trace]:
    """Record without running; gradients and versions are afterwards as if nothing had been done.

    trace: an empty one to record into. Errors: GradproofError inside another trace.
    """
    refuse("plan", "plans do not nest")
    trace = trace or Trace()
    token = _active.set(trace)
    try:
        yield trace
    finally:
        _active.reset(token)
        for leaf in trace.leaves:
            leaf.grad = None  # it has no memory; the plan uses it and lets it go
        for storage, version in trace.versions.items():
            storage.version = version


def refuse(what: str, why: str) -> None:
    """Errors: GradproofError while a step is being planned, for what cannot be a part of it."""
    if _active.get() is not None:
        raise GradproofError(f"{what}: a step is being planned; {why}")


def refuse_value(t: Tensor) -> None:
    """Errors: GradproofError where a value is read while a step is being planned."""
    if isinstance(t.storage, Deferred):
        _ = t.storage.buffer
    refuse(
        f"tensor of shape {t.shape}",
        "its value may differ in each run and cannot be read there",
    )
