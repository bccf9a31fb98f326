"""`gradproof bench`: start-up and training speed, beside PyTorch in the same process."""

from __future__ import annotations

import datetime
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table

from gradproof.cli import options
from gradproof.cli import record as records
from gradproof.cli.record import environment, usable_cores
from gradproof.cli.screen import Screen
from gradproof.cli.steps import ratios
from gradproof.runtime.device import DeviceInfo, choose
from gradproof.runtime.errors import RunError

WARM_STARTS = 3


def bench(
    device: options.Device = None,
    rounds: Annotated[int, typer.Option(min=1, help="Epochs of each side, in turn.")] = 15,
    threads: Annotated[int, typer.Option(min=1, help="CPU cores that both sides may use.")] = 1,
    out: Annotated[
        Path, typer.Option("--out", metavar="DIR", help="Folder for the record, a JSON file.")
    ] = Path("benchmarks/records"),
    as_json: options.Json = False,
) -> None:
    """Measure start-up, training steps and epochs of the demo network on the bundled digits.

    PyTorch, if it is installed, trains the same network on the same batches in the same process,
    epoch by epoch in turn; ratios are medians over these pairs. Every side is first checked
    against float64. Times of a busy machine mean little: the load average is recorded.
    """
    screen = Screen(as_json=as_json)
    info = choose(device)
    screen.device(info)
    cores = usable_cores(threads)
    with tempfile.TemporaryDirectory() as folder:
        variables = _environment(threads, folder)
        starts = _starts(info, cores, variables)
        more = {"rounds": rounds, "threads": threads}
        measured = _child("speed", {"device": str(info.index), "cores": cores, **more}, variables)
    record = {
        "date": datetime.date.today().isoformat(),
        "machine": records.machine(cores),
        "device": records.device(info),
        "versions": records.versions(),
        "environment": {n: v for n, v in variables.items() if n not in _LOCAL},
        "startup_seconds": starts,
        **measured,
        "summary": summarise(measured),
    }
    _show(screen, record)
    path = records.write(record, out, info)
    screen.line(f"Record   {path}")
    screen.result(record)


_LOCAL = ("GRADPROOF_CACHE_DIR", "POCL_CACHE_DIR", "TORCHINDUCTOR_CACHE_DIR")


def summarise(measured: dict[str, Any]) -> dict[str, Any]:
    """Medians of each side, and how many times faster the best of ours is than PyTorch's best.

    >>> step = {"gradproof, eager": {"step": [1.0, 1.0], "epoch": [4.0, 4.0]},
    ...         "PyTorch, NCHW": {"step": [2.0, 3.0], "epoch": [8.0, 8.0]}}
    >>> summarise({"seconds": step, "batch": 32})["faster_than_pytorch"]
    {'step': 2.5, 'epoch': 2.0}
    """
    seconds, batch = measured["seconds"], measured["batch"]
    sides = {
        name: {
            "step_ms": 1e3 * statistics.median(times["step"]),
            "epoch_seconds": statistics.median(times["epoch"]),
            "images_per_second": batch / statistics.median(times["step"]),
        }
        for name, times in seconds.items()
    }
    mine = [n for n in sides if n.startswith("gradproof")]
    torch = [n for n in sides if n.startswith("PyTorch")]
    faster = {}
    for unit in ("step", "epoch") if torch else ():
        a = min(torch, key=lambda n: statistics.median(seconds[n][unit]))
        b = min(mine, key=lambda n: statistics.median(seconds[n][unit]))
        faster[unit] = ratios(seconds[a][unit], seconds[b][unit])
    return {"sides": sides, "faster_than_pytorch": faster}


def _starts(info: DeviceInfo, cores: list[int], environment: dict[str, str]) -> dict[str, float]:
    """Seconds from a new process to the end of its first step, with empty and with full caches."""
    seconds = []
    for _ in range(1 + WARM_STARTS):
        start = time.time()
        given = {"device": str(info.index), "cores": cores}
        seconds.append(_child("startup", given, environment)["end"] - start)
    return {"cold": seconds[0], "warm": statistics.median(seconds[1:])}


def _child(task: str, given: dict[str, Any], environment: dict[str, str]) -> dict[str, Any]:
    command = [sys.executable, "-m", "gradproof.cli.steps", task, json.dumps(given)]
    done = subprocess.run(
        command, env={**os.environ, **environment}, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise RunError(f"bench: {task} failed:\n{done.stderr.strip()}")
    result: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
    return result


def _environment(threads: int, folder: str) -> dict[str, str]:
    """What is set before the process starts: empty caches, the threads of each library."""
    caches = {name: str(Path(folder) / name.lower()) for name in _LOCAL}
    for path in caches.values():
        Path(path).mkdir()
    return environment(threads) | caches


def _show(screen: Screen, record: dict[str, Any]) -> None:
    starts, summary = record["startup_seconds"], record["summary"]
    screen.line(
        f"First step {starts['cold']:.1f} s after start, {starts['warm']:.1f} s when cached"
    )
    table = Table(title=f"demo network, batch {record['batch']}, {record['images']} images")
    for column in ("", "ms/step", "s/epoch", "images/s", "error"):
        table.add_column(column, justify="right" if column else "left")
    for name, side in summary["sides"].items():
        numbers = f"{side['step_ms']:.2f}", f"{side['epoch_seconds']:.3f}"
        rate, error = f"{side['images_per_second']:,.0f}", f"{record['errors'][name]:.1e}"
        table.add_row(name, *numbers, rate, error)
    screen.table(table)
    for unit, ratio in summary["faster_than_pytorch"].items():
        screen.line(f"{unit:<8} {ratio:.2f} times as fast as the best of PyTorch")
    for note in record["notes"]:
        screen.line(note)
