"""The command line of `vs_torch.py`: measure, print, write the record and the picture."""

from __future__ import annotations

import datetime
import json
import math
import os
import re
from collections.abc import Callable, Iterable, Iterator
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer

from benchmarks.measure import layers, networks, norm, ops, picture, scaling, startup, theirs, user
from benchmarks.measure.contest import Contest
from benchmarks.measure.environment import TWO_CORES
from benchmarks.measure.ours import current_device, use_device
from benchmarks.measure.probe import REAL_SECOND_CORE, Probes, make_probes
from benchmarks.measure.report import standing, tables
from benchmarks.measure.rows import Row, WrongResult, measure
from gradproof.cli import record as records
from gradproof.cli.screen import Screen

GROUPS: dict[str, Callable[[], Iterable[Contest]]] = {
    "layers": layers.contests,
    "norm": norm.contests,
    "step": networks.contests,
    "ops": ops.contests,
    "user": user.contests,
    "scaling": scaling.contests,
}
WIDTH = 150  # of a table in a file


class What(StrEnum):
    """A group of rows, or all of them."""

    layers = "layers"
    norm = "norm"
    step = "step"
    ops = "ops"
    user = "user"
    scaling = "scaling"
    all = "all"


def main(folder: Path, cores: list[int]) -> None:
    """Run the command line; records go to `folder` where no file is named."""

    def command(
        what: Annotated[What, typer.Argument(help="What is timed.")] = What.all,
        json_file: Annotated[
            Path | None, typer.Option("--json", metavar="FILE", help="Where the record goes.")
        ] = None,
        image: Annotated[
            Path | None, typer.Option("--picture", metavar="FILE", help="PNG or SVG.")
        ] = None,
        only: Annotated[
            str, typer.Option(metavar="PATTERN", help="Rows whose name matches, in any case.")
        ] = "",
        rounds: Annotated[int, typer.Option(min=1, help="Turns of each side.")] = 15,
        two_cores: Annotated[
            bool, typer.Option(TWO_CORES, help="Two threads, quoted where there are two cores.")
        ] = False,
        device: Annotated[str | None, typer.Option(help="OpenCL device.")] = None,
        seed: Annotated[int | None, typer.Option(help="Of the data; by default fresh.")] = None,
    ) -> None:
        """Time gradproof beside PyTorch."""
        threads = 2 if two_cores else 1
        screen = Screen(as_json=False)
        if not screen.console.is_terminal:
            screen.console.width = WIDTH
        probes = _start(screen, device, threads)
        rows: list[dict[str, Any]] = []
        rng = np.random.default_rng(seed)
        for group in GROUPS if what is What.all else [str(what)]:
            found = [
                {"group": group, **row.as_dict()}
                for row in _rows(screen, group, only, rounds, probes, rng, threads)
            ]
            rows += found
            if found:
                _show(screen, group, found)
        path = _write(what, rows, probes, cores, json_file, folder)
        screen.line(f"Record   {path}")
        _draw(screen, path, image or path.with_suffix(".png"))
        if any(row["failed"] for row in rows):
            raise typer.Exit(1)

    typer.run(command)


def _start(screen: Screen, device: str | None, threads: int) -> Probes:
    chosen = use_device(device)
    screen.device(chosen.info)
    if theirs.installed():
        theirs.use_threads(threads)
    else:
        screen.line("PyTorch is not installed: only gradproof is measured")
    probes = make_probes(chosen, threads)
    probes.measure(rounds=5)
    for name, rate in probes.rates.items():
        unit = "GFLOP/s" if name.startswith("fma") else "GB/s"
        screen.line(f"{name:<24} {rate / 1e9:8.1f} {unit}")
    real = probes.rates["fma"] / probes.rates["fma_one_core"]
    if threads > 1 and real < REAL_SECOND_CORE:
        screen.line(f"Two threads have the time of {real:.2f} cores: rows are not quoted")
    return probes


def _rows(
    screen: Screen,
    group: str,
    only: str,
    rounds: int,
    probes: Probes,
    rng: np.random.Generator,
    threads: int,
) -> Iterator[Row]:
    """The rows of a group; one that fails says why, and the others are still measured."""
    for contest in GROUPS[group]():
        if re.search(only, contest.name, re.IGNORECASE):
            screen.note(f"  {contest.name}")
            try:
                yield measure(contest, rounds, probes, rng, threads)
            except (WrongResult, RuntimeError) as error:
                yield Row(contest.name, failed=True, notes=[str(error)])
    if group == "step" and re.search(only, "start-up", re.IGNORECASE):
        yield from _starts(screen)


def _starts(screen: Screen) -> Iterator[Row]:
    """Start-up has limits in seconds and no opponent."""
    screen.note("  start-up")
    try:
        seconds = startup.starts()
    except RuntimeError as error:
        yield Row("ResNet-20 start-up", failed=True, notes=[str(error)])
        return
    for name, value in seconds.items():
        floor, target = startup.LIMITS[name]
        note = f"{value:.2f} s; at most {floor:g} s, target {target:g} s"
        yield Row(f"ResNet-20 start-up, {name}", ours_ms=1e3 * value, notes=[note])


def _show(screen: Screen, group: str, rows: list[dict[str, Any]]) -> None:
    for part in tables(group, rows):
        screen.table(part)
    if any(row["floor"] for row in rows):
        screen.line(standing(rows))
    if group == "scaling":
        for axis, sides in scaling.fits(rows).items():
            text = ", ".join(f"{side} {e:.2f}" for side, e in sides.items())
            screen.line(f"time ~ FLOP^e by {axis}: {text}")
    for row in rows:
        if row["peak_mib"]:
            text = ", ".join(f"{side} {mib:.1f}" for side, mib in row["peak_mib"].items())
            screen.line(f"{row['name']}: peak memory in MiB: {text}")
        for note in row["notes"]:
            screen.line(f"{row['name']}: {note}")


def _write(
    what: str,
    rows: list[dict[str, Any]],
    probes: Probes,
    cores: list[int],
    json_file: Path | None,
    folder: Path,
) -> Path:
    """The record, to the file that was named, or to a new one."""
    info = current_device().info
    threads = max(1, len(cores))
    record = {
        "date": datetime.date.today().isoformat(),
        "what": str(what),
        "machine": records.machine(cores),
        "device": records.device(info),
        "versions": records.versions(),
        "environment": {n: os.environ.get(n) for n in records.environment(threads)},
        "probe": probes.rates,
        "rows": [_finite(row) for row in rows],
    }
    if json_file is None:
        return records.write(record, folder, info, f"vs-torch-{what}")
    json_file.write_text(json.dumps(record, indent=1, allow_nan=False) + "\n", "utf-8")
    return json_file


def _draw(screen: Screen, path: Path, image: Path) -> None:
    """The roofline, and beside it how cost grows, where that was measured."""
    record = json.loads(path.read_text("utf-8"))
    grown = [row for row in record["rows"] if row["group"] == "scaling"]
    others = [row for row in record["rows"] if row["group"] != "scaling"]
    if others:
        picture.roofline(record | {"rows": others}, image)
        screen.line(f"Picture  {image}")
    if grown:
        image = image.with_stem(image.stem + "-growth") if others else image
        picture.growth(record | {"rows": grown}, image)
        screen.line(f"Picture  {image}")


def _finite(row: dict[str, Any]) -> dict[str, Any]:
    """JSON has no infinity: an error that is not finite is null."""
    errors = {n: e if math.isfinite(e) else None for n, e in row["errors"].items()}
    return row | {"errors": errors}
