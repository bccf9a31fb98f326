"""`gradproof train`, and the training that `gradproof demo` shares with it."""

from __future__ import annotations

import time
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer
from numpy.typing import NDArray

from gradproof import __version__
from gradproof.cli import options
from gradproof.cli.screen import Screen, TrainingProgress
from gradproof.runtime.data import Dataset, load_dataset
from gradproof.runtime.device import DeviceInfo, use_device
from gradproof.runtime.errors import DeviceError, GradproofError
from gradproof.runtime.models import build_model, find_model, first_filters
from gradproof.runtime.nn import CrossEntropyLoss, Module
from gradproof.runtime.optim import SGD
from gradproof.runtime.plots import plot_curves, plot_filters
from gradproof.runtime.random import manual_seed
from gradproof.runtime.run import (
    CURVES,
    FILTERS,
    RunConfig,
    RunFolder,
    check_free,
    next_free,
    versions,
)
from gradproof.runtime.summary import summarize
from gradproof.runtime.trainer import EpochResult, Trainer

RUNS = Path("runs")
INTERRUPTED = 130  # 128 + SIGINT, the shell's convention


class DType(StrEnum):
    """Element types of parameters and activations."""

    FLOAT32 = "float32"
    FLOAT64 = "float64"


# Without batch norm LeNet starts slowly at the demo's rate, and VGG diverges at a residual one's.
LEARNING_RATES = {"demo": 0.01, "lenet": 0.03, "alexnet": 0.01, "vgg": 0.01, "resnet": 0.1}


@dataclass(frozen=True)
class Settings:
    """What the user chose; the defaults are those of both commands."""

    dataset: str = "digits"
    model: str = "demo"
    epochs: int = 10
    batch_size: int = 32
    lr: float = LEARNING_RATES["demo"]
    momentum: float = 0.9
    weight_decay: float = 0.0
    seed: int = 0
    dtype: str = "float32"
    device: str | None = None
    out: Path | None = None


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
        screen.line(f"Run folder {self.run.path}")
        screen.line("  config.json        what is needed to repeat the run")
        screen.line("  metrics.csv        one row for each epoch")
        screen.line("  curves.png         loss and accuracy by epoch")
        screen.line("  filters.png        the first filters before and after training")
        screen.line("  model.safetensors  the parameters, under PyTorch's names")
        screen.result(
            {
                "test_accuracy": last.test_accuracy,
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


def train(
    dataset: Annotated[
        str,
        typer.Argument(
            metavar="DATASET",
            help="'digits', a .npz file, or a folder with the files of MNIST, Fashion-MNIST or"
            " CIFAR-10 (binary version). Levels of 8 bits are divided by 255. Nothing is"
            " downloaded.",
        ),
    ],
    model: Annotated[
        str,
        typer.Option(
            help="demo: two 3x3 convolutions with batch norm; lenet: LeNet-5; the others are"
            " listed by: gradproof models."
        ),
    ] = Settings.model,
    epochs: options.Epochs = Settings.epochs,
    batch_size: Annotated[int, typer.Option(min=1, help="Images of one step.")] = (
        Settings.batch_size
    ),
    lr: Annotated[
        float | None,
        typer.Option(
            min=0.0,
            help="Learning rate of SGD; without it "
            + ", ".join(f"{rate} for {family}" for family, rate in LEARNING_RATES.items())
            + ".",
        ),
    ] = None,
    momentum: Annotated[
        float, typer.Option(min=0.0, max=1.0, help="Part of the last step that is kept.")
    ] = Settings.momentum,
    weight_decay: Annotated[
        float, typer.Option(min=0.0, help="Multiple of each parameter, added to its gradient.")
    ] = Settings.weight_decay,
    seed: options.Seed = Settings.seed,
    device: options.Device = None,
    out: options.Out = None,
    dtype: Annotated[DType, typer.Option(help="Of parameters and activations.")] = DType.FLOAT32,
    as_json: options.Json = False,
) -> None:
    """Train a network on DATASET with SGD, into a new run folder.

    Ctrl-C keeps what the last complete epoch reached.
    """
    settings = Settings(
        dataset=dataset,
        model=model,
        epochs=epochs,
        batch_size=batch_size,
        lr=usual_rate(model) if lr is None else lr,
        momentum=momentum,
        weight_decay=weight_decay,
        seed=seed,
        dtype=dtype.value,
        device=device,
        out=out,
    )
    screen = Screen(as_json=as_json)
    run_training(settings, screen).show(screen)


def usual_rate(model: str) -> float:
    """The learning rate that a network is trained with where none is given.

    Raises:
        RunError: there is no such network.

    >>> usual_rate("vgg16_bn"), usual_rate("resnet20")
    (0.01, 0.1)
    """
    find_model(model)
    return next(rate for family, rate in LEARNING_RATES.items() if model.startswith(family))


def run_training(settings: Settings, screen: Screen) -> Training:
    """Train as `settings` say, into a new run folder, and draw its pictures.

    Raises:
        GradproofError: whatever is wrong; the run folder is made only when training can begin.
        typer.Exit: 130, after an interrupt by the user.
    """
    if settings.out is not None:
        check_free(settings.out)
    info = _device(settings)
    dataset = load_dataset(settings.dataset)
    screen.device(info)
    screen.line(f"Data     {_describe(dataset)}")
    manual_seed(settings.seed)
    model = build_model(settings.model, dataset.image_shape, len(dataset.classes))
    model.to(settings.dtype)
    batch_shape = (min(settings.batch_size, len(dataset.x_train)), *dataset.image_shape)
    screen.network(summarize(model, batch_shape))
    optimizer = SGD(
        model.parameters(), settings.lr, settings.momentum, weight_decay=settings.weight_decay
    )
    run = _new_run(settings, dataset, info)
    trainer = Trainer(
        model,
        optimizer,
        CrossEntropyLoss(),
        dataset,
        batch_size=settings.batch_size,
        seed=settings.seed,
    )
    start = time.perf_counter()
    _fit(trainer, model, run, screen)
    return Training(run, trainer, time.perf_counter() - start)


def _device(settings: Settings) -> DeviceInfo:
    info = use_device(settings.device).info
    if settings.dtype == DType.FLOAT64 and not info.fp64:
        raise DeviceError(f"dtype float64: {info.describe()} has no double precision")
    return info


def _describe(dataset: Dataset) -> str:
    size = " x ".join(map(str, dataset.image_shape))
    return (
        f"{dataset.name}: {len(dataset.x_train):,} training and {len(dataset.x_test):,} held-out"
        f" images of {size}, {len(dataset.classes)} classes"
    )


def _new_run(settings: Settings, dataset: Dataset, info: DeviceInfo) -> RunFolder:
    shipped = settings.dataset == "digits"
    config = RunConfig(
        dataset=settings.dataset if shipped else str(Path(settings.dataset).resolve()),
        model=settings.model,
        image_shape=dataset.image_shape,
        classes=dataset.classes,
        epochs=settings.epochs,
        batch_size=settings.batch_size,
        lr=settings.lr,
        momentum=settings.momentum,
        weight_decay=settings.weight_decay,
        seed=settings.seed,
        dtype=settings.dtype,
        device=info.describe(),
        versions={"gradproof": __version__, **versions()},
    )
    path = settings.out or next_free(RUNS, f"{dataset.name}-{settings.model}")
    return RunFolder.create(path, config)


def _fit(trainer: Trainer, model: Module, run: RunFolder, screen: Screen) -> None:
    epochs = run.config.epochs
    before = first_filters(model)
    progress = TrainingProgress(screen, epochs)
    trainer.on_batch = progress.on_batch

    def on_epoch(result: EpochResult) -> None:
        run.add(result, model.state_dict())
        progress.on_epoch(result)

    trainer.on_epoch = on_epoch
    try:
        with progress:
            trainer.fit(epochs)
    except KeyboardInterrupt:
        _stopped(run, "Interrupted", screen, before)
        raise typer.Exit(INTERRUPTED) from None
    except GradproofError:
        _stopped(run, "Stopped", screen, before)
        raise
    _draw(run, before)


def _stopped(run: RunFolder, how: str, screen: Screen, before: NDArray[Any]) -> None:
    """Say what is kept of a training that ended early, and draw that."""
    done = len(run.history())
    kept = f"epochs 1 to {done} are" if done else "no epoch was completed; its settings are"
    screen.line(f"{how}: {kept} kept in {run.path}")
    if done:
        _draw(run, before)


def _draw(run: RunFolder, before: NDArray[Any]) -> None:
    config = run.config
    plot_curves(run.history(), run.path / CURVES, f"{config.model} on {Path(config.dataset).name}")
    plot_filters(before, first_filters(run.load_model()), run.path / FILTERS)
