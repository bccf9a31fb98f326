"""Mini-batches of one epoch, in an order that seed and epoch alone decide."""

from __future__ import annotations

import operator
from collections.abc import Iterator
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from gradproof.runtime.errors import DataError, DTypeError, ShapeError

X = TypeVar("X", bound=np.generic)
Y = TypeVar("Y", bound=np.generic)


def batches(
    x: NDArray[X],
    y: NDArray[Y],
    batch_size: int,
    *,
    shuffle: bool,
    seed: int,
    epoch: int,
    drop_last: bool = False,
) -> Iterator[tuple[NDArray[X], NDArray[Y]]]:
    """Yield ``(x, y)`` mini-batches that together hold each example once.

    Shapes: ``x`` (N, ...) and ``y`` (N, ...) give C-contiguous pairs (batch_size, ...); the last
    pair is smaller if ``batch_size`` does not divide N, unless ``drop_last`` leaves it out.
    Without ``shuffle`` the order is that of ``x`` and the pairs may be views, read-only if ``x``
    is. With it the order is a permutation that depends on N, ``seed`` and ``epoch`` only, on
    every NumPy version.

    Errors, raised by the call itself: ``ShapeError`` for unequal or zero lengths, or a
    ``drop_last`` that would leave no batch; ``DTypeError`` for a ``batch_size``, ``seed`` or
    ``epoch`` that is no integer, ``DataError`` for one that is too small (1, 0, 0).

    >>> x, y = np.arange(5.0), np.arange(5)
    >>> [b.tolist() for _, b in batches(x, y, 2, shuffle=False, seed=0, epoch=0)]
    [[0, 1], [2, 3], [4]]
    >>> [b.tolist() for _, b in batches(x, y, 2, shuffle=True, seed=0, epoch=0)]
    [[3, 2], [1, 0], [4]]
    """
    size = _integer("batch_size", batch_size, minimum=1)
    seeds = [_integer("seed", seed, minimum=0), _integer("epoch", epoch, minimum=0)]
    if not x.ndim or not y.ndim or len(x) != len(y) or not len(x):
        raise ShapeError(
            f"batches: x has shape {x.shape} and y {y.shape},"
            " expected the same length of at least 1"
        )
    if drop_last and size > len(x):
        raise ShapeError(
            f"batches: batch_size is {size} with drop_last,"
            f" expected at most the {len(x)} examples: no batch would be left"
        )
    order = _permutation(len(x), seeds) if shuffle else None
    stop = len(x) - len(x) % size if drop_last else len(x)
    return _slices(x, y, order, size, stop)


def _slices(
    x: NDArray[X], y: NDArray[Y], order: NDArray[np.intp] | None, size: int, stop: int
) -> Iterator[tuple[NDArray[X], NDArray[Y]]]:
    for start in range(0, stop, size):
        window = slice(start, min(start + size, stop))
        pick = window if order is None else order[window]
        yield np.ascontiguousarray(x[pick]), np.ascontiguousarray(y[pick])


def _permutation(count: int, seeds: list[int]) -> NDArray[np.intp]:
    # NumPy promises the raw stream of a bit generator for ever, but not that of
    # Generator.permutation (NEP 19). Sorting random keys gives a uniform permutation.
    keys = np.random.PCG64(np.random.SeedSequence(seeds)).random_raw(count)
    return np.argsort(keys, kind="stable")


def _integer(name: str, value: int, minimum: int) -> int:
    try:
        number = operator.index(value)
    except TypeError as error:
        raise DTypeError(f"batches: {name} is {value!r}, expected an integer") from error
    if number < minimum:
        raise DataError(f"batches: {name} is {number}, expected at least {minimum}")
    return number
