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
from gradproof.runtime.formats import NPZ
from gradproof.runtime.onnx import export as export_onnx
from gradproof.runtime.run import RunFolder
from gradproof.runtime.serialization import save


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
    state_dict: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Write the state dict, for PyTorch's load_state_dict: .safetensors or .npz.",
        ),
    ] = None,
    best: options.Best = False,
    batch: Annotated[int, typer.Option(min=1, help="Images that the C program takes at once.")] = 1,
    device: options.Device = None,
    as_json: options.Json = False,
) -> None:
    """Write the network of RUN, as it was after the last complete epoch, for other programs.

    The ONNX file takes a batch of any size, the C program batches of one size: images (N, C, H, W)
    of the run's shape as float numbers that are scaled as in training; both give the logits. The
    state dict has PyTorch's names, shapes and types.
    """
    if onnx is None and c is None and state_dict is None:
        raise RunError("nothing to write: give --onnx FILE, --c FOLDER or --state-dict FILE")
    if state_dict is not None and state_dict.suffix.lower() not in (".safetensors", NPZ):
        raise RunError(
            f"--state-dict {state_dict}: expected a name that ends with .safetensors or .npz"
        )
    screen = Screen(as_json=as_json)
    folder = RunFolder.open(run)
    written: dict[str, Any] = {}
    if state_dict is not None:
        save(folder.load_state(best), state_dict)
        screen.line(f"weights  {state_dict}")
        written["state_dict"] = str(state_dict)
    if onnx is not None:
        use_device(device)
        export_onnx(folder.load_model(best), (1, *folder.config.image_shape), onnx)
        screen.line(f"onnx     {onnx}")
        written["onnx"] = str(onnx)
    if c is not None:
        written["c"] = write_c(folder, c, batch, device, screen, best)
    if mean := folder.config.mean:
        numbers = [", ".join(f"{v:.9g}" for v in vs) for vs in (mean, folder.config.std)]
        screen.line(
            f"images   the network takes (image - mean) / std, mean {numbers[0]}, std {numbers[1]}"
        )
        written |= {"mean": mean, "std": folder.config.std}
    screen.result(written | {"run": str(run)})
