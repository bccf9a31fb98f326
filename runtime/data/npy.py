"""Data sets in a folder of .npy files, whose images stay on disk: they may exceed memory."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from gradproof.runtime.data.cifar import read_lines
from gradproof.runtime.data.dataset import Dataset, Labels, check_labels
from gradproof.runtime.data.npz import MAX_UNNAMED_CLASSES
from gradproof.runtime.data.numpy_files import read_npy
from gradproof.runtime.data.source import MemoryMap
from gradproof.runtime.errors import DataError, GradproofError

ALL_NPY_NAMES = ("x_train.npy", "y_train.npy", "x_test.npy", "y_test.npy")
CLASSES_NAME = "classes.txt"  # may be there: one name a line


def load_npy(folder: Path) -> Dataset:
    """The data set in x_train.npy, y_train.npy, x_test.npy and y_test.npy of ``folder``.

    Shapes: images as ``MemoryMap``, labels (N,) integers from 0. Names come from classes.txt, one
    a line, or are "0", "1", ... up to the largest label. Errors: ``DataError`` naming the file.
    """
    folder = Path(folder)
    if missing := [name for name in ALL_NPY_NAMES if not (folder / name).is_file()]:
        raise DataError(f"{folder}: no {', '.join(missing)}, expected {', '.join(ALL_NPY_NAMES)}")
    x_train, y_train, x_test, y_test = (folder / name for name in ALL_NPY_NAMES)
    labels = [_labels(path) for path in (y_train, y_test)]
    classes = _classes(folder / CLASSES_NAME, max(int(y.max()) for y in labels) + 1)
    for path, y in zip((y_train, y_test), labels, strict=True):
        check_labels(str(path), "label", y, len(classes))
    images = MemoryMap(x_train), MemoryMap(x_test)
    try:
        return Dataset(folder.resolve().name, images[0], labels[0], images[1], labels[1], classes)
    except GradproofError as error:
        raise DataError(f"{folder}: {error}") from error


def _labels(path: Path) -> Labels:
    y = read_npy(path)
    if y.dtype.kind not in "iu" or y.ndim != 1 or not y.size:
        raise DataError(f"{path}: {y.dtype} of shape {y.shape}, expected integers (N,), not empty")
    check_labels(str(path), "label", y, np.iinfo(np.int32).max)
    return np.asarray(y, np.int32)


def _classes(path: Path, least: int) -> tuple[str, ...]:
    if path.is_file():
        return read_lines(path)
    if least > MAX_UNNAMED_CLASSES:
        raise DataError(
            f"{path.parent}: label {least - 1}, expected at most {MAX_UNNAMED_CLASSES - 1}"
            f" unless {path.name} names the classes"
        )
    return tuple(map(str, range(least)))
