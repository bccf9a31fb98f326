"""State dicts on disk, as safetensors: a header of names, types and shapes, then the numbers.
Also as NumPy's archives, `.npz`.

A file holds no code, so an untrusted one is safe to open, and PyTorch, JAX and others read and
write the same format (https://huggingface.co/docs/safetensors).
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors import numpy as safetensors_numpy

from gradproof.runtime.errors import DataError, DTypeError
from gradproof.runtime.formats import DTYPES, EXPECTED, NPZ, npz_bytes, read_npz, read_safetensors
from gradproof.runtime.interrupts import deferred_interrupts

_RESERVED = "__metadata__"  # the header's own key


def save(
    state_dict: Mapping[str, NDArray[Any]],
    path: str | os.PathLike[str],
    metadata: Mapping[str, str] | None = None,
) -> None:
    """Write named arrays of any shape to `path`, which then holds either the old or the new file.

    The format is safetensors, or NumPy's where `path` ends with `.npz`. The new file is written
    beside `path` and takes its place when complete: an interrupted save leaves the old file as it
    was. metadata: text by name, for the header of a safetensors file.

    Raises:
        DTypeError: a value is not a NumPy array of float32, float64, int32 or int64.
        DataError: a name is not text or is "__metadata__", metadata are given for a `.npz` file,
            or the file cannot be written.

    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder, "model.safetensors")
    ...     save({"0.weight": np.array([[1.5, -2.0]], np.float32)}, path)
    ...     load(path)
    {'0.weight': array([[ 1.5, -2. ]], dtype=float32)}
    """
    target = Path(path)
    # C order for the library; np.ascontiguousarray would turn () into (1,)
    arrays = {
        name: np.asarray(_checked(target, name, array), order="C")
        for name, array in state_dict.items()
    }
    if target.suffix.lower() != NPZ:
        content = safetensors_numpy.save(arrays, dict(metadata) if metadata else None)
    elif metadata:
        raise DataError(f"{target}: a {NPZ} file holds no metadata")
    else:
        content = npz_bytes(arrays)
    write_file(target, content)


def write_file(target: Path, content: bytes) -> None:
    """Write `content` to `target`, which holds either the old or the new file at any moment.

    Errors: DataError where it cannot be written.

    >>> with tempfile.TemporaryDirectory() as folder:
    ...     write_file(Path(folder, "a"), b"new")
    ...     Path(folder, "a").read_bytes()
    b'new'
    """
    try:
        with (
            deferred_interrupts(),  # one between two of these lines would leave the folder there
            tempfile.TemporaryDirectory(dir=target.parent, prefix=f".{target.name}-") as folder,
        ):
            temporary = Path(folder, target.name)
            with temporary.open("wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(target)
            _sync_folder(target.parent)
    except OSError as error:
        raise DataError(f"{target}: cannot be written: {error}") from error


def remove_unfinished(folder: Path) -> None:
    """Remove what `write_file` leaves in `folder` when its process is killed. Nobody else may write
    there meanwhile. Errors: DataError where one cannot be removed.

    >>> with tempfile.TemporaryDirectory() as folder:
    ...     Path(folder, ".a.npz-x1y2z3w4").mkdir()
    ...     remove_unfinished(Path(folder))
    ...     os.listdir(folder)
    []
    """
    try:
        for left in folder.glob(".*.*-????????"):
            if left.is_dir() and not left.is_symlink():
                shutil.rmtree(left)
    except OSError as error:
        raise DataError(f"{folder}: cannot be cleared: {error}") from error


def load(path: str | os.PathLike[str]) -> dict[str, NDArray[Any]]:
    """Read the named arrays of a safetensors file, or of a `.npz` file, each a copy in memory.

    Half-precision numbers, which many published weights are stored in, come as float32: float16
    and bfloat16 are subsets of it, so no value changes. Other element types are errors.

    Raises:
        DataError: there is no such file, it is damaged or of another format (a `.pth` or `.pt` file
            can run code when it is opened), or an array has another element type than float16,
            bfloat16, float32, float64, int32 or int64.

    >>> load("no such file")
    Traceback (most recent call last):
    gradproof.runtime.errors.DataError: no such file: no such file
    """
    source = Path(path)
    if not source.is_file():
        reason = "is a folder, expected a safetensors file" if source.is_dir() else "no such file"
        raise DataError(f"{source}: {reason}")
    return read_npz(source) if source.suffix.lower() == NPZ else read_safetensors(source)


def load_metadata(path: str | os.PathLike[str]) -> dict[str, str]:
    """The text in the header of a safetensors file.

    Raises:
        DataError: there is no such file, or it is damaged.

    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder, "model.safetensors")
    ...     save({"x": np.zeros(1)}, path, {"made by": "me"})
    ...     load_metadata(path)
    {'made by': 'me'}
    """
    source = Path(path)
    if not source.is_file():
        raise DataError(f"{source}: no such file")
    try:
        with safe_open(source, framework="numpy") as file:
            return dict(file.metadata() or {})
    except (SafetensorError, OSError) as error:
        raise DataError(f"{source}: cannot be read as safetensors file: {error}") from error


def _sync_folder(folder: Path) -> None:
    """Make a new name in a folder last through a loss of power, where the system can."""
    if os.name == "posix":
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def _checked(target: Path, name: str, array: NDArray[Any]) -> NDArray[Any]:
    if not isinstance(name, str) or name == _RESERVED:
        raise DataError(f"{target}: name {name!r}, expected text other than {_RESERVED!r}")
    if not isinstance(array, np.ndarray | np.generic):
        raise DTypeError(f"{target}: {name} is of {type(array)}, expected a NumPy array")
    if array.dtype not in DTYPES.values():
        raise DTypeError(f"{target}: {name} is {array.dtype}, {EXPECTED}")
    return np.asarray(array)
