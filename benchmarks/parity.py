"""Every network of the zoo beside PyTorch: one training step at its real size.

    python benchmarks/parity.py [--models resnet50,vgg16] [--batch 2] [--draws 9] [--json FILE]

Both start from the same parameters on the same images; dropout is off. In float64 the largest
difference of the logits, the loss and of every gradient is shown, relative to the largest element
of each, over all elements of one step.

In float32 it is the error against PyTorch's float64, as ours over PyTorch's: for each parameter the
Euclidean norm of the gradient's error, ours over theirs on the same batch, and of these ratios the
median over several batches. Now and then rounding puts an element on the other side of a ReLU, on
either side of the comparison; then the norms differ by a factor of up to thousands, either way, and
the median is what holds without it. From the second batch on, 131,072 elements drawn at random
stand for a larger gradient. What is shown is the worst parameter and the median one.

Each side runs in a process of its own. Its peak is the most memory that the process ever had when
the first step has ended, everything included: interpreter, libraries, model, compiler.

Needs PyTorch; a network takes minutes, most of it for compiling kernels.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from datetime import date
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))  # run as a script, the folder of this file is there instead

import numpy as np  # noqa: E402
from rich.console import Console  # noqa: E402
from rich.table import Table  # noqa: E402

import gradproof as gp  # noqa: E402
from gradproof.cli import record  # noqa: E402
from gradproof.runtime.device import current_device  # noqa: E402
from gradproof.runtime.models import MODELS, find_model  # noqa: E402

Array = np.ndarray[Any, Any]
Results = dict[str, Array]
DROPPING = ("alexnet", "vgg")  # networks that have dropout
# what is run, in this order: the side's type and, of ours, the precision
SIDES = {
    "initial": ("float32", ""),
    "torch64": ("float64", ""),
    "torch32": ("float32", ""),
    "ours64": ("float64", "fast"),
    "fast": ("float32", "fast"),
    "accurate": ("float32", "accurate"),
}
DRAWS, DRAWS_SMALL = 9, 51  # batches; small images have fewer ReLUs: their sides vary more
SAMPLE = 1 << 17  # elements that stand for a larger gradient, but for the first batch
MIB = 1024.0


def draw(name: str, batch: int, seed: int) -> tuple[Array, Array]:
    """Images and labels, the same each time."""
    entry, rng = find_model(name), np.random.default_rng(seed)
    images = rng.normal(size=(batch, *entry.image_shape)).astype(np.float32)
    return images, rng.integers(0, entry.num_classes, batch)


# -- one side, in its process -------------------------------------------------------------------
def ours(name: str, batch: int, draws: int, dtype: str, precision: str) -> Iterator[Results]:
    """Loss, logits and gradients of a planned step, for every draw; first of all nothing, when the
    first step has ended."""
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
    planned(images.astype(dtype), labels)
    planned.outputs[0].numpy()  # waits for the step
    yield {}
    for seed in range(draws):
        images, labels = draw(name, batch, seed)
        planned(images.astype(dtype), labels)
        yield {n: t.numpy() for n, t in zip(names, planned.outputs, strict=True)}


def theirs(name: str, batch: int, draws: int, dtype: str, initial: Path) -> Iterator[Results]:
    """The same of PyTorch's, from the parameters in a file."""
    import torch

    from tests import torch_twins

    model = torch_twins.twin(name, find_model(name).num_classes, **_without_dropout(name))
    with np.load(initial) as state:  # one by one: the peak is the step's
        parameters = model.state_dict()
        for n in state.files:
            parameters[n].copy_(torch.from_numpy(np.asarray(state[n])))
    kind = getattr(torch, dtype)
    model.to(kind)
    for seed in (None, *range(draws)):
        images, labels = draw(name, batch, seed or 0)
        model.zero_grad()
        logits = model(torch.tensor(images, dtype=kind))
        loss = torch.nn.functional.cross_entropy(logits, torch.tensor(labels))
        loss.backward()
        if seed is None:
            yield {}
            continue
        gradients = {n: p.grad.numpy() for n, p in model.named_parameters() if p.grad is not None}
        yield {"loss": loss.detach().numpy(), "logits": logits.detach().numpy(), **gradients}


def _model(name: str) -> gp.nn.Module:
    gp.manual_seed(0)
    entry, options = find_model(name), _without_dropout(name)
    if not options:
        return entry.build(entry.image_shape, entry.num_classes)
    model: gp.nn.Module = getattr(gp.models, name)(entry.num_classes, **options)
    return model


def _without_dropout(name: str) -> dict[str, Any]:
    return {"dropout": 0.0} if name.startswith(DROPPING) else {}


def run_side(name: str, side: str, batch: int, draws: int, folder: Path) -> dict[str, Any]:
    """Run a side. PyTorch's in float64 leaves its results in the folder, the others compare theirs
    with these: for each result the norms of its error, and the largest relative difference."""
    dtype, precision = SIDES[side]
    if side == "initial":
        state: dict[str, Any] = _model(name).state_dict()
        np.savez(folder / "initial.npz", **state)
        return {}
    start = time.perf_counter()
    draws = 1 if side == "ours64" else draws
    if precision:
        steps = ours(name, batch, draws, dtype, precision)
    else:
        steps = theirs(name, batch, draws, dtype, folder / "initial.npz")
    next(steps)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / MIB
    report: dict[str, Any] = {"peak_mib": round(peak), "first_step_s": time.perf_counter() - start}
    errors: list[dict[str, list[float]]] = []
    for seed, found in enumerate(steps):
        if side == "torch64":
            for n, v in found.items():
                np.save(folder / f"{seed}-{n}.npy", sample(v, seed))
        else:
            errors.append(differences(found, folder, seed))
    for k, kind in enumerate(("norms", "relative") if errors else ()):
        report[kind] = {n: [e[n][k] for e in errors] for n in errors[0]}
    return report


def sample(v: Array, seed: int) -> Array:
    """The elements that are compared: all of the first batch's, else at most `SAMPLE`.

    >>> len(sample(np.zeros((3, SAMPLE)), 1)), len(sample(np.zeros(5), 1))
    (131072, 5)
    """
    flat = v.reshape(-1)
    if seed == 0 or v.size <= SAMPLE:
        return flat
    return flat[np.random.default_rng(seed).integers(0, v.size, SAMPLE)]


def differences(found: Results, folder: Path, seed: int) -> dict[str, list[float]]:
    """Of each result: the norm of its difference to what the folder has, and the largest difference
    over the largest element. A bias before batch norm has no gradient but for rounding: there it is
    over that of the layer's weight."""
    rows: dict[str, list[float]] = {}
    scales: dict[str, float] = {}
    for n, v in found.items():
        exact = np.load(folder / f"{seed}-{n}.npy")
        scales[n] = float(abs(exact).max())
        weight = scales.get(n.removesuffix("bias") + "weight", 0.0)
        if n.endswith("bias") and scales[n] < 1e-9 * weight:
            scales[n] = weight
        error = np.subtract(sample(v, seed), exact, dtype=np.float64)
        rows[n] = [float(np.linalg.norm(error)), float(abs(error).max()) / scales[n]]
    return rows


# -- all sides ----------------------------------------------------------------------------------
def reports(
    name: str, batch: int, draws: int, folder: Path, sides: Sequence[str] = tuple(SIDES)
) -> dict[str, Any]:
    """What each side found. One whose report is in the folder is not run again."""
    folder.mkdir(parents=True, exist_ok=True)
    # PyTorch's sums then do not depend on the number of cores
    variables = {**os.environ, "OMP_NUM_THREADS": "1"}
    found = {}
    for side in sides:
        path = folder / f"{side}.json"
        if not path.exists():
            command = [sys.executable, __file__, "--models", name, "--side", side]
            command += ["--batch", str(batch), "--draws", str(draws), "--folder", str(folder)]
            subprocess.run(command, check=True, env=variables)
        found[side] = json.loads(path.read_text("utf-8"))
    return found


def row_of(sides: Mapping[str, Any]) -> dict[str, Any]:
    """What the reports come to: of each of our sides the worst result, and in float32 the median
    parameter too; memory and time."""
    relative = sides["ours64"]["relative"]
    row: dict[str, Any] = {"float64": _worst({n: max(v) for n, v in relative.items()})}
    rounding = sides["torch32"]["norms"]
    for side in (s for s in ("fast", "accurate") if s in sides):
        ratios = {n: ratio(v, rounding[n]) for n, v in sides[side]["norms"].items()}
        outputs = {n: ratios.pop(n) for n in ("loss", "logits")}
        median = float(np.median([*ratios.values()]))
        row[side] = _worst(ratios) | {"median": median} | outputs
    for kind in ("peak_mib", "first_step_s"):
        row[kind] = {n: round(s[kind]) for n, s in sides.items() if s}
    return row


def ratio(found: Sequence[float], rounding: Sequence[float]) -> float:
    """The median of what each error is over PyTorch's; two that are zero are equal.

    >>> ratio([2.0, 0.0, 900.0], [1.0, 0.0, 1.0])
    2.0
    """
    pairs = zip(found, rounding, strict=True)
    each = [a / b if b else float("inf") if a else 1.0 for a, b in pairs]
    return float(np.median(each))


def _worst(values: Mapping[str, float]) -> dict[str, Any]:
    name = max(values, key=lambda n: values[n])
    return {"worst": values[name], "of": name}


def table(rows: list[dict[str, Any]]) -> Table:
    """The rows for a person."""
    shown = Table("network", "float64", "fast: worst", "median", "accurate: worst", "median")
    for column in ("MiB: PyTorch 64", "ours", "PyTorch 32", "ours"):
        shown.add_column(column, justify="right")
    for row in rows:
        cells = [
            f"{row[s][k]:.2f}" if s in row else ""
            for s in ("fast", "accurate")
            for k in ("worst", "median")
        ]
        peaks = [str(row["peak_mib"][s]) for s in ("torch64", "ours64", "torch32", "accurate")]
        shown.add_row(row["name"], f"{row['float64']['worst']:.1e}", *cells, *peaks)
    return shown


def main() -> None:
    """Every side of every network in a process of its own, which gives its memory back."""
    parser = argparse.ArgumentParser(description="Compare one step of each network with PyTorch's")
    known = [name for name in MODELS if name != "demo"]
    parser.add_argument("--models", default=",".join(known), help="names with commas between")
    parser.add_argument("--batch", type=int, default=2)
    parser.add_argument("--draws", type=int, help="batches: 9, or 51 of small images")
    parser.add_argument("--folder", type=Path, help="keep what each side found, and go on from it")
    parser.add_argument("--json", type=Path, help="write a record")
    parser.add_argument("--no-fast", action="store_true", help='leave precision="fast" out')
    parser.add_argument("--side", choices=SIDES, help=argparse.SUPPRESS)
    options = parser.parse_args()
    names = options.models.split(",")
    if options.side:
        report = run_side(names[0], options.side, options.batch, options.draws, options.folder)
        (options.folder / f"{options.side}.json").write_text(json.dumps(report), "utf-8")
        return
    rows = []
    for name in names:
        small = max(find_model(name).image_shape) < 64
        draws = options.draws or (DRAWS_SMALL if small else DRAWS)
        with tempfile.TemporaryDirectory() as temporary:
            folder = options.folder / name if options.folder else Path(temporary)
            left_out = options.no_fast and not (folder / "fast.json").exists()
            sides = [s for s in SIDES if s != "fast" or not left_out]
            found = reports(name, options.batch, draws, folder, sides)
        draws = len(found["torch32"]["norms"]["loss"])  # a report in the folder may have others
        rows.append({"name": name, "batch": options.batch, "draws": draws} | row_of(found))
        Console(stderr=True, width=130).print(table(rows[-1:]))
    Console(width=130).print(table(rows))
    if options.json:
        about = {"date": str(date.today()), "machine": record.machine([])}
        about |= {"device": record.device(current_device().info), "versions": record.versions()}
        options.json.write_text(json.dumps(about | {"rows": rows}, indent=1) + "\n", "utf-8")


if __name__ == "__main__":
    main()
