"""Images that are not all in memory: read when a batch is made of them.

A source is indexed as an array of float32 images (N, C, H, W) is, by a slice or an array of
indices. `Dataset` and `DataLoader` take one in place of an array.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from gradproof.runtime.data.numpy_files import read_npy
from gradproof.runtime.errors import DataError

Images = NDArray[np.float32]


class ImageSource(ABC):
    """The base of sources. shape: (N, C, H, W); a subclass defines `read`."""

    dtype = np.dtype(np.float32)
    ndim = 4

    def __init__(self, shape: tuple[int, int, int, int]) -> None:
        self.shape = shape

    @abstractmethod
    def read(self, indices: NDArray[np.intp]) -> Images:
        """The images of these indices, (len(indices), C, H, W)."""

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, pick: slice | NDArray[np.intp]) -> Images:
        chosen = np.arange(*pick.indices(len(self))) if isinstance(pick, slice) else pick
        return self.read(np.asarray(chosen))


class MemoryMap(ImageSource):
    """The images of a .npy file, which stays on disk: it may be larger than memory.

    Shapes in the file: (N, C, H, W), or (N, H, W) for C = 1. uint8 levels are divided by 255,
    float32 is taken as it is. Errors: DataError for a file that is missing or damaged, and for
    another shape or element type; for a number that is not finite when it is read.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder, "images.npy")
    ...     np.save(path, np.full((4, 8, 8), 51, np.uint8))
    ...     images = MemoryMap(path)
    ...     images.shape, float(images[1:3].max())
    ((4, 1, 8, 8), 0.20000000298023224)
    """

    def __init__(self, path: Path) -> None:
        self.path = Path(path)
        self._levels = read_npy(self.path, "r")
        found = f"{self.path}: images are {self._levels.dtype} of shape {self._levels.shape}"
        if self._levels.dtype not in (np.uint8, np.float32):
            raise DataError(f"{found}, expected uint8 or float32")
        if self._levels.ndim not in (3, 4) or not self._levels.size:
            raise DataError(f"{found}, expected (N, C, H, W) or (N, H, W), not empty")
        count, *rest = self._levels.shape
        channels, height, width = rest if len(rest) == 3 else (1, *rest)
        super().__init__((count, channels, height, width))

    def read(self, indices: NDArray[np.intp]) -> Images:
        """See `ImageSource`."""
        levels = self._levels[indices].reshape(len(indices), *self.shape[1:])
        if levels.dtype == np.uint8:
            return np.asarray(np.divide(levels, np.float32(255), dtype=np.float32))
        if not np.isfinite(levels).all():
            wrong = indices[~np.isfinite(levels).all(axis=(1, 2, 3))][0]
            raise DataError(f"{self.path}: image {wrong} has a number that is not finite")
        return np.asarray(levels, np.float32)
