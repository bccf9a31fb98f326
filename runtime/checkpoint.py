"""Checkpoints: everything that a run needs to go on, in one safetensors file.

The arrays are those of the model, the optimizer and whatever else has some, under a name of their
part: "model/fc.weight", "optimizer/3/momentum_buffer". What is no array (options, counters,
generators) is JSON in the file's header, with the SHA-256 of all of it. A file is written beside
its place and moved there when it is complete, so a checkpoint is there as a whole or not at all.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
from numpy.typing import NDArray

from gradproof.runtime.errors import DataError, RunError
from gradproof.runtime.serialization import load, load_metadata, save, write_file

FORMAT = "gradproof checkpoint 1"
BEST = "best.safetensors"
_NAME = re.compile(r"step-(\d{8,})\.safetensors")

Arrays = dict[str, NDArray[Any]]


@dataclass(frozen=True)
class Checkpoint:
    """arrays: by part and name, "part/name"; state: what JSON can hold."""

    arrays: Mapping[str, NDArray[Any]]
    state: Mapping[str, Any]

    def part(self, name: str) -> Arrays:
        """The arrays of one part, by their names in it.

        >>> Checkpoint({"model/w": np.ones(1), "optimizer/0/v": np.zeros(1)}, {}).part("model")
        {'w': array([1.])}
        """
        start = f"{name}/"
        return {n.removeprefix(start): a for n, a in self.arrays.items() if n.startswith(start)}


def write_checkpoint(checkpoint: Checkpoint, path: Path) -> None:
    """Write a checkpoint; `path` then holds it, or what it held before.

    Raises:
        DataError: the file cannot be written.
    """
    state = json.dumps(checkpoint.state, allow_nan=False)
    header = {
        "format": FORMAT,
        "state": state,
        "sha256": _digest(checkpoint.arrays, state),
    }
    save(checkpoint.arrays, path, header)


def read_checkpoint(path: Path) -> Checkpoint:
    """Read a checkpoint.

    Raises:
        DataError: there is no such file, it is no checkpoint, or it is not as it was written.
    """
    header = load_metadata(path)
    if header.get("format") != FORMAT or not {"state", "sha256"} <= header.keys():
        found = header.get("format", "no checkpoint")
        raise DataError(f"{path}: {found}, expected a {FORMAT}")
    arrays = load(path)
    if _digest(arrays, header["state"]) != header["sha256"]:
        raise DataError(f"{path}: damaged: its sha256 is not that of its content")
    return Checkpoint(arrays, _state(path, header["state"]))


def _state(path: Path, text: str) -> dict[str, Any]:
    """What is no array: an object of JSON. A digest that fits does not say who wrote it."""
    try:
        state = json.loads(text, parse_constant=lambda name: _refuse(f"{name} is no number"))
    except (ValueError, RecursionError) as error:
        raise DataError(f"{path}: its state cannot be read: {error}") from error
    if not isinstance(state, dict):
        raise DataError(f"{path}: its state is of {type(state)}, expected an object of JSON")
    return state


def _refuse(why: str) -> NoReturn:
    raise ValueError(why)


def _digest(arrays: Mapping[str, NDArray[Any]], state: str) -> str:
    total = hashlib.sha256(state.encode())
    for name in sorted(arrays):
        array = np.asarray(arrays[name], order="C")
        total.update(f"{name} {array.dtype.str} {array.shape}\n".encode())
        total.update(array.tobytes())
    return total.hexdigest()


class CheckpointFolder:
    """The checkpoints of a run: the last `keep` and the best, step-00000120.safetensors and
    best.safetensors. Older ones are removed only when a newer one is complete."""

    def __init__(self, path: Path, keep: int = 3) -> None:
        if keep < 1:
            raise RunError(f"checkpoints: keep={keep}, expected at least 1")
        self.path, self.keep = path, keep

    def add(self, checkpoint: Checkpoint, step: int, best: bool = False) -> Path:
        """Write the checkpoint of a step. Raises DataError where it cannot be written; those that
        are there stay."""
        try:
            self.path.mkdir(exist_ok=True)
        except OSError as error:
            raise DataError(f"{self.path}: cannot be made: {error}") from error
        path = self.path / f"step-{step:08d}.safetensors"
        write_checkpoint(checkpoint, path)
        if best:
            write_file(self.path / BEST, path.read_bytes())  # the same, already encoded
        for old in self.steps()[: -self.keep]:
            old.unlink(missing_ok=True)
        return path

    def steps(self) -> list[Path]:
        """The checkpoints of steps, the oldest first."""
        if not self.path.is_dir():
            return []
        found = [(m, p) for p in self.path.iterdir() if (m := _NAME.fullmatch(p.name))]
        return [p for _, p in sorted((int(m[1]), p) for m, p in found)]

    def last(self) -> Checkpoint:
        """The newest checkpoint.

        Raises:
            RunError: there is none.
            DataError: it is damaged; says which older one there is.
        """
        steps = self.steps()
        if not steps:
            raise RunError(f"{self.path}: has no checkpoint to go on from")
        try:
            return read_checkpoint(steps[-1])
        except DataError as error:
            older = f"; remove it to go on from {steps[-2].name}" if len(steps) > 1 else ""
            raise DataError(f"{error}{older}") from error
