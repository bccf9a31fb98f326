"""A step recorded without running it: which equation is applied to which tensors.

Inside `tracing()` every operator only notes what it would launch; its results are tensors without
memory (`Deferred`). What was noted is planned as a whole, see `runtime/plan.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from gradproof.runtime.errors import GradproofError
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
    """One kernel that would be launched, with its tensors and scalars by name."""

    binding: Binding
    spec: KernelSpec
    tensors: Mapping[str, Tensor]
    scalars: Mapping[str, Scalar]
    label: str


@dataclass
class Trace:
    """Everything that a step does; `order`: host effects and the numbers of calls as they came,
    `leaves`: tensors that got a gradient."""

    calls: list[TracedCall] = field(default_factory=list)
    order: list[Callable[[], None] | int] = field(default_factory=list)
    leaves: list[Tensor] = field(default_factory=list)

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
    ) -> dict[str, Tensor]:
        """Note the kernels of one operator; their targets by name, without memory."""
        tensors, computed = dict(operands), dict[str, Tensor]()
        for spec in specs:
            target = into.get(spec.target)
            if target is None:
                whole = binding.variant.tensors[spec.target].dtype == "int"
                kind = np.dtype("int32" if whole else dtype)
                storage = Deferred(device, f"{label}: {spec.target}")
                target = Tensor(storage, binding.shape(spec.target), kind)
            names = {a.name for a in spec.arguments if a.kind == "scalar"}
            used = {n: tensors[n] for n in spec.reads if n != spec.target or n in tensors}
            call = TracedCall(
                binding,
                spec,
                used | {spec.target: target},
                {n: scalars[n] for n in names},
                label,
            )
            if spec.target in used and used[spec.target] is not target:
                raise GradproofError(f"{label}: {spec.target} is read and written under one name")
            self.order.append(len(self.calls))
            self.calls.append(call)
            computed[spec.target] = tensors[spec.target] = target
            target.storage.version += 1
        return computed


_active: list[Trace] = []


def active_trace() -> Trace | None:
    """The trace that records now, or None."""
    return _active[-1] if _active else None


@contextmanager
def tracing() -> Iterator[Trace]:
    """Record without running. Errors: GradproofError inside another trace."""
    if _active:
        raise GradproofError("a step is being planned already; plans do not nest")
    trace = Trace()
    _active.append(trace)
    try:
        yield trace
    finally:
        _active.pop()
