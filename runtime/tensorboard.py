"""Metrics in TensorBoard's format, by the library tensorboardX."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

from gradproof.runtime.errors import RunError
from gradproof.runtime.progress import EpochResult


def event_writer() -> Any:
    """tensorboardX's SummaryWriter. Errors: RunError where the package is missing."""
    try:
        from tensorboardX import SummaryWriter
    except ImportError as error:
        raise RunError(
            "tensorboard: the package tensorboardX is missing; pip install tensorboardX"
        ) from error
    return SummaryWriter


class EventWriter:
    """Writes every field of an epoch's result as a scalar, into an event file in `folder`.

    Look at them with: tensorboard --logdir runs. Errors: RunError where tensorboardX is missing, or
    the file cannot be written.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        try:
            self._writer = event_writer()(str(folder))
        except OSError as error:
            raise self._failed(error) from error

    def _failed(self, error: OSError) -> RunError:
        return RunError(f"run folder {self.folder}: TensorBoard's file cannot be written: {error}")

    def add(self, result: EpochResult) -> None:
        """One epoch: "train/loss", "test/accuracy", "lr" and the others, at its number."""
        try:
            for name, value in dataclasses.asdict(result).items():
                if name != "epoch":
                    tag = name.replace("train_", "train/").replace("test_", "test/")
                    self._writer.add_scalar(tag, value, result.epoch)
            self._writer.flush()
        except OSError as error:
            raise self._failed(error) from error
