"""What a page tells of a run, as plain values. What could not be had is `Missing`, and says why."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gradproof.runtime.planned_memory import StepMemory
from gradproof.runtime.profiling import Span
from gradproof.runtime.progress import EpochResult


@dataclass(frozen=True)
class Missing:
    """why: a sentence for whoever reads the page."""

    why: str


@dataclass(frozen=True)
class Curves:
    """history: an epoch's row each; rates: the learning rate of every step, empty where only those
    of the epochs are known."""

    history: tuple[EpochResult, ...]
    rates: tuple[float, ...] = ()


@dataclass(frozen=True)
class Confusion:
    """matrix: how often class i was taken for j, (classes, classes); note: where it is from."""

    classes: tuple[str, ...]
    matrix: NDArray[np.int64]
    note: str = ""


@dataclass(frozen=True)
class Mistake:
    """A held-out image: its number, image (C, H, W), label, the class with the largest probability,
    the probabilities of both, and its cross-entropy loss."""

    number: int
    image: NDArray[np.float32]
    label: int
    predicted: int
    of_label: float
    of_predicted: float
    loss: float


@dataclass(frozen=True)
class Evaluated:
    """On the held-out images. loss: mean; accuracy: in 0..1; wrong: how many; worst: those of
    largest loss, the largest first."""

    loss: float
    accuracy: float
    images: int
    wrong: int
    worst: tuple[Mistake, ...]


@dataclass(frozen=True)
class Filters:
    """The first convolution's weight, (out_channels, in_channels, height, width); note: where the
    one before training is from."""

    before: NDArray[Any]
    after: NDArray[Any]
    note: str = ""


@dataclass(frozen=True)
class Norms:
    """The norm of each layer's gradient, all parameters of the layer together, at one step of each
    epoch: layers[name][k] belongs to epochs[k] and steps[k]."""

    epochs: tuple[int, ...]
    steps: tuple[int, ...]
    layers: Mapping[str, tuple[float, ...]]


@dataclass(frozen=True)
class Work:
    """What one or a few launches compute together. spans: of each, in one step; seconds: of all,
    with the median over the steps that were measured for each; flops: of its equations; nbytes: the
    tensors that they read and write, each element once; 0 where that is not known. phase:
    "forward", "backward", "update"."""

    kernel: str
    computes: str
    phase: str
    schedule: str
    spans: tuple[Span, ...]
    seconds: float
    flops: int
    nbytes: int


@dataclass(frozen=True)
class Roofs:
    """Measured on the device: operations a second, and bytes from and to memory on arrays of
    `far_bytes` together, and of `near_bytes`, which is as much memory as the step takes."""

    flops: float
    far: float
    far_bytes: int
    near: float
    near_bytes: int


@dataclass(frozen=True)
class Timing:
    """A training step on a device. works: in the order in which they run; wall: seconds of a step
    that is not measured kernel by kernel; data: what it was run on."""

    device: str
    works: tuple[Work, ...]
    wall: float
    steps: int
    batch: int
    launches: int
    data: str
    roofs: Roofs | Missing

    @property
    def busy(self) -> float:
        """Seconds of a step in which a kernel runs."""
        return sum(w.seconds for w in self.works)


@dataclass(frozen=True)
class Buffer:
    """A temporary of a step: what it is, its place in their memory and its size in bytes, and the
    first and the last launch that use it."""

    called: str
    place: int
    nbytes: int
    first: int
    last: int


@dataclass(frozen=True)
class MemoryPlan:
    """What a planned step takes; buffers: its temporaries, which share `memory.temporaries`."""

    memory: StepMemory
    buffers: tuple[Buffer, ...]


@dataclass(frozen=True)
class Reproduce:
    """config: the text of run.toml; command: what runs it; parameters: numbers that are trained."""

    config: str
    command: str
    device: str
    seed: int
    versions: Mapping[str, str]
    data_sha256: str
    parameters: int


@dataclass(frozen=True)
class Report:
    """All of a page."""

    title: str
    stopped: str
    curves: Curves | Missing
    evaluated: Evaluated | Missing
    confusion: Confusion | Missing
    filters: Filters | Missing
    norms: Norms | Missing
    timing: Timing | Missing
    memory: MemoryPlan | Missing
    reproduce: Reproduce

    @property
    def missing(self) -> dict[str, str]:
        """Why each part that could not be had is missing."""
        parts = {f.name: getattr(self, f.name) for f in fields(self)}
        return {name: part.why for name, part in parts.items() if isinstance(part, Missing)}
