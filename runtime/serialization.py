"""State dicts on disk, as safetensors: a header of names, types and shapes, then the numbers.

A file holds no code, so an untrusted one is safe to open, and PyTorch, JAX and others read and
write the same format (https://huggingface.co/docs/safetensors).
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors import numpy as safetensors_numpy

from gradproof.runtime.errors import DataError, DTypeError
from gradproof.runtime.interrupts import deferred_interrupts

# the name in a file's header -> the element type; no other is written or read
DTYPES = {
    "F32": np.dtype(np.float32),
    "F64": np.dtype(np.float64),
    "I32": np.dtype(np.int32),
    "I64": np.dtype(np.int64),
}
_EXPECTED = "expected float32, float64, int32 or int64"
_RESERVED = "__metadata__"  # the header's own key


def save(state_dict: Mapping[str, NDArray[Any]], path: str | os.PathLike[str]) -> None:
    """Write named arrays of any shape to `path`, which then holds either the old or the new file.

    The new file is written beside `path` and takes its place when complete: an interrupted save
    leaves the old file as it was.

    Raises:
        DTypeError: a value is not a NumPy array of float32, float64, int32 or int64.
        DataError: a name is not text or is "__metadata__", or the file cannot be written.

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
    write_file(target, safetensors_numpy.save(arrays))


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
    except OSError as error:
        raise DataError(f"{target}: cannot be written: {error}") from error


def load(path: str | os.PathLike[str]) -> dict[str, NDArray[Any]]:
    """Read the named arrays of a safetensors file, each a copy in memory.

    Raises:
        DataError: there is no such file, it is damaged or of another format, or an array has
            another element type than float32, float64, int32 or int64.

    >>> load("no such file")
    Traceback (most recent call last):
    gradproof.runtime.errors.DataError: no such file: no such file
    """
    source = Path(path)
    if not source.is_file():
        reason = "is a folder, expected a safetensors file" if source.is_dir() else "no such file"
        raise DataError(f"{source}: {reason}")
    try:
        with safe_open(source, framework="numpy") as file:
            wrong = {
                name: found
                for name in file.keys()  # noqa: SIM118, safe_open is no mapping
                if (found := file.get_slice(name).get_dtype()) not in DTYPES
            }
            if wrong:
                listed = ", ".join(f"{name} is {found}" for name, found in wrong.items())
                raise DataError(f"{source}: {listed}; {_EXPECTED}")
            return {name: np.array(file.get_tensor(name)) for name in file.keys()}  # noqa: SIM118
    except (SafetensorError, OSError) as error:
        raise DataError(f"{source}: cannot be read as safetensors file: {error}") from error


def _checked(target: Path, name: str, array: NDArray[Any]) -> NDArray[Any]:
    if not isinstance(name, str) or name == _RESERVED:
        raise DataError(f"{target}: name {name!r}, expected text other than {_RESERVED!r}")
    if not isinstance(array, np.ndarray | np.generic):
        raise DTypeError(f"{target}: {name} is of {type(array)}, expected a NumPy array")
    if array.dtype not in DTYPES.values():
        raise DTypeError(f"{target}: {name} is {array.dtype}, {_EXPECTED}")
    return np.asarray(array)
