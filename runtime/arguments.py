"""Checks of arguments: each error names the layer, what was given and what was expected."""

from __future__ import annotations

import math
import operator
from numbers import Real
from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from gradproof.runtime.errors import DTypeError, ShapeError
from gradproof.runtime.tensor import Tensor

Pair = int | tuple[int, int]
Extents = int | tuple[int, ...]  # one for every axis, or one for each
Padding = Extents | tuple[tuple[int, int], ...] | str

AXES = {1: "one (length,)", 2: "two (height, width)", 3: "three (depth, height, width)"}

FLOATS = (np.dtype(np.float32), np.dtype(np.float64))
STORED = (*FLOATS, np.dtype(np.float16))  # what elements may be stored in


def float_dtype(
    layer: str, dtype: DTypeLike, allowed: tuple[np.dtype[Any], ...] = FLOATS
) -> np.dtype[Any]:
    """`dtype` as NumPy's, when it is one of those that are allowed.

    Raises:
        DTypeError: none of them, by default neither float32 nor float64.

    >>> float_dtype("Linear", "float64")
    dtype('float64')
    """
    first, *rest = (repr(str(x)) for x in allowed)
    message = f"{layer}: dtype {dtype!r}, expected {', '.join([first, *rest[:-1]])} or {rest[-1]}"
    if dtype is None:  # NumPy would take it for float64
        raise DTypeError(message)
    try:
        found = np.dtype(dtype)
    except TypeError as error:
        raise DTypeError(message) from error
    if found not in allowed:
        raise DTypeError(message)
    return found


def integer(layer: str, name: str, value: object, least: int = 1) -> int:
    """`value` as int, when it is an integer of at least `least`.

    Raises:
        ShapeError: another type (also bool), or too small.

    >>> integer("Linear", "in_features", 0)
    Traceback (most recent call last):
    gradproof.runtime.errors.ShapeError: Linear: in_features=0, expected an integer from 1
    """
    number = whole(value)
    if number is None or number < least:
        raise ShapeError(f"{layer}: {name}={value!r}, expected an integer from {least}")
    return number


def pair(layer: str, name: str, value: object, least: int | None = 1) -> tuple[int, int]:
    """(height, width) from one integer or two.

    Raises:
        ShapeError: anything else than one or two integers of at least `least` (None: any).

    >>> pair("Conv2d", "kernel_size", 3)
    (3, 3)
    """
    height, width = extents(layer, name, value, 2, least)
    return height, width


def extents(
    layer: str, name: str, value: object, axes: int, least: int | None = 1
) -> tuple[int, ...]:
    """One integer for each of 1 to 3 axes, from one integer or as many as there are axes.

    Raises:
        ShapeError: anything else than integers of at least `least` (None: any).

    >>> extents("Conv3d", "kernel_size", (1, 3), 3)
    Traceback (most recent call last):
    gradproof.runtime.errors.ShapeError: Conv3d: kernel_size=(1, 3), expected an integer from 1 \
or three (depth, height, width)
    """
    items = tuple(value) if isinstance(value, tuple | list) else (value,) * axes
    found = [number for number in map(whole, items) if number is not None]
    if len(found) == len(items) == axes and (least is None or min(found) >= least):
        return tuple(found)
    one = "an integer" if least is None else f"an integer from {least}"
    raise ShapeError(f"{layer}: {name}={value!r}, expected {one} or {AXES[axes]}")


def number(value: object, name: str, label: str) -> float:
    """`value` as float. Errors: ShapeError where it is no number, or NaN."""
    if isinstance(value, bool) or not isinstance(value, Real) or math.isnan(value):
        raise ShapeError(f"{label}: {name}={value!r}, expected a number")
    return float(value)


def check_tensor(t: object, name: str, label: str) -> None:
    """Errors: DTypeError where `t` is no Tensor."""
    if not isinstance(t, Tensor):
        kind = type(t).__name__
        raise DTypeError(f"{label}: {name} is {kind}, expected a Tensor (gp.tensor)")


def check_rank(t: Tensor, rank: int, name: str, label: str) -> None:
    """Errors: ShapeError where `t` has another number of dimensions; DTypeError."""
    check_tensor(t, name, label)
    if t.ndim != rank:
        raise ShapeError(f"{label}: {name} has shape {t.shape}, expected {rank} dimensions")


def sides(
    padding: Padding,
    span: tuple[int, ...],
    stride: tuple[int, ...],
    label: str,
    least: int | None = None,
) -> tuple[tuple[int, int], ...]:
    """The padding (before, after) of each axis of a convolution; `span` is dilation*(kernel - 1).

    Errors: ShapeError for anything else than numbers of at least `least`, two for each axis,
    "valid", or "same" at stride 1.

    >>> sides("same", (3,), (1,), "conv1d")
    ((1, 2),)
    """
    axes = len(span)
    if padding == "valid":
        return ((0, 0),) * axes
    if padding == "same":
        if any(s != 1 for s in stride):
            raise ShapeError(f"{label}: padding='same' needs stride 1, not {stride}")
        return tuple((s // 2, s - s // 2) for s in span)
    if isinstance(padding, str):
        raise ShapeError(f"{label}: padding={padding!r}, expected 'same', 'valid' or numbers")
    if isinstance(padding, tuple | list) and any(isinstance(s, tuple | list) for s in padding):
        if len(padding) != axes or not all(isinstance(s, tuple | list) for s in padding):
            raise ShapeError(f"{label}: padding={padding!r}, expected two sides for each axis")
        return tuple(pair(label, "padding", side, least) for side in padding)
    return tuple((p, p) for p in extents(label, "padding", padding, axes, least))


def ceil_padding(extent: int, k: int, s: int, p: int, d: int) -> int:
    """More padding at the end for one window more, if it starts inside the image or its padding."""
    rest = extent + 2 * p - d * (k - 1) - 1
    more = -rest % s
    starts_inside = (rest + more) // s * s < extent + p
    return more if rest + more >= 0 and starts_inside else 0


def divisor(count: int, reduction: str, label: str) -> float:
    """What a sum is divided by. Errors: ShapeError for another reduction than mean and sum."""
    if reduction not in ("mean", "sum"):
        raise ShapeError(f"{label}: reduction={reduction!r}, expected 'mean' or 'sum'")
    return float(count) if reduction == "mean" else 1.0


def whole(value: object) -> int | None:
    """`value` as int where it is an integer, also NumPy's; None where it is not, or a bool."""
    if isinstance(value, bool):
        return None
    try:
        return operator.index(value)  # type: ignore[arg-type]  # TypeError for another type
    except TypeError:
        return None
