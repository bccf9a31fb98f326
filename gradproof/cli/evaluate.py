"""`gradproof evaluate`: loss and accuracy of a run's network on held-out images."""

from __future__ import annotations

from typing import Annotated

import numpy as np
import typer
from rich.table import Table

from gradproof.cli import options
from gradproof.cli.screen import Screen
from gradproof.runtime.data import Dataset, load_dataset
from gradproof.runtime.device import use_device
from gradproof.runtime.errors import DataError, RunError
from gradproof.runtime.evaluation import Evaluation
from gradproof.runtime.evaluation import evaluate as evaluate_model
from gradproof.runtime.nn import CrossEntropyLoss
from gradproof.runtime.run import RunConfig, RunFolder


def evaluate(
    run: options.Run,
    dataset: Annotated[
        str | None,
        typer.Option(metavar="DATASET", help="As for train; without it the data set of the run."),
    ] = None,
    device: options.Device = None,
    as_json: options.Json = False,
) -> None:
    """Measure the network of RUN on the held-out images of a data set."""
    screen = Screen(as_json=as_json)
    folder = RunFolder.open(run)
    data = _dataset(dataset, folder)
    info = use_device(device).info
    screen.device(info)
    model = folder.load_model()
    result = evaluate_model(
        model,
        CrossEntropyLoss(),
        data.x_test,
        data.y_test,
        folder.config.config.train.batch_size,
        folder.config.test_transform,
    )
    screen.table(_by_class(data, result))
    screen.line(
        f"Held-out accuracy {result.accuracy:.2%}, loss {result.loss:.4f}"
        f" on {len(data.y_test):,} images of {data.name}",
        style="bold",
    )
    screen.result(
        {
            "test_accuracy": result.accuracy,
            "test_top5": result.top5,
            "test_loss": result.loss,
            "images": len(data.y_test),
            "device": info.describe(),
            "run": str(run),
        }
    )


def _dataset(spec: str | None, folder: RunFolder) -> Dataset:
    try:
        used = folder.config.config.data
        data = load_dataset(used.dataset if spec is None else spec, used.image_size)
    except DataError as error:
        if spec is not None:
            raise
        raise DataError(f"{error}. The run's data set has moved? Name it with --dataset") from error
    _check_fits(data, folder.config)
    return data


def _check_fits(data: Dataset, config: RunConfig) -> None:
    if data.image_shape != config.image_shape:
        raise RunError(
            f"data set {data.name}: images of shape {data.image_shape},"
            f" the run was trained on {config.image_shape}"
        )
    if data.classes != config.classes:
        raise RunError(
            f"data set {data.name}: classes {', '.join(data.classes)},"
            f" the run was trained on {', '.join(config.classes)}"
        )


def _by_class(data: Dataset, result: Evaluation) -> Table:
    """Images and correct ones of each class, and the class most often taken for it."""
    table = Table("class", "images", "correct", "accuracy", "most often taken for")
    for label, name in enumerate(data.classes):
        predicted = result.predicted[data.y_test == label]
        if not len(predicted):
            continue
        counts = np.bincount(predicted, minlength=len(data.classes))
        correct, counts[label] = int(counts[label]), 0
        other = f"{data.classes[counts.argmax()]} ({counts.max()})" if counts.any() else ""
        share = f"{correct / len(predicted):.1%}"
        table.add_row(name, str(len(predicted)), str(correct), share, other)
    return table
