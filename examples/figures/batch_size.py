"""Batch sizes from 8 to 256: the noise in batch norm's statistics, accuracy and time.

python examples/figures/batch_size.py
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Any

import drawing
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray
from workbench import Options, Row, digits, ends, main, note, select, stack, train, values

import gradproof as gp

SIZES = (8, 16, 32, 64, 128, 256)
RATE, RATE_SIZE = 0.1, 64  # the rate at this batch size; once kept, once in proportion to the size
STATE_EPOCHS = 3  # of the network whose statistics are read
BATCHES = 100  # that the spread is taken over
LAYERS = ("first", "last")
Array = NDArray[np.float64]


def measure(options: Options) -> Iterator[Row]:
    """One row for each batch size and seed."""
    data = digits(options)
    for seed in range(options.seeds):
        state = _state(data, seed, 1 if options.quick else STATE_EPOCHS)
        for size in SIZES[3:5] if options.quick else SIZES:
            row: Row = {"batch_size": size, "seed": seed}
            row |= spread(state, data, size, seed, 3 if options.quick else BATCHES)
            for rule, rate in (("kept", RATE), ("scaled", RATE * size / RATE_SIZE)):
                gp.manual_seed(seed)
                model = stack(batch_norm=True)
                optimizer = gp.optim.SGD(model.parameters(), lr=rate)
                done = train(model, data, optimizer, options.epochs, batch_size=size, seed=seed)
                row[f"test_accuracy_{rule}"] = done.history[-1].test_accuracy
                if rule == "kept":  # other programs can only slow it down
                    row["images_per_second"] = max(e.images_per_second for e in done.history)
            note(row)
            yield row


def _state(data: gp.data.Dataset, seed: int, epochs: int) -> gp.nn.Module:
    """The network whose statistics are read: the same for all batch sizes of a seed."""
    gp.manual_seed(seed)
    model = stack(batch_norm=True)
    optimizer = gp.optim.SGD(model.parameters(), lr=RATE)
    train(model, data, optimizer, epochs, batch_size=RATE_SIZE, seed=seed)
    return model


# -- mean and deviation of batches -----------------------------------------------------------
def spread(
    model: gp.nn.Module, data: gp.data.Dataset, size: int, seed: int, batches: int
) -> dict[str, float]:
    """How far mean and deviation of a batch lie from those of all, in units of the deviation.

    For the first and the last batch norm; the root of the mean of squares over channels. "pixels"
    is what N·H·W independent normal numbers would have, "images" what N independent images have,
    whose pixels are as alike as they are: both for batches drawn without replacement.
    """
    loader = gp.data.DataLoader(
        data.x_train, data.y_train, size, shuffle=True, seed=seed, drop_last=True
    )
    stream = (images for epoch in range(batches) for images, _ in loader.epoch(epoch))
    seen = [inputs(model, images) for images in islice(stream, batches)]
    found = {}
    for layer in LAYERS:
        means = np.array([maps[layer].mean((0, 2, 3)) for maps in seen])
        deviations = np.array([maps[layer].std((0, 2, 3)) for maps in seen])
        whole = np.sqrt((deviations**2).mean(0) + means.var(0))
        found[f"mean_{layer}"] = _rms(means.std(0) / whole)
        found[f"deviation_{layer}"] = _rms(deviations.std(0) / whole)
    return found | laws(inputs(model, data.x_train)["first"], size)


def laws(maps: Array, size: int) -> dict[str, float]:
    """The spread that theory expects of batches of `size` of these maps, (images, C, H, W).

    The mean of N of n images, drawn without replacement, has the variance of one image's mean over
    N, times (n - N)/(n - 1); so has the variance of a batch, the mean of its squares q, whose
    root deviates by half as much: sd(q) / (2 σ).
    """
    n, _, height, width = maps.shape
    finite = np.sqrt((n - size) / (n - 1) / size)
    centred = maps - maps.mean((0, 2, 3), keepdims=True)
    variance = (centred**2).mean((0, 2, 3))
    means, squares = centred.mean((2, 3)), (centred**2).mean((2, 3))
    ideal = finite / np.sqrt(height * width)
    return {
        "mean_pixels": ideal,
        "mean_images": finite * _rms(means.std(0) / np.sqrt(variance)),
        "deviation_pixels": ideal / np.sqrt(2),
        "deviation_images": finite * _rms(squares.std(0) / (2 * variance)),
    }


def inputs(model: gp.nn.Module, images: Any) -> dict[str, Array]:
    """What goes into the first and the last batch norm, (N, C, H, W), in training mode."""
    norms = [m for m in model.modules() if isinstance(m, gp.nn.BatchNorm2d)]
    found: dict[str, Array] = {}
    handles = []
    for layer, norm in zip(LAYERS, (norms[0], norms[-1]), strict=True):

        def read(module: Any, args: tuple[gp.Tensor], output: Any, layer: str = layer) -> None:
            found[layer] = args[0].numpy().astype(np.float64)

        handles.append(norm.register_forward_hook(read))
    model.train()
    with gp.no_grad():
        model(gp.tensor(images))
    for handle in handles:
        handle.remove()
    return found


def _rms(values: Array) -> float:
    return float(np.sqrt((values**2).mean()))


def summary(rows: Sequence[Row]) -> dict[str, list[float]]:
    """Per batch size the spreads, accuracies and images per second: lowest, median, highest."""
    found: dict[str, list[float]] = {}
    for size in values(rows, "batch_size"):
        chosen = select(rows, batch_size=size)
        for part in ("mean", "deviation"):
            for column in ("first", "last", "images", "pixels"):
                spreads = (row[f"{part}_{column}"] for row in chosen)
                found[f"{size}: {part}, {column}"] = ends(spreads)
        for rule in ("kept", "scaled"):
            accuracy = (row[f"test_accuracy_{rule}"] for row in chosen)
            found[f"{size}: accuracy, rate {rule}"] = ends(accuracy)
        found[f"{size}: images per second"] = ends(row["images_per_second"] for row in chosen)
    return found


# -- the picture -----------------------------------------------------------------------------
def draw(rows: Sequence[Row]) -> Figure:
    """The spread of mean and deviation, the accuracy, the speed."""
    figure = drawing.card(
        "Small batches have noisy statistics: the noise falls as 1/√N, below that of N·H·W pixels",
        "Digits, six 3×3 convolutions with batch norm; the spread is that of a network whose"
        " weights stand still; lines: median over seeds, bands: all",
        11.5,
        6.6,
    )
    panels = figure.subplots(2, 2)
    for axes, part, letter in zip(panels[0], ("mean", "deviation"), ("μ̂", "σ̂"), strict=True):
        _spread(axes, rows, part)
        title = f"Spread of a batch's {part} {letter}"
        drawing.plain(axes, title, "images in a batch", f"standard deviation of {letter}, in σ")
        axes.set(yscale="log", ylim=(3e-3, 0.15))
        ticks = (0.003, 0.01, 0.03, 0.1)
        axes.set_yticks(ticks, [f"{t:g}" for t in ticks])
    drawing.legend(panels[0, 0], loc="upper right")
    accuracy, speed = panels[1]
    for rule, color, marker in (
        ("kept", drawing.BLUE, "o"),
        ("scaled", drawing.ORANGE, "s"),
    ):
        label = f"rate {RATE:g}" if rule == "kept" else f"rate {RATE:g} · batch / {RATE_SIZE}"
        _over_sizes(accuracy, rows, f"test_accuracy_{rule}", color, marker=marker, label=label)
    drawing.plain(accuracy, "Held-out accuracy", "images in a batch", "digits read correctly")
    drawing.percent(accuracy)
    drawing.legend(accuracy, loc="lower center")
    _over_sizes(speed, rows, "images_per_second", drawing.GREEN, marker="o")
    drawing.plain(
        speed, "Speed of training, fastest epoch", "images in a batch", "images per second"
    )
    speed.set_ylim(bottom=0)
    for axes in panels.flat:
        axes.set_xscale("log", base=2)
        axes.set_xticks(values(rows, "batch_size"), map(str, values(rows, "batch_size")))
        axes.minorticks_off()
    return figure


def _spread(axes: Axes, rows: Sequence[Row], part: str) -> None:
    dotted = {"linestyle": ":", "linewidth": 1.4}
    _over_sizes(
        axes, rows, f"{part}_pixels", drawing.SOFT, label="law of the first, 1/√(N·H·W)", **dotted
    )
    dashed = {"linestyle": "--", "linewidth": 1.4}
    _over_sizes(
        axes, rows, f"{part}_images", drawing.INK, label="law of the first, whole images", **dashed
    )
    first, last = "measured, first batch norm", "measured, last batch norm"
    style = {"linestyle": "none", "markersize": 6}
    _over_sizes(axes, rows, f"{part}_first", drawing.BLUE, marker="o", label=first, **style)
    _over_sizes(axes, rows, f"{part}_last", drawing.ORANGE, marker="s", label=last)


def _over_sizes(axes: Axes, rows: Sequence[Row], column: str, color: str, **style: Any) -> None:
    sizes = values(rows, "batch_size")
    table = [[row[column] for row in select(rows, seed=seed)] for seed in values(rows, "seed")]
    drawing.band(axes, sizes, table, color, **style)


if __name__ == "__main__":
    main("batch_size", str(__doc__), measure, summary, draw, seeds=3, epochs=10)
