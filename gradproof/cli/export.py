"""The command `gradproof export`: a run's network for other programs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from gradproof.cli import options
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
    device: options.Device = None,
    as_json: options.Json = False,
) -> None:
    """Write the network of RUN, as it was after the last complete epoch, for other programs.

    The ONNX file takes a batch of any size, images (N, C, H, W) of the run's shape as float numbers
    that are scaled as in training, and gives the logits.
    """
    if onnx is None:
        raise RunError("nothing to write: give --onnx FILE")
    screen = Screen(as_json=as_json)
    folder = RunFolder.open(run)
    use_device(device)
    model = folder.load_model()
    written = {}
    if onnx is not None:
        export_onnx(model, (1, *folder.config.image_shape), onnx)
        written["onnx"] = onnx
    for kind, path in written.items():
        screen.line(f"{kind:8} {path}")
    screen.result({kind: str(path) for kind, path in written.items()} | {"run": str(run)})
