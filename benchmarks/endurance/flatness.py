"""Whether what was sampled during a long run grows: one rule, without a tolerance.

The first quarter of the launches is warm-up: programs are built, caches fill. The rest is cut into
`BLOCKS` parts of equally many samples, and each part's smallest value stands for it, since what
comes and goes is no leak. Through these goes the Theil-Sen line: its slope is the median of the
slopes of all pairs. The confidence interval is that of Sen (Journal of the American Statistical
Association 63, 1968): the slopes whose ranks are C / 2 from the middle, with C the quantile of
Kendall's statistic. A quantity grows where the whole interval is above zero. A step that happens
once does not make it so, since most pairs lie on one side of it; what is lost again and again does,
however little it is.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations, pairwise
from statistics import NormalDist, median

BLOCKS = 20
WARM_UP = 0.25
LEVEL = 0.99
PER = 10_000  # launches


@dataclass(frozen=True)
class Trend:
    """Growth for each 10,000 launches: the slope, and the ends of its confidence interval."""

    slope: float
    low: float
    high: float

    @property
    def grows(self) -> bool:
        """Whether the whole interval is above zero."""
        return self.low > 0


def trend(launches: Sequence[int], values: Sequence[float]) -> Trend:
    """The trend after the warm-up.

    launches: at each sample, rising; values: as many. Errors: ValueError for too few samples.

    >>> n = range(0, 120_000, 1000)
    >>> trend(n, [max(k, 30_000) * 2 for k in n])
    Trend(slope=20000.0, low=20000.0, high=20000.0)
    >>> trend(n, [5 + (k > 70_000) for k in n]).grows
    False
    """
    start = launches[-1] * WARM_UP if launches else 0
    after = [(n, v) for n, v in zip(launches, values, strict=True) if n >= start]
    if len(after) < BLOCKS:
        raise ValueError(f"{len(after)} samples after the warm-up, expected at least {BLOCKS}")
    cuts = [len(after) * k // BLOCKS for k in range(BLOCKS + 1)]
    blocks = [after[a:b] for a, b in pairwise(cuts)]
    points = [min(block, key=lambda sample: sample[1]) for block in blocks]
    slopes = sorted((w - v) / (m - n) * PER for (n, v), (m, w) in combinations(points, 2))
    within = NormalDist().inv_cdf((1 + LEVEL) / 2)
    c = within * math.sqrt(BLOCKS * (BLOCKS - 1) * (2 * BLOCKS + 5) / 18)
    outside = math.floor((len(slopes) - c) / 2)
    return Trend(median(slopes), slopes[outside], slopes[-1 - outside])
