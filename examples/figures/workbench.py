"""What the figures share: the command line, one training, the table, its record, and the drawing.

A figure is a module with `measure(options)`, which yields the rows of its table, `summary(rows)`,
the numbers that the page quotes, and `draw(rows)`. Pictures are drawn from the table that was
written, so `--redraw` gives the same picture without training.
"""

from __future__ import annotations

import argparse
import csv
import json
import platform
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from importlib.metadata import version
from pathlib import Path
from statistics import median
from typing import Any

import drawing
import numpy as np
from matplotlib.figure import Figure

import gradproof as gp
from gradproof.cli.record import machine, versions

Row = dict[str, Any]
FOLDER = Path(__file__).resolve().parents[2] / "docs" / "figures"


@dataclass(frozen=True)
class Options:
    """out: folder of table, record and picture; seeds: repetitions, from seed 0; epochs: of each
    training; quick: one seed, one epoch, few settings: to see that everything runs."""

    out: Path
    seeds: int
    epochs: int
    quick: bool


@dataclass(frozen=True)
class Outcome:
    """A training: its complete epochs, and whether the loss became infinite or NaN."""

    history: list[Any]
    diverged: bool


def main(
    name: str,
    text: str,
    measure: Callable[[Options], Iterable[Row]],
    summary: Callable[[Sequence[Row]], Mapping[str, Any]],
    draw: Callable[[Sequence[Row]], Figure],
    *,
    seeds: int,
    epochs: int,
) -> None:
    """The command line of a figure; seeds, epochs: what it takes without options."""
    options, redraw = _options(text, seeds, epochs)
    options.out.mkdir(parents=True, exist_ok=True)
    table, record = options.out / f"{name}.csv", options.out / f"{name}.json"
    if redraw:
        about = json.loads(record.read_text("utf-8"))
    else:
        _write(table, list(measure(options)))
        about = _record(name, options)
    rows = read(table)
    about["found"] = dict(summary(rows))
    record.write_text(json.dumps(about, indent=1) + "\n", "utf-8")
    for key, value in about["found"].items():
        print(f"{key}: {value}")
    picture = options.out / f"{name}.png"
    drawing.save(draw(rows), picture)
    print(f"{table}\n{record}\n{picture}")


def digits(options: Options, images: int | None = None) -> gp.data.Dataset:
    """The shipped digits; images: how many of each class are left to train on, each as often as
    makes an epoch as long as one of all. With --quick two batches."""
    data = gp.data.load_digits()
    if options.quick:
        few = {"x_train": 128, "y_train": 128, "x_test": 64, "y_test": 64}
        return replace(data, **{name: getattr(data, name)[:n] for name, n in few.items()})
    if images is None:
        return data
    chosen = [np.flatnonzero(data.y_train == k)[:images] for k in range(len(data.classes))]
    places = np.resize(np.concatenate(chosen), len(data.x_train))
    return replace(data, x_train=np.asarray(data.x_train)[places], y_train=data.y_train[places])


def train(
    model: gp.nn.Module,
    data: gp.data.Dataset,
    optimizer: gp.optim.Optimizer,
    epochs: int,
    **options: Any,
) -> Outcome:
    """Train for `epochs`; options: those of `gp.Trainer`. A loss that leaves the range ends it."""
    trainer = gp.Trainer(model, optimizer, gp.nn.CrossEntropyLoss(), data, **options)
    try:
        trainer.fit(epochs)
    except gp.errors.DivergenceError:
        return Outcome(trainer.history, True)
    return Outcome(trainer.history, False)


def cosine(
    optimizer: gp.optim.Optimizer, data: gp.data.Dataset, batch_size: int, epochs: int
) -> gp.optim.lr_scheduler.CosineAnnealingLR:
    """The rate falls along half a cosine to 0, step by step, over all epochs."""
    steps = epochs * -(-len(data.x_train) // batch_size)
    return gp.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)


def stack(batch_norm: bool, dropout: float = 0.0) -> gp.nn.Sequential:
    """The network of all comparisons: six 3x3 convolutions, two hidden linear layers.

    Images (N, 1, 8, 8) -> logits (N, 10). With batch norm it stands between each convolution and
    its ReLU; with dropout it stands before both linear layers. Weights are He's either way, which
    is what helps a network without batch norm most; biases start at 0.
    """
    layers: list[gp.nn.Module] = []
    for before, after, pool in ((1, 16, 0), (16, 16, 1), (16, 32, 0), (32, 32, 1), (32, 64, 0)):
        layers += _block(before, after, batch_norm)
        layers += [gp.nn.MaxPool2d(2)] * pool
    layers += [*_block(64, 64, batch_norm), gp.nn.Flatten()]
    for before, after in ((256, 64), (64, 10)):
        layers += [gp.nn.Dropout(dropout)] if dropout else []
        layers += [gp.nn.Linear(before, after)]
        layers += [gp.nn.ReLU()] if after != 10 else []
    for layer in layers:
        if isinstance(layer, gp.nn.Conv2d | gp.nn.Linear):
            gp.nn.init.kaiming_normal_(layer.weight)
            layer.bias.copy_(0 * layer.bias.numpy())
    return gp.nn.Sequential(*layers)


def _block(before: int, after: int, batch_norm: bool) -> list[gp.nn.Module]:
    norm = [gp.nn.BatchNorm2d(after)] if batch_norm else []
    return [gp.nn.Conv2d(before, after, 3, padding=1), *norm, gp.nn.ReLU()]


def note(*parts: object) -> None:
    """Say how far it is, on the error stream."""
    print(*parts, file=sys.stderr, flush=True)


# -- tables ----------------------------------------------------------------------------------
def select(rows: Iterable[Row], **wanted: Any) -> list[Row]:
    """The rows with these values."""
    return [row for row in rows if all(row[k] == v for k, v in wanted.items())]


def ends(numbers: Iterable[float]) -> list[float]:
    """The lowest, the median and the highest, to 6 digits, as in the table."""
    found = sorted(numbers)
    return [float(f"{v:.6g}") for v in (found[0], median(found), found[-1])]


def values(rows: Iterable[Row], column: str) -> list[Any]:
    """The different values of a column, in the order in which they come."""
    return list(dict.fromkeys(row[column] for row in rows))


def read(path: Path) -> list[Row]:
    """The rows of a table; what is a number is one."""
    with path.open(newline="", encoding="utf-8") as file:
        return [{k: _value(v) for k, v in row.items()} for row in csv.DictReader(file)]


def _write(path: Path, rows: Sequence[Row]) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        for row in rows:
            writer.writerow({k: f"{v:.6g}" if isinstance(v, float) else v for k, v in row.items()})


def _value(text: str) -> int | float | str:
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text


# -- the record and the options --------------------------------------------------------------
def _record(name: str, options: Options) -> dict[str, Any]:
    flags = f"--seeds {options.seeds} --epochs {options.epochs}" + " --quick" * options.quick
    device = asdict(gp.tensor([0.0]).device.info)
    return {
        "command": f"python examples/figures/{name}.py {flags}",
        "date": time.strftime("%Y-%m-%d"),
        "seeds": list(range(options.seeds)),
        "epochs": options.epochs,
        "machine": {"processor": machine([])["cpu"], "system": platform.system()},
        "device": {key: device[key] for key in ("platform", "name", "kind", "driver")},
        "versions": versions() | {"matplotlib": version("matplotlib")},
    }


def _options(text: str, seeds: int, epochs: int) -> tuple[Options, bool]:
    parser = argparse.ArgumentParser(description=text)
    parser.add_argument("--out", type=Path, default=FOLDER, help="folder for what is written")
    parser.add_argument("--seeds", type=_count, help=f"repetitions ({seeds})")
    parser.add_argument("--epochs", type=_count, help=f"epochs of each training ({epochs})")
    parser.add_argument("--quick", action="store_true", help="one seed, one epoch, few settings")
    parser.add_argument("--redraw", action="store_true", help="draw the table that is there")
    given = parser.parse_args()
    if given.quick:
        seeds, epochs = 1, 1
        if given.out == FOLDER:
            parser.error("--quick measures nothing worth keeping: give it a folder by --out")
    return (
        Options(given.out, given.seeds or seeds, given.epochs or epochs, given.quick),
        given.redraw,
    )


def _count(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r}, expected a number from 1")
    return int(text)
