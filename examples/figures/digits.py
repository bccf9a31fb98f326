"""Two networks that read the shipped digits: LeNet, and a residual network.

python examples/figures/digits.py
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from statistics import median

import drawing
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from workbench import Options, Outcome, Row, cosine, ends, main, note, select, train, values
from workbench import digits as load

import gradproof as gp

SIZE = 32  # to which the 8x8 images are scaled, so that a pixel is a quarter of one of theirs
SHIFT = 2  # pixels, at most: half of one of theirs
BATCH_SIZE = 32
transforms = gp.data.transforms


@dataclass(frozen=True)
class Network:
    """A network, how its images are changed in training, and the share of held-out digits that it
    is to read."""

    make: Callable[[], gp.nn.Module]
    change: transforms.Transform
    bar: float
    color: str
    marker: str


def lenet() -> gp.nn.Module:
    """LeNet-5 with ReLU and max pooling, for 32x32 pixels."""
    return gp.models.lenet5((1, SIZE, SIZE), 10)


def residual() -> gp.nn.Module:
    """Fourteen layers: ResNet-18's stem, three stages of two blocks with 16, 32, 64 channels."""
    return gp.models.ResNet(gp.models.BasicBlock, (2, 2, 2), (16, 32, 64), "7x7", 10, 1)


SHIFTED = transforms.RandomCrop(SIZE, SHIFT)
TURNED = transforms.RandomAffine(10, translate=(SHIFT / SIZE, SHIFT / SIZE), scale=(0.9, 1.1))
NETWORKS = {
    "LeNet": Network(lenet, SHIFTED, 0.985, drawing.BLUE, "o"),
    "residual network": Network(residual, TURNED, 0.99, drawing.ORANGE, "s"),
}


def fit(name: str, data: gp.data.Dataset, seed: int, epochs: int) -> Outcome:
    """Train a network; its last epoch counts. AdamW, cosine, images that are changed a little."""
    gp.manual_seed(seed)
    model = NETWORKS[name].make()
    optimizer = gp.optim.AdamW(model.parameters(), lr=2e-3, weight_decay=0.01)
    resize = transforms.Resize(SIZE)
    return train(
        model,
        data,
        optimizer,
        epochs,
        batch_size=BATCH_SIZE,
        seed=seed,
        scheduler=cosine(optimizer, data, BATCH_SIZE, epochs),
        transform=transforms.Compose([resize, NETWORKS[name].change]),
        test_transform=resize,
    )


def measure(options: Options) -> Iterator[Row]:
    """One row for each epoch of each training."""
    data = load(options)
    for name in NETWORKS:
        for seed in range(options.seeds):
            history = fit(name, data, seed, options.epochs).history
            note(name, seed, history[-1])
            for e in history:
                yield {
                    "network": name,
                    "seed": seed,
                    "epoch": e.epoch,
                    "train_loss": e.train_loss,
                    "train_accuracy": e.train_accuracy,
                    "test_loss": e.test_loss,
                    "test_accuracy": e.test_accuracy,
                    "wrong": round((1 - e.test_accuracy) * len(data.y_test)),
                }


def finals(rows: Sequence[Row], name: str) -> list[Row]:
    """The last epoch of each seed."""
    chosen = select(rows, network=name)
    return select(chosen, epoch=max(row["epoch"] for row in chosen))


def summary(rows: Sequence[Row]) -> dict[str, list[float]]:
    """For each network: wrong held-out digits and accuracy of each seed, in order of seeds."""
    found = {}
    for name in values(rows, "network"):
        last = finals(rows, name)
        found[f"{name}: wrong"] = [row["wrong"] for row in last]
        found[f"{name}: accuracy"] = ends(row["test_accuracy"] for row in last)
    return found


# -- the picture -----------------------------------------------------------------------------
def draw(rows: Sequence[Row]) -> Figure:
    """Held-out accuracy by epoch, training loss by epoch, and the last epoch of each seed."""
    seeds, names = values(rows, "seed"), values(rows, "network")
    middle = " and ".join(
        f"{name} {median(r['test_accuracy'] for r in finals(rows, name)):.1%}" for name in names
    )
    figure = drawing.card(
        f"Held-out digits read correctly: {middle}",
        f"1,442 digits to train on, 355 held out; lines: median of {len(seeds)} seeds, bands: all;"
        " the last epoch counts, not the best",
        11.5,
        3.9,
    )
    accuracy, loss, last = figure.subplots(1, 3, width_ratios=(1.25, 1.1, 0.9))
    for name in names:
        network = NETWORKS[name]
        runs = [select(rows, network=name, seed=seed) for seed in seeds]
        epochs = [row["epoch"] for row in runs[0]]
        for axes, column in ((accuracy, "test_accuracy"), (loss, "train_loss")):
            style = {"label": name, "marker": network.marker, "markersize": 3.5, "markevery": 5}
            table = [[row[column] for row in run] for run in runs]
            drawing.band(axes, epochs, table, network.color, **style)
        accuracy.axhline(network.bar, color=network.color, linewidth=1, linestyle=":")
    drawing.plain(accuracy, "Held-out accuracy", "epoch", "digits read correctly")
    accuracy.set_ylim(0.9, 1.003)
    drawing.percent(accuracy)
    drawing.plain(loss, "Training loss", "epoch", "cross-entropy, mean per image")
    loss.set_yscale("log")
    for axes in (accuracy, loss):
        drawing.by_epoch(axes)
    drawing.legend(accuracy, loc="lower right")
    _last(last, rows, names)
    return figure


def _last(axes: Axes, rows: Sequence[Row], names: Sequence[str]) -> None:
    """How many digits each seed reads wrongly, and how many the bar allows."""
    for k, name in enumerate(names):
        network, found = NETWORKS[name], [row["wrong"] for row in finals(rows, name)]
        x = k + 0.5 * (np.arange(len(found)) + 0.5) / len(found) - 0.25
        axes.plot(x, found, network.marker, color=network.color, markersize=6, clip_on=False)
        held = _held_out(rows)
        allowed = int((1 - network.bar) * held + 1e-9)
        axes.hlines(allowed, k - 0.38, k + 0.38, color=network.color, linestyle=":", linewidth=1.4)
        text = f"{network.bar:.1%} allows {allowed}"
        axes.text(k, allowed + 0.15, text, ha="center", va="bottom", size=8, color=drawing.INK)
    drawing.plain(axes, "Last epoch, one mark for each seed", "", "held-out digits read wrongly")
    axes.set_xticks(range(len(names)), names)
    axes.set(xlim=(-0.6, len(names) - 0.4), ylim=(0, 1.15 * axes.get_ylim()[1]))


def _held_out(rows: Sequence[Row]) -> int:
    """How many digits are held out: 355, or what --quick leaves of them."""
    row = next((row for row in rows if row["wrong"]), None)
    return 355 if row is None else round(row["wrong"] / (1 - row["test_accuracy"]))


if __name__ == "__main__":
    main("digits", str(__doc__), measure, summary, draw, seeds=5, epochs=30)
