"""The command `gradproof plan`: what a training step of a network becomes, launch by launch."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Annotated, Any

import numpy as np
import typer
from rich.console import Console
from rich.table import Table

import gradproof as gp
from gradproof.cli.options import Batch, Classes, Device, Image, Json, Precision, Recompute, Verbose
from gradproof.cli.screen import speak
from gradproof.runtime import models
from gradproof.runtime.device import use_device
from gradproof.runtime.errors import DeviceError, RunError
from gradproof.runtime.meta import meta, unset
from gradproof.runtime.plan import PRECISIONS, planned_data
from gradproof.runtime.planned_limits import limit_notes
from gradproof.runtime.planned_memory import mib
from gradproof.runtime.step import TrainingStep
from gradproof.runtime.tensor import Tensor, tensor


def plan(
    model: Annotated[str, typer.Argument(help="One of those that `gradproof models` lists.")],
    batch: Batch = 32,
    image: Image = None,
    classes: Classes = 10,
    precision: Precision = "fast",
    recompute: Recompute = False,
    source: Annotated[bool, typer.Option(help="Print the kernels' text instead.")] = False,
    device: Device = None,
    as_json: Json = False,
    verbose: Verbose = False,
) -> None:
    """Show how a training step is planned: kernels, what each computes, memory. Runs nothing, and
    takes no memory on the device.

    Kernels of equal text are one; "copy for" names the work that wanted another layout. The memory
    is that of activations, gradients and all else that lives only within a step, without and with
    recomputed activations.
    """
    if precision not in PRECISIONS:
        raise RunError(f"--precision {precision}: expected one of {', '.join(PRECISIONS)}")
    speak(verbose)
    info = use_device(device).info
    with meta():
        step = training_step(model, batch, image, classes)
        plain, memory = planned_data(*step, precision=precision)
        again, less = planned_data(*step, precision=precision, checkpoint=True)
    found, shown = (again, less) if recompute else (plain, memory)
    if source:
        print(found["source"], end="")
        return
    console = Console(stderr=as_json)
    console.print(_table(found))
    total = _flops(found)
    console.print(
        f"{len(found['launches'])} launches of {len(found['kernels'])} kernels, "
        f"{total / 1e9:.2f} GFLOP, {mib(shown.temporaries)} of activations and other temporaries"
    )
    more = _flops(again) / max(1, _flops(plain)) - 1
    console.print(
        f"Memory {mib(memory.temporaries)}; {mib(less.temporaries)} with --recompute, whose"
        f" {less.recomputed} launches that compute activations again are {more:.0%} more operations"
    )
    notes = list(limit_notes(found, shown))
    if verbose:
        for text in notes:
            console.print(text, soft_wrap=True, highlight=False)
    elif notes:
        console.print(f"{len(notes)} decisions by the limits of {info.name}; --verbose lists them")
    try:
        shown.check(info, recompute)
    except DeviceError as error:
        console.print(f"It does not fit: {error}", style="red", soft_wrap=True, highlight=False)
    if as_json:
        print(
            json.dumps(
                {
                    "launches": len(found["launches"]),
                    "kernels": len(found["kernels"]),
                    "flops": total,
                    "limits": notes,
                    "bytes": shown.temporaries,
                    "bytes_plain": memory.temporaries,
                    "bytes_recomputed": less.temporaries,
                    "flops_plain": _flops(plain),
                    "flops_recomputed": _flops(again),
                }
            )
        )


def training_step(
    model: str, batch: int, image: str | None, classes: int
) -> tuple[Callable[..., Any], Tensor, Tensor]:
    """A training step of a network with SGD, to record, and its examples: images and labels.

    image: "C,H,W", or None for the usual shape. Errors: RunError for an unknown network or shape.
    """
    shape = _image(model, image)
    network = models.build_model(model, shape, classes)
    optimizer = gp.optim.SGD(network.parameters(), lr=0.1, momentum=0.9)
    step = TrainingStep(network, optimizer, gp.nn.CrossEntropyLoss())
    x = tensor(unset((batch, *shape), np.dtype(np.float32)))
    return step.run, x, tensor(np.zeros(batch, np.int32))


def _flops(found: Mapping[str, Any]) -> int:
    return sum(x["flops"] for x in found["launches"])


def _image(model: str, given: str | None) -> tuple[int, int, int]:
    usual = models.find_model(model).image_shape
    if given is None:
        return usual
    parts = given.split(",")
    if len(parts) != 3 or not all(p.strip().isdigit() and int(p) > 0 for p in parts):
        raise RunError(f"--image {given}: expected three positive numbers C,H,W")
    channels, height, width = (int(p) for p in parts)
    return channels, height, width


def _table(found: Mapping[str, Any]) -> Table:
    """One row for each kernel on each equation, the most work first."""
    count: Counter[tuple[str, str, str]] = Counter()
    flops: Counter[tuple[str, str, str]] = Counter()
    for x in found["launches"]:
        key = x["kernel"] or "reference", x["what"], x["note"] if x["kernel"] else ""
        count[key] += 1
        flops[key] += x["flops"]
    table = Table("kernel", "computes", "launches", "MFLOP each", "schedule")
    for key in sorted(count, key=lambda k: -flops[k]):
        kernel, what, note = key
        each = flops[key] / count[key] / 1e6
        table.add_row(kernel.rstrip("_"), what, str(count[key]), f"{each:.2f}", note)
    return table
