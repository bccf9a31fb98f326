"""Metrics in TensorBoard's format, by the library tensorboardX."""

from __future__ import annotations

import dataclasses
from pathlib import Path

from gradproof.runtime.errors import RunError
from gradproof.runtime.trainer import EpochResult


class EventWriter:
    """Writes every field of an epoch's result as a scalar, into an event file in `folder`.

    Look at them with: tensorboard --logdir runs. Errors: RunError where tensorboardX is missing.
    """

    def __init__(self, folder: Path) -> None:
        try:
            from tensorboardX import SummaryWriter
        except ImportError as error:
            raise RunError(
                "tensorboard: the package tensorboardX is missing; pip install tensorboardX"
            ) from error
        self._writer = SummaryWriter(str(folder))

    def add(self, result: EpochResult) -> None:
        """One epoch: "train/loss", "test/accuracy", "lr" and the others, at its number."""
        for name, value in dataclasses.asdict(result).items():
            if name != "epoch":
                tag = name.replace("train_", "train/").replace("test_", "test/")
                self._writer.add_scalar(tag, value, result.epoch)
        self._writer.flush()
