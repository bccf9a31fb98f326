"""`gradproof export`: a run's network in a form that needs no Python."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from gradproof.cli import options
from gradproof.cli.export_c import write_c
from gradproof.cli.screen import Screen
from gradproof.runtime.errors import RunError
from gradproof.runtime.run import RunFolder


def export(
    run: options.Run,
    c: Annotated[
        Path | None,
        typer.Option(
            "--c", metavar="FOLDER", help="New or empty folder for a C program with the kernels."
        ),
    ] = None,
    batch: Annotated[int, typer.Option(min=1, help="Images that the C program takes at once.")] = 1,
    device: options.Device = None,
    as_json: options.Json = False,
) -> None:
    """Write the network of RUN for use without Python: with --c, as C and OpenCL C."""
    if c is None:
        raise RunError("export: nothing to write; give --c FOLDER")
    screen = Screen(as_json=as_json)
    written = write_c(RunFolder.open(run), c, batch, device, screen)
    screen.result({"run": str(run), "c": written})
