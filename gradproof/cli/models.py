"""The command `gradproof models`: the networks there are, and what each takes."""

from __future__ import annotations

from typing import Any

from rich.table import Table

from gradproof.cli.options import Batch, Device, Json
from gradproof.cli.screen import Screen
from gradproof.runtime.cost import Cost, cost
from gradproof.runtime.device import use_device
from gradproof.runtime.meta import meta
from gradproof.runtime.models import MODELS, Entry, build_model


def models(batch: Batch = 1, device: Device = None, as_json: Json = False) -> None:
    """List the networks, each for the images and classes that it was made for.

    GFLOP: operations of one forward pass, a multiplication and an addition counting one each.
    Activations: results of the forward pass that a training step keeps for its gradients, in
    float32 and without a plan; `gradproof plan` shows what a planned step takes.
    """
    use_device(device)
    costs = {name: _cost(name, entry, batch) for name, entry in MODELS.items()}
    screen = Screen(as_json=as_json)
    screen.table(_table(costs, batch))
    screen.result({name: _row(MODELS[name], c) for name, c in costs.items()} | {"batch": batch})


def _cost(name: str, entry: Entry, batch: int) -> Cost:
    with meta():
        model = build_model(name, entry.image_shape, entry.num_classes)
    return cost(model, (batch, *entry.image_shape))


def _table(costs: dict[str, Cost], batch: int) -> Table:
    table = Table("model", "images", title=f"batch {batch}", title_justify="left")
    for column in ("classes", "parameters", "GFLOP", "activations MiB"):
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
