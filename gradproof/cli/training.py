"""A training as the commands run it: into a run folder, with checkpoints, resumed or not."""

from __future__ import annotations

import contextlib
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import typer

from gradproof import __version__
from gradproof.cli.results import Training, draw, say_go_on, say_kept, say_where_from
from gradproof.cli.screen import Screen, TrainingProgress, command_name
from gradproof.cli.stopping import stopping
from gradproof.runtime import recipe
from gradproof.runtime.checkpoint import Checkpoint
from gradproof.runtime.config import Config
from gradproof.runtime.data import Dataset, fingerprint, load_dataset
from gradproof.runtime.data.loader import batch_count
from gradproof.runtime.device import DeviceInfo, use_device
from gradproof.runtime.errors import AnomalyError, DeviceError, DivergenceError, GradproofError
from gradproof.runtime.folders import check_free, locked, new_folder
from gradproof.runtime.models import first_filters
from gradproof.runtime.nn import CrossEntropyLoss
from gradproof.runtime.progress import EpochResult
from gradproof.runtime.random import manual_seed
from gradproof.runtime.run import RunConfig, RunFolder, versions
from gradproof.runtime.summary import summarize
from gradproof.runtime.tensorboard import EventWriter, event_writer
from gradproof.runtime.trainer import Trainer
from gradproof.runtime.training_state import capture

RUNS = Path("runs")


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
    info, dataset = prepare(config, screen, device)
    normal = recipe.statistics(config.data, dataset)
    trainer = make_trainer(config, dataset, normal)
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
        return fit_run(trainer, run, screen, came)


@contextmanager
def _removed_if_it_fails(path: Path) -> Iterator[None]:
    """Where the block fails, as on a full disk, `path` is removed, which was empty before it."""
    check_free(path)
    try:
        yield
    except GradproofError:
        shutil.rmtree(path, ignore_errors=True)
        raise


def _captured(trainer: Trainer, run: RunFolder) -> Checkpoint:
    """The state of a training, with what decides the run beside it."""
    state = capture(trainer)
    return replace(state, state={**state.state, "config": run.config.config.decisive()})


def prepare(config: Config, screen: Screen, device: str | None) -> tuple[DeviceInfo, Dataset]:
    """The device and the data set of a config, which are shown. Raises GradproofError."""
    if config.tensorboard:
        event_writer()  # before anything is made
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


def make_trainer(
    config: Config, dataset: Dataset, normal: tuple[list[float], list[float]] | None
) -> Trainer:
    """The trainer of a config, seeded; normal: means and deviations. Raises GradproofError."""
    train = config.train
    manual_seed(train.seed)
    model = recipe.make_model(config.model, dataset, train.parameters)
    given = config.optimizer.lr
    rate = recipe.usual_rate(config.model.name, config.optimizer.name) if given is None else given
    optimizer = recipe.make_optimizer(model, config.optimizer, rate)
    batches = batch_count(len(dataset.x_train), train.batch_size, train.drop_last)
    transform, test_transform = recipe.make_transforms(config.data, dataset, normal)
    return Trainer(
        model,
        optimizer,
        CrossEntropyLoss(label_smoothing=train.label_smoothing),
        dataset,
        batch_size=train.batch_size,
        drop_last=train.drop_last,
        seed=train.seed,
        scheduler=recipe.make_schedule(optimizer, config.schedule, train.epochs, batches),
        transform=transform,
        test_transform=test_transform,
        clip_grad_norm=train.clip_grad_norm,
        accumulate=train.accumulate,
        precision=train.precision,
        checkpoint=train.recompute,
        storage=train.storage,
        detect_anomaly=train.detect_anomaly,
        early_stopping=train.early_stopping,
        gradient_norms=True,
    )


def _used(config: Config, trainer: Trainer) -> Config:
    """The config with what was left to us: absolute paths, the rate."""
    path = absolute(config.data.dataset)
    base = trainer.scheduler.base_lrs[0] if trainer.scheduler else trainer.optimizer.lr
    given = config.model.weights
    weights = None if given is None else str(Path(given).resolve())
    config = config.changed("data", dataset=path).changed("model", weights=weights)
    return config.changed("optimizer", lr=base)


def absolute(dataset: str | None) -> str | None:
    """A data set's path, wherever the run goes on."""
    return dataset if dataset in (None, "digits") else str(Path(dataset).resolve())


def fit_run(trainer: Trainer, run: RunFolder, screen: Screen, came: list[int]) -> Training:
    """Train until the epochs of the run are complete; came: the signals that ended it before."""
    config = run.config.config
    progress = TrainingProgress(screen, config.train.epochs)
    trainer.on_batch = progress.on_batch
    writer = EventWriter(run.path) if config.tensorboard else None
    start = time.perf_counter()

    def on_epoch(result: EpochResult) -> None:
        run.add(result, trainer.model.state_dict())
        if trainer.norms and trainer.norms[-1].epoch == result.epoch:
            run.add_norms(trainer.norms[-1])
        if writer is not None:
            writer.add(result)
        progress.on_epoch(result)

    def on_step(trainer: Trainer) -> Path | None:
        now, every = trainer.progress, config.checkpoints.every
        complete = now.batch == 0
        if complete or (every and now.step % every == 0):
            best = complete and now.waited == 0
            return run.checkpoints.add(_captured(trainer, run), now.step, best)
        return None

    trainer.last_checkpoint = next(reversed(run.checkpoints.steps()), None)
    trainer.on_epoch, trainer.on_step = on_epoch, on_step
    try:
        with progress:
            trainer.fit(max(0, config.train.epochs - len(trainer.history)))
        missing = len(trainer.history) < config.train.epochs and not trainer.stopped_early
        if came and missing:
            run.checkpoints.add(_captured(trainer, run), trainer.progress.step)
    except Exception as error:  # whatever it is, what is kept is said
        with contextlib.suppress(OSError):  # the disk behind standard output may be full
            say_kept(run, trainer, "Stopped", screen)
            if isinstance(error, AnomalyError | DivergenceError):
                say_where_from(run, screen, trainer.detect_anomaly)
            else:
                say_go_on(run, screen)
        with contextlib.suppress(Exception):  # the first error counts
            draw(run, trainer)
        raise
    except KeyboardInterrupt:
        say_kept(run, trainer, "Ended at once", screen)
        raise _interrupted(run, screen) from None
    if came and missing:
        say_kept(run, trainer, "Interrupted", screen)
        draw(run, trainer)
        raise _interrupted(run, screen)
    draw(run, trainer)
    return Training(run, trainer, time.perf_counter() - start)


def _interrupted(run: RunFolder, screen: Screen) -> typer.Exit:
    newest = int(run.checkpoints.steps()[-1].stem.partition("-")[2])
    screen.line(f"Go on from step {newest} with: {command_name()} train --resume {run.path}")
    return typer.Exit(130)  # 128 + SIGINT, the shell's convention
