"""A run on disk: what is needed to repeat it, its metrics, its pictures and its parameters.

config.json         everything that decides the run, and the versions it ran with
metrics.csv         one row for each complete epoch, written when it ends
gradients.csv       the norm of each parameter's gradient, at the first step of these epochs
model.safetensors   the parameters after the last complete epoch, under PyTorch's names
checkpoints/        what is needed to go on: the last ones and the best
curves.png          loss and accuracy by epoch
confusion.csv, .png how often each class was taken for which, after the last complete epoch
filters.png         the first layer's filters before and after training
filters-before.safetensors   the former, for the picture of a run that is resumed
"""

from __future__ import annotations

import csv
import dataclasses
import io
import json
import os
import platform
from collections.abc import Iterable, Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from gradproof.runtime.checkpoint import BEST, CheckpointFolder, read_checkpoint
from gradproof.runtime.choices import with_choices
from gradproof.runtime.config import Config
from gradproof.runtime.data.dataset import Dataset, fingerprint
from gradproof.runtime.data.transforms import Normalize, Transform
from gradproof.runtime.errors import DataError, RunError, ShapeError
from gradproof.runtime.folders import check_free
from gradproof.runtime.models import build_model
from gradproof.runtime.nn import Module
from gradproof.runtime.progress import EpochResult, GradientNorms
from gradproof.runtime.serialization import load, remove_unfinished, save, write_file

CONFIG, METRICS, MODEL = "config.json", "metrics.csv", "model.safetensors"
GRADIENTS = "gradients.csv"
CHECKPOINTS, FIRST_FILTERS = "checkpoints", "filters-before.safetensors"
CURVES, FILTERS = "curves.png", "filters.png"
CONFUSION, CONFUSION_PICTURE = "confusion.csv", "confusion.png"


class RunConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What decides a run. config: as it was given, with the data set's path made absolute and the
    learning rate that was used; image_shape: (C, H, W); mean, std: of each channel, where images
    are normalised; device: where it ran; versions: what ran."""

    config: Config
    image_shape: tuple[int, int, int]
    classes: tuple[str, ...]
    mean: tuple[float, ...] = ()
    std: tuple[float, ...] = ()
    data_sha256: str = ""
    device: str
    versions: dict[str, str]

    def __post_init__(self) -> None:
        if min(self.image_shape) < 1:
            raise ValueError(f"image_shape is {list(self.image_shape)}, expected numbers from 1")

    @classmethod
    def from_json(cls, text: str | bytes) -> RunConfig:
        """The config that `to_json` wrote.

        Raises:
            RunError: no JSON object, a name that is missing or unknown, or a value of another
                kind than the field's.
        """
        try:
            return msgspec.json.decode(text, type=cls)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise RunError(with_choices(cls, str(error))) from error

    def to_json(self) -> str:
        """The config as JSON for people."""
        return json.dumps(msgspec.to_builtins(self), indent=2, allow_nan=False) + "\n"

    def is_of(self, data: Dataset) -> bool:
        """Whether `data` are those that the run was trained on, as far as it knows them."""
        same = (data.image_shape, data.classes) == (self.image_shape, self.classes)
        return same and (not self.data_sha256 or fingerprint(data) == self.data_sha256)

    @property
    def normal(self) -> tuple[list[float], list[float]] | None:
        """The means and deviations that images are normalised with, if they are."""
        return (list(self.mean), list(self.std)) if self.mean else None

    @property
    def test_transform(self) -> Transform | None:
        """What is done to images before the network sees them."""
        return Normalize(self.mean, self.std) if self.mean else None


def versions() -> dict[str, str]:
    """The versions of Python and of the packages that a run's numbers pass through.

    >>> sorted(versions())
    ['numpy', 'pyopencl', 'python']
    """
    packages = {name: version(name) for name in ("numpy", "pyopencl")}
    return {"python": platform.python_version(), **packages}


class RunFolder:
    """The folder of one run. Make one with `create`, or read one with `open`."""

    def __init__(self, path: Path, config: RunConfig) -> None:
        self.path, self.config = path, config

    @classmethod
    def create(cls, path: Path, config: RunConfig) -> RunFolder:
        """A new run in `path`, a folder that is empty or not there yet.

        Raises:
            RunError: there is something in `path`, or it cannot be written.
        """
        check_free(path)
        run = cls(path, config)
        try:
            path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise RunError(f"run folder {path}: cannot be written: {error}") from error
        run.go_on([])
        return run

    @classmethod
    def open(cls, path: Path) -> RunFolder:
        """The run in `path`.

        Raises:
            RunError: no folder, or no readable config.json in it.
        """
        file = path / CONFIG
        if not path.is_dir():
            raise RunError(f"run folder {path}: no such folder")
        if not file.is_file():
            raise RunError(f"run folder {path}: has no {CONFIG}, so it is no run")
        try:
            return cls(path, RunConfig.from_json(file.read_bytes()))
        except (OSError, RunError) as error:
            raise RunError(f"{file}: {error}") from error

    @property
    def checkpoints(self) -> CheckpointFolder:
        """The run's checkpoints."""
        return CheckpointFolder(self.path / CHECKPOINTS, self.config.config.checkpoints.keep)

    def go_on(self, history: Sequence[EpochResult], norms: Sequence[GradientNorms] = ()) -> None:
        """Let config.json hold the config, metrics.csv these epochs and gradients.csv their norms,
        as a checkpoint knows them; remove what a process that was killed while it wrote a file has
        left.

        Raises:
            RunError: the folder cannot be written.
        """
        metrics = [_COLUMNS, *(dataclasses.astuple(result) for result in history)]
        complete = [n for n in norms if n.epoch <= len(history)]
        try:
            write_file(self.path / CONFIG, self.config.to_json().encode())
            write_file(self.path / METRICS, _csv(metrics))
            (self.path / GRADIENTS).unlink(missing_ok=True)
            if complete:
                rows = [_norm_columns(complete[0]), *map(_norm_row, complete)]
                write_file(self.path / GRADIENTS, _csv(rows))
            for folder in (self.path, self.path / CHECKPOINTS):
                remove_unfinished(folder)
        except (OSError, DataError) as error:
            raise RunError(f"run folder {self.path}: {error}") from error

    def save_filters(self, weight: NDArray[Any]) -> None:
        """Keep the first convolution's weight before training. Raises DataError."""
        save({"weight": weight}, self.path / FIRST_FILTERS)

    def load_filters(self) -> NDArray[Any]:
        """What `save_filters` kept. Raises DataError where it is damaged or not there."""
        return load(self.path / FIRST_FILTERS)["weight"]

    def load_confusion(self) -> NDArray[np.int64]:
        """What `write_confusion` wrote.

        Raises:
            RunError: the file is missing, damaged, or of other classes.
        """
        file, classes = self.path / CONFUSION, self.config.classes
        try:
            (_, *names), *rows = _rows(file)
            if tuple(names) != classes or len(rows) != len(classes):
                raise ValueError(f"of {len(names)} classes, expected the run's {len(classes)}")
            return np.array([[int(n) for n in row[1:]] for row in rows], np.int64)
        except (OSError, ValueError, csv.Error) as error:
            raise RunError(f"{file}: cannot be read: {error}") from error

    def write_confusion(self, matrix: NDArray[Any]) -> None:
        """Write how often each class (row) was taken for which (column), with their names.

        Raises:
            RunError: the folder cannot be written.
        """
        classes = self.config.classes
        try:
            with (self.path / CONFUSION).open("w", newline="", encoding="utf-8") as file:
                rows = csv.writer(file)
                rows.writerow(["", *classes])
                rows.writerows(
                    [name, *row] for name, row in zip(classes, matrix.tolist(), strict=True)
                )
        except OSError as error:
            raise RunError(f"run folder {self.path}: cannot be written: {error}") from error

    def add(self, result: EpochResult, state_dict: Mapping[str, NDArray[Any]]) -> None:
        """Keep a complete epoch: its parameters, then its row of metrics.

        Raises:
            RunError: the folder cannot be written.
        """
        try:
            save(state_dict, self.path / MODEL)
            self._add_row(METRICS, dataclasses.astuple(result))
        except (OSError, DataError) as error:
            raise RunError(f"run folder {self.path}: cannot be written: {error}") from error

    def add_norms(self, measured: GradientNorms) -> None:
        """Keep the norms of an epoch's gradients. Raises RunError: the folder cannot be written."""
        file = self.path / GRADIENTS
        try:
            if not file.exists():
                write_file(file, _csv([_norm_columns(measured)]))
            self._add_row(GRADIENTS, _norm_row(measured))
        except (OSError, DataError) as error:
            raise RunError(f"run folder {self.path}: cannot be written: {error}") from error

    def _add_row(self, name: str, row: tuple[Any, ...]) -> None:
        """A row of a file, as a whole or not at all: a disk may have room for a part."""
        file = self.path / name
        before = file.stat().st_size
        try:
            with file.open("a", newline="", encoding="utf-8") as stream:
                csv.writer(stream).writerow(row)
        except OSError:
            os.truncate(file, before)
            raise

    def load_state(self, best: bool = False) -> dict[str, NDArray[Any]]:
        """The parameters after the last complete epoch; best: those with the lowest held-out loss.

        Raises:
            RunError: no epoch was completed.
            DataError: the file is damaged.
        """
        file = self._weights(best)
        if not file.is_file():
            raise RunError(
                f"run folder {self.path}: has no {file.relative_to(self.path)}: no epoch was"
                " completed"
            )
        return read_checkpoint(file).part("model") if best else load(file)

    def _weights(self, best: bool) -> Path:
        return self.path / CHECKPOINTS / BEST if best else self.path / MODEL

    def load_model(self, best: bool = False) -> Module:
        """The run's network with the parameters of `load_state`, on the current device.

        Raises:
            RunError: no epoch was completed, or config.json and the parameters do not fit.
            DataError: the file is damaged.
        """
        state, run = self.load_state(best), self.config
        try:
            model = build_model(run.config.model.name, run.image_shape, len(run.classes))
            model.to(run.config.train.parameters).load_state_dict(state)
        except (DataError, ShapeError) as error:
            raise RunError(f"{self._weights(best)}: does not fit {CONFIG}: {error}") from error
        return model

    def history(self) -> list[EpochResult]:
        """The rows of metrics.csv.

        Raises:
            RunError: the file is missing, or is not as `add` writes it.
        """
        file = self.path / METRICS
        try:
            header, *rows = _rows(file)
            if tuple(header) != _COLUMNS:
                raise ValueError(f"columns {', '.join(header)}, expected {', '.join(_COLUMNS)}")
            return [EpochResult(int(row[0]), *_floats(row[1:])) for row in rows]
        except (OSError, ValueError, TypeError, IndexError, csv.Error) as error:
            raise RunError(f"{file}: cannot be read: {error}") from error

    def _repr_html_(self) -> str:
        from gradproof.runtime.display_run import run_html

        return run_html(self)

    def norms(self) -> list[GradientNorms]:
        """The rows of gradients.csv.

        Raises:
            RunError: the file is missing, as in runs of versions that wrote none, or is not as
                `add_norms` writes it.
        """
        file = self.path / GRADIENTS
        try:
            header, *rows = _rows(file)
            if header[:2] != ["epoch", "step"]:
                raise ValueError(f"columns {', '.join(header[:2])}, ..., expected epoch, step, ...")
            return [
                GradientNorms(
                    int(row[0]),
                    int(row[1]),
                    dict(zip(header[2:], _floats(row[2:]), strict=True)),
                )
                for row in rows
            ]
        except (OSError, ValueError, csv.Error) as error:
            raise RunError(f"{file}: cannot be read: {error}") from error


_COLUMNS = tuple(field.name for field in dataclasses.fields(EpochResult))


def _norm_columns(measured: GradientNorms) -> tuple[str, ...]:
    return ("epoch", "step", *measured.norms)


def _norm_row(measured: GradientNorms) -> tuple[float, ...]:
    return (measured.epoch, measured.step, *measured.norms.values())


def _rows(file: Path) -> list[list[str]]:
    with file.open(newline="", encoding="utf-8") as stream:
        return list(csv.reader(stream))


def _csv(rows: Iterable[Iterable[Any]]) -> bytes:
    text = io.StringIO(newline="")
    csv.writer(text).writerows(rows)
    return text.getvalue().encode()


def _floats(texts: list[str]) -> list[float]:
    return [float(text) for text in texts]
