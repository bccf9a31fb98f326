"""Every program that a device may be given: reference and tiled kernels, and those of plans."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

import gradproof as gp
from gradproof.cli.random_sizes import random_sizes
from gradproof.cli.tiled import tiled_kernels
from gradproof.derive.registry import find
from gradproof.runtime import models
from gradproof.runtime.binding import bind
from gradproof.runtime.device import Device
from gradproof.runtime.dispatch import reference_options
from gradproof.runtime.manifest import operators
from gradproof.runtime.meta import meta
from gradproof.runtime.plan import planned_data, vector_machine
from gradproof.runtime.schedule import plan_tiles, schedule
from gradproof.runtime.step import TrainingStep
from gradproof.runtime.tensor import Tensor, tensor

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
BATCH, CLASSES = 8, 10
LARGEST, WORK = 9, 5_000  # of the sizes that tiled kernels are built for


@dataclass(frozen=True)
class Program:
    """A program's text, its build options and its kernels. `of`: reference, tiled or a plan."""

    label: str
    of: str
    dtype: str
    source: str
    options: tuple[str, ...]
    kernels: tuple[str, ...]


def dtypes(device: Device) -> tuple[str, ...]:
    """The real types that a device computes in."""
    return ("float32", "float64") if device.info.fp64 else ("float32",)


def programs(device: Device, machine: str = "") -> Iterator[Program]:
    """All of them. machine: for which plans are scheduled, by default the device."""
    for dtype in dtypes(device):
        yield from reference_programs(dtype)
        yield from tiled_programs(device, dtype)
    yield from planned_programs(machine or vector_machine(device.info))


def reference_programs(dtype: str) -> Iterator[Program]:
    """The text of every operator, as it is committed.

    >>> next(reference_programs("float32")).label
    'accumulate'
    """
    for name, op in operators().items():
        options = tuple(reference_options(op, dtype))
        yield Program(name, "reference", dtype, op.source, options, tuple(op.kernels))


def tiled_programs(device: Device, dtype: str) -> Iterator[Program]:
    """Every tiled kernel, for sizes that it takes."""
    rng = np.random.default_rng(0)
    for name, (op, variant, spec) in tiled_kernels().items():
        assert spec.tiled is not None
        (d,) = (d for d in find(op.name).variants() if d.name == variant.name)
        machine = random_sizes(d, rng, LARGEST, WORK, spec.tiled.when)
        sizes = {str(s): machine.sizes[s] for s in d.sizes}
        with schedule("tiled"):
            plan = plan_tiles(bind(op, variant, {}, sizes, name), spec, dtype, device)
        assert plan is not None
        names = (*(pack.name for pack, _ in plan.packs), spec.tiled.kernel)
        yield Program(spec.tiled.kernel, "tiled", dtype, spec.tiled.source, plan.options, names)


Step = tuple[Callable[..., Any], Tensor, Tensor]


def planned_programs(machine: str) -> Iterator[Program]:
    """The kernels of whole training steps, in float32."""
    for name, make in NETWORKS.items():
        with meta():  # a plan asks for shapes alone
            plan, _ = planned_data(*make(), machine=machine)
        kernels = tuple(dict.fromkeys(k["kernel"] for k in plan["launches"] if k["kernel"]))
        options = tuple(plan["options"]["float32"])
        yield Program(name, "plan", "float32", plan["source"], options, kernels)


def _step(model: Any, shape: Sequence[int], adam: bool = False) -> Step:
    optimizer = (
        gp.optim.Adam(model.parameters())
        if adam
        else gp.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    )
    images = tensor(np.zeros((BATCH, *shape), np.float32))
    step = TrainingStep(model, optimizer, gp.nn.CrossEntropyLoss())
    return step.run, images, tensor(np.zeros(BATCH, np.int32))


def _network(name: str, shape: tuple[int, int, int], adam: bool = False) -> Step:
    return _step(models.build_model(name, shape, CLASSES), shape, adam)


def example(name: str) -> Any:
    """One of the modules in examples/, which import each other."""
    if str(EXAMPLES) not in sys.path:
        sys.path.append(str(EXAMPLES))
    return import_module(name)


def _transformer() -> Step:
    """Attention and RMS norm, which are users' operators, in a small transformer."""
    return _step(example("transformer_block").Reader(features=16, heads=2), (1, 8, 8), adam=True)


class _Distances(gp.nn.Module):
    """A user's operator as a layer: minus the squared distances to one point for each class."""

    def __init__(self, features: int, classes: int) -> None:
        super().__init__()
        rng = np.random.default_rng(0)
        points = rng.standard_normal((classes, features))
        self.points = gp.nn.Parameter(points.astype(np.float32))
        self.apply_ = gp.compile(
            gp.operator(
                "distance",
                "z[n,c] = sum[k](-(Y[n,k] - w[c,k])**2)",
                {"Y": "N, K", "w": "C, K"},
            )
        )

    def forward(self, input: Tensor) -> Tensor:
        """(N, ...) -> (N, classes)."""
        flat = input.reshape(input.shape[0], -1)
        return self.apply_(flat, self.points)


NETWORKS: dict[str, Callable[[], Step]] = {
    "LeNet": lambda: _network("lenet", (1, 28, 28)),
    "ResNet-20": lambda: _network("resnet20", (3, 32, 32), adam=True),
    "VGG-11": lambda: _network("vgg11", (3, 32, 32)),
    "transformer": _transformer,
    "user's operator": lambda: _step(_Distances(64, CLASSES), (1, 8, 8)),
}
