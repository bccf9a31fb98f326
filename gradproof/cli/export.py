"""The command `gradproof export`: a run's network for other programs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from gradproof.cli import options
from gradproof.cli.export_c import write_c
from gradproof.cli.screen import Screen
from gradproof.runtime.device import use_device
from gradproof.runtime.errors import RunError
from gradproof.runtime.onnx import export as export_onnx
from gradproof.runtime.run import RunFolder


def export(
    run: options.Run,
    onnx: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Write an ONNX file; needs pip install onnx."),
    ] = None,
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
    """Write the network of RUN, as it was after the last complete epoch, for other programs.

    The ONNX file takes a batch of any size, the C program batches of one size: images (N, C, H, W)
    of the run's shape as float numbers that are scaled as in training; both give the logits.
    """
    if onnx is None and c is None:
        raise RunError("nothing to write: give --onnx FILE or --c FOLDER")
    screen = Screen(as_json=as_json)
    folder = RunFolder.open(run)
    written: dict[str, Any] = {}
    if onnx is not None:
        use_device(device)
        export_onnx(folder.load_model(), (1, *folder.config.image_shape), onnx)
        screen.line(f"onnx     {onnx}")
        written["onnx"] = str(onnx)
    if c is not None:
        written["c"] = write_c(folder, c, batch, device, screen)
    screen.result(written | {"run": str(run)})
