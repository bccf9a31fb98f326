"""State dicts on disk, as safetensors: a header of names, types and shapes, then the numbers.
Also as NumPy's archives, `.npz`.

A file holds no code, so an untrusted one is safe to open, and PyTorch, JAX and others read and
write the same format (https://huggingface.co/docs/safetensors).
"""

from __future__ import annotations

import io
import os
import tempfile
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, deserialize, safe_open
from safetensors import numpy as safetensors_numpy

from gradproof.runtime.data.npz import DAMAGED
from gradproof.runtime.errors import DataError, DTypeError
from gradproof.runtime.interrupts import deferred_interrupts

# the name in a file's header -> the element type; no other is written
DTYPES = {
    "F32": np.dtype(np.float32),
    "F64": np.dtype(np.float64),
    "I32": np.dtype(np.int32),
    "I64": np.dtype(np.int64),
}
HALF = {"F16": np.dtype(np.float16)}
BFLOAT = "BF16"  # NumPy has none. Both halves are read, and widened to float32; neither is written
NPZ = ".npz"
_EXPECTED = "expected float32, float64, int32 or int64"
_RESERVED = "__metadata__"  # the header's own key


def save(state_dict: Mapping[str, NDArray[Any]], path: str | os.PathLike[str]) -> None:
    """Write named arrays of any shape to `path`, which then holds either the old or the new file.

    The format is safetensors, or NumPy's where `path` ends with `.npz`. The new file is written
    beside `path` and takes its place when complete: an interrupted save leaves the old file as it
    was.

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
    npz = target.suffix.lower() == NPZ
    write_file(target, _npz_bytes(arrays) if npz else safetensors_numpy.save(arrays))


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


def _npz_bytes(arrays: Mapping[str, NDArray[Any]]) -> bytes:
    """The archive that numpy.savez writes, which takes no array of the name "file"."""
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        for name, array in arrays.items():
            with archive.open(f"{name}.npy", "w", force_zip64=True) as member:
                np.lib.format.write_array(member, array, allow_pickle=False)
    return content.getvalue()


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
    return _load_npz(source) if source.suffix.lower() == NPZ else _load_safetensors(source)


def _load_safetensors(source: Path) -> dict[str, NDArray[Any]]:
    try:
        with safe_open(source, framework="numpy") as file:
            names = list(file.keys())
            types = {n: file.get_slice(n).get_dtype() for n in names}
            _check_types(
                source, {n: t for n, t in types.items() if t not in (*DTYPES, *HALF, BFLOAT)}
            )
            if BFLOAT not in types.values():
                return {n: _widened(np.array(file.get_tensor(n))) for n in types}
        return {str(n): _from_bytes(entry) for n, entry in deserialize(source.read_bytes())}
    except (SafetensorError, OSError) as error:
        hint = _format_hint(source)
        raise DataError(f"{source}: cannot be read as safetensors file: {error}{hint}") from error


def _from_bytes(entry: Mapping[str, Any]) -> NDArray[Any]:
    """A tensor as the library gives it without NumPy, which has no bfloat16."""
    name, shape, data = entry["dtype"], entry["shape"], entry["data"]
    if name == BFLOAT:  # the upper half of a float32
        upper = np.frombuffer(data, "<u2").astype(np.uint32) << 16
        return upper.view(np.float32).reshape(shape)
    kind = (DTYPES | HALF)[name]
    array = np.frombuffer(data, kind.newbyteorder("<")).reshape(shape)
    return _widened(array.astype(kind))


def _widened(array: NDArray[Any]) -> NDArray[Any]:
    return array.astype(np.float32) if array.dtype == np.float16 else array


def _check_types(source: Path, wrong: Mapping[str, object]) -> None:
    if wrong:
        listed = ", ".join(f"{name} is {found}" for name, found in wrong.items())
        raise DataError(f"{source}: {listed}; {_EXPECTED}, float16 or bfloat16")


def _format_hint(source: Path) -> str:
    """What else the file may be."""
    with source.open("rb") as file:
        if file.read(4) != b"PK\x03\x04":
            return ""
    if source.suffix.lower() in (".pt", ".pth", ".bin"):
        return (
            ". A file of torch.save can run code when it is opened; in PyTorch, write "
            "safetensors.torch.save_file(model.state_dict(), ...)"
        )
    return f". It is a zip archive; one of arrays has the ending {NPZ}"


def _load_npz(source: Path) -> dict[str, NDArray[Any]]:
    try:
        with source.open("rb") as file:
            content = np.load(file, allow_pickle=False)
            if not isinstance(content, np.lib.npyio.NpzFile):
                raise ValueError("one .npy array, not a .npz archive")
            arrays = {name: content[name] for name in content.files}
    except DAMAGED as error:
        raise DataError(f"{source}: cannot be read as .npz file: {error}") from error
    # NumPy hands over the raw bytes of a member that is no .npy file
    wrong = {n: type(a).__name__ for n, a in arrays.items() if not isinstance(a, np.ndarray)}
    accepted = (*DTYPES.values(), *HALF.values())
    _check_types(
        source, wrong or {n: a.dtype for n, a in arrays.items() if a.dtype not in accepted}
    )
    return {n: _widened(a) for n, a in arrays.items()}


def _checked(target: Path, name: str, array: NDArray[Any]) -> NDArray[Any]:
    if not isinstance(name, str) or name == _RESERVED:
        raise DataError(f"{target}: name {name!r}, expected text other than {_RESERVED!r}")
    if not isinstance(array, np.ndarray | np.generic):
        raise DTypeError(f"{target}: {name} is of {type(array)}, expected a NumPy array")
    if array.dtype not in DTYPES.values():
        raise DTypeError(f"{target}: {name} is {array.dtype}, {_EXPECTED}")
    return np.asarray(array)
