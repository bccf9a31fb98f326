"""The same network with and without batch norm, at learning rates from 0.01 to 3.

python examples/figures/batch_norm.py
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from statistics import median
from typing import Any

import drawing
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from workbench import Options, Row, digits, ends, main, note, select, stack, train, values

import gradproof as gp

RATES = (0.01, 0.03, 0.1, 0.3, 1.0, 3.0)
KINDS = ("with", "without")
STYLE = {"with": (drawing.BLUE, "o", "-"), "without": (drawing.ORANGE, "s", (0, (4, 1.5)))}
BATCH_SIZE, LEARNED = 64, 0.95  # LEARNED: the share of held-out digits that counts as learned


def measure(options: Options) -> Iterator[Row]:
    """Plain gradient descent at a constant rate: one row for each epoch of each training."""
    data = digits(options)
    for rate in RATES[2:4] if options.quick else RATES:
        for kind in KINDS:
            for seed in range(options.seeds):
                gp.manual_seed(seed)
                model = stack(kind == "with")
                optimizer = gp.optim.SGD(model.parameters(), lr=rate)
                done = train(
                    model, data, optimizer, options.epochs, batch_size=BATCH_SIZE, seed=seed
                )
                setting = {"batch_norm": kind, "lr": rate, "seed": seed}
                note(setting, len(done.history), "epochs")
                for e in done.history:
                    yield setting | {
                        "epoch": e.epoch,
                        "train_loss": e.train_loss,
                        "test_loss": e.test_loss,
                        "test_accuracy": e.test_accuracy,
                    }
                if done.diverged:  # a row without numbers for the epoch that was not completed
                    none = dict.fromkeys(("train_loss", "test_loss", "test_accuracy"), "")
                    yield setting | {"epoch": len(done.history) + 1} | none


def summary(rows: Sequence[Row]) -> dict[str, list[Any]]:
    """For each kind and rate: the last held-out accuracy, lowest, median and highest seed, and the
    epochs until LEARNED of each seed."""
    found: dict[str, list[Any]] = {}
    for kind in KINDS:
        for rate in values(rows, "lr"):
            name = f"{kind} batch norm, rate {rate:g}"
            found[f"{name}: accuracy"] = ends(finals(rows, kind, rate))
            found[f"{name}: epochs to {LEARNED:g}"] = learned(rows, kind, rate)
    return found


def runs(rows: Sequence[Row], kind: str, rate: float) -> list[list[Row]]:
    """The epochs of each seed."""
    chosen = select(rows, batch_norm=kind, lr=rate)
    return [select(chosen, seed=seed) for seed in values(chosen, "seed")]


def finals(rows: Sequence[Row], kind: str, rate: float) -> list[float]:
    """Held-out accuracy after the last epoch, of each seed; 0.1 is chance, and so is divergence."""
    return [run[-1]["test_accuracy"] or 0.1 for run in runs(rows, kind, rate)]


def learned(rows: Sequence[Row], kind: str, rate: float) -> list[int | None]:
    """Epochs until LEARNED, of each seed; None: not in this training."""
    return [
        next((r["epoch"] for r in run if (r["test_accuracy"] or 0) >= LEARNED), None)
        for run in runs(rows, kind, rate)
    ]


# -- the picture -----------------------------------------------------------------------------
def draw(rows: Sequence[Row]) -> Figure:
    """Above the training loss at each rate, below speed and end over the rates."""
    rates, epochs = values(rows, "lr"), max(row["epoch"] for row in rows)
    figure = drawing.card(
        "With batch norm the network learns in fewer epochs, and at rates where it fails without",
        f"Digits, six 3×3 convolutions, SGD, batch {BATCH_SIZE}; line: median of"
        f" {len(values(rows, 'seed'))} seeds, band: all whose loss stayed finite",
        11.5,
        6.4,
    )
    above, below = figure.subfigures(2, 1, height_ratios=(1, 1.15))
    for part in (above, below):
        part.set_facecolor(drawing.CARD)
    for k, (axes, rate) in enumerate(zip(_row(above, len(rates)), rates, strict=True)):
        _losses(axes, rows, rate)
        drawing.plain(axes, f"rate {rate:g}", "epoch", "training loss" if k == 0 else "")
        drawing.by_epoch(axes)
        axes.set(yscale="log", ylim=(2e-4, 200), xlim=(0, epochs + 1))
        axes.tick_params(labelleft=k == 0)
    speed, end = below.subplots(1, 2)
    _speed(speed, rows, rates, epochs)
    _end(end, rows, rates)
    return figure


def _row(part: drawing.Panels, count: int) -> list[Axes]:
    return list(part.subplots(1, count, squeeze=False)[0])


def _losses(axes: Axes, rows: Sequence[Row], rate: float) -> None:
    for kind in KINDS:
        color, _, dashes = STYLE[kind]
        whole = [run for run in runs(rows, kind, rate) if run[-1]["train_loss"] != ""]
        if whole:
            table = [[r["train_loss"] for r in run] for run in whole]
            drawing.band(axes, [r["epoch"] for r in whole[0]], table, color, linestyle=dashes)
        total = len(runs(rows, kind, rate))
        if len(whole) < total:
            x, y = 0.06, 0.97 if kind == "with" else 0.86
            text = f"{total - len(whole)} of {total} diverged"
            axes.text(x, y, text, transform=axes.transAxes, size=8.5, color=color, va="top")


def _speed(axes: Axes, rows: Sequence[Row], rates: Sequence[float], epochs: int) -> None:
    never = epochs * 1.25
    for kind in KINDS:
        color, marker, dashes = STYLE[kind]
        for k, rate in enumerate(rates):
            for n, epoch in enumerate(learned(rows, kind, rate)):
                x = k + (0.09 if kind == "with" else -0.09) + 0.02 * n
                full = {"markerfacecolor": color if epoch else "none"}
                axes.plot(x, epoch or never, marker, color=color, markersize=5, alpha=0.8, **full)
        centre = [
            median(never if e is None else e for e in learned(rows, kind, rate)) for rate in rates
        ]
        axes.plot(range(len(rates)), centre, color=color, linestyle=dashes, linewidth=1.2)
    drawing.plain(
        axes, f"Epochs until {LEARNED:.0%} of held-out digits are read", "learning rate", "epochs"
    )
    ticks = [t for t in (1, 2, 5, 10, 20, 50) if t <= epochs]
    axes.set_yscale("log")
    axes.set_yticks([*ticks, never], [*map(str, ticks), "never"])
    axes.minorticks_off()
    axes.set_xticks(range(len(rates)), [f"{rate:g}" for rate in rates])


def _end(axes: Axes, rows: Sequence[Row], rates: Sequence[float]) -> None:
    for kind in KINDS:
        color, marker, dashes = STYLE[kind]
        table = list(zip(*(finals(rows, kind, rate) for rate in rates), strict=True))
        style = {"marker": marker, "linestyle": dashes, "label": f"{kind} batch norm"}
        drawing.band(axes, range(len(rates)), table, color, **style)
    drawing.plain(
        axes, "Held-out accuracy after the last epoch", "learning rate", "digits read correctly"
    )
    axes.set_xticks(range(len(rates)), [f"{rate:g}" for rate in rates])
    axes.set_ylim(0, 1.03)
    drawing.percent(axes)
    axes.axhline(0.1, color=drawing.SOFT, linewidth=0.8, linestyle=":")
    axes.text(0, 0.115, "chance", size=8, color=drawing.SOFT)
    drawing.legend(axes, loc="center left", bbox_to_anchor=(0, 0.45))


if __name__ == "__main__":
    main("batch_norm", str(__doc__), measure, summary, draw, seeds=5, epochs=15)
