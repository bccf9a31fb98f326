"""Pictures of a record: the roofline with every row, and how cost grows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from benchmarks.measure.scaling import BATCH, SIZE, fits
from gradproof.runtime.plots import BLUE, ORANGE

GREY = "#666666"
GIGA = 1e9
INTENSITIES = (0.05, 500.0)


def roofline(record: Mapping[str, Any], path: Path) -> None:
    """Operations per byte against GFLOP/s: the measured roofs, ours, and PyTorch's best."""
    figure = Figure(figsize=(9, 5.5), layout="constrained")
    axes = figure.subplots()
    rates = dict(record["probe"])
    peak = rates["fma"] / GIGA
    bandwidths = {n: v / GIGA for n, v in rates.items() if n.startswith("bandwidth")}
    for name in (min(bandwidths, key=bandwidths.__getitem__), next(iter(bandwidths))):
        rate = bandwidths[name]
        axes.plot(
            [INTENSITIES[0], peak / rate, INTENSITIES[1]],
            [INTENSITIES[0] * rate, peak, peak],
            color=GREY,
            linestyle="-" if rate == min(bandwidths.values()) else ":",
            label=f"{name}: {rate:.0f} GB/s",
        )
    drawn = [r for r in record["rows"] if r["ours_ms"] and r["flops"] and r["bytes"]]
    intensity = [r["flops"] / r["bytes"] for r in drawn]
    speeds = [r["flops"] / r["ours_ms"] / 1e6 for r in drawn]
    axes.plot(intensity, speeds, "o", color=BLUE, label="gradproof")
    both = [r for r in drawn if r["best"]]
    axes.plot(
        [r["flops"] / r["bytes"] for r in both],
        [r["flops"] / r["torch_ms"][r["best"]] / 1e6 for r in both],
        "x",
        color=ORANGE,
        label="PyTorch, best",
    )
    axes.set(xscale="log", yscale="log", xlabel="FLOP per byte", ylabel="GFLOP/s")
    axes.set_title(f"{record['device']['name']}, peak {peak:.0f} GFLOP/s")
    axes.grid(which="major", alpha=0.3)
    axes.legend()
    figure.savefig(path, dpi=120)


def growth(record: Mapping[str, Any], path: Path) -> None:
    """Time against FLOPs, by batch and by size, with the exponent of the growth."""
    figure = Figure(figsize=(9, 4), layout="constrained")
    exponents = fits(record["rows"])
    for axes, axis in zip(figure.subplots(1, 2), (BATCH, SIZE), strict=True):
        rows = [r for r in record["rows"] if r["name"].startswith(axis) and r["ours_ms"]]
        _lines(axes, rows, exponents.get(axis, {}))
        axes.set(xscale="log", yscale="log", xlabel="FLOP", ylabel="ms", title=f"by {axis}")
        axes.grid(which="major", alpha=0.3)
        axes.legend()
    figure.savefig(path, dpi=120)


def _lines(axes: Any, rows: Sequence[Mapping[str, Any]], exponents: Mapping[str, float]) -> None:
    flops = [r["flops"] for r in rows]
    times = {"gradproof": [r["ours_ms"] for r in rows]}
    if all(r["best"] for r in rows):
        times["PyTorch"] = [r["torch_ms"][r["best"]] for r in rows]
    for (name, values), color in zip(times.items(), (BLUE, ORANGE), strict=False):
        text = f"{name}, time ~ FLOP^{exponents[name]:.2f}" if name in exponents else name
        axes.plot(flops, values, "o-", color=color, label=text)
