"""Two pictures of a run: its learning curves, and its first filters before and after."""

from __future__ import annotations

import io
import math
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import PowerNorm
from matplotlib.figure import Figure  # not pyplot, which keeps global state and may need a screen
from matplotlib.ticker import MaxNLocator, PercentFormatter
from numpy.typing import NDArray

from gradproof.runtime.errors import RunError, ShapeError
from gradproof.runtime.progress import EpochResult

BLUE, ORANGE = "#0072b2", "#d55e00"  # told apart with any colour vision (Okabe and Ito)
RGB = 3
INK = "#010101"  # stands for the colour of the text around a picture
INLINE: Any = {
    "svg.fonttype": "none",
    "svg.hashsalt": "gradproof",
    **dict.fromkeys(("text.color", "axes.edgecolor", "axes.labelcolor", "grid.color"), INK),
    **dict.fromkeys(("xtick.color", "ytick.color"), INK),
}


def plot_curves(history: Sequence[EpochResult], path: Path, title: str = "") -> None:
    """Draw loss and accuracy by epoch, in training and held-out, as a PNG file.

    Raises:
        RunError: there is no epoch to draw, or the file cannot be written.
    """
    if not history:
        raise RunError(f"{path}: there is no complete epoch to draw")
    _save(_curves(history, title), path)


def curves_svg(history: Sequence[EpochResult]) -> str:
    """The same picture as SVG for a page; its lines and letters have the colour of the text around.

    Raises:
        RunError: there is no epoch to draw.
    """
    if not history:
        raise RunError("curves_svg: there is no complete epoch to draw")
    text = io.StringIO()
    nothing = dict.fromkeys(("Date", "Creator", "Format", "Type"))
    with mpl.rc_context(INLINE):
        figure = _curves(history, "")
        figure.savefig(text, format="svg", transparent=True, metadata=nothing)
    drawing = re.sub(r"<metadata>.*?</metadata>\s*", "", text.getvalue(), flags=re.DOTALL)
    drawing = drawing[drawing.index("<svg") :].replace(INK, "currentColor")
    drawing = re.sub(r'<g id="[^"]*">', "<g>", drawing).replace("xlink:href", "href")
    last = history[-1]
    label = (
        f"Loss and accuracy of {last.epoch} epochs; at the end {last.test_loss:.4g} and"
        f" {last.test_accuracy:.1%} on held-out images"
    )
    return drawing.replace("<svg ", f'<svg role="img" aria-label="{label}" ', 1)


def _curves(history: Sequence[EpochResult], title: str) -> Figure:
    figure = Figure(figsize=(9, 3.6), layout="constrained")
    loss, accuracy = figure.subplots(1, 2)
    epochs = [result.epoch for result in history]
    few = len(history) <= 50  # more marks would hide the lines
    for part, label, color, dashes, marker in (
        ("train", "training", BLUE, (0, (4, 1.5)), "s"),
        ("test", "held-out", ORANGE, "-", "o"),
    ):
        style = {"linestyle": dashes, "marker": marker if few else "", "markersize": 4}
        for axes, quantity in ((loss, "loss"), (accuracy, "accuracy")):
            values = [getattr(result, f"{part}_{quantity}") for result in history]
            axes.plot(epochs, values, color=color, label=label, **style)
    loss.set(title="Cross-entropy loss", xlabel="epoch", ylabel="mean per image", yscale="log")
    accuracy.set(title="Accuracy", xlabel="epoch", ylabel="images classified correctly")
    lowest = min(min(result.train_accuracy, result.test_accuracy) for result in history)
    accuracy.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=int(lowest > 0.95)))
    for axes in (loss, accuracy):
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.spines[["top", "right"]].set_visible(False)
        axes.grid(alpha=0.3)
        axes.legend(frameon=False)
    figure.suptitle(title)
    return figure


def plot_filters(before: NDArray[Any], after: NDArray[Any], path: Path, title: str = "") -> None:
    """Draw a convolution's filters before and after training, on one scale, as a PNG file.

    Shapes: both (out_channels, in_channels, height, width). A filter of 3 channels is drawn in
    colour, one of any other number as one grey tile for each channel.

    Raises:
        ShapeError: the shapes differ, or are not of four dimensions.
        RunError: the file cannot be written.
    """
    if before.shape != after.shape or before.ndim != 4:
        raise ShapeError(
            f"plot_filters: shapes {before.shape} and {after.shape},"
            " expected one shape (out_channels, in_channels, height, width)"
        )
    limit = filter_limit(before, after)
    columns = min(8, math.ceil(math.sqrt(len(filter_tiles(before, limit)))))
    figure = Figure(figsize=(9, 4.8), layout="constrained")
    parts: Any = figure.subfigures(1, 2, wspace=0.06)
    for part, weight, name in zip(parts, (before, after), ("before", "after"), strict=True):
        part.suptitle(f"{name} training")
        tiles = filter_tiles(weight, limit)
        grid = part.subplots(math.ceil(len(tiles) / columns), columns, squeeze=False)
        for axes in grid.flat:
            axes.set_axis_off()
        for axes, tile in zip(grid.flat, tiles, strict=False):  # the last row may have gaps
            _draw(axes, tile)
    figure.suptitle(title or f"Filters of the first convolution, from {-limit:.2g} to {limit:.2g}")
    _save(figure, path)


def plot_confusion(
    matrix: NDArray[Any], classes: Sequence[str], path: Path, title: str = ""
) -> None:
    """Draw how often each class (row) was taken for which (column), as a PNG file.

    Shapes: (classes, classes). Colours are shares of a row, on a scale of square roots, on which
    rare mistakes can be seen; numbers are drawn for 20 classes or fewer, names for 40 or fewer.

    Raises:
        ShapeError: the matrix is not as large as there are classes.
        RunError: the file cannot be written.
    """
    count = len(classes)
    if matrix.shape != (count, count):
        raise ShapeError(
            f"plot_confusion: matrix of shape {matrix.shape} for {count} classes,"
            f" expected ({count}, {count})"
        )
    side = min(4.0 + 0.35 * count, 14.0)
    figure = Figure(figsize=(side + 0.6, side), layout="constrained")
    axes = figure.subplots()
    shares = matrix / np.maximum(matrix.sum(axis=1, keepdims=True), 1)
    picture = axes.imshow(shares, cmap="Blues", norm=PowerNorm(0.5, 0.0, 1.0))
    bar = figure.colorbar(picture, ax=axes, shrink=0.8, ticks=[0.0, 0.01, 0.05, 0.2, 0.5, 1.0])
    bar.set_label("share of the class")
    bar.ax.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))
    if count <= 20:
        for (i, j), number in np.ndenumerate(matrix):
            if number:
                color = "white" if shares[i, j] > 0.3 else "black"
                axes.text(j, i, str(number), ha="center", va="center", color=color, fontsize=8)
    if count <= 40:
        long = max(map(len, classes)) > 2
        axes.set_xticks(range(count), classes, rotation=90 if long else 0)
        axes.set_yticks(range(count), classes)
    told = f"{np.trace(matrix):,} of {matrix.sum():,} images classified correctly"
    axes.set(xlabel="taken for", ylabel="class", title=f"{title}: {told}" if title else told)
    _save(figure, path)


def filter_limit(before: NDArray[Any], after: NDArray[Any]) -> float:
    """The largest magnitude of a weight in filters of one shape; 1 where all are 0.

    >>> filter_limit(np.zeros((1, 1, 3, 3)), np.full((1, 1, 3, 3), -2.0))
    2.0
    """
    return float(np.abs(np.stack([before, after])).max()) or 1.0


def filter_tiles(weight: NDArray[Any], limit: float) -> NDArray[Any]:
    """A convolution's filters as pictures, (number, height, width[, 3]), -limit..limit as 0..1: in
    colour where there are 3 channels, else one for each channel.

    >>> filter_tiles(np.float32([[[[-2.0, 0.0, 2.0]]]]), 2.0).tolist()
    [[[0.0, 0.5, 1.0]]]
    """
    unit = (weight / limit + 1.0) / 2.0
    if weight.shape[1] == RGB:
        return unit.transpose(0, 2, 3, 1)
    return unit.reshape(-1, *weight.shape[2:])


def _draw(axes: Axes, tile: NDArray[Any]) -> None:
    axes.imshow(tile, cmap="gray", vmin=0.0, vmax=1.0, interpolation="nearest")


def _save(figure: Figure, path: Path) -> None:
    try:
        figure.savefig(path, dpi=110)
    except OSError as error:
        raise RunError(f"{path}: cannot be written: {error}") from error
