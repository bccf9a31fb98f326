"""Where a training step's time goes on the device at hand: each kernel, measured by the device."""

from __future__ import annotations

import re
import statistics
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import cycle
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gradproof.cli.training import make_trainer
from gradproof.report.parts import Buffer, MemoryPlan, Missing, Timing, Work
from gradproof.report.roofs import roofs
from gradproof.runtime.data import Dataset
from gradproof.runtime.device import current_device
from gradproof.runtime.errors import GradproofError
from gradproof.runtime.plan import plan
from gradproof.runtime.planned_memory import piece_sizes
from gradproof.runtime.planned_step import PlannedStep
from gradproof.runtime.profiling import Span, profiling
from gradproof.runtime.run import RunConfig
from gradproof.runtime.step import TrainingStep
from gradproof.runtime.tensor import tensor
from gradproof.runtime.trainer import Trainer

WARM = 3  # steps before those that count
Batch = tuple[NDArray[Any], NDArray[Any]]


@dataclass(frozen=True)
class Measured:
    """A step that was run: what it took, and the memory that it is planned for."""

    timing: Timing | Missing
    memory: MemoryPlan | Missing


def measured(
    config: RunConfig, data: Dataset | Missing, state: Mapping[str, Any], steps: int
) -> Measured:
    """Run some steps of a run's training on the current device, from the parameters in `state`; the
    run itself is not changed. steps: how many are measured; with 0 the step is only planned."""
    device, train = current_device(), config.config.train
    if train.storage is not None:
        why = Missing("A step that stores activations in float16 is not planned.")
        return Measured(why, why)
    if device.info.kind == "simulator":
        why = Missing(f"{device.info.name} is a simulator, on which steps are not planned.")
        return Measured(why, why)
    try:
        trainer = _trainer(config, data)
        trainer.model.load_state_dict(dict(state))
        batches = _batches(trainer, -(-train.batch_size // train.accumulate))
        planned = _planned(trainer, config, batches[0])
        memory = memory_plan(planned)
        if not steps:
            return Measured(Missing("No step was run: --steps 0."), memory)
        return Measured(_timed(planned, batches, steps, _words(config, data)), memory)
    except GradproofError as error:
        why = Missing(f"The step cannot be run here: {error}.")
        return Measured(why, why)


def _trainer(config: RunConfig, data: Dataset | Missing) -> Trainer:
    if isinstance(data, Missing):
        count = config.config.train.batch_size
        values = np.random.default_rng(0)
        images = values.random((count, *config.image_shape), np.float32)
        labels = values.integers(0, len(config.classes), count).astype(np.int32)
        data = Dataset("random", images, labels, images, labels, config.classes)
    return make_trainer(config.config, data, config.normal)


def _words(config: RunConfig, data: Dataset | Missing) -> str:
    parts = config.config.train.accumulate
    part = "" if parts == 1 else f"; one of the {parts} parts of a batch, with an update"
    images = "random numbers" if isinstance(data, Missing) else "images of the run"
    return f"{images}{part}"


def _batches(trainer: Trainer, size: int) -> list[Batch]:
    """Some whole batches, as training has them."""
    found: list[Batch] = []
    for images, labels in trainer.loader.epoch(1):
        if len(images) >= size or not found:
            found.append((images[:size], labels[:size]))
        if len(found) == 4:
            break
    return [b for b in found if b[0].shape == found[0][0].shape]


def _planned(trainer: Trainer, config: RunConfig, batch: Batch) -> PlannedStep:
    train = config.config.train
    clip = train.clip_grad_norm
    step = TrainingStep(trainer.model, trainer.optimizer, trainer.loss, clip_grad_norm=clip)
    images, labels = batch
    examples = tensor(images, train.parameters), tensor(labels)
    return plan(step.run, *examples, precision=train.precision, checkpoint=train.recompute)


def _timed(planned: PlannedStep, batches: list[Batch], steps: int, data: str) -> Timing:
    device = planned.device
    following = cycle(batches)
    walls: list[float] = []
    runs: list[list[Span]] = []
    for _ in range(WARM + steps):  # in turn, so that both see the same machine
        device.synchronize()
        start = time.perf_counter()
        planned(*next(following))
        device.synchronize()
        walls.append(time.perf_counter() - start)
        with profiling(device) as profile:
            planned(*next(following))
        runs.append(profile.spans())
    used = planned.memory.temporaries + planned.memory.outside
    return Timing(
        device.info.describe(),
        works_of(planned, runs[WARM:]),
        statistics.median(walls[WARM:]),
        steps,
        len(batches[0][0]),
        planned.launches,
        data,
        roofs(device, planned.dtype, used),
    )


def works_of(planned: PlannedStep, runs: Sequence[Sequence[Span]]) -> tuple[Work, ...]:
    """The launches that compute something together, with their times; runs: spans of each launch.

    A work's time is the sum of its launches', of which each has the median over the runs; its spans
    are those of the run whose length is the median.
    """
    launches, dtype = planned.plan["launches"], np.dtype(planned.dtype)
    seconds = [statistics.median(s.seconds for s in each) for each in zip(*runs, strict=True)]
    typical = sorted(runs, key=lambda spans: spans[-1].end)[len(runs) // 2]
    phases = phases_of(planned)
    groups: dict[tuple[Any, ...], list[int]] = {}
    for k, x in enumerate(launches):
        key = (x["work"], x["what"]) if x["work"] >= 0 else (k,)
        groups.setdefault(key, []).append(k)
    found = []
    for own in groups.values():
        first = launches[own[0]]
        main = max(own, key=lambda k: launches[k]["flops"])
        real, whole = first["moved"]
        found.append(
            Work(
                _name(planned, main),
                first["what"],
                phases[own[0]],
                launches[main]["note"] if launches[main]["kernel"] else "",
                tuple(typical[k] for k in own),
                sum(seconds[k] for k in own),
                sum(launches[k]["flops"] for k in own),
                real * dtype.itemsize + whole * 4,
            )
        )
    return tuple(found)


def _name(planned: PlannedStep, k: int) -> str:
    x = planned.plan["launches"][k]
    name = x["kernel"] or planned.trace.calls[x["call"]].spec.name
    return str(name).rstrip("_")


def phases_of(planned: PlannedStep) -> list[str]:
    """ "forward", "backward" or "update" for each launch.

    Gradients begin and end the backward pass; what writes a tensor that the step was given, and no
    gradient, is an update.
    """
    launches = planned.plan["launches"]
    gradient = [re.search(r"\bgrad_", x["what"]) is not None for x in launches]
    first = gradient.index(True) if True in gradient else len(launches)
    last = len(launches) - gradient[::-1].index(True) if True in gradient else len(launches)
    results = {planned.graph.name(t) for t in planned.outputs if planned.graph.has(t)}
    outside = planned.graph.storages.keys() - planned.plan["places"].keys() - results
    found = []
    for k, x in enumerate(launches):
        if not gradient[k] and (k >= last or outside & set(x["writes"])):
            found.append("update")
        else:
            found.append("forward" if k < first else "backward")
    return found


def memory_plan(planned: PlannedStep) -> MemoryPlan:
    """The places of a step's temporaries, and when each of them is in use."""
    data, sizes = planned.plan, {"real": np.dtype(planned.dtype).itemsize, "int": 4}
    starts, total = {}, 0
    for kind, pieces in piece_sizes(data).items():
        starts[kind] = total
        total += sum(pieces) * sizes[kind]
    uses: dict[str, list[int]] = {}
    for k, x in enumerate(data["launches"]):
        for b in x["buffers"]:
            uses.setdefault(b, []).append(k)
    found = [
        Buffer(
            _called(planned, b),
            starts[kind] + place * sizes[kind],
            room * sizes[kind],
            uses[b][0],
            uses[b][-1],
        )
        for b, (kind, place, room) in data["places"].items()
        if b in uses
    ]
    return MemoryPlan(planned.memory, tuple(found))


def _called(planned: PlannedStep, b: str) -> str:
    if b.startswith("#"):
        return "what kernels keep between them"
    copy = " (a copy in another layout)" if "~" in b or "|" in b else ""
    return planned.graph.called(b.split("|")[0]) + copy
