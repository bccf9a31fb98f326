"""Rounds A B A B ..., and the statistics of their pairs."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping, Sequence

SLICE = 0.02  # seconds of one side in a round: many times the clock's resolution


def interleave(
    sides: Mapping[str, Callable[[], None]],
    rounds: int,
    slice_seconds: float = SLICE,
    clock: Callable[[], float] = time.perf_counter,
) -> dict[str, list[float]]:
    """Seconds of one run, for each side and round.

    In each round every side has its turn, in the order given: one run to fetch its data into the
    caches, which another side has just filled, then as many timed runs as take `slice_seconds`.
    """
    counts = {name: _count(run, slice_seconds, clock) for name, run in sides.items()}
    found: dict[str, list[float]] = {name: [] for name in sides}
    for _ in range(rounds):
        for name, run in sides.items():
            run()
            start = clock()
            for _ in range(counts[name]):
                run()
            found[name].append((clock() - start) / counts[name])
    return found


def median_ratio(above: Sequence[float], below: Sequence[float]) -> float:
    """The median of the pairs' ratios: a slow round changes neither side's standing.

    >>> median_ratio([2.0, 6.0, 50.0], [1.0, 2.0, 10.0])
    3.0
    """
    return statistics.median(a / b for a, b in zip(above, below, strict=True))


def fastest(seconds: Mapping[str, Sequence[float]]) -> str:
    """The side whose median is the smallest.

    >>> fastest({"a": [1.0, 9.0, 9.0], "b": [5.0, 5.0, 5.0]})
    'b'
    """
    return min(seconds, key=lambda name: statistics.median(seconds[name]))


def _count(run: Callable[[], None], slice_seconds: float, clock: Callable[[], float]) -> int:
    run()
    start = clock()
    run()
    return max(1, int(slice_seconds / max(clock() - start, 1e-7)))
