"""The command `gradproof tune`: the fastest kernels of a training step, by measurement."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Annotated

import typer
from rich.table import Table

from gradproof.cli.options import Batch, Classes, Device, Image, Json, Precision, Verbose
from gradproof.cli.plan import training_step
from gradproof.cli.screen import Screen
from gradproof.runtime.device import use_device
from gradproof.runtime.errors import RunError
from gradproof.runtime.plan import PRECISIONS
from gradproof.runtime.tuned import tuning_path
from gradproof.runtime.tuning import ROUNDS, Tuned
from gradproof.runtime.tuning import tune as measure_step


def tune(
    model: Annotated[str, typer.Argument(help="One of those that `gradproof models` lists.")],
    batch: Batch = 32,
    image: Image = None,
    classes: Classes = 10,
    precision: Precision = "fast",
    rounds: Annotated[
        int, typer.Option(min=1, help="Times that each candidate is timed, in turn.")
    ] = ROUNDS,
    device: Device = None,
    as_json: Json = False,
    verbose: Verbose = False,
) -> None:
    """Measure the candidates for each sum of products of a training step, and keep the fastest.

    Later steps of these shapes use them, in every program of this user. Nothing is trained. A busy
    machine measures badly; run it again to replace what was kept.
    """
    if precision not in PRECISIONS:
        raise RunError(f"--precision {precision}: expected one of {', '.join(PRECISIONS)}")
    screen = Screen(as_json=as_json, verbose=verbose)
    info = use_device(device).info
    screen.device(info)

    def report(number: int, total: int, found: Tuned) -> None:
        chosen = found.choice or "default"
        screen.line(f"{number:>3}/{total} {found.what[0]}: {chosen} ({found.ratio:.2f})")

    step = training_step(model, batch, image, classes)
    found = measure_step(*step, precision=precision, rounds=rounds, report=report)
    screen.table(_table(found))
    before, after = totals(found)
    path = tuning_path(info)
    changed = sum(bool(f.choice) for f in found)
    screen.line(f"{changed} of {len(found)} sums of products are faster than by default")
    screen.line(f"together {1e3 * before:.1f} ms by default, {1e3 * after:.1f} ms tuned; in {path}")
    screen.result(
        {
            "works": len(found),
            "changed": changed,
            "candidates": sum(f.candidates for f in found),
            "default_seconds": before,
            "tuned_seconds": after,
            "file": str(path),
        }
    )


def totals(found: Sequence[Tuned]) -> tuple[float, float]:
    """Seconds of all sums of products in a step, by default and as tuned.

    >>> totals([Tuned("", ("a", "b"), "direct x", 2.0, 0.5, 3)])
    (4.0, 2.0)
    """
    before = sum(f.seconds * len(f.what) for f in found)
    return before, sum(f.seconds * f.ratio * len(f.what) for f in found)


def _table(found: Sequence[Tuned]) -> Table:
    """What is faster than by default, the largest share first."""
    table = Table("computes", "times", "ms by default", "ratio", "choice")
    faster = [f for f in found if f.choice]
    for f in sorted(faster, key=lambda f: -f.seconds * len(f.what)):
        what = ", ".join(Counter(f.what))
        table.add_row(what, str(len(f.what)), f"{1e3 * f.seconds:.3f}", f"{f.ratio:.2f}", f.choice)
    return table
