"""Checks of the layers' arguments: each error names the layer, what was given and expected."""

from __future__ import annotations

import operator
from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from gradproof.runtime.errors import DTypeError, ShapeError

FLOATS = (np.dtype(np.float32), np.dtype(np.float64))


def float_dtype(layer: str, dtype: DTypeLike) -> np.dtype[Any]:
    """`dtype` as NumPy's, when it is one that layers compute in.

    Raises:
        DTypeError: neither float32 nor float64.

    >>> float_dtype("Linear", "float64")
    dtype('float64')
    """
    message = f"{layer}: dtype {dtype!r}, expected 'float32' or 'float64'"
    if dtype is None:  # NumPy would take it for float64
        raise DTypeError(message)
    try:
        found = np.dtype(dtype)
    except TypeError as error:
        raise DTypeError(message) from error
    if found not in FLOATS:
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
    number = _as_integer(value)
    if number is None or number < least:
        raise ShapeError(f"{layer}: {name}={value!r}, expected an integer from {least}")
    return number


def pair(layer: str, name: str, value: object, least: int = 1) -> tuple[int, int]:
    """(height, width) from one integer or two.

    Raises:
        ShapeError: anything else than one or two integers of at least `least`.

    >>> pair("Conv2d", "kernel_size", 3)
    (3, 3)
    """
    numbers = [_as_integer(item) for item in _two(value)]
    if len(numbers) == 2:
        height, width = numbers
        if height is not None and width is not None and min(height, width) >= least:
            return height, width
    raise ShapeError(
        f"{layer}: {name}={value!r}, expected an integer from {least} or two (height, width)"
    )


def _two(value: object) -> tuple[object, ...]:
    return tuple(value) if isinstance(value, tuple | list) else (value, value)


def _as_integer(value: object) -> int | None:
    if isinstance(value, bool):
        return None
    try:
        return operator.index(value)  # type: ignore[arg-type]  # TypeError for another type
    except TypeError:
        return None
