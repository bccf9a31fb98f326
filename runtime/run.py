"""A run on disk: what is needed to repeat it, its metrics, its pictures and its parameters.

config.json         everything that decides the run, and the versions it ran with
metrics.csv         one row for each complete epoch, written when it ends
model.safetensors   the parameters after the last complete epoch, under PyTorch's names
curves.png          loss and accuracy by epoch
filters.png         the first layer's filters before and after training
"""

from __future__ import annotations

import csv
import dataclasses
import itertools
import json
import math
import platform
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from gradproof.runtime.errors import DataError, RunError, ShapeError
from gradproof.runtime.models import build_model
from gradproof.runtime.nn import Module
from gradproof.runtime.serialization import load, save
from gradproof.runtime.trainer import EpochResult

CONFIG, METRICS, MODEL = "config.json", "metrics.csv", "model.safetensors"
CURVES, FILTERS = "curves.png", "filters.png"


@dataclasses.dataclass(frozen=True)
class RunConfig:
    """What decides a run. `dataset` is what `load_dataset` takes, paths made absolute.

    `image_shape` is (C, H, W); `device` describes where it ran, `versions` what ran.

    Raises:
        RunError: a number that is not finite, which JSON cannot hold.
    """

    dataset: str
    model: str
    image_shape: tuple[int, int, int]
    classes: tuple[str, ...]
    epochs: int
    batch_size: int
    lr: float
    momentum: float
    weight_decay: float
    seed: int
    dtype: str
    device: str
    versions: dict[str, str] = dataclasses.field(default_factory=lambda: versions())

    def __post_init__(self) -> None:
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            if isinstance(value, float) and not math.isfinite(value):
                raise RunError(f"{field.name} is {value}, expected a finite number")

    @classmethod
    def from_json(cls, text: str) -> RunConfig:
        """The config that `to_json` wrote.

        Raises:
            RunError: no JSON object, a name that is missing or unknown, or a value of another
                kind than the field's.
        """
        try:
            values = json.loads(text)
        except ValueError as error:
            raise RunError(f"no JSON: {error}") from error
        if not isinstance(values, dict):
            raise RunError(f"holds a {type(values).__name__}, expected a JSON object")
        names = [field.name for field in dataclasses.fields(cls)]
        if wrong := sorted(set(names) ^ set(values)):
            raise RunError(f"missing or unknown: {', '.join(wrong)}")
        for name in names:
            if not _KINDS[name](values[name]):
                raise RunError(f"{name} is {values[name]!r}, which a run does not write")
        values["image_shape"] = tuple(values["image_shape"])
        values["classes"] = tuple(values["classes"])
        return cls(**values)

    def to_json(self) -> str:
        """The config as JSON, one field a line."""
        fields = dataclasses.asdict(self).items()
        lines = [f"  {json.dumps(k)}: {json.dumps(v, allow_nan=False)}" for k, v in fields]
        return "{\n" + ",\n".join(lines) + "\n}\n"


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
            (path / CONFIG).write_text(config.to_json(), "utf-8")
            with (path / METRICS).open("x", newline="", encoding="utf-8") as file:
                csv.writer(file).writerow(_COLUMNS)
        except OSError as error:
            raise RunError(f"run folder {path}: cannot be written: {error}") from error
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
            return cls(path, RunConfig.from_json(file.read_text("utf-8")))
        except (OSError, UnicodeDecodeError, RunError) as error:
            raise RunError(f"{file}: {error}") from error

    def add(self, result: EpochResult, state_dict: Mapping[str, NDArray[Any]]) -> None:
        """Keep a complete epoch: its parameters, then its row of metrics.

        Raises:
            RunError: the folder cannot be written.
        """
        try:
            save(state_dict, self.path / MODEL)
            with (self.path / METRICS).open("a", newline="", encoding="utf-8") as file:
                csv.writer(file).writerow(dataclasses.astuple(result))
        except (OSError, DataError) as error:
            raise RunError(f"run folder {self.path}: cannot be written: {error}") from error

    def load_state(self) -> dict[str, NDArray[Any]]:
        """The parameters after the last complete epoch.

        Raises:
            RunError: no epoch was completed.
            DataError: the file is damaged.
        """
        file = self.path / MODEL
        if not file.is_file():
            raise RunError(f"run folder {self.path}: has no {MODEL}: no epoch was completed")
        return load(file)

    def load_model(self) -> Module:
        """The run's network as it was after the last complete epoch, on the current device.

        Raises:
            RunError: no epoch was completed, or config.json and the parameters do not fit.
            DataError: the file is damaged.
        """
        state, config = self.load_state(), self.config
        try:
            model = build_model(config.model, config.image_shape, len(config.classes))
            model.to(config.dtype).load_state_dict(state)
        except (DataError, ShapeError) as error:
            raise RunError(f"{self.path / MODEL}: does not fit {CONFIG}: {error}") from error
        return model

    def history(self) -> list[EpochResult]:
        """The rows of metrics.csv.

        Raises:
            RunError: the file is missing, or is not as `add` writes it.
        """
        file = self.path / METRICS
        try:
            with file.open(newline="", encoding="utf-8") as stream:
                header, *rows = csv.reader(stream)
            if tuple(header) != _COLUMNS:
                raise ValueError(f"columns {', '.join(header)}, expected {', '.join(_COLUMNS)}")
            return [EpochResult(int(row[0]), *_floats(row[1:])) for row in rows]
        except (OSError, ValueError, TypeError, IndexError, csv.Error) as error:
            raise RunError(f"{file}: cannot be read: {error}") from error


_COLUMNS = tuple(field.name for field in dataclasses.fields(EpochResult))


def check_free(path: Path, label: str = "run folder") -> None:
    """Raise RunError unless `path` is an empty folder, or there is nothing."""
    try:
        if path.is_dir():
            if any(path.iterdir()):
                raise RunError(f"{label} {path}: is not empty; nothing was changed in it")
        elif path.exists():
            raise RunError(f"{label} {path}: is a file")
    except OSError as error:
        raise RunError(f"{label} {path}: cannot be read: {error}") from error


def next_free(parent: Path, name: str) -> Path:
    """`parent/name-1`, or with the first higher number at which there is nothing.

    >>> next_free(Path("no-such-folder"), "digits-demo").name
    'digits-demo-1'
    """
    paths = (parent / f"{name}-{number}" for number in itertools.count(1))
    return next(path for path in paths if not path.exists())


def _floats(texts: list[str]) -> list[float]:
    return [float(text) for text in texts]


def _text(value: object) -> bool:
    return isinstance(value, str)


def _count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _real(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _texts(value: object) -> bool:
    return isinstance(value, list) and all(map(_text, value))


def _shape(value: object) -> bool:
    return isinstance(value, list) and len(value) == 3 and all(_count(n) and n for n in value)


def _text_by_name(value: object) -> bool:
    return isinstance(value, dict) and all(map(_text, value.values()))


_KINDS = {
    "dataset": _text,
    "model": _text,
    "image_shape": _shape,
    "classes": _texts,
    "epochs": _count,
    "batch_size": _count,
    "lr": _real,
    "momentum": _real,
    "weight_decay": _real,
    "seed": _count,
    "dtype": lambda value: value in ("float32", "float64"),
    "device": _text,
    "versions": _text_by_name,
}
