"""The command `gradproof report`: a run as one page to look at, to keep and to send."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from gradproof.cli import options
from gradproof.cli.screen import Screen
from gradproof.runtime.device import use_device
from gradproof.runtime.errors import RunError
from gradproof.runtime.run import RunFolder
from gradproof.runtime.serialization import write_file

PAGE = "report.html"


def report(
    run: options.Run,
    out: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help=f"The page to write; without it {PAGE} in RUN."),
    ] = None,
    dataset: Annotated[
        str | None,
        typer.Option(metavar="DATASET", help="Where the data of the run are now."),
    ] = None,
    steps: Annotated[
        int, typer.Option(min=0, help="Training steps to measure; 0: no time is measured.")
    ] = 10,
    device: options.Device = None,
    as_json: options.Json = False,
    verbose: options.Verbose = False,
) -> None:
    """Write one page about RUN: what it learned and mistakes, its gradients, where its time goes.

    The network is evaluated and some steps are measured on this device; RUN is not changed, but
    for the page. What cannot be shown is named on the page, with the reason.
    """
    from gradproof.report.content import collect
    from gradproof.report.page import render

    screen = Screen(as_json=as_json, verbose=verbose)
    folder = RunFolder.open(run)
    path = run / PAGE if out is None else out
    if path.is_dir():
        raise RunError(f"--out {path}: is a folder, expected a file")
    info = use_device(device).info
    screen.device(info)
    found = collect(folder, dataset, steps)
    text = render(found)
    write_file(path, text.encode())
    for why in dict.fromkeys(found.missing.values()):
        screen.line(f"Missing  {why}")
    screen.line(f"Page     {path} ({len(text.encode()) / 1e3:,.0f} kB)")
    screen.result({"page": str(path), "missing": found.missing, "device": info.describe()})
