"""Mini-batches of one epoch, in an order that seed and epoch alone decide; read ahead if wanted."""

from __future__ import annotations

import operator
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from gradproof.runtime.data.draws import Draws, permutation
from gradproof.runtime.data.source import ImageSource
from gradproof.runtime.data.transforms import Transform
from gradproof.runtime.errors import DataError, DTypeError, ShapeError

Y = TypeVar("Y", bound=np.generic)


def batches(
    x: NDArray[Any] | ImageSource,
    y: NDArray[Y],
    batch_size: int,
    *,
    shuffle: bool,
    seed: int,
    epoch: int,
    drop_last: bool = False,
) -> Iterator[tuple[NDArray[Any], NDArray[Y]]]:
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
    loader = DataLoader(
        x, y, batch_size, shuffle=shuffle, seed=seed, drop_last=drop_last, prefetch=0
    )
    return loader.epoch(epoch)


def batch_count(images: int, batch_size: int, drop_last: bool = False) -> int:
    """How many batches an epoch of so many images has.

    >>> batch_count(10, 4), batch_count(10, 4, drop_last=True)
    (3, 2)
    """
    whole, rest = divmod(images, batch_size)
    return whole + bool(rest and not drop_last)


def _check(
    x: NDArray[Any] | ImageSource, y: NDArray[Any], batch_size: int, drop_last: bool
) -> None:
    """Errors: ShapeError as `batches`."""
    if not x.ndim or not y.ndim or len(x) != len(y) or not len(x):
        raise ShapeError(
            f"batches: x has shape {x.shape} and y {y.shape},"
            " expected the same length of at least 1"
        )
    if drop_last and batch_size > len(x):
        raise ShapeError(
            f"batches: batch_size is {batch_size} with drop_last,"
            f" expected at most the {len(x)} examples: no batch would be left"
        )


class DataLoader:
    """The batches of every epoch, made in a thread of their own while the last ones are used.

    images: (N, C, H, W), an array or what can be indexed as one (`MemoryMap`, `ImageFolder`);
    labels: (N,). transform: of each batch, see `gradproof.data.transforms`; what it draws depends
    on seed, epoch and the number of the batch. prefetch: batches made ahead, 0 for none. shard:
    (r, R), the part of each batch that is this one's of R: every R-th image from the r-th on. So
    all shards together see what one would, whatever R is. PyTorch: torch.utils.data.DataLoader.

    Errors: as `batches`, at once; DataError for a shard outside 0..R - 1 or a prefetch below 0.

    >>> loader = DataLoader(np.zeros((5, 1, 2, 2), np.float32), np.arange(5), 2, shuffle=True)
    >>> len(loader), [labels.tolist() for _, labels in loader.epoch(0)]
    (3, [[3, 2], [1, 0], [4]])
    >>> [labels.tolist() for _, labels in loader.epoch(0, start=1)]
    [[1, 0], [4]]
    """

    def __init__(
        self,
        images: NDArray[Any] | ImageSource,
        labels: NDArray[Any],
        batch_size: int = 1,
        *,
        shuffle: bool = False,
        seed: int = 0,
        drop_last: bool = False,
        transform: Transform | None = None,
        prefetch: int = 2,
        shard: tuple[int, int] = (0, 1),
    ) -> None:
        self.batch_size = _integer("batch_size", batch_size, minimum=1)
        self.seed = _integer("seed", seed, minimum=0)
        _check(images, labels, self.batch_size, drop_last)
        self.images, self.labels = images, labels
        self.shuffle, self.drop_last = shuffle, drop_last
        self.transform, self.prefetch = transform, _integer("prefetch", prefetch, minimum=0)
        self.rank, self.ranks = shard
        if not 0 <= self.rank < self.ranks:
            raise DataError(f"DataLoader: shard {shard}, expected (r, R) with 0 <= r < R")

    def __len__(self) -> int:
        """Batches of an epoch."""
        return batch_count(len(self.images), self.batch_size, self.drop_last)

    def epoch(self, epoch: int, start: int = 0) -> Iterator[tuple[NDArray[Any], NDArray[Any]]]:
        """The batches of an epoch from number `start` on, counted from 0.

        What goes wrong while a batch is made is raised in its turn.
        """
        seeds = [self.seed, _integer("epoch", epoch, minimum=0)]
        order = permutation(len(self.images), seeds) if self.shuffle else None
        numbers = range(_integer("start", start, minimum=0), len(self))

        def make(number: int) -> tuple[NDArray[Any], NDArray[Any]]:
            return self._batch(order, [*seeds, number], number * self.batch_size)

        return _ahead(make, numbers, self.prefetch) if self.prefetch else map(make, numbers)

    def _batch(
        self, order: NDArray[np.intp] | None, seeds: list[int], first: int
    ) -> tuple[NDArray[Any], NDArray[Any]]:
        mine = slice(first + self.rank, first + self.batch_size, self.ranks)
        pick = mine if order is None else order[mine]
        images, labels = self.images[pick], np.ascontiguousarray(self.labels[pick])
        if self.transform is not None:
            whole = min(self.batch_size, len(self.images) - first)
            images = self.transform(images, Draws(whole, seeds, slice(self.rank, None, self.ranks)))
        return np.ascontiguousarray(images), labels


T = TypeVar("T")


def _ahead(make: Callable[[int], T], numbers: range, ahead: int) -> Iterator[T]:
    """make(n) of each number in order, up to `ahead` of them begun before they are asked for."""
    pool = ThreadPoolExecutor(1, thread_name_prefix="gradproof-loader")
    waiting: deque[Future[T]] = deque()
    try:
        for number in numbers:
            waiting.append(pool.submit(make, number))
            if len(waiting) > ahead:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _integer(name: str, value: int, minimum: int) -> int:
    try:
        number = operator.index(value)
    except TypeError as error:
        raise DTypeError(f"batches: {name} is {value!r}, expected an integer") from error
    if number < minimum:
        raise DataError(f"batches: {name} is {number}, expected at least {minimum}")
    return number
