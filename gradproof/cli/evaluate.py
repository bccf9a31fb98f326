"""`gradproof evaluate`: loss and accuracy of a run's network on held-out images."""

from __future__ import annotations

from typing import Annotated

import numpy as np
import typer
from numpy.typing import NDArray
from rich import box
from rich.table import Table

from gradproof.cli import options
from gradproof.cli.screen import Screen
from gradproof.runtime.data import Dataset, load_dataset
from gradproof.runtime.device import use_device
from gradproof.runtime.errors import DataError, RunError
from gradproof.runtime.evaluation import evaluate as evaluate_model
from gradproof.runtime.metrics import TOP, confusion_matrix
from gradproof.runtime.nn import CrossEntropyLoss
from gradproof.runtime.run import RunConfig, RunFolder

SHOWN = 20  # classes of a confusion matrix that fits a terminal


def evaluate(
    run: options.Run,
    dataset: Annotated[
        str | None,
        typer.Option(metavar="DATASET", help="As for train; without it the data set of the run."),
    ] = None,
    best: options.Best = False,
    dtype: options.Stored = None,
    device: options.Device = None,
    as_json: options.Json = False,
    verbose: options.Verbose = False,
) -> None:
    """Measure the network of RUN on the held-out images of a data set: accuracy, loss, each class,
    and which class was taken for which."""
    screen = Screen(as_json=as_json, verbose=verbose)
    folder = RunFolder.open(run)
    data = _dataset(dataset, folder)
    info = use_device(device).info
    screen.device(info)
    model = folder.load_model(best)
    if dtype is not None:
        model.to(dtype)
    result = evaluate_model(
        model,
        CrossEntropyLoss(),
        data.x_test,
        data.y_test,
        folder.config.config.train.batch_size,
        folder.config.test_transform,
    )
    matrix = confusion_matrix(data.y_test, result.predicted, len(data.classes))
    screen.table(_by_class(data.classes, matrix))
    if len(data.classes) <= SHOWN:
        screen.line("Images of each class (row) by the class they were taken for (column)")
        screen.table(_confusion(data.classes, matrix))
    else:
        screen.line("What each class was taken for is in the confusion matrix of --json")
    top5 = f", top-5 {result.top5:.2%}" if len(data.classes) > TOP else ""
    smoothed = " without label smoothing" if folder.config.config.train.label_smoothing else ""
    screen.line(
        f"Held-out accuracy {result.accuracy:.2%}{top5}, loss {result.loss:.4f}{smoothed}"
        f" on {len(data.y_test):,} images of {data.name}",
        style="bold",
    )
    screen.result(
        {
            "test_accuracy": result.accuracy,
            "test_top5": result.top5,
            "test_loss": result.loss,
            "classes": data.classes,
            "confusion": matrix.tolist(),
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


def _by_class(classes: tuple[str, ...], matrix: NDArray[np.int64]) -> Table:
    """Images and correct ones of each class, and the class most often taken for it."""
    table = Table("class", "images", "correct", "accuracy", "most often taken for")
    for label, (name, row) in enumerate(zip(classes, matrix, strict=True)):
        total, correct, counts = int(row.sum()), int(row[label]), row.copy()
        counts[label] = 0
        other = f"{classes[counts.argmax()]} ({counts.max()})" if counts.any() else ""
        share = f"{correct / total:.1%}" if total else ""
        table.add_row(name, str(total), str(correct), share, other)
    return table


def _confusion(classes: tuple[str, ...], matrix: NDArray[np.int64]) -> Table:
    """The matrix, its columns by number where the names are longer than the counts."""
    wide = max(map(len, classes)) > max(len(str(matrix.max())), 4)
    table = Table(box=box.SIMPLE, padding=(0, 1, 0, 0))
    table.add_column("")
    for label, name in enumerate(classes):
        table.add_column(str(label) if wide else name, justify="right", no_wrap=True)
    for label, (name, row) in enumerate(zip(classes, matrix, strict=True)):
        table.add_row(f"{label} {name}" if wide else name, *(str(n) if n else "." for n in row))
    return table
