"""MNIST and Fashion-MNIST in their own format, IDX.

Source of the format: Y. LeCun, C. Cortes, C. Burges, "The MNIST database of handwritten digits",
section "File formats". A file is big-endian: two zero bytes, an element-type code, the number of
dimensions, each dimension as four bytes, then the elements, the last dimension fastest.
"""

from __future__ import annotations

import gzip
import io
import math
import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gradproof.runtime.data.dataset import (
    Dataset,
    Images,
    Labels,
    check_labels,
    dataset_from_file,
    to_unit_range,
)
from gradproof.runtime.errors import DataError

ELEMENT_TYPES: dict[int, np.dtype[Any]] = {
    0x08: np.dtype("u1"),
    0x09: np.dtype("i1"),
    0x0B: np.dtype(">i2"),
    0x0C: np.dtype(">i4"),
    0x0D: np.dtype(">f4"),
    0x0E: np.dtype(">f8"),
}
MAX_DIMENSIONS = 4
CLASSES = tuple(str(label) for label in range(10))
_CHUNK = 1 << 20


def idx_names(part: str, content: str) -> tuple[str, ...]:
    """The file names looked for: ``part`` is train or t10k, ``content`` images or labels.

    >>> idx_names("t10k", "labels")[:2]
    ('t10k-labels-idx1-ubyte', 't10k-labels-idx1-ubyte.gz')
    """
    rank = {"images": 3, "labels": 1}[content]
    return tuple(
        f"{part}-{content}{separator}idx{rank}-ubyte{suffix}"
        for separator in "-."
        for suffix in ("", ".gz")
    )


ALL_IDX_NAMES = frozenset(
    name
    for part in ("train", "t10k")
    for content in ("images", "labels")
    for name in idx_names(part, content)
)


def load_idx(folder: Path, *, prefer_gzip: bool = False) -> Dataset:
    """The ten-class data set of the four IDX files in ``folder`` (MNIST, Fashion-MNIST).

    Where a file lies there both plain and as ``.gz``, the plain one is read unless
    ``prefer_gzip``. Shapes: images (N, 1, H, W). Units: pixels level/255. The classes are named
    "0".."9", for the files hold no names.

    Errors: ``DataError`` for a missing file, one present under both spellings, and all that
    ``read_idx`` and ``Dataset`` refuse.

    >>> load_idx(Path("no-such-folder"))
    Traceback (most recent call last):
    gradproof.runtime.errors.DataError: no-such-folder: no train-images-idx3-ubyte, \
train-images-idx3-ubyte.gz, train-images.idx3-ubyte or train-images.idx3-ubyte.gz
    """
    train = _load_part(folder, "train", prefer_gzip)
    test = _load_part(folder, "t10k", prefer_gzip)
    return dataset_from_file(folder, folder.resolve().name, train, test, CLASSES)


def read_idx(path: Path) -> NDArray[Any]:
    """The array in one IDX file, gzip-compressed if its name ends in ``.gz``.

    Shape: the one the file declares, 1 to 4 dimensions. Element type: the file's, in native byte
    order. Memory stays in proportion to what the file holds, whatever its header claims.

    Errors: ``DataError`` for a file that cannot be opened or decompressed, a wrong magic number,
    an unknown element type, no or too many dimensions, a dimension of 0, and fewer or more bytes
    than the header declares.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder, "labels-idx1-ubyte")
    ...     _ = path.write_bytes(bytes([0, 0, 8, 1, 0, 0, 0, 2, 7, 9]))
    ...     read_idx(path)
    array([7, 9], dtype=uint8)
    """
    try:
        with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as stream:
            dtype, shape = _read_header(path, stream)
            expected = dtype.itemsize * math.prod(shape)
            payload = _read_at_most(stream, expected + 1)
    except (OSError, EOFError, zlib.error) as error:
        kind = "gzip-compressed IDX" if path.suffix == ".gz" else "IDX"
        raise DataError(f"{path}: cannot be read as {kind} file: {error}") from error
    if len(payload) != expected:
        found = f"only {len(payload)}" if len(payload) < expected else "more"
        raise DataError(
            f"{path}: {found} bytes of elements, expected {expected} for the declared"
            f" {' x '.join(map(str, shape))} of {dtype.name}"
        )
    elements = np.frombuffer(payload, dtype).reshape(shape)
    return elements.astype(dtype.newbyteorder("="), copy=False)


def _read_header(path: Path, stream: io.BufferedIOBase) -> tuple[np.dtype[Any], tuple[int, ...]]:
    magic = stream.read(4)
    if len(magic) < 4 or magic[:2] != b"\0\0":
        raise DataError(
            f"{path}: begins with bytes {magic.hex(' ') or 'none'},"
            " expected an IDX magic number 00 00 <element type> <dimensions>"
        )
    code, rank = magic[2:]
    if code not in ELEMENT_TYPES:
        known = ", ".join(f"0x{c:02x}" for c in ELEMENT_TYPES)
        raise DataError(f"{path}: IDX element type 0x{code:02x}, expected one of {known}")
    if not 1 <= rank <= MAX_DIMENSIONS:
        raise DataError(f"{path}: {rank} dimensions declared, expected 1..{MAX_DIMENSIONS}")
    sizes = stream.read(4 * rank)
    if len(sizes) < 4 * rank:
        raise DataError(
            f"{path}: header ends after {4 + len(sizes)} bytes, expected {4 + 4 * rank}"
        )
    shape = struct.unpack(f">{rank}I", sizes)
    if 0 in shape:
        raise DataError(f"{path}: declares the shape {shape}, expected sizes of at least 1")
    return ELEMENT_TYPES[code], shape


def _read_at_most(stream: io.BufferedIOBase, limit: int) -> bytearray:
    # Chunk by chunk: one read(limit) would allocate what the header claims before looking.
    content = bytearray()
    while len(content) < limit:
        chunk = stream.read(min(_CHUNK, limit - len(content)))
        if not chunk:
            break
        content += chunk
    return content


def _load_part(folder: Path, part: str, prefer_gzip: bool) -> tuple[Images, Labels]:
    images_path = _find(folder, idx_names(part, "images"), prefer_gzip)
    labels_path = _find(folder, idx_names(part, "labels"), prefer_gzip)
    images = _read_bytes_of_rank(images_path, 3)
    labels = _read_bytes_of_rank(labels_path, 1)
    if len(images) != len(labels):
        raise DataError(
            f"{labels_path}: {len(labels)} labels, expected {len(images)},"
            f" one for each image of {images_path.name}"
        )
    check_labels(str(labels_path), "label", labels, len(CLASSES))
    return to_unit_range(images, 255)[:, None, :, :], labels.astype(np.int32)


def _read_bytes_of_rank(path: Path, rank: int) -> NDArray[np.uint8]:
    array = read_idx(path)
    if array.dtype != np.uint8 or array.ndim != rank:
        raise DataError(
            f"{path}: holds {array.ndim} dimensions of {array.dtype},"
            f" expected {rank} of uint8 (magic number 00 00 08 {rank:02x})"
        )
    return array


def _find(folder: Path, names: tuple[str, ...], prefer_gzip: bool) -> Path:
    present = [name for name in names if (folder / name).is_file()]
    if not present:
        raise DataError(f"{folder}: no {', '.join(names[:-1])} or {names[-1]}")
    if len({name.removesuffix(".gz") for name in present}) > 1:
        raise DataError(f"{folder}: ambiguous, has {' and '.join(present)}; keep one spelling")
    return folder / (present[-1] if prefer_gzip else present[0])
