"""A run that goes on from its newest checkpoint."""

from __future__ import annotations

from pathlib import Path

import msgspec

from gradproof.cli.results import Training
from gradproof.cli.screen import Screen
from gradproof.cli.stopping import stopping
from gradproof.cli.training import absolute, fit_run, make_trainer, prepare
from gradproof.runtime.checkpoint import Checkpoint
from gradproof.runtime.config import Config
from gradproof.runtime.errors import DataError, RunError
from gradproof.runtime.folders import locked
from gradproof.runtime.run import (
    CONFIG,
    RunFolder,
)
from gradproof.runtime.trainer import Trainer
from gradproof.runtime.training_state import restore


def resume_training(
    path: Path,
    screen: Screen,
    device: str | None = None,
    epochs: int | None = None,
    dataset: str | None = None,
    detect_anomaly: bool = False,
) -> Training:
    """Go on with the run in `path` from its newest checkpoint, until its epochs are complete.

    epochs: in place of those of the run, where more or fewer are wanted; dataset: where its data
    are now; detect_anomaly: this time, see `Trainer`.

    Raises:
        GradproofError: whatever is wrong; nothing in the run folder was changed then.
        typer.Exit: 130, after an interrupt by the user.
    """
    run = RunFolder.open(path)
    with locked(path):
        config = run.config.config.changed("train", epochs=epochs)
        config = config.changed("data", dataset=absolute(dataset))
        trainer, run = _resumed(run, config, screen, device)
        trainer.detect_anomaly = trainer.detect_anomaly or detect_anomaly
        now = trainer.progress
        screen.line(
            f"Resumed  after {len(now.history)} epochs and {now.batch} batches, step {now.step}"
        )
        with stopping(trainer.stop) as came:
            return fit_run(trainer, run, screen, came)


def _resumed(
    run: RunFolder, config: Config, screen: Screen, device: str | None
) -> tuple[Trainer, RunFolder]:
    """The trainer as it was at the newest checkpoint, and the run with its changed config; the
    folder is changed when all is well."""
    kept = run.config
    try:
        _, dataset = prepare(config, screen, device)
    except DataError as error:
        moved = "Has it moved? gradproof train DATASET --resume RUN goes on with it from there"
        raise DataError(f"{error}. {moved}") from error
    if not kept.is_of(dataset):
        raise RunError(
            f"run folder {run.path}: the data set {config.data.dataset} is another one now;"
            " a run goes on with the images and labels that it began with"
        )
    trainer = make_trainer(config, dataset, kept.normal)
    checkpoint = run.checkpoints.last()
    _check_same(run, checkpoint)
    try:
        restore(trainer, checkpoint)
    except DataError as error:
        raise DataError(f"{run.checkpoints.steps()[-1]}: {error}") from error
    done = len(trainer.history)
    if config.train.epochs < done:
        raise RunError(f"--epochs {config.train.epochs}: the run has {done} epochs already")
    run = RunFolder(run.path, msgspec.structs.replace(kept, config=config))
    run.go_on(trainer.history, trainer.norms)
    return trainer, run


def _check_same(run: RunFolder, checkpoint: Checkpoint) -> None:
    """Raise RunError where config.json is not as it was when the checkpoint was written."""
    now, then = run.config.config.decisive(), checkpoint.state.get("config")
    if then is None:
        return
    changes = [f"{n} is {now[n]}, was {v}" for n, v in then.items() if now.get(n, v) != v]
    if not changes:
        return
    raise RunError(
        f"{run.path / CONFIG}: {'; '.join(changes)}; a run goes on as it began, but for its epochs"
    )
