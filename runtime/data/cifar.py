"""CIFAR-10 and CIFAR-100, binary versions.

Source of the format: A. Krizhevsky, "The CIFAR-10 dataset", section "Binary version". A record is
one label byte and 3072 pixel bytes, the red, green and blue 32x32 planes in row-major order. In
CIFAR-100 two labels come before the pixels: of the superclass and of the class, which is the one
that is learned here.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from gradproof.runtime.data.dataset import (
    Dataset,
    check_labels,
    dataset_from_file,
    to_unit_range,
)
from gradproof.runtime.errors import DataError

IMAGE_SHAPE = (3, 32, 32)
PIXELS = 3 * 32 * 32
RECORD_BYTES = 1 + PIXELS
NUM_CLASSES, NUM_CLASSES_100 = 10, 100
TRAIN_NAMES = tuple(f"data_batch_{k}.bin" for k in range(1, 6))
TEST_NAME = "test_batch.bin"
CLASSES_NAME = "batches.meta.txt"
ALL_CIFAR_NAMES = (*TRAIN_NAMES, TEST_NAME, CLASSES_NAME)
ALL_CIFAR100_NAMES = ("train.bin", "test.bin", "fine_label_names.txt")


def load_cifar10(folder: Path) -> Dataset:
    """CIFAR-10 from the seven files of its binary version in ``folder``.

    Shapes: ``x_train`` (50000, 3, 32, 32) and ``x_test`` (10000, 3, 32, 32) for the published
    files, whose five training batches are joined in order. Units: pixels level/255.

    Errors: ``DataError`` naming the files that are missing, and for all that
    ``read_cifar_batch`` and ``read_class_names`` refuse.

    >>> load_cifar10(Path("no-such-folder"))
    Traceback (most recent call last):
    gradproof.runtime.errors.DataError: no-such-folder: no data_batch_1.bin, data_batch_2.bin, \
data_batch_3.bin, data_batch_4.bin, data_batch_5.bin, test_batch.bin, batches.meta.txt, \
expected the binary version of CIFAR-10
    """
    _check_complete(folder, ALL_CIFAR_NAMES, "CIFAR-10")
    classes = read_class_names(folder / CLASSES_NAME)
    batches = [read_cifar_batch(folder / name) for name in TRAIN_NAMES]
    x_train = to_unit_range(np.concatenate([images for images, _ in batches]), 255)
    y_train = np.concatenate([labels for _, labels in batches]).astype(np.int32)
    images, labels = read_cifar_batch(folder / TEST_NAME)
    test = to_unit_range(images, 255), labels.astype(np.int32)
    return dataset_from_file(folder, folder.resolve().name, (x_train, y_train), test, classes)


def load_cifar100(folder: Path) -> Dataset:
    """CIFAR-100 from the three files of its binary version in ``folder``, with its 100 classes.

    Shapes: ``x_train`` (50000, 3, 32, 32) and ``x_test`` (10000, 3, 32, 32) for the published
    files. Units: pixels level/255. Errors: as ``load_cifar10``.
    """
    _check_complete(folder, ALL_CIFAR100_NAMES, "CIFAR-100")
    train, test, names = ALL_CIFAR100_NAMES
    classes = read_class_names(folder / names, NUM_CLASSES_100)
    parts = [read_cifar_batch(folder / name, NUM_CLASSES_100, before=1) for name in (train, test)]
    pairs = [(to_unit_range(images, 255), labels.astype(np.int32)) for images, labels in parts]
    return dataset_from_file(folder, folder.resolve().name, pairs[0], pairs[1], classes)


def _check_complete(folder: Path, names: tuple[str, ...], what: str) -> None:
    if missing := [name for name in names if not (folder / name).is_file()]:
        raise DataError(f"{folder}: no {', '.join(missing)}, expected the binary version of {what}")


def read_cifar_batch(
    path: Path, classes: int = NUM_CLASSES, before: int = 0
) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Images (N, 3, 32, 32) with levels 0..255 and labels (N,) of one batch file.

    before: bytes of a record before its label. Errors: ``DataError`` for a file that cannot be
    opened, is empty or no whole number of records long, or holds a label from ``classes`` on.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder, "test_batch.bin")
    ...     _ = path.write_bytes(bytes([6]) + bytes(3072))
    ...     images, labels = read_cifar_batch(path)
    >>> images.shape, labels.tolist()
    ((1, 3, 32, 32), [6])
    """
    content = _read_bytes(path)
    size = before + RECORD_BYTES
    if not content or len(content) % size:
        count = "one label" if not before else f"{before + 1} labels"
        raise DataError(
            f"{path}: {len(content)} bytes, expected a positive multiple of {size}"
            f" ({count} and 3 x 32 x 32 pixels)"
        )
    records = np.frombuffer(content, np.uint8).reshape(-1, size)
    labels = records[:, before]
    check_labels(str(path), "label", labels, classes)
    return records[:, before + 1 :].reshape(-1, *IMAGE_SHAPE), labels


def read_class_names(path: Path, number: int = NUM_CLASSES) -> tuple[str, ...]:
    """The class names of ``batches.meta.txt``, one a line; blank lines do not count.

    Errors: ``DataError`` for a file that cannot be opened, is not UTF-8, or holds another number
    of names.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder, "batches.meta.txt")
    ...     _ = path.write_text("airplane")
    ...     try:
    ...         read_class_names(path)
    ...     except DataError as error:
    ...         print(str(error).removeprefix(folder))
    /batches.meta.txt: 1 class names, expected 10, one a line
    """
    names = read_lines(path)
    if len(names) != number:
        raise DataError(f"{path}: {len(names)} class names, expected {number}, one a line")
    return names


def read_lines(path: Path) -> tuple[str, ...]:
    """The lines of a text that are not blank. Errors: ``DataError``."""
    try:
        lines = _read_bytes(path).decode("utf-8-sig").splitlines()
    except UnicodeDecodeError as error:
        raise DataError(f"{path}: not UTF-8 text: {error}") from error
    return tuple(line.strip() for line in lines if line.strip())


def _read_bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error}") from error
