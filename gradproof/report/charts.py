"""Charts as SVG within the page: drawn by matplotlib, coloured by the page's style sheet."""

from __future__ import annotations

import colorsys
import io
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from html import escape
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import (
    FuncFormatter,
    LogLocator,
    MaxNLocator,
    NullFormatter,
    PercentFormatter,
)

from gradproof.report.parts import Curves, MemoryPlan, Norms, Roofs, Timing, Work

INK, SOFT, LINE, PAPER = "#010101", "#020202", "#030303", "#040404"
BLUE, ORANGE, GREEN, VIOLET = "#0b0001", "#0b0002", "#0b0003", "#0b0004"
# what the page's style sheet has for each of these, in light and in dark
PAINT = {INK: "--ink", SOFT: "--soft", LINE: "--line", BLUE: "--ix0", ORANGE: "--ix1"}
PAINT |= {GREEN: "--ix2", VIOLET: "--ix3", PAPER: "--paper"}
PHASES = {"forward": BLUE, "backward": ORANGE, "update": GREEN}
STYLE: dict[Any, Any] = {
    "svg.fonttype": "none",
    "svg.hashsalt": "gradproof",
    "font.size": 9.0,
    "text.color": INK,
    "axes.edgecolor": SOFT,
    "axes.labelcolor": INK,
    "axes.titlesize": 10.0,
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": LINE,
    "grid.linewidth": 0.6,
    "xtick.color": SOFT,
    "ytick.color": SOFT,
    "legend.frameon": False,
    "legend.fontsize": 8.5,
    "lines.linewidth": 1.6,
}
NAMED = 10  # entries of a legend


class Chart:
    """A figure, and what each of its marked elements says when it is pointed at."""

    def __init__(self, name: str, width: float, height: float) -> None:
        self.name, self.titles = name, dict[str, str]()
        self.figure = Figure(figsize=(width, height), layout="constrained")
        self.axes: Axes = self.figure.subplots()

    def mark(self, says: str) -> str:
        """The identifier for an element that says something."""
        key = f"{self.name}.{len(self.titles)}"
        self.titles[key] = says
        return key

    def svg(self, label: str) -> str:
        """The chart for a page; label: what it shows, for who does not see it."""
        text = io.StringIO()
        nothing = dict.fromkeys(("Date", "Creator", "Format", "Type"))
        self.figure.savefig(text, format="svg", transparent=True, metadata=nothing)
        return _for_page(text.getvalue(), self.name, self.titles, label)


def _for_page(text: str, name: str, titles: Mapping[str, str], label: str) -> str:
    """SVG without a size or identifiers of its own, its colours those of the style sheet."""
    text = text[text.index("<svg") :]
    text = re.sub(r"<metadata>.*?</metadata>\s*", "", text, flags=re.DOTALL)
    box = re.search(r'viewBox="[^"]*"', text)
    assert box is not None, "matplotlib writes a view box"
    start = f'<svg class="chart" role="img" aria-label="{escape(label)}" {box[0]}>'
    text = start + text[text.index(">") + 1 :]
    for key, says in titles.items():
        text = text.replace(f'<g id="{key}">', f"<g><title>{escape(says)}</title>")
    text = re.sub(r'(id="|href="#|url\(#)', rf"\g<1>{name}-", text).replace("xlink:href", "href")
    return re.sub(
        "|".join(PAINT), lambda found: f"var({PAINT[found[0]]})", text, flags=re.IGNORECASE
    )


@contextmanager
def drawing() -> Iterator[None]:
    """Inside, charts have the page's style."""
    with mpl.rc_context(STYLE):
        yield


def curve_charts(told: Curves) -> list[str]:
    """Loss, accuracy and learning rate over the epochs."""
    rows = told.history
    epochs = [r.epoch for r in rows]
    marker = "o" if len(rows) <= 30 else ""
    charts = []
    for quantity, title in (("loss", "Cross-entropy loss"), ("accuracy", "Accuracy")):
        chart = Chart(quantity, 3.7, 2.6)
        axes = chart.axes
        for part, said, colour, dashes in (
            ("train", "training", BLUE, "--"),
            ("test", "held-out", ORANGE, "-"),
        ):
            values = [getattr(r, f"{part}_{quantity}") for r in rows]
            axes.plot(epochs, values, dashes, color=colour, label=said, marker=marker, ms=3.5)
        axes.set(title=title, xlabel="epoch")
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.legend()
        if quantity == "loss":
            _log(axes, "y")
        else:
            low = min(min(r.train_accuracy, r.test_accuracy) for r in rows)
            axes.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=int(low > 0.95)))
        last = rows[-1]
        ends = [getattr(last, f"{part}_{quantity}") for part in ("train", "test")]
        said = f"at the end {ends[0]:.4g} and {ends[1]:.4g}"
        charts.append(chart.svg(f"{title} by epoch, training and held-out; {said}"))
    return [*charts, _rate_chart(told)]


def _log(axes: Axes, which: str) -> None:
    """Logarithmic axes with numbers as people write them."""
    for name in which:
        axis = getattr(axes, f"{name}axis")
        getattr(axes, f"set_{name}scale")("log")
        low, high = axis.get_view_interval()
        few = high / low > 50
        axis.set_major_locator(LogLocator(subs=(1.0,) if few else (1.0, 2.0, 5.0)))
        axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        axis.set_minor_formatter(NullFormatter())


def _rate_chart(told: Curves) -> str:
    chart = Chart("rate", 3.7, 2.6)
    rows, rates = told.history, told.rates
    if rates:
        places = [k * len(rows) / len(rates) for k in range(len(rates))]
        chart.axes.plot(places, rates, color=VIOLET)
    else:
        marker = "o" if len(rows) <= 30 else ""
        ends = [r.epoch for r in rows]
        chart.axes.plot(ends, [r.lr for r in rows], color=VIOLET, marker=marker, ms=3.5)
    chart.axes.set(title="Learning rate", xlabel="epoch")
    chart.axes.set_ylim(bottom=0)
    chart.axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    by = "step" if rates else "epoch"
    said = f"Learning rate by {by}, from {(rates or [rows[0].lr])[0]:.4g} to {rows[-1].lr:.4g}"
    return chart.svg(said)


def norm_chart(told: Norms) -> str:
    """A line for each layer, from blue at the input to orange at the output."""
    chart = Chart("norms", 9.6, 3.6)
    lines = []
    for k, (layer, values) in enumerate(told.layers.items()):
        hue = 0.58 + 0.47 * k / max(1, len(told.layers) - 1)
        colour = colorsys.hls_to_rgb(hue % 1.0, 0.55, 0.62)
        marker = "o" if len(values) <= 30 else ""
        lines += chart.axes.plot(
            told.epochs,
            values,
            color=colour,
            label=layer,
            marker=marker,
            ms=3,
            gid=chart.mark(f"{layer}: {values[0]:.3g} at first, {values[-1]:.3g} at last"),
        )
    chart.axes.set(xlabel="epoch", ylabel="norm")
    _log(chart.axes, "y")
    chart.axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    chart.figure.legend(handles=_some(lines), loc="outside right upper", title="layers, from input")
    count = len(told.layers)
    return chart.svg(f"Norms of the gradients of {count} layers at the first step of each epoch")


def _some(lines: Sequence[Line2D]) -> list[Line2D]:
    """At most NAMED of them, evenly spread, the first and the last among them."""
    if len(lines) <= NAMED:
        return list(lines)
    return [lines[round(k * (len(lines) - 1) / (NAMED - 1))] for k in range(NAMED)]


def _phases(works: Sequence[Work]) -> list[Patch]:
    """The legend of the phases that occur."""
    present = [p for p in PHASES if any(w.phase == p for w in works)]
    return [Patch(color=PHASES[p], label=p) for p in present]


def timeline(told: Timing) -> str:
    """Each work of a step, from its start on; a row for each operator."""
    rows = list(dict.fromkeys(_operator(w) for w in told.works))
    chart = Chart("timeline", 9.6, 1.1 + 0.24 * len(rows))
    launches = [(w, span) for w in told.works for span in w.spans]
    for w, span in launches:
        (bar,) = chart.axes.barh(
            rows.index(_operator(w)),
            1e3 * span.seconds,
            left=1e3 * span.start,
            color=PHASES[w.phase],
            edgecolor=PHASES[w.phase],
            linewidth=0.4,
            height=0.8,
        )
        bar.set_gid(chart.mark(f"{w.computes}: {1e6 * span.seconds:.1f} µs, {w.kernel}"))
    chart.axes.set_yticks(range(len(rows)), rows)
    chart.axes.invert_yaxis()
    chart.axes.set(xlabel="ms after the start of the step")
    chart.axes.grid(axis="y", visible=False)
    chart.axes.legend(handles=_phases(told.works), ncols=3, loc="lower left", bbox_to_anchor=(0, 1))
    longest = max(told.works, key=lambda w: w.seconds)
    return chart.svg(
        f"Timeline of {told.launches} launches in {1e3 * told.busy:.3g} ms;"
        f" the longest is {longest.computes} with {1e3 * longest.seconds:.3g} ms"
    )


def _operator(w: Work) -> str:
    for start in ("copy for ", "border for "):
        if w.computes.startswith(start):
            return "copies and borders"
    return w.computes.split(" ")[0]


def roofline(told: Timing) -> str:
    """Operations a second by operations for each byte, below what the device can do at most."""
    chart = Chart("roofline", 9.6, 4.6)
    axes = chart.axes
    shown = [w for w in told.works if w.flops and w.nbytes]
    for w in shown:
        intensity, rate, share = (
            w.flops / w.nbytes,
            w.flops / w.seconds / 1e9,
            w.seconds / told.busy,
        )
        axes.plot(
            intensity,
            rate,
            "o",
            color=PHASES[w.phase],
            alpha=0.75,
            mew=0,
            ms=4 + 22 * share**0.5,
            gid=chart.mark(
                f"{w.computes}: {rate:.3g} GFLOP/s at {intensity:.3g} FLOP/byte,"
                f" {share:.1%} of the time"
            ),
        )
    axes.set(xlabel="FLOP for each byte", ylabel="GFLOP/s")
    _log(axes, "xy")
    handles: list[Any] = _phases(shown)
    if isinstance(told.roofs, Roofs):
        handles += _draw_roofs(axes, told.roofs, [w.flops / w.nbytes for w in shown])
    axes.legend(handles=handles, loc="lower right")
    return chart.svg(f"Roofline of {len(shown)} kernels on {told.device}")


def _draw_roofs(axes: Axes, roofs: Roofs, intensities: Sequence[float]) -> list[Line2D]:
    low = min([*intensities, 0.1]) / 2
    high = max([*intensities, 2 * roofs.flops / roofs.far]) * 2
    lines = []
    for bandwidth, dashes, nbytes in (
        (roofs.far, "-", roofs.far_bytes),
        (roofs.near, "--", roofs.near_bytes),
    ):
        ridge = roofs.flops / bandwidth
        lines += axes.plot(
            [low, ridge, max(high, ridge)],
            [low * bandwidth / 1e9, roofs.flops / 1e9, roofs.flops / 1e9],
            dashes,
            color=SOFT,
            lw=1.2,
            label=f"roof: {bandwidth / 1e9:.3g} GB/s on {nbytes / 2**20:.3g} MiB",
        )
    return lines


def memory_chart(told: MemoryPlan) -> str:
    """Each temporary, from the first to the last launch that uses it, at its place."""
    chart = Chart("memory", 9.6, 3.6)
    for k, b in enumerate(told.buffers):
        (bar,) = chart.axes.barh(
            b.place / 2**20,
            b.last - b.first + 1,
            height=b.nbytes / 2**20,
            left=b.first,
            align="edge",
            facecolor=(BLUE, VIOLET)[k % 2],
            edgecolor=PAPER,
            linewidth=0.6,
            alpha=0.65,
        )
        bar.set_gid(chart.mark(f"{b.called}: {b.nbytes / 2**20:.3g} MiB"))
    chart.axes.set(xlabel="launch", ylabel="place in memory, MiB")
    total = told.memory.temporaries / 2**20
    return chart.svg(f"{len(told.buffers)} temporaries share {total:.3g} MiB")
