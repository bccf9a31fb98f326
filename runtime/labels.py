"""What is known of the integers in a tensor, and what its uses as labels allow.

Labels are checked when they are written and when they are used, not while kernels run: a kernel
addresses memory by them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from gradproof.runtime.errors import DataError, DTypeError


@dataclass(frozen=True)
class Extremes:
    """The two smallest and the two largest different integers of an array, in order.

    They tell whether all integers but one given lie in a range.

    >>> Extremes.of(np.array([3, -100, 0, 3, 2]))
    Extremes(low=-100, second=0, last_but_one=2, high=3)
    """

    low: int
    second: int
    last_but_one: int
    high: int

    @classmethod
    def of(cls, array: np.ndarray[Any, Any]) -> Extremes | None:
        """Of an array of integers; None where it is empty."""
        if not array.size:
            return None
        low, high = int(array.min()), int(array.max())
        above, below = array[array != low], array[array != high]
        second = int(above.min()) if above.size else low
        return cls(low, second, int(below.max()) if below.size else high, high)

    @classmethod
    def below(cls, limit: int) -> Extremes:
        """Of integers that may be all from 0 to limit - 1.

        >>> Extremes.below(10)
        Extremes(low=0, second=1, last_but_one=8, high=9)
        """
        return cls(0, min(1, limit - 1), max(limit - 2, 0), limit - 1)

    def outside(self, limit: int, allowed: int | None) -> int | None:
        """An integer beyond 0..limit-1 that is not `allowed`, if there is one.

        >>> Extremes(-100, 0, 2, 3).outside(4, -100), Extremes(-100, 0, 2, 3).outside(4, None)
        (None, -100)
        """
        for extreme, next_to_it in ((self.low, self.second), (self.high, self.last_but_one)):
            value = next_to_it if extreme == allowed else extreme
            if not 0 <= value < limit and value != allowed:
                return value
        return None


@dataclass(frozen=True)
class Use:
    """A use as labels 0..limit-1, or `allowed`; `label` names who uses them."""

    limit: int
    allowed: int | None
    label: str

    def check(self, values: Extremes | None) -> None:
        """Errors: DataError names the use, the label and what is expected."""
        wrong = values.outside(self.limit, self.allowed) if values else None
        if wrong is not None:
            also = "" if self.allowed is None else f", or {self.allowed} (ignore_index)"
            raise DataError(
                f"{self.label}: label {wrong} is out of range, expected 0 to {self.limit - 1}{also}"
            )


class Limits:
    """Every use of a tensor as labels. All of them count: a recorded step is replayed with all."""

    def __init__(self) -> None:
        self._strictest: dict[int | None, Use] = {}  # by the label that it allows

    def add(self, use: Use) -> None:
        """From now on this use counts too."""
        before = self._strictest.get(use.allowed)
        if before is None or use.limit < before.limit:
            self._strictest[use.allowed] = use

    def check(self, values: Extremes | None) -> None:
        """Errors: DataError where one of the uses does not go with these labels."""
        for use in self._strictest.values():
            use.check(values)


def int32_extremes(label: str, array: np.ndarray[Any, Any]) -> Extremes | None:
    """The extremes of integers. Errors: DTypeError where 32 bits do not hold them.

    >>> int32_extremes("tensor", np.array([2**31]))
    Traceback (most recent call last):
    gradproof.runtime.errors.DTypeError: tensor: values 2147483648 to 2147483648 do not fit 32 bits
    """
    found = Extremes.of(array)
    if found is not None and not -(2**31) <= found.low <= found.high < 2**31:
        raise DTypeError(f"{label}: values {found.low} to {found.high} do not fit 32 bits")
    return found
