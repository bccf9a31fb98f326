"""An image-classification data set, checked once so that training need not check again."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gradproof.runtime.data.source import ImageSource
from gradproof.runtime.errors import DataError, DTypeError, GradproofError, ShapeError

SAMPLE = 16  # images of a source that `fingerprint` reads
Images = NDArray[np.float32]
Labels = NDArray[np.int32]


@dataclass(frozen=True, eq=False, repr=False)
class Dataset:
    """Images and class labels, split into a training and a held-out test part.

    The arrays are stored as read-only, C-contiguous views: no batch can change the data set. In
    place of an array of images there can be an ``ImageSource``, which reads them when they are
    wanted.

    Shapes: ``x_train`` (N, C, H, W) float32, ``y_train`` (N,) int32; ``x_test`` (M, C, H, W)
    float32, ``y_test`` (M,) int32, with N, M >= 1. Units: pixels in [0, 1] from the readers of
    8-bit files; floating-point pixels are the caller's own. Label k means ``classes[k]``.

    Errors: ``DTypeError`` for anything but arrays of these element types; ``ShapeError`` for a
    wrong number of dimensions, an empty array, unequal counts of images and labels, or training
    and test images of different size; ``DataError`` for a NaN or infinite pixel, a label outside
    0..len(classes) - 1, or class names that are missing or repeated.

    >>> x, y = np.zeros((2, 1, 4, 4), np.float32), np.array([0, 1], np.int32)
    >>> Dataset("toy", x, y, x, y, ("cat", "dog"))
    Dataset(name='toy', train=2, test=2, image_shape=(1, 4, 4), classes=2)
    >>> Dataset("toy", x, y, x, y, ("cat",))
    Traceback (most recent call last):
    gradproof.runtime.errors.DataError: dataset 'toy': y_train[1] is 1, allowed 0..0 (classes: 1)
    """

    name: str
    x_train: Images | ImageSource
    y_train: Labels
    x_test: Images | ImageSource
    y_test: Labels
    classes: tuple[str, ...]

    def __post_init__(self) -> None:
        where = f"dataset {self.name!r}"
        _check_classes(where, self.classes)
        for part in ("train", "test"):
            x, y = getattr(self, f"x_{part}"), getattr(self, f"y_{part}")
            if not isinstance(x, ImageSource):
                _check_array(where, f"x_{part}", x, np.dtype(np.float32), 4)
            _check_array(where, f"y_{part}", y, np.dtype(np.int32), 1)
            if len(x) != len(y):
                raise ShapeError(
                    f"{where}: x_{part} has {len(x)} images and y_{part} {len(y)} labels,"
                    " expected as many of each"
                )
            check_labels(where, f"y_{part}", y, len(self.classes))
            if not isinstance(x, ImageSource):
                check_finite(where, f"x_{part}", x)
                object.__setattr__(self, f"x_{part}", _frozen(x))
            object.__setattr__(self, f"y_{part}", _frozen(y))
        if self.x_train.shape[1:] != self.x_test.shape[1:]:
            raise ShapeError(
                f"{where}: x_test has images of shape {self.x_test.shape[1:]},"
                f" expected those of x_train, {self.x_train.shape[1:]}"
            )

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """Channels, height and width of one image."""
        channels, height, width = self.x_train.shape[1:]
        return channels, height, width

    def __repr__(self) -> str:
        return (
            f"Dataset(name={self.name!r}, train={len(self.x_train)}, test={len(self.x_test)},"
            f" image_shape={self.image_shape}, classes={len(self.classes)})"
        )


def dataset_from_file(
    path: Path,
    name: str,
    train: tuple[Images, Labels],
    test: tuple[Images, Labels],
    classes: tuple[str, ...],
) -> Dataset:
    """The ``Dataset`` of arrays read from ``path``; whatever is wrong is a ``DataError`` naming it.

    Shapes: as in ``Dataset``.

    >>> x, y = np.full((1, 1, 2, 2), np.nan, np.float32), np.zeros(1, np.int32)
    >>> dataset_from_file(Path("a.npz"), "a", (x, y), (x, y), ("cat",))
    Traceback (most recent call last):
    gradproof.runtime.errors.DataError: a.npz: dataset 'a': x_train[0, 0, 0, 0] is nan, expected \
a finite number
    """
    try:
        return Dataset(name, *train, *test, classes)
    except GradproofError as error:
        raise DataError(f"{path}: {error}") from error


def fingerprint(data: Dataset) -> str:
    """A SHA-256 of shapes, class names, labels and images, by which a run knows its data again. Of
    an ``ImageSource`` only 16 images are read, evenly spread.

    >>> from gradproof.runtime.data.digits import load_digits
    >>> fingerprint(load_digits()) == fingerprint(load_digits())
    True
    """
    total = hashlib.sha256(repr(data.classes).encode())
    for x, y in ((data.x_train, data.y_train), (data.x_test, data.y_test)):
        if isinstance(x, ImageSource):
            images = x[np.linspace(0, len(x) - 1, min(len(x), SAMPLE)).astype(np.intp)]
        else:
            images = x
        total.update(f"{x.shape}".encode())
        for array in (images, y):
            total.update(np.ascontiguousarray(array).reshape(-1).view(np.uint8).data)
    return total.hexdigest()


def to_unit_range(levels: NDArray[np.uint8], white: int) -> Images:
    """``levels / white`` as float32, of the shape of ``levels``; ``white`` is the level of 1.0.

    >>> to_unit_range(np.array([0, 4, 16], np.uint8), white=16)
    array([0.  , 0.25, 1.  ], dtype=float32)
    """
    # Given dtype=, the division converts block by block: no second float copy of all the images.
    return np.divide(levels, np.float32(white), dtype=np.float32)


def check_finite(where: str, name: str, x: NDArray[np.floating[Any]]) -> None:
    """Raise ``DataError`` naming the first NaN or infinite element of ``x`` (any shape).

    >>> check_finite("here", "x", np.array([[0.0, np.inf]]))
    Traceback (most recent call last):
    gradproof.runtime.errors.DataError: here: x[0, 1] is inf, expected a finite number
    """
    finite = np.isfinite(x)
    if finite.all():
        return
    index = tuple(int(i) for i in np.unravel_index(int(finite.argmin()), x.shape))
    place = ", ".join(str(i) for i in index)
    raise DataError(f"{where}: {name}[{place}] is {x[index]}, expected a finite number")


def check_labels(where: str, name: str, y: NDArray[np.integer[Any]], num_classes: int) -> None:
    """Raise ``DataError`` naming the first label of ``y`` (N,) outside 0..num_classes - 1.

    >>> check_labels("here", "y", np.array([0, 3, -1]), num_classes=3)
    Traceback (most recent call last):
    gradproof.runtime.errors.DataError: here: y[1] is 3, allowed 0..2 (classes: 3)
    """
    outside = (y < 0) | (y >= num_classes)
    if outside.any():
        index = int(outside.argmax())
        raise DataError(
            f"{where}: {name}[{index}] is {y[index]},"
            f" allowed 0..{num_classes - 1} (classes: {num_classes})"
        )


def _check_array(where: str, name: str, array: object, dtype: np.dtype[Any], ndim: int) -> None:
    layout = "(N, C, H, W)" if ndim == 4 else "(N,)"
    if not isinstance(array, np.ndarray):
        raise DTypeError(
            f"{where}: {name} is a {type(array).__name__}, expected a NumPy array of {dtype}"
        )
    if array.dtype != dtype:
        raise DTypeError(f"{where}: {name} has dtype {array.dtype}, expected {dtype}")
    if array.ndim != ndim:
        raise ShapeError(f"{where}: {name} has shape {array.shape}, expected {layout}")
    if array.size == 0:
        raise ShapeError(f"{where}: {name} is empty, of shape {array.shape}; expected {layout}")


def _check_classes(where: str, classes: object) -> None:
    if not isinstance(classes, tuple) or not all(isinstance(name, str) for name in classes):
        raise DTypeError(f"{where}: classes is {classes!r}, expected a tuple of names")
    if not classes or "" in classes or len(set(classes)) != len(classes):
        raise DataError(
            f"{where}: classes is {classes!r}, expected at least one name, none empty or repeated"
        )


def _frozen(array: NDArray[Any]) -> NDArray[Any]:
    view = np.ascontiguousarray(array).view()
    view.flags.writeable = False
    return view
