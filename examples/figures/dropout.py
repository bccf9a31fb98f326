"""Dropout against batch norm: how far training and held-out digits lie apart.

python examples/figures/dropout.py
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from statistics import median

import drawing
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from workbench import Options, Row, cosine, digits, ends, main, note, select, stack, values

import gradproof as gp

VARIANTS = {  # name -> batch norm, probability of dropout before both linear layers
    "neither": (False, 0.0),
    "dropout": (False, 0.5),
    "batch norm": (True, 0.0),
    "both": (True, 0.5),
}
PER_CLASS = (10, None)  # training images of each class; None: all, about 144
RATE, BATCH_SIZE = 2e-3, 32  # of Adam: one rate that serves all four


def measure(options: Options) -> Iterator[Row]:
    """One row for each epoch of each training; both parts are measured in evaluation mode."""
    for images in PER_CLASS:
        data = digits(options, images)
        for name in list(VARIANTS)[2:] if options.quick else VARIANTS:
            for seed in range(options.seeds):
                setting = {"variant": name, "images": _distinct(data), "seed": seed}
                for row in _train(data, name, seed, options.epochs):
                    yield setting | row
                note(setting, row)


def _distinct(data: gp.data.Dataset) -> int:
    return len(np.unique(np.asarray(data.x_train), axis=0))


def _train(data: gp.data.Dataset, name: str, seed: int, epochs: int) -> list[Row]:
    """The training loss of `Trainer` is that of the network with dropout, while it changes; here
    the training images are evaluated as the held-out ones are."""
    gp.manual_seed(seed)
    model, loss = stack(*VARIANTS[name]), gp.nn.CrossEntropyLoss()
    optimizer = gp.optim.Adam(model.parameters(), lr=RATE)
    rows: list[Row] = []
    images, places = np.unique(np.asarray(data.x_train), axis=0, return_index=True)

    def evaluated(result: gp.EpochResult) -> None:
        seen = gp.evaluate(model, loss, images, data.y_train[places], BATCH_SIZE)
        rows.append(
            {
                "epoch": result.epoch,
                "train_loss": seen.loss,
                "train_accuracy": seen.accuracy,
                "test_loss": result.test_loss,
                "test_accuracy": result.test_accuracy,
            }
        )

    trainer = gp.Trainer(
        model,
        optimizer,
        loss,
        data,
        batch_size=BATCH_SIZE,
        seed=seed,
        scheduler=cosine(optimizer, data, BATCH_SIZE, epochs),
        on_epoch=evaluated,
    )
    trainer.fit(epochs)
    return rows


def summary(rows: Sequence[Row]) -> dict[str, list[float]]:
    """After the last epoch: lowest, median and highest seed of accuracy and losses."""
    found = {}
    last = select(rows, epoch=max(row["epoch"] for row in rows))
    for images in values(rows, "images"):
        for name in values(rows, "variant"):
            chosen = select(last, images=images, variant=name)
            for column in ("test_accuracy", "test_loss", "train_loss"):
                found[f"{images} images, {name}: {column}"] = ends(row[column] for row in chosen)
    return found


# -- the picture -----------------------------------------------------------------------------
def draw(rows: Sequence[Row]) -> Figure:
    """A panel for each variant; few images above, all below."""
    figure = drawing.card(
        "All four learn the training digits by heart; with few, batch norm lowers held-out loss",
        f"Digits, six 3×3 convolutions and two linear layers, Adam; loss in evaluation mode;"
        f" lines: median of {len(values(rows, 'seed'))} seeds, bands: all",
        11.5,
        5.8,
    )
    counts, names = values(rows, "images"), values(rows, "variant")
    panels = figure.subplots(len(counts), len(names), sharex=True, sharey="row", squeeze=False)
    for line, images in zip(panels, counts, strict=True):
        for axes, name in zip(line, names, strict=True):
            drawing.plain(axes, f"{name}, {images} images")
            _panel(axes, select(rows, images=images, variant=name))
            axes.set_yscale("log")
        line[0].set_ylim(top=60)  # of the whole row: room for the text
        line[0].set_ylabel("cross-entropy loss", size=9)
    for axes in panels[-1]:
        axes.set_xlabel("epoch", size=9)
        drawing.by_epoch(axes)
    drawing.legend(panels[-1][0], loc="lower left")
    return figure


def _panel(axes: Axes, rows: Sequence[Row]) -> None:
    runs = [select(rows, seed=seed) for seed in values(rows, "seed")]
    epochs = [row["epoch"] for row in runs[0]]
    for part, label, color, dashes in (
        ("test", "held-out", drawing.ORANGE, "-"),
        ("train", "training", drawing.BLUE, (0, (4, 1.5))),
    ):
        table = [[row[f"{part}_loss"] for row in run] for run in runs]
        drawing.band(axes, epochs, table, color, label=label, linestyle=dashes)
    last = sorted(run[-1]["test_accuracy"] for run in runs)
    axes.text(
        0.98,
        0.97,
        f"held-out {median(last):.1%}\n({last[0]:.1%} to {last[-1]:.1%})",
        transform=axes.transAxes,
        ha="right",
        va="top",
        size=8.5,
        color=drawing.INK,
    )


if __name__ == "__main__":
    main("dropout", str(__doc__), measure, summary, draw, seeds=5, epochs=15)
