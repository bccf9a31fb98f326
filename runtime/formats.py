"""Files of named arrays: what safetensors and `.npz` files hold, as NumPy's arrays."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, deserialize, safe_open

from gradproof.runtime.data.numpy_files import DAMAGED, first_line, member, open_npz
from gradproof.runtime.errors import DataError

# the name in a file's header -> the element type; no other is written
DTYPES: dict[str, np.dtype[Any]] = {
    "F32": np.dtype(np.float32),
    "F64": np.dtype(np.float64),
    "I32": np.dtype(np.int32),
    "I64": np.dtype(np.int64),
}
HALF: dict[str, np.dtype[Any]] = {"F16": np.dtype(np.float16)}
BFLOAT = "BF16"  # NumPy has none. Both halves are read, and widened to float32; neither is written
NPZ = ".npz"
EXPECTED = "expected float32, float64, int32 or int64"


def npz_bytes(arrays: Mapping[str, NDArray[Any]]) -> bytes:
    """The archive that numpy.savez writes, which takes no array of the name "file".

    >>> npz_bytes({"x": np.zeros(2)})[:2]
    b'PK'
    """
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        for name, array in arrays.items():
            with archive.open(f"{name}.npy", "w", force_zip64=True) as member:
                np.lib.format.write_array(member, array, allow_pickle=False)
    return content.getvalue()


def read_safetensors(source: Path) -> dict[str, NDArray[Any]]:
    """The arrays of a safetensors file. Errors: DataError."""
    try:
        with safe_open(source, framework="numpy") as file:
            names = list(file.keys())
            types = {n: file.get_slice(n).get_dtype() for n in names}
            _check_types(
                source, {n: t for n, t in types.items() if t not in (*DTYPES, *HALF, BFLOAT)}
            )
            if BFLOAT not in types.values():
                return {n: _widened(np.array(file.get_tensor(n))) for n in types}
        return {n: _from_bytes(entry) for n, entry in _raw(source)}
    except DataError:
        raise
    except (SafetensorError, OSError, ValueError) as error:  # the last: a shape beyond NumPy's
        hint = _format_hint(source)
        raise DataError(f"{source}: cannot be read as safetensors file: {error}{hint}") from error


def _raw(source: Path) -> list[tuple[str, dict[str, Any]]]:
    entries: list[tuple[str, dict[str, Any]]]
    entries = deserialize(source.read_bytes())  # type: ignore[no-untyped-call]
    return entries


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
        raise DataError(f"{source}: {listed}; {EXPECTED}, float16 or bfloat16")


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


def read_npz(source: Path) -> dict[str, NDArray[Any]]:
    """The arrays of a `.npz` file. Errors: DataError."""
    try:
        with source.open("rb") as file:
            content = open_npz(file)
            arrays = {name: member(content, name) for name in content.files}
    except DAMAGED as error:
        raise DataError(f"{source}: cannot be read as .npz file: {first_line(error)}") from error
    # NumPy hands over the raw bytes of a member that is no .npy file
    wrong = {n: type(a).__name__ for n, a in arrays.items() if not isinstance(a, np.ndarray)}
    accepted = (*DTYPES.values(), *HALF.values())
    _check_types(
        source, wrong or {n: a.dtype for n, a in arrays.items() if a.dtype not in accepted}
    )
    return {n: _widened(a) for n, a in arrays.items()}
