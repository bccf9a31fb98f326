"""The 1,797 handwritten digits that come with the package; see files/README.md for their source."""

from __future__ import annotations

import io
from importlib import resources

import numpy as np
from numpy.typing import NDArray

from gradproof.runtime.data.dataset import Dataset, to_unit_range

HOLD_OUT_EVERY = 5
# A pixel counts the set bits of a 4x4 block of the scanned bitmap, so 16 is the largest level.
WHITE = 16


def load_digits() -> Dataset:
    """The test part of UCI's optical recognition of handwritten digits, as a ``Dataset``.

    Shapes: ``x_train`` (1442, 1, 8, 8), ``x_test`` (355, 1, 8, 8). Units: pixels k/16, k = 0..16.
    Held out is every fifth image of each class, in the order of the source file: the rule needs
    no random numbers, so the split is the same everywhere. Both parts come from the same 13
    writers. Source: E. Alpaydin, C. Kaynak, UCI Machine Learning Repository (1998),
    doi:10.24432/C50P49, CC BY 4.0.

    Errors: ``OSError`` if the installed package lacks its file ``runtime/data/files/digits.npz``.

    >>> load_digits()
    Dataset(name='digits', train=1442, test=355, image_shape=(1, 8, 8), classes=10)
    """
    # Read through importlib.resources, which also finds the file in a zipped package.
    file = resources.files("gradproof.runtime.data").joinpath("files", "digits.npz")
    with np.load(io.BytesIO(file.read_bytes()), allow_pickle=False) as archive:
        images, labels = archive["images"], archive["labels"]
    x = to_unit_range(images, WHITE)[:, None, :, :]
    y = labels.astype(np.int32)
    test = held_out(y, HOLD_OUT_EVERY)
    classes = tuple(str(digit) for digit in range(10))
    return Dataset("digits", x[~test], y[~test], x[test], y[test], classes)


def held_out(labels: NDArray[np.int32], every: int) -> NDArray[np.bool_]:
    """The mask (N,) of every ``every``-th example of each class, counted in the order given.

    >>> held_out(np.array([7, 7, 3, 7, 3, 7], np.int32), every=2)
    array([False,  True, False, False,  True,  True])
    """
    mask = np.zeros(len(labels), np.bool_)
    for label in np.unique(labels):
        mask[np.flatnonzero(labels == label)[every - 1 :: every]] = True
    return mask
