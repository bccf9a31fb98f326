"""Random numbers of the data pipeline: they depend on seed, epoch and position, on nothing else.

NumPy promises the raw stream of a bit generator for ever, but not that of its Generator's methods
(NEP 19), so only raw words are used.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray


def permutation(count: int, seeds: Sequence[int]) -> NDArray[np.intp]:
    """A uniform permutation of 0..count - 1: the order of random keys.

    >>> permutation(5, [0, 0]).tolist()
    [3, 2, 1, 0, 4]
    """
    return np.argsort(_words(count, seeds), kind="stable")


class Draws:
    """Numbers for `count` images, one for each in every call; the calls come in a fixed order.

    part: of which images the numbers are wanted; by default of all.

    >>> draws, second = Draws(3, [7, 1, 0]), Draws(3, [7, 1, 0], slice(1, 2))
    >>> numbers = draws.uniform()
    >>> bool((numbers < 1).all()), (second.uniform() == numbers[1]).tolist()
    (True, [True])
    """

    def __init__(self, count: int, seeds: Sequence[int], part: slice = slice(None)) -> None:
        self._count, self._seeds, self._part, self._calls = count, list(seeds), part, 0

    def uniform(self) -> NDArray[np.float64]:
        """Uniform in [0, 1), multiples of 2⁻⁵³."""
        return np.ldexp((self._next() >> np.uint64(11)).astype(np.float64), -53)

    def integers(self, end: int) -> NDArray[np.intp]:
        """Uniform in 0..end - 1, but for a part of end · 2⁻⁵³."""
        return (self.uniform() * end).astype(np.intp)

    def _next(self) -> NDArray[np.uint64]:
        self._calls += 1
        return _words(self._count, [*self._seeds, self._calls])[self._part]


def _words(count: int, seeds: Sequence[int]) -> NDArray[Any]:
    return np.random.PCG64(np.random.SeedSequence(list(seeds))).random_raw(count)
