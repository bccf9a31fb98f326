"""NumPy's own files, .npy and .npz, whose content is not trusted."""

from __future__ import annotations

import lzma
import zipfile
import zlib
from pathlib import Path
from typing import Any, BinaryIO, Literal

import numpy as np
from numpy.typing import NDArray

from gradproof.runtime.errors import DataError

# All that zipfile, its decompressors and NumPy's header parser raise for a damaged archive.
DAMAGED = (
    OSError,
    EOFError,
    ValueError,
    KeyError,
    RuntimeError,
    MemoryError,
    OverflowError,
    zipfile.BadZipFile,
    zlib.error,
    lzma.LZMAError,
)


def first_line(error: BaseException) -> str:
    """Of an error's text; NumPy's goes on with advice that does not apply here."""
    return str(error).partition("\n")[0]


def open_npz(file: BinaryIO) -> np.lib.npyio.NpzFile:
    """The archive in an open file, whose arrays are read on access. What a damaged one raises is in
    `DAMAGED`."""
    content = np.load(file, allow_pickle=False)
    if not isinstance(content, np.lib.npyio.NpzFile):
        raise ValueError("one .npy array, not a .npz archive")
    return content


def read_npy(path: Path, mmap_mode: Literal["r"] | None = None) -> NDArray[Any]:
    """The array of a .npy file, of any shape; on disk with mmap_mode "r". Errors: DataError."""
    try:
        content = np.load(path, mmap_mode=mmap_mode, allow_pickle=False)
        if not isinstance(content, np.ndarray):
            content.close()
            raise ValueError("a .npz archive, not one array")
    except DAMAGED as error:
        raise DataError(f"{path}: cannot be read as NumPy file: {first_line(error)}") from error
    return content
