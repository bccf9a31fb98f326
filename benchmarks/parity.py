"""Every network of the zoo beside PyTorch: one training step at its real size.

    python benchmarks/parity.py [--models resnet50,vgg16] [--batch 2] [--json FILE]

Both start from the same parameters on the same images; dropout is off. In float64 the largest
difference of the logits, the loss and of every gradient is shown, relative to the largest element
of each. In float32 it is the error against float64, as ours over PyTorch's, of the worst parameter
and of the median one; an error is the median over several batches, because now and then rounding
puts an element on the other side of a ReLU, on either side of the comparison.

Needs PyTorch; a network takes minutes, most of it for compiling kernels.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))  # run as a script, the folder of this file is there instead

import numpy as np  # noqa: E402
from rich.console import Console  # noqa: E402
from rich.table import Table  # noqa: E402

import gradproof as gp  # noqa: E402
from gradproof.cli import record  # noqa: E402
from gradproof.runtime.models import MODELS, find_model  # noqa: E402

Results = dict[str, np.ndarray[Any, Any]]
DROPPING = ("alexnet", "vgg")  # networks that have dropout
SIDES = ("fast", "accurate")
DRAWS = 5


def draw(name: str, batch: int, seed: int) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """Images and labels, the same each time."""
    entry, rng = find_model(name), np.random.default_rng(seed)
    images = rng.normal(size=(batch, *entry.image_shape)).astype(np.float32)
    return images, rng.integers(0, entry.num_classes, batch)


def ours(name: str, batch: int, dtype: str, precision: str = "fast") -> Iterator[Results]:
    """Loss, logits and gradients of a planned step, for every draw."""
    model = _model(name).to(dtype)
    loss_of = gp.nn.CrossEntropyLoss()

    def step(images: gp.Tensor, labels: gp.Tensor) -> tuple[gp.Tensor, ...]:
        model.zero_grad()
        logits = model(images)
        loss = loss_of(logits, labels)
        loss.backward()
        return loss, logits, *(p.grad for p in model.parameters() if p.grad is not None)

    images, labels = draw(name, batch, 0)
    planned = gp.plan(step, gp.tensor(images, dtype), gp.tensor(labels), precision=precision)
    names = ("loss", "logits", *(n for n, _ in model.named_parameters()))
    for seed in range(DRAWS):
        images, labels = draw(name, batch, seed)
        planned(images.astype(dtype), labels)
        yield {n: t.numpy() for n, t in zip(names, planned.outputs, strict=True)}


def theirs(name: str, batch: int, dtype: str) -> Iterator[Results]:
    """The same of PyTorch's."""
    import torch

    from tests import torch_twins

    model = torch_twins.twin(name, find_model(name).num_classes, **_without_dropout(name))
    torch_twins.load(model, _model(name).state_dict())
    kind = getattr(torch, dtype)
    model.to(kind)
    for seed in range(DRAWS):
        images, labels = draw(name, batch, seed)
        model.zero_grad()
        logits = model(torch.tensor(images, dtype=kind))
        loss = torch.nn.functional.cross_entropy(logits, torch.tensor(labels))
        loss.backward()
        gradients = {n: p.grad.numpy() for n, p in model.named_parameters() if p.grad is not None}
        yield {"loss": loss.detach().numpy(), "logits": logits.detach().numpy(), **gradients}


def _model(name: str) -> gp.nn.Module:
    gp.manual_seed(0)
    classes = find_model(name).num_classes
    model: gp.nn.Module = getattr(gp.models, name)(classes, **_without_dropout(name))
    return model


def _without_dropout(name: str) -> dict[str, Any]:
    return {"dropout": 0.0} if name.startswith(DROPPING) else {}


def compare(name: str, batch: int) -> dict[str, Any]:
    """The row of one network."""
    start = time.perf_counter()
    exact = list(theirs(name, batch, "float64"))
    row: dict[str, Any] = {"name": name, "batch": batch, "draws": DRAWS}
    doubles = list(map(_relative, ours(name, batch, "float64"), exact))
    row["float64"] = _worst({n: max(d[n] for d in doubles) for n in exact[0]})
    rounding = _errors(theirs(name, batch, "float32"), exact)
    for precision in SIDES:
        errors = _errors(ours(name, batch, "float32", precision), exact)
        ratios = {n: errors[n] / rounding[n] for n in errors if rounding[n] > 0}
        row[precision] = _worst(ratios) | {"median": float(np.median([*ratios.values()]))}
    return row | {"seconds": round(time.perf_counter() - start, 1)}


def _relative(found: Results, exact: Results) -> dict[str, float]:
    """Largest difference over largest element. A bias before batch norm has no gradient but for
    rounding: there it is that of the layer's weight."""
    scales = {n: float(abs(v).max()) for n, v in exact.items()}
    for n in exact:
        weight = n.removesuffix("bias") + "weight"
        if n.endswith("bias") and scales[n] < 1e-9 * scales[weight]:
            scales[n] = scales[weight]
    return {n: float(abs(found[n] - exact[n]).max()) / scales[n] for n in exact}


def _errors(found: Iterable[Results], exact: list[Results]) -> dict[str, float]:
    """The median, over the draws, of the Euclidean norm of each difference."""
    norms: dict[str, list[float]] = {n: [] for n in exact[0]}
    for given, wanted in zip(found, exact, strict=True):
        for n, v in wanted.items():
            norms[n].append(float(np.linalg.norm(np.float64(given[n]) - v)))
    return {n: float(np.median(v)) for n, v in norms.items()}


def _worst(values: Mapping[str, float]) -> dict[str, Any]:
    name = max(values, key=lambda n: values[n])
    return {"worst": values[name], "of": name}


def table(rows: list[dict[str, Any]]) -> Table:
    """The rows for a person."""
    shown = Table("network", "float64", "fast: worst", "median", "accurate: worst", "median", "s")
    for row in rows:
        cells = [f"{row[s][k]:.2f}" for s in SIDES for k in ("worst", "median")]
        seconds = f"{row['seconds']:.0f}"
        shown.add_row(row["name"], f"{row['float64']['worst']:.1e}", *cells, seconds)
    return shown


def main() -> None:
    """Every network in a process of its own, which gives its memory back."""
    parser = argparse.ArgumentParser(description="Compare one step of each network with PyTorch's")
    known = [name for name in MODELS if name not in ("demo", "lenet")]
    parser.add_argument("--models", default=",".join(known), help="names with commas between")
    parser.add_argument("--batch", type=int, default=2)
    parser.add_argument("--json", type=Path, help="write a record")
    parser.add_argument("--one", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        print(json.dumps(compare(options.one, options.batch)))
        return
    rows = []
    for name in options.models.split(","):
        find_model(name)
        command = [sys.executable, __file__, "--one", name, "--batch", str(options.batch)]
        done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
        rows.append(json.loads(done.stdout.splitlines()[-1]))
        Console(stderr=True).print(table(rows[-1:]))
    Console().print(table(rows))
    if options.json:
        about = {"machine": record.machine([]), "versions": record.versions(), "rows": rows}
        options.json.write_text(json.dumps(about, indent=1) + "\n", "utf-8")


if __name__ == "__main__":
    main()
