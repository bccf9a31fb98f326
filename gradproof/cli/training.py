"""A training as the commands run it: into a run folder, with checkpoints, resumed or not."""

from __future__ import annotations

import contextlib
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import msgspec
import typer

from gradproof import __version__
from gradproof.cli.screen import Screen, TrainingProgress, command_name
from gradproof.cli.stopping import stopping
from gradproof.runtime import recipe
from gradproof.runtime.checkpoint import Checkpoint
from gradproof.runtime.config import Config
from gradproof.runtime.data import Dataset, fingerprint, load_dataset
from gradproof.runtime.device import DeviceInfo, use_device
from gradproof.runtime.errors import DataError, DeviceError, GradproofError, RunError
from gradproof.runtime.locks import locked
from gradproof.runtime.metrics import TOP, confusion_matrix
from gradproof.runtime.models import first_filters
from gradproof.runtime.nn import CrossEntropyLoss
from gradproof.runtime.plots import plot_confusion, plot_curves, plot_filters
from gradproof.runtime.random import manual_seed
from gradproof.runtime.run import (
    CONFIG,
    CONFUSION_PICTURE,
    CURVES,
    FILTERS,
    RunConfig,
    RunFolder,
    check_free,
    new_folder,
    versions,
)
from gradproof.runtime.summary import summarize
from gradproof.runtime.tensorboard import EventWriter
from gradproof.runtime.trainer import EpochResult, Trainer
from gradproof.runtime.training_state import capture, restore

RUNS = Path("runs")


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
        if self.trainer.stopped_early and last.epoch < config.config.train.epochs:
            waited = self.trainer.progress.waited
            screen.line(f"Stopped early: the held-out loss has not fallen for {waited} epochs")
        top5 = f", top-5 {last.test_top5:.2%}" if len(config.classes) > TOP else ""
        screen.line(
            f"Held-out accuracy {last.test_accuracy:.2%} ({correct} of {number} images){top5}"
            f" after {last.epoch} epochs in {self.seconds:.1f} s",
            style="bold",
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
    recipe.load_weights(trainer.model, config.model)
    screen.network(summarize(trainer.model, (config.train.batch_size, *dataset.image_shape)))
    used = _used(config, trainer)
    run_config = RunConfig(
        config=used,
        image_shape=dataset.image_shape,
        classes=dataset.classes,
        mean=tuple(normal[0]) if normal else (),
        std=tuple(normal[1]) if normal else (),
        data_sha256=fingerprint(dataset),
        device=info.describe(),
        versions={"gradproof": __version__, **versions()},
    )
    path = new_folder(RUNS, f"{dataset.name}-{config.model.name}", out)
    with locked(path), stopping(trainer.stop) as came:
        with _removed_if_it_fails(path):
            run = RunFolder.create(path, run_config)
            run.save_filters(first_filters(trainer.model))
            run.checkpoints.add(_captured(trainer, run), 0)  # from here on nothing of a run is lost
        return _fit(trainer, run, screen, came)


@contextmanager
def _removed_if_it_fails(path: Path) -> Iterator[None]:
    """Where the block fails, as on a full disk, `path` is removed, which was empty before it."""
    check_free(path)
    try:
        yield
    except GradproofError:
        shutil.rmtree(path, ignore_errors=True)
        raise


def resume_training(
    path: Path,
    screen: Screen,
    device: str | None = None,
    epochs: int | None = None,
    dataset: str | None = None,
) -> Training:
    """Go on with the run in `path` from its newest checkpoint, until its epochs are complete.

    epochs: in place of those of the run, where more or fewer are wanted; dataset: where its data
    are now.

    Raises:
        GradproofError: whatever is wrong; nothing in the run folder was changed then.
        typer.Exit: 130, after an interrupt by the user.
    """
    run = RunFolder.open(path)
    with locked(path):
        config = run.config.config.changed("train", epochs=epochs)
        config = config.changed("data", dataset=_absolute(dataset))
        trainer, run = _resumed(run, config, screen, device)
        now = trainer.progress
        screen.line(
            f"Resumed  after {len(now.history)} epochs and {now.batch} batches, step {now.step}"
        )
        with stopping(trainer.stop) as came:
            return _fit(trainer, run, screen, came)


def _resumed(
    run: RunFolder, config: Config, screen: Screen, device: str | None
) -> tuple[Trainer, RunFolder]:
    """The trainer as it was at the newest checkpoint, and the run with its changed config; the
    folder is changed when all is well."""
    kept = run.config
    try:
        _, dataset = _prepare(config, screen, device)
    except DataError as error:
        moved = "Has it moved? gradproof train DATASET --resume RUN goes on with it from there"
        raise DataError(f"{error}. {moved}") from error
    same = (dataset.image_shape, dataset.classes) == (kept.image_shape, kept.classes)
    if not same or (kept.data_sha256 and fingerprint(dataset) != kept.data_sha256):
        raise RunError(
            f"run folder {run.path}: the data set {config.data.dataset} is another one now;"
            " a run goes on with the images and labels that it began with"
        )
    trainer = _trainer(config, dataset, (list(kept.mean), list(kept.std)) if kept.mean else None)
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
    run.go_on(trainer.history)
    return trainer, run


def _captured(trainer: Trainer, run: RunFolder) -> Checkpoint:
    """The state of a training, with what decides the run beside it."""
    state = capture(trainer)
    return replace(state, state={**state.state, "config": run.config.config.decisive()})


def _check_same(run: RunFolder, checkpoint: Checkpoint) -> None:
    """Raise RunError where config.json is not as it was when the checkpoint was written."""
    now, then = run.config.config.decisive(), checkpoint.state.get("config")
    if then is None or now == then:
        return
    names = sorted({*now, *then})
    changes = [
        f"{n} is {now.get(n)}, was {then.get(n)}" for n in names if now.get(n) != then.get(n)
    ]
    raise RunError(
        f"{run.path / CONFIG}: {'; '.join(changes)}; a run goes on as it began, but for its epochs"
    )


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
        early_stopping=train.early_stopping,
    )


def _used(config: Config, trainer: Trainer) -> Config:
    """The config with what was left to us: absolute paths, the rate."""
    path = _absolute(config.data.dataset)
    base = trainer.scheduler.base_lrs[0] if trainer.scheduler else trainer.optimizer.lr
    given = config.model.weights
    weights = None if given is None else str(Path(given).resolve())
    config = config.changed("data", dataset=path).changed("model", weights=weights)
    return config.changed("optimizer", lr=base)


def _absolute(dataset: str | None) -> str | None:
    return dataset if dataset in (None, "digits") else str(Path(dataset).resolve())


def _fit(trainer: Trainer, run: RunFolder, screen: Screen, came: list[int]) -> Training:
    """Train until the epochs of the run are complete; came: the signals that ended it before."""
    config = run.config.config
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
            run.checkpoints.add(_captured(trainer, run), now.step, complete and now.waited == 0)

    trainer.on_epoch, trainer.on_step = on_epoch, on_step
    try:
        with progress:
            trainer.fit(max(0, config.train.epochs - len(trainer.history)))
        missing = len(trainer.history) < config.train.epochs and not trainer.stopped_early
        if came and missing:
            run.checkpoints.add(_captured(trainer, run), trainer.progress.step)
    except GradproofError:
        _say_kept(run, trainer, "Stopped", screen)
        with contextlib.suppress(GradproofError):  # the first error counts
            _draw(run, trainer)
        raise
    except KeyboardInterrupt:
        _say_kept(run, trainer, "Ended at once", screen)
        raise _interrupted(run, screen) from None
    if came and missing:
        _say_kept(run, trainer, "Interrupted", screen)
        _draw(run, trainer)
        raise _interrupted(run, screen)
    _draw(run, trainer)
    return Training(run, trainer, time.perf_counter() - start)


def _interrupted(run: RunFolder, screen: Screen) -> typer.Exit:
    newest = int(run.checkpoints.steps()[-1].stem.partition("-")[2])
    screen.line(f"Go on from step {newest} with: {command_name()} train --resume {run.path}")
    return typer.Exit(130)  # 128 + SIGINT, the shell's convention


def _say_kept(run: RunFolder, trainer: Trainer, how: str, screen: Screen) -> None:
    """Say what is kept of a training that ended early."""
    done = len(trainer.history)
    kept = f"epochs 1 to {done} are" if done else "no epoch was completed; its settings are"
    screen.line(f"{how}: {kept} kept in {run.path}")


def _draw(run: RunFolder, trainer: Trainer) -> None:
    history, config = trainer.history, run.config.config
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
