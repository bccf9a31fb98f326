"""What `gradproof export --c` writes."""

from __future__ import annotations

from pathlib import Path

from gradproof.cli.screen import Screen
from gradproof.runtime.device import use_device
from gradproof.runtime.export_c import export_c
from gradproof.runtime.run import RunFolder


def write_c(
    run: RunFolder,
    folder: Path,
    batch: int,
    device: str | None,
    screen: Screen,
    best: bool = False,
) -> dict[str, str | int]:
    """The C program of a run's network, planned for a device; what was written, for JSON."""
    info = use_device(device).info
    screen.device(info)
    config = run.config
    export_c(run.load_model(best), config.image_shape, folder, batch, classes=config.classes)
    screen.line(f"C        {folder}: README.md says how to build it; `make check` there tests it")
    return {"folder": str(folder), "batch": batch, "device": info.describe()}
