"""Whole training steps: the same network, state, batch and optimizer on both sides."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property, partial
from importlib import import_module
from typing import Any

import numpy as np

from benchmarks.measure import ours, theirs
from benchmarks.measure.contest import Array, Arrays, Contest, Job, Side

# Of each tensor's largest change. Among millions of ReLUs some fall otherwise where float32 rounds
# across their edge, and sums that nearly cancel show it: PyTorch's own float32 is 0.04 from its
# float64 after two steps of ResNet-20, 0.12 to 0.19 after those of ResNet-18. A wrong step is of
# order 1.
ALLOWED = 0.1
VARIANTS = (
    theirs.NCHW,
    theirs.CHANNELS_LAST,
    theirs.COMPILED,
    f"{theirs.COMPILED} {theirs.CHANNELS_LAST}",
)


@dataclass
class Network:
    """A network of the zoo on random images; without dropout, whose masks would differ."""

    name: str
    title: str
    batch: int
    image: tuple[int, int, int]
    classes: int
    floor: float
    target: float
    options: dict[str, Any] = field(default_factory=dict)
    precision: str = "fast"
    allowed: float = ALLOWED

    def draw(self, rng: np.random.Generator) -> dict[str, Array]:
        """A batch: standard normal images, uniform labels."""
        shape = (self.batch, *self.image)
        images = np.asarray(rng.standard_normal(shape), np.float32)
        return {"images": images, "labels": rng.integers(0, self.classes, self.batch, np.int32)}

    def ours(self, arrays: Arrays, dtype: str = "float32") -> Job:
        """Our step."""
        return ours.StepJob(self._make(), self.first, arrays, dtype, self.precision)

    def theirs(self, arrays: Arrays, variant: str = theirs.NCHW, dtype: str = "float32") -> Job:
        """PyTorch's step, from our network's first state."""
        return theirs.StepJob(self.twin(), self.first, arrays, variant, dtype)

    @cached_property
    def first(self) -> dict[str, Array]:
        """The state that every side starts from."""
        return {n: np.array(v) for n, v in self._make().state_dict().items()}

    def twin(self) -> Any:
        """The same network in PyTorch, with the same names in its state."""
        twins = import_module("tests.torch_twins")
        return twins.twin(self.name, self.classes, **self.options)

    def _make(self) -> Any:
        return ours.network(self.name, self.image, self.classes, **self.options)


NETWORKS = (
    Network("lenet", "LeNet step, batch 64", 64, (1, 28, 28), 10, 3.0, 5.0),
    Network("resnet20", "ResNet-20 step, 32², batch 32", 32, (3, 32, 32), 10, 1.6, 2.2),
    Network(
        "resnet20",
        "ResNet-20 step, 32², batch 32, accurate",
        32,
        (3, 32, 32),
        10,
        1.3,
        1.8,
        precision="accurate",
    ),
    Network(
        "resnet18", "ResNet-18 step, 224², batch 8", 8, (3, 224, 224), 1000, 1.3, 2.0, allowed=0.4
    ),
    Network(
        "vgg11", "VGG-11 step, 112², batch 4", 4, (3, 112, 112), 1000, 1.3, 2.0, {"dropout": 0.0}
    ),
)


def contest(network: Network) -> Contest:
    """Every variant of PyTorch; FLOPs are those of its convolutions and products."""
    sides: dict[str, Side] = {}
    reference: Side = partial(network.ours, dtype="float64")
    flops = 0.0
    if theirs.installed():
        sides = {v: partial(network.theirs, variant=v) for v in VARIANTS}
        reference = partial(network.theirs, dtype="float64")
        flops = theirs.step_flops(network.twin(), network.draw(np.random.default_rng(0)))
    return Contest(
        network.title,
        network.draw,
        network.ours,
        sides,
        reference,
        flops=flops,
        floor=network.floor,
        target=network.target,
        allowed=network.allowed,
    )


def contests() -> Iterator[Contest]:
    """Every row of `step` that is timed in this process."""
    return map(contest, NETWORKS)
