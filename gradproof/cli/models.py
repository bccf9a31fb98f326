"""The command `gradproof models`: the networks there are, and what each takes."""

from __future__ import annotations

from typing import Annotated, Any

import typer
from rich.table import Table

from gradproof.cli.options import Batch, Device, Json
from gradproof.cli.plan import training_step
from gradproof.cli.screen import Screen
from gradproof.runtime.cost import Cost, cost
from gradproof.runtime.device import use_device
from gradproof.runtime.meta import meta
from gradproof.runtime.models import MODELS, Entry, build_model, find_model
from gradproof.runtime.plan import planned_data
from gradproof.runtime.planned_memory import StepMemory

Planned = tuple[StepMemory, StepMemory]  # without and with recomputed activations


def models(
    names: Annotated[
        list[str] | None, typer.Argument(metavar="[MODEL]...", help="Some of them; default: all.")
    ] = None,
    batch: Batch = 1,
    planned: Annotated[
        bool,
        typer.Option(
            "--planned",
            help="Also plan a training step of each, with and without recomputed activations, and"
            " show its memory. Takes up to minutes for a network, once.",
        ),
    ] = False,
    device: Device = None,
    as_json: Json = False,
) -> None:
    """List the networks, each for the images and classes that it was made for.

    GFLOP: operations of one forward pass, a multiplication and an addition counting one each.
    Activations: results of the forward pass that a training step keeps for its gradients, in
    float32 and without a plan. Planned: all that lives only within a planned step, and the same
    where activations are computed again (--recompute of `gradproof train`).
    """
    use_device(device)
    chosen = {name: find_model(name) for name in names or MODELS}
    costs = {name: _cost(name, entry, batch) for name, entry in chosen.items()}
    memory = {name: _memory(name, batch) for name in chosen} if planned else {}
    screen = Screen(as_json=as_json)
    screen.table(_table(costs, memory, batch))
    screen.result(
        {name: _row(MODELS[name], c) | _bytes(memory.get(name)) for name, c in costs.items()}
        | {"batch": batch}
    )


def _cost(name: str, entry: Entry, batch: int) -> Cost:
    with meta():
        model = build_model(name, entry.image_shape, entry.num_classes)
    return cost(model, (batch, *entry.image_shape))


def _memory(name: str, batch: int) -> Planned:
    """The memory of a planned step, without and with recomputed activations."""
    with meta():
        step = training_step(name, batch, None, MODELS[name].num_classes)
        plain, less = (planned_data(*step, checkpoint=c)[1] for c in (False, True))
    return plain, less


def _bytes(memory: Planned | None) -> dict[str, int]:
    if memory is None:
        return {}
    plain, less = memory
    return {"planned_bytes": plain.temporaries, "recomputed_bytes": less.temporaries}


def _table(costs: dict[str, Cost], memory: dict[str, Planned], batch: int) -> Table:
    table = Table("model", "images", title=f"batch {batch}", title_justify="left")
    more = ("planned MiB", "recomputed MiB") if memory else ()
    for column in ("classes", "parameters", "GFLOP", "activations MiB", *more):
        table.add_column(column, justify="right")
    for name, c in costs.items():
        entry = MODELS[name]
        table.add_row(
            name,
            " x ".join(map(str, entry.image_shape)),
            f"{entry.num_classes:,}",
            f"{c.parameters:,}",
            f"{c.flops / 1e9:,.3f}",
            f"{c.activation_bytes / 2**20:,.2f}",
            *(f"{m.temporaries / 2**20:,.2f}" for m in memory.get(name, ())),
        )
    return table


def _row(entry: Entry, c: Cost) -> dict[str, Any]:
    return {
        "image_shape": list(entry.image_shape),
        "classes": entry.num_classes,
        "parameters": c.parameters,
        "flops": c.flops,
        "activation_bytes": c.activation_bytes,
    }
