"""How the figures look: dark ink on a light card, which reads on light and dark pages alike.

Colours are those of Okabe and Ito, told apart with any colour vision, and every line has a second
mark of its own: a dash, a marker or a label. Bands reach from the lowest to the highest seed.
"""

from __future__ import annotations

from collections.abc import Sequence
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure  # not pyplot, which keeps global state and may need a screen
from matplotlib.ticker import MaxNLocator, PercentFormatter
from PIL import Image

BLUE, ORANGE, GREEN, PURPLE = "#0072b2", "#d55e00", "#007f5c", "#a64d85"
INK, SOFT, CARD = "#1f2328", "#59636e", "#fbfbf9"
Panels = Any  # an array of Axes, as Figure.subplots gives it


def card(title: str, subtitle: str, width: float, height: float) -> Figure:
    """An empty figure, inches wide and high, that says in its title what is seen."""
    figure = Figure(figsize=(width, height), layout="constrained", facecolor=CARD)
    engine: Any = figure.get_layout_engine()
    top = 0.62 / height  # of the figure, for two lines of text
    engine.set(rect=(0.005, 0.01, 0.99, 1 - top - 0.01), w_pad=0.06, h_pad=0.06)
    figure.text(0.012, 1 - 0.12 / height, title, size=13, weight="bold", color=INK, va="top")
    figure.text(0.012, 1 - 0.39 / height, subtitle, size=9.5, color=SOFT, va="top")
    return figure


def save(figure: Figure, path: Path) -> None:
    """As a PNG file of at most 256 colours, of which few are needed; the same bytes each time."""
    picture = BytesIO()
    figure.savefig(picture, dpi=100, format="png")
    with Image.open(picture) as image:
        few = image.convert("RGB").quantize(256, dither=Image.Dither.NONE)
    few.save(path, optimize=True)


def plain(axes: Axes, title: str = "", xlabel: str = "", ylabel: str = "") -> None:
    """No frame above and right, a pale grid behind the lines."""
    axes.set_facecolor(CARD)
    axes.set_axisbelow(True)
    axes.grid(color="#d8dce0", linewidth=0.6)
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color(SOFT)
    axes.tick_params(colors=INK, labelsize=8.5)
    axes.set_title(title, size=10, color=INK, loc="left")
    axes.set_xlabel(xlabel, size=9, color=INK)
    axes.set_ylabel(ylabel, size=9, color=INK)


def by_epoch(axes: Axes) -> None:
    """Whole epochs below."""
    axes.xaxis.set_major_locator(MaxNLocator(5, integer=True))


def percent(axes: Axes, decimals: int = 0) -> None:
    """Shares in 0..1 as percent on the left."""
    axes.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=decimals))


def band(
    axes: Axes, x: Sequence[float], y: Sequence[Sequence[float]], color: str, **style: Any
) -> None:
    """The median over seeds as a line, all seeds as a band; y: (seeds, len(x))."""
    table = np.array(y, float)
    axes.fill_between(x, table.min(0), table.max(0), color=color, alpha=0.18, linewidth=0)
    axes.plot(x, np.median(table, axis=0), color=color, **{"linewidth": 1.8, **style})


def legend(axes: Axes, **options: Any) -> None:
    """Labels without a box."""
    axes.legend(frameon=False, fontsize=8.5, labelcolor=INK, **options)
