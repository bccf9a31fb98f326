"""NumPy's own files, .npy and .npz, whose content is not trusted.

What a file claims is compared with its size before memory is asked for: an array takes as many
bytes as follow its header, and an archive unpacks to at most what deflate can make of its bytes.
"""

from __future__ import annotations

import lzma
import math
import os
import zipfile
import zlib
from pathlib import Path
from typing import IO, Any, BinaryIO, Literal

import numpy as np
from numpy.typing import NDArray

from gradproof.runtime.errors import DataError

MAGIC = b"\x93NUMPY"
DEFLATE = 1032  # its largest ratio: 258 bytes for two bits
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
    if _is_array(file):
        raise ValueError("one .npy array, not a .npz archive")
    content: np.lib.npyio.NpzFile = np.load(file, allow_pickle=False)
    entries = content.zip.infolist()  # type: ignore[union-attr]
    for entry in entries:
        if entry.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise ValueError(f"{entry.filename} is compressed in a way that NumPy does not write")
    unpacked, size = sum(entry.file_size for entry in entries), file.seek(0, os.SEEK_END)
    if unpacked > DEFLATE * size:
        raise ValueError(f"{size} bytes claim to unpack to {unpacked}")
    return content


def member(archive: np.lib.npyio.NpzFile, name: str) -> Any:
    """An array of an archive, or the bytes of a member that is no .npy file. Errors: `DAMAGED`."""
    names = archive.zip.namelist()  # type: ignore[union-attr]
    entry = archive.zip.getinfo(name if name in names else f"{name}.npy")  # type: ignore[union-attr]
    with archive.zip.open(entry) as file:  # type: ignore[union-attr]
        if file.read(len(MAGIC)) == MAGIC:
            file.seek(0)
            _check_header(file, entry.file_size)
    return archive[name]


def read_npy(path: Path, mmap_mode: Literal["r"] | None = None) -> NDArray[Any]:
    """The array of a .npy file, of any shape; on disk with mmap_mode "r". Errors: DataError."""
    try:
        with path.open("rb") as file:
            if file.read(2) == b"PK":
                raise ValueError("a .npz archive, not one array")
            file.seek(0)
            if _is_array(file):
                _check_header(file, path.stat().st_size)
        content: NDArray[Any] = np.load(path, mmap_mode=mmap_mode, allow_pickle=False)
    except DAMAGED as error:
        raise DataError(f"{path}: cannot be read as NumPy file: {first_line(error)}") from error
    return content


def _is_array(file: BinaryIO) -> bool:
    """Whether a file, at its beginning, is a .npy file."""
    found = file.read(len(MAGIC)) == MAGIC
    file.seek(0)
    return found


def _check_header(file: IO[bytes], size: int) -> None:
    """Raise ValueError unless a .npy file of `size` bytes has a header of plain numbers or text
    that says how many bytes follow."""
    version = np.lib.format.read_magic(file)
    if version not in ((1, 0), (2, 0)):
        raise ValueError(f"version {version} of the .npy format, expected (1, 0) or (2, 0)")
    first, at = version == (1, 0), file.tell()
    length = int.from_bytes(file.read(2 if first else 4), "little")
    if length > size:
        raise ValueError(f"a header of {length} bytes in a file of {size}")
    file.seek(at)
    read = np.lib.format.read_array_header_1_0 if first else np.lib.format.read_array_header_2_0
    try:
        shape, _, dtype = read(file)
    except Exception as error:  # of tokenize, and of NumPy where a dtype is of an odd kind
        raise ValueError(f"a header that cannot be read: {first_line(error)}") from error
    if dtype.hasobject:
        raise ValueError("Object arrays cannot be loaded: they could run code")
    if dtype.names or dtype.subdtype or not dtype.itemsize:
        raise ValueError(f"elements are {dtype}, expected numbers or text")
    if not all(type(n) is int and n >= 0 for n in shape):
        raise ValueError(f"the header has shape {shape}")
    wanted, found = math.prod(shape) * dtype.itemsize, size - file.tell()
    if wanted != found:
        raise ValueError(f"{found} bytes of elements, expected {wanted} for {shape} of {dtype}")
