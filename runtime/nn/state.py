"""What a state dict is checked for, and how parameters and buffers are read, set and converted."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from gradproof.runtime.errors import DataError
from gradproof.runtime.tensor import Tensor, tensor

Buffer = Tensor | NDArray[Any]


class KeyReport(NamedTuple):
    """The names that `load_state_dict(strict=False)` passed over."""

    missing_keys: list[str]
    unexpected_keys: list[str]


def as_array(value: Any) -> NDArray[Any]:
    """A Tensor's elements on the host, or the array itself. TypeError for any other type."""
    if hasattr(value, "detach"):
        value = value.detach()
    if hasattr(value, "numpy"):
        value = value.numpy()
    if not isinstance(value, np.ndarray | np.generic):
        raise TypeError(f"{type(value).__name__}, expected an array")
    return np.asarray(value)


def assign(value: Buffer, array: NDArray[Any]) -> None:
    """Overwrite a Tensor or array in place; the shapes are equal, the type converts safely."""
    if isinstance(value, Tensor):
        value.copy_(array)
    else:
        np.copyto(value, array)


def convert_all(values: Sequence[Tensor], dtype: np.dtype[Any]) -> None:
    """Change the real tensors' element type, keeping the Tensor objects; all of them or none."""
    old = [t for t in values if t.dtype.kind == "f" and t.dtype != dtype]
    new = [tensor(t.numpy(), dtype, device=t.device) for t in old]  # may lack memory
    for t, converted in zip(old, new, strict=True):
        # A graph that saved `t` before sees a write: its backward pass is then an error.
        converted.storage.version = t.storage.version + 1
        t.storage, t.dtype = converted.storage, converted.dtype


def check_state(
    label: str, own: Mapping[str, Buffer], given: Mapping[str, Any], strict: bool
) -> tuple[dict[str, NDArray[Any]], KeyReport]:
    """The arrays of `given` that `own` has names for, and the names in only one of them.

    Errors: one DataError listing all names that do not fit.
    """
    if not isinstance(given, Mapping):
        raise DataError(f"{label}: {type(given).__name__}, expected a mapping name -> array")
    report = KeyReport([n for n in own if n not in given], [n for n in given if n not in own])
    arrays: dict[str, NDArray[Any]] = {}
    problems: list[str] = []
    if strict:
        for word, names in zip(("missing", "unexpected"), report, strict=True):
            if names:
                problems.append(f"{word}: {', '.join(map(str, names))}")
    for name in (name for name in own if name in given):
        try:
            arrays[name] = as_array(given[name])
        except (TypeError, RuntimeError) as error:  # RuntimeError: what .numpy() may raise
            problems.append(f"not an array: {name}: {error}")
            continue
        problems += _misfit(name, own[name], arrays[name])
    if problems:
        raise DataError("\n    ".join([f"{label}: nothing was loaded:", *problems]))
    return arrays, report


def _misfit(name: str, own: Buffer, array: NDArray[Any]) -> list[str]:
    if array.shape != own.shape:
        return [f"wrong shape: {name} has shape {array.shape}, expected {own.shape}"]
    if not np.can_cast(array.dtype, own.dtype, "safe"):
        return [
            f"wrong dtype: {name} is {array.dtype}, expected {own.dtype}"
            f" (or convert the module first with .to({str(array.dtype)!r}))"
            if array.dtype.kind == own.dtype.kind == "f"
            else f"wrong dtype: {name} is {array.dtype}, expected {own.dtype}"
        ]
    return []
