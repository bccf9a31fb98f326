"""`gradproof train`: its options, as changes of a config."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from gradproof.cli import options
from gradproof.cli.resuming import resume_training
from gradproof.cli.screen import Screen
from gradproof.cli.training import run_training
from gradproof.runtime.config import Config, load_config
from gradproof.runtime.errors import RunError
from gradproof.runtime.recipe import LEARNING_RATES


class DType(StrEnum):
    """Element types of parameters and activations."""

    FLOAT32 = "float32"
    FLOAT64 = "float64"
    FLOAT16 = "float16"


def train(
    dataset: Annotated[
        str | None,
        typer.Argument(
            metavar="DATASET",
            help="'digits'; a .npz file; a folder with the files of MNIST, Fashion-MNIST, CIFAR-10"
            " or CIFAR-100 (binary version), with .npy files, or with pictures. Levels of 8 bits"
            " are divided by 255. Nothing is downloaded.",
        ),
    ] = None,
    config: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="A TOML file with all of a run's options, which those given here change.",
        ),
    ] = None,
    resume: Annotated[
        Path | None,
        typer.Option(
            metavar="RUN",
            help="Go on with a run from its newest checkpoint; only --epochs changes, and DATASET"
            " where the same data lie elsewhere now; --detect-anomaly may be added.",
        ),
    ] = None,
    model: Annotated[
        str | None,
        typer.Option(
            help="demo: two 3x3 convolutions with batch norm; lenet: LeNet-5; the others are"
            " listed by: gradproof models. Default: demo."
        ),
    ] = None,
    weights: Annotated[
        str | None,
        typer.Option(
            metavar="FILE",
            help="Begin with a state dict of PyTorch or of `gradproof export --state-dict`,"
            " .safetensors or .npz.",
        ),
    ] = None,
    new: Annotated[
        list[str] | None,
        typer.Option(
            metavar="LAYER",
            help="A layer that is not taken from --weights, such as fc where the classes are"
            " others; may be given several times.",
        ),
    ] = None,
    epochs: options.MaybeEpochs = None,
    batch_size: Annotated[
        int | None, typer.Option(min=1, help="Images of one step; default: 32.")
    ] = None,
    optimizer: Annotated[str | None, typer.Option(help="sgd, adam or adamw; default: sgd.")] = None,
    lr: Annotated[
        float | None,
        typer.Option(
            min=0.0,
            help="Learning rate; without it 0.001 for Adam, and for SGD "
            + ", ".join(f"{rate} for {family}" for family, rate in LEARNING_RATES.items())
            + ".",
        ),
    ] = None,
    momentum: Annotated[
        float | None,
        typer.Option(min=0.0, max=1.0, help="Part of SGD's last step that is kept; default: 0.9."),
    ] = None,
    weight_decay: Annotated[
        float | None,
        typer.Option(
            min=0.0, help="Multiple of each parameter, added to its gradient; default: 0."
        ),
    ] = None,
    schedule: Annotated[
        str | None,
        typer.Option(help="constant, step, multi-step, cosine or plateau; default: constant."),
    ] = None,
    seed: options.MaybeSeed = None,
    image_size: Annotated[
        int | None,
        typer.Option(min=1, help="Pictures in folders are scaled and cut to so many pixels."),
    ] = None,
    device: options.Device = None,
    out: options.Out = None,
    dtype: Annotated[
        DType | None,
        typer.Option(
            help="Of parameters and activations; default: float32. float16 stores activations in"
            " half of the memory, and parameters stay float32."
        ),
    ] = None,
    recompute: options.Recompute = False,
    detect_anomaly: options.DetectAnomaly = False,
    as_json: options.Json = False,
    verbose: options.Verbose = False,
) -> None:
    """Train a network on DATASET, into a new run folder, or go on with a run.

    Ctrl-C ends the training after its step and keeps everything: --resume goes on from there.
    """
    screen = Screen(as_json=as_json, verbose=verbose)
    chosen: dict[str, dict[str, Any]] = {
        "data": {"dataset": dataset, "image_size": image_size},
        "model": {"name": model, "weights": weights, "new": new or None},
        "optimizer": {
            "name": optimizer,
            "lr": lr,
            "momentum": momentum,
            "weight_decay": weight_decay,
        },
        "schedule": {"name": schedule},
        "train": {
            "batch_size": batch_size,
            "seed": seed,
            "dtype": None if dtype is None else dtype.value,
            "recompute": recompute or None,
        },
    }
    if resume is not None:
        del chosen["data"]["dataset"]  # the same data may lie elsewhere now
        given = [n for table in chosen.values() for n, v in table.items() if v is not None]
        others = {"--config": config, "--out": out}
        others |= {f"--{n.replace('_', '-')}": Path() for n in given}
        if extra := [name for name, value in others.items() if value is not None]:
            raise RunError(f"--resume: {', '.join(extra)} cannot change in a run that goes on")
        resume_training(resume, screen, device, epochs, dataset, detect_anomaly).show(screen)
        return
    if dataset is None and config is None:
        raise RunError("train: which data set? gradproof train DATASET, or --config FILE")
    settings = Config() if config is None else load_config(config)
    for table, values in chosen.items():
        settings = settings.changed(table, **values)
    settings = settings.changed("train", epochs=epochs, detect_anomaly=detect_anomaly or None)
    run_training(settings, screen, device, out).show(screen)
