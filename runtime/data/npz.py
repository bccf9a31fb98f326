"""Data sets in one NumPy archive: x_train, y_train, x_test, y_test and, if wanted, classes."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gradproof.runtime.data.dataset import (
    Dataset,
    Images,
    Labels,
    check_finite,
    check_labels,
    dataset_from_file,
    to_unit_range,
)
from gradproof.runtime.data.numpy_files import DAMAGED, first_line, member, open_npz
from gradproof.runtime.errors import DataError

KEYS = ("x_train", "y_train", "x_test", "y_test")
CHANNELS = (1, 3)
# Without names in the file the largest label gives their number; this bounds the list of names.
MAX_UNNAMED_CLASSES = 65_536


def load_npz(path: Path) -> Dataset:
    """The data set in a ``.npz`` file with ``x_train``, ``y_train``, ``x_test``, ``y_test``.

    Shapes: images (N, H, W), (N, C, H, W) or (N, H, W, C), with C = 1 or 3 and only one of the
    two axes that could be C of such a size; labels (N,). Units: uint8 levels are divided by 255,
    floating-point pixels are kept as they are. Labels are integers from 0; names come from the
    archive's ``classes``, a string array, or are "0", "1", ... up to the largest label.

    Errors: ``DataError`` naming the file and the array, for a damaged archive, a missing array,
    Python objects, another element type or layout, a number beyond float32, and all that
    ``Dataset`` refuses.

    >>> import tempfile
    >>> x, y = np.zeros((2, 28, 28), np.uint8), np.array([1, 0])
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder, "toy.npz")
    ...     np.savez(path, x_train=x, y_train=y, x_test=x, y_test=y)
    ...     load_npz(path)
    Dataset(name='toy', train=2, test=2, image_shape=(1, 28, 28), classes=2)
    """
    arrays = _read_arrays(path)
    if (arrays["x_train"].dtype == np.uint8) != (arrays["x_test"].dtype == np.uint8):
        raise DataError(
            f"{path}: x_train is {arrays['x_train'].dtype} and x_test {arrays['x_test'].dtype},"
            " expected both uint8 or both floating-point: they would be scaled differently"
        )
    x_train, x_test = (_images(path, key, arrays[key]) for key in ("x_train", "x_test"))
    classes = _classes(path, arrays)
    y_train, y_test = (
        _labels(path, key, arrays[key], len(classes)) for key in ("y_train", "y_test")
    )
    return dataset_from_file(path, path.stem, (x_train, y_train), (x_test, y_test), classes)


def _read_arrays(path: Path) -> dict[str, NDArray[Any]]:
    try:
        # Opened here, for np.load(path) leaves the file open when the archive is damaged.
        with path.open("rb") as file:
            archive = open_npz(file)
            missing = [key for key in KEYS if key not in archive.files]
            if missing:
                found = ", ".join(archive.files) or "none"
                raise ValueError(f"no array {', '.join(missing)}; found {found}")
            wanted = [key for key in (*KEYS, "classes") if key in archive.files]
            arrays = {key: member(archive, key) for key in wanted}
    except DAMAGED as error:
        raise DataError(f"{path}: cannot be read as .npz data set: {first_line(error)}") from error
    for key, array in arrays.items():
        # NumPy hands over the raw bytes of a member that is no .npy file.
        if not isinstance(array, np.ndarray):
            raise DataError(f"{path}: {key} is not stored as a NumPy array")
    return arrays


def _images(path: Path, key: str, x: NDArray[Any]) -> Images:
    if x.dtype != np.uint8 and x.dtype.kind != "f":
        raise DataError(f"{path}: {key} has dtype {x.dtype}, expected uint8 or floating-point")
    images = _channels_first(path, key, x)
    if x.dtype == np.uint8:
        return to_unit_range(images, 255)
    # x, not images: the index in the message is that of the array in the file.
    check_finite(str(path), key, x)
    with np.errstate(over="ignore"):
        single = images.astype(np.float32, copy=False)
    beyond = ~np.isfinite(single)
    if beyond.any():
        raise DataError(
            f"{path}: {key} holds {images[beyond][0]}, expected numbers that float32 can hold"
        )
    return single


def _channels_first(path: Path, key: str, x: NDArray[Any]) -> NDArray[Any]:
    if x.ndim == 3:
        return x[:, None, :, :]
    first = x.ndim == 4 and x.shape[1] in CHANNELS
    last = x.ndim == 4 and x.shape[3] in CHANNELS
    if first == last:
        reason = "; both could be C" if first else ""
        raise DataError(
            f"{path}: {key} has shape {x.shape}, expected (N, H, W), or (N, C, H, W) or"
            f" (N, H, W, C) with 1 or 3 as either the second or the last size{reason}."
            " For other layouts build a Dataset from arrays"
        )
    return x if first else x.transpose(0, 3, 1, 2)


def _classes(path: Path, arrays: dict[str, NDArray[Any]]) -> tuple[str, ...]:
    for key in ("y_train", "y_test"):
        y = arrays[key]
        if y.dtype.kind not in "iu" or y.ndim != 1 or not y.size:
            raise DataError(
                f"{path}: {key} has dtype {y.dtype} and shape {y.shape},"
                " expected integers of shape (N,), N at least 1"
            )
    if "classes" in arrays:
        names = arrays["classes"]
        if names.dtype.kind != "U" or names.ndim != 1:
            raise DataError(
                f"{path}: classes has dtype {names.dtype} and shape {names.shape},"
                " expected strings of shape (number of classes,)"
            )
        single = names.astype(names.dtype.newbyteorder("="))
        codes = np.frombuffer(single.tobytes(), np.uint32)
        if ((codes > sys.maxunicode) | ((codes >= 0xD800) & (codes < 0xE000))).any():
            raise DataError(f"{path}: classes holds numbers that are no characters of Unicode")
        return tuple(names.tolist())
    largest = max(int(arrays["y_train"].max()), int(arrays["y_test"].max()), 0)
    if largest >= MAX_UNNAMED_CLASSES:
        raise DataError(
            f"{path}: label {largest}, expected at most {MAX_UNNAMED_CLASSES - 1}"
            " unless an array classes names them"
        )
    return tuple(str(label) for label in range(largest + 1))


def _labels(path: Path, key: str, y: NDArray[Any], num_classes: int) -> Labels:
    check_labels(str(path), key, y, num_classes)
    return y.astype(np.int32)
