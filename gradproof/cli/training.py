"""A training as the commands run it: into a run folder, with checkpoints, resumed or not."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import typer

from gradproof import __version__
from gradproof.cli.screen import Screen, TrainingProgress, command_name
from gradproof.runtime import recipe
from gradproof.runtime.config import Config
from gradproof.runtime.data import Dataset, load_dataset
from gradproof.runtime.device import DeviceInfo, use_device
from gradproof.runtime.errors import DataError, DeviceError, GradproofError, RunError
from gradproof.runtime.metrics import confusion_matrix
from gradproof.runtime.models import first_filters
from gradproof.runtime.nn import CrossEntropyLoss
from gradproof.runtime.planned_memory import mib
from gradproof.runtime.plots import plot_confusion, plot_curves, plot_filters
from gradproof.runtime.random import manual_seed
from gradproof.runtime.run import (
    CONFUSION_PICTURE,
    CURVES,
    FILTERS,
    RunConfig,
    RunFolder,
    check_free,
    next_free,
    versions,
)
from gradproof.runtime.summary import summarize
from gradproof.runtime.tensorboard import EventWriter
from gradproof.runtime.trainer import EpochResult, Trainer
from gradproof.runtime.training_state import capture, restore

RUNS = Path("runs")
INTERRUPTED = 130  # 128 + SIGINT, the shell's convention


@dataclass(frozen=True)
class Training:
    """A run that is over: its folder and what `fit` measured."""

    run: RunFolder
    trainer: Trainer
    seconds: float

    def show(self, screen: Screen) -> None:
        """The results, as text and, if asked for, as JSON."""
        last, config = self.trainer.history[-1], self.run.config
        number = len(self.trainer.dataset.y_test)
        correct = round(last.test_accuracy * number)
        screen.line()
        screen.line(
            f"Held-out accuracy {last.test_accuracy:.2%} ({correct} of {number} images)"
            f" after {last.epoch} epochs in {self.seconds:.1f} s",
            style="bold",
        )
        if (memory := self.trainer.memory) is not None:
            again = ", activations recomputed" if memory.recomputed else ""
            screen.line(
                f"Memory of a step {mib(memory.temporaries)} and {mib(memory.outside)} for"
                f" parameters and batches{again}"
            )
        screen.line(f"Run folder {self.run.path}")
        screen.line("  config.json        what is needed to repeat the run")
        screen.line("  metrics.csv        one row for each epoch")
        screen.line("  curves.png         loss and accuracy by epoch")
        screen.line("  confusion.png      which class was taken for which")
        screen.line("  filters.png        the first filters before and after training")
        screen.line("  model.safetensors  the parameters, under PyTorch's names")
        screen.line("  checkpoints        what is needed to go on")
        screen.result(
            {
                "test_accuracy": last.test_accuracy,
                "test_top5": last.test_top5,
                "test_loss": last.test_loss,
                "train_accuracy": last.train_accuracy,
                "train_loss": last.train_loss,
                "epochs": last.epoch,
                "seconds": self.seconds,
                "images_per_second": last.images_per_second,
                "step_bytes": memory.temporaries if memory is not None else None,
                "device": config.device,
                "run": str(self.run.path),
            }
        )


def run_training(
    config: Config, screen: Screen, device: str | None = None, out: Path | None = None
) -> Training:
    """Train as `config` says, into a new run folder, and draw its pictures.

    Raises:
        GradproofError: whatever is wrong; the run folder is made only when training can begin.
        typer.Exit: 130, after an interrupt by the user.
    """
    if out is not None:
        check_free(out)
    info, dataset = _prepare(config, screen, device)
    normal = recipe.statistics(config.data, dataset)
    trainer = _trainer(config, dataset, normal)
    screen.network(summarize(trainer.model, (config.train.batch_size, *dataset.image_shape)))
    used = _used(config, trainer)
    run_config = RunConfig(
        config=used,
        image_shape=dataset.image_shape,
        classes=dataset.classes,
        mean=tuple(normal[0]) if normal else (),
        std=tuple(normal[1]) if normal else (),
        device=info.describe(),
        versions={"gradproof": __version__, **versions()},
    )
    path = out or next_free(RUNS, f"{dataset.name}-{config.model.name}")
    run = RunFolder.create(path, run_config)
    run.save_filters(first_filters(trainer.model))
    run.checkpoints.add(capture(trainer), 0)  # from here on nothing of a run is lost
    return _fit(trainer, run, config, screen)


def resume_training(
    path: Path, screen: Screen, device: str | None = None, epochs: int | None = None
) -> Training:
    """Go on with the run in `path` from its newest checkpoint, until its epochs are complete.

    epochs: in place of those of the run, where more or fewer are wanted.

    Raises:
        GradproofError: whatever is wrong; nothing in the run folder was changed then.
        typer.Exit: 130, after an interrupt by the user.
    """
    run = RunFolder.open(path)
    config = run.config.config.changed("train", epochs=epochs)
    _, dataset = _prepare(config, screen, device)
    if dataset.image_shape != run.config.image_shape or dataset.classes != run.config.classes:
        raise RunError(f"run folder {path}: the data set {config.data.dataset} is another one now")
    normal = (list(run.config.mean), list(run.config.std)) if run.config.mean else None
    trainer = _trainer(config, dataset, normal)
    checkpoint = run.checkpoints.last()
    try:
        restore(trainer, checkpoint)
    except DataError as error:
        raise DataError(f"{run.checkpoints.steps()[-1]}: {error}") from error
    run.rewrite_metrics(trainer.history)
    now = trainer.progress
    screen.line(
        f"Resumed  after {len(now.history)} epochs and {now.batch} batches, step {now.step}"
    )
    return _fit(trainer, run, config, screen)


def _prepare(config: Config, screen: Screen, device: str | None) -> tuple[DeviceInfo, Dataset]:
    info = use_device(device).info
    if config.train.dtype == "float64" and not info.fp64:
        raise DeviceError(f"dtype float64: {info.describe()} has no double precision")
    dataset = load_dataset(config.data.dataset, config.data.image_size)
    screen.device(info)
    size = " x ".join(map(str, dataset.image_shape))
    screen.line(
        f"Data     {dataset.name}: {len(dataset.x_train):,} training and"
        f" {len(dataset.x_test):,} held-out images of {size}, {len(dataset.classes)} classes"
    )
    return info, dataset


def _trainer(
    config: Config, dataset: Dataset, normal: tuple[list[float], list[float]] | None
) -> Trainer:
    train = config.train
    manual_seed(train.seed)
    model = recipe.make_model(config.model, dataset, train.dtype)
    given = config.optimizer.lr
    rate = recipe.usual_rate(config.model.name, config.optimizer.name) if given is None else given
    optimizer = recipe.make_optimizer(model, config.optimizer, rate)
    batches = -(-len(dataset.x_train) // train.batch_size)
    transform, test_transform = recipe.make_transforms(config.data, dataset, normal)
    return Trainer(
        model,
        optimizer,
        CrossEntropyLoss(label_smoothing=train.label_smoothing),
        dataset,
        batch_size=train.batch_size,
        seed=train.seed,
        scheduler=recipe.make_schedule(optimizer, config.schedule, train.epochs, batches),
        transform=transform,
        test_transform=test_transform,
        clip_grad_norm=train.clip_grad_norm,
        accumulate=train.accumulate,
        precision=train.precision,
        checkpoint=train.recompute,
        early_stopping=train.early_stopping,
    )


def _used(config: Config, trainer: Trainer) -> Config:
    """The config with what was left to us: the absolute path, the rate."""
    name = config.data.dataset
    path = name if name == "digits" else str(Path(name).resolve())
    base = trainer.scheduler.base_lrs[0] if trainer.scheduler else trainer.optimizer.lr
    return config.changed("data", dataset=path).changed("optimizer", lr=base)


def _fit(trainer: Trainer, run: RunFolder, config: Config, screen: Screen) -> Training:
    progress = TrainingProgress(screen, config.train.epochs)
    trainer.on_batch = progress.on_batch
    writer = EventWriter(run.path) if config.tensorboard else None
    start = time.perf_counter()

    def on_epoch(result: EpochResult) -> None:
        run.add(result, trainer.model.state_dict())
        if writer is not None:
            writer.add(result)
        progress.on_epoch(result)

    def on_step(trainer: Trainer) -> None:
        now, every = trainer.progress, config.checkpoints.every
        complete = now.batch == 0
        if complete or (every and now.step % every == 0):
            run.checkpoints.add(capture(trainer), now.step, complete and now.waited == 0)

    trainer.on_epoch, trainer.on_step = on_epoch, on_step
    try:
        with progress, _stopping(trainer) as stopped:
            trainer.fit(max(0, config.train.epochs - len(trainer.history)))
    except GradproofError:
        _say_kept(run, "Stopped", screen)
        _draw(run, trainer)
        raise
    _draw(run, trainer)
    if stopped:
        run.checkpoints.add(capture(trainer), trainer.progress.step)
        _say_kept(run, "Interrupted", screen)
        screen.line(f"Go on with: {command_name()} train --resume {run.path}")
        raise typer.Exit(INTERRUPTED)
    return Training(run, trainer, time.perf_counter() - start)


@contextmanager
def _stopping(trainer: Trainer) -> Iterator[list[int]]:
    """SIGINT and SIGTERM let the training end after its step; a second one ends it at once.

    Gives the signals that came."""
    came: list[int] = []
    if threading.current_thread() is not threading.main_thread():
        yield came
        return

    def stop(number: int, frame: Any) -> None:
        if came:
            raise KeyboardInterrupt
        came.append(number)
        trainer.stop()

    before = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield came
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _say_kept(run: RunFolder, how: str, screen: Screen) -> None:
    """Say what is kept of a training that ended early."""
    done = len(run.history())
    kept = f"epochs 1 to {done} are" if done else "no epoch was completed; its settings are"
    screen.line(f"{how}: {kept} kept in {run.path}")


def _draw(run: RunFolder, trainer: Trainer) -> None:
    history, config = run.history(), run.config.config
    if not history:
        return
    title = f"{config.model.name} on {Path(config.data.dataset).name}"
    plot_curves(history, run.path / CURVES, title)
    plot_filters(run.load_filters(), first_filters(run.load_model()), run.path / FILTERS)
    if trainer.last_evaluation is not None:
        labels, classes = trainer.dataset.y_test, run.config.classes
        matrix = confusion_matrix(labels, trainer.last_evaluation.predicted, len(classes))
        run.write_confusion(matrix)
        plot_confusion(matrix, classes, run.path / CONFUSION_PICTURE, title)
