"""When each kernel began and ended on the device, by the device's own clock."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from gradproof.runtime.device import Device


@dataclass(frozen=True)
class Span:
    """start, end: of one kernel, in seconds after the start of the first one that was measured."""

    start: float
    end: float

    @property
    def seconds(self) -> float:
        """How long it ran."""
        return self.end - self.start


@dataclass
class Profile:
    """The launches of a block of `profiling`, as they come; `spans` when the block is over."""

    device: Device
    queue: Any
    events: list[Any] = field(default_factory=list)

    def spans(self) -> list[Span]:
        """One for each launch, in order."""
        times = [(e.profile.start, e.profile.end) for e in self.events]
        first = min((start for start, _ in times), default=0)
        return [Span(1e-9 * (start - first), 1e-9 * (end - first)) for start, end in times]


# Of this thread: what others launch meanwhile is not measured.
_profile: ContextVar[Profile | None] = ContextVar("what is measured", default=None)


def active_profile(device: Device) -> Profile | None:
    """What is measured of a device's launches in this thread, if anything."""
    found = _profile.get()
    return found if found is not None and found.device is device else None


@contextmanager
def profiling(device: Device) -> Iterator[Profile]:
    """Inside, the launches of planned steps go to a queue that measures them.

    >>> import gradproof as gp
    >>> layer = gp.nn.Linear(8, 8)
    >>> step = gp.plan(lambda x: layer(x), gp.tensor([[1.0] * 8]))
    >>> with profiling(step.device) as profile:
    ...     step.run()
    >>> len(profile.spans()) == step.launches, all(s.seconds >= 0 for s in profile.spans())
    (True, True)
    """
    import pyopencl as cl

    properties = cl.command_queue_properties.PROFILING_ENABLE
    profile = Profile(device, cl.CommandQueue(device.context, properties=properties))
    device.synchronize()
    token = _profile.set(profile)
    try:
        yield profile
    finally:
        _profile.reset(token)
        profile.queue.finish()
