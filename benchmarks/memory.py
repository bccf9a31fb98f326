"""Memory and time of training steps with and without recomputed activations.

    python -m benchmarks.memory resnet50:8 vgg16:8 [--time resnet20:32] [--out FOLDER]

Each network is planned for its usual images and as many as the number behind the colon; nothing is
allocated for that. Those behind `--time` are run too, both ways in turn, and must give the same
losses to the bit. The record is JSON.
"""

from __future__ import annotations

import argparse
import datetime
import json
import time
from pathlib import Path
from typing import Any

import numpy as np

import gradproof as gp
from benchmarks.measure.interleave import median_ratio
from gradproof.cli import record
from gradproof.cli.plan import training_step
from gradproof.runtime.device import use_device
from gradproof.runtime.meta import meta
from gradproof.runtime.models import build_model, find_model
from gradproof.runtime.plan import planned_data
from gradproof.runtime.step import TrainingStep

RECORDS = Path(__file__).parent / "records"
ROUNDS = 7
WAYS = {"plain": False, "recomputed": True}


def planned(name: str, batch: int) -> dict[str, Any]:
    """The plans of a network's step, both ways, as numbers."""
    found: dict[str, Any] = {"model": name, "batch": batch}
    with meta():
        step = training_step(name, batch, None, find_model(name).num_classes)
        for way, checkpoint in WAYS.items():
            start = time.perf_counter()
            plan, memory = planned_data(*step, checkpoint=checkpoint)
            found[way] = {
                "temporary_bytes": memory.temporaries,
                "outside_bytes": memory.outside,
                "launches": len(plan["launches"]),
                "launches_again": memory.recomputed,
                "flops": sum(x["flops"] for x in plan["launches"]),
                "planning_seconds": round(time.perf_counter() - start, 1),
            }
    return found


def timed(name: str, batch: int) -> dict[str, Any]:
    """Seconds of steps, both ways in turn, on the clock and of all cores; the ratio is that of the
    latter, which others on the machine disturb less. Errors: ArithmeticError where a loss is
    another one."""
    entry = find_model(name)
    rng = np.random.default_rng(0)
    images = rng.standard_normal((batch, *entry.image_shape)).astype(np.float32)
    labels = np.arange(batch, dtype=np.int32) % entry.num_classes
    steps = {}
    for way, checkpoint in WAYS.items():
        gp.manual_seed(0)
        model = build_model(name, entry.image_shape, entry.num_classes)
        for layer in model.modules():
            if isinstance(layer, gp.nn.Dropout):
                layer.p = 0.0  # two models in turn would draw other masks
        optimizer = gp.optim.SGD(model.parameters(), lr=0.01, momentum=0.9)
        loss = gp.nn.CrossEntropyLoss()
        steps[way] = TrainingStep(model, optimizer, loss, checkpoint=checkpoint)
    seconds: dict[str, list[float]] = {way: [] for way in WAYS}
    cores: dict[str, list[float]] = {way: [] for way in WAYS}
    for number in range(ROUNDS + 1):
        losses = []
        for way, step in steps.items():
            start, used = time.perf_counter(), time.process_time()
            losses.append(step(images, labels)[0])
            if number:  # the first builds the kernels
                seconds[way].append(round(time.perf_counter() - start, 4))
                cores[way].append(round(time.process_time() - used, 4))
        if losses[0] != losses[1]:
            raise ArithmeticError(f"{name}: loss {losses[1]} recomputed, {losses[0]} without")
    return {
        "model": name,
        "batch": batch,
        "seconds": seconds,
        "core_seconds": cores,
        "ratio": round(median_ratio(cores["recomputed"], cores["plain"]), 3),
        "temporary_bytes": {w: s.memory.temporaries for w, s in steps.items() if s.memory},
        "last_loss": losses[0],
    }


def main() -> None:
    """Plan, time, and write the record."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("networks", nargs="*")
    parser.add_argument("--time", nargs="*", default=[])
    parser.add_argument("--out", type=Path, default=RECORDS)
    options = parser.parse_args()
    info = use_device(None).info
    found: dict[str, Any] = {"date": datetime.date.today().isoformat()}
    found |= {"machine": record.machine([]), "device": record.device(info)}
    found |= {"versions": record.versions(), "planned": [], "timed": []}
    for measure, names, key in (
        (planned, options.networks, "planned"),
        (timed, options.time, "timed"),
    ):
        for text in names:
            name, _, batch = text.partition(":")
            found[key].append(measure(name, int(batch or 1)))
            print(json.dumps(found[key][-1]), flush=True)
    print(record.write(found, options.out, info, "recompute"))


if __name__ == "__main__":
    main()
