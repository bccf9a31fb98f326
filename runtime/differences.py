"""Derivatives from values alone, with an estimate of their error that is measured, not assumed.

A function phi of one number is sampled at -h, 0, h for steps h that shrink by STEP_RATIO. Central
differences have the error c2*h**2 + c4*h**4 + ..., which Richardson's extrapolation removes term by
term; how far successive extrapolations lie apart says how far they are from the limit (Ridders,
Advances in Engineering Software 4, 1982). To this comes what rounding of phi adds to a difference.
How much phi rounds is measured too, from high differences of close values (More and Wild,
Estimating Computational Noise, SIAM J. Sci. Comput. 33, 2011).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise

STEP_RATIO = 4
LEVELS = 8
FIRST_STEP = 2.0**-6
NOISE_POINTS = 8
NOISE_STEP = 2.0**-40
DEVIATIONS = 8  # standard deviations of the noise that a value is taken to be off at most
UNIT = 2.0**-53


@dataclass(frozen=True)
class Slope:
    """A derivative at 0: its value and an estimate of its error; one-sided ones beside it.

    `truncation`: the part of `error` that is not rounding. `beside`: how steep phi certainly is
    within the steps, the largest |phi(h) - phi(0)| / |h| less what rounding may add to it.
    """

    value: float
    error: float
    truncation: float
    left: float
    right: float
    kink: bool
    beside: float

    @property
    def finite(self) -> bool:
        """Whether nothing overflowed on the way."""
        return all(map(math.isfinite, (self.value, self.error, self.left, self.right)))


@dataclass(frozen=True)
class _Estimate:
    value: float
    truncation: float
    rounding: float

    @property
    def error(self) -> float:
        return self.truncation + self.rounding


def slope(phi: Callable[[float], float], noise: float) -> Slope | None:
    """The derivative of phi at 0; None where phi has too few finite values beside 0.

    noise: how far a value of phi may be off by rounding. The steps are parts of 1.

    >>> found = slope(math.exp, noise=1e-16)
    >>> abs(found.value - 1) <= found.error < 1e-10
    True
    >>> slope(abs, noise=1e-16).kink
    True
    """
    middle = phi(0.0)
    steps = [FIRST_STEP / STEP_RATIO**k for k in range(LEVELS)]
    ends = [(h, phi(-h), phi(h)) for h in steps]
    ends = [e for e in ends if math.isfinite(e[1]) and math.isfinite(e[2])]
    if not math.isfinite(middle) or len(ends) < 3:
        return None
    steps = [h for h, _, _ in ends]
    central = _extrapolate([(b - a) / (2 * h) for h, a, b in ends], steps, 2, noise)
    left = _extrapolate([(middle - a) / h for h, a, _ in ends], steps, 1, 2 * noise)
    right = _extrapolate([(b - middle) / h for h, _, b in ends], steps, 1, 2 * noise)
    kink = abs(left.value - right.value) > left.error + right.error
    rises = [(abs(z - middle) - 2 * noise) / h for h, a, b in ends for z in (a, b)]
    return Slope(
        central.value, central.error, central.truncation, left.value, right.value, kink,
        max(0.0, *rises),
    )  # fmt: skip


def _extrapolate(
    quotients: Sequence[float], steps: Sequence[float], order: int, noise: float
) -> _Estimate:
    """Richardson's table over difference quotients whose error is a series in h**order.

    T[k][j] = T[k][j-1] + (T[k][j-1] - T[k-1][j-1]) / (r - 1), r = STEP_RATIO**(order*j). The entry
    with the least error is taken, where its error is its largest distance from the three entries
    that it was made of or refines, and what `noise` may amount to in it.
    """
    best: _Estimate | None = None
    row: list[tuple[float, float]] = []  # value, rounding
    for k, quotient in enumerate(quotients):
        before, row = row, [(quotient, noise / steps[k])]
        for j in range(1, k + 1):
            r = float(STEP_RATIO ** (order * j))
            (fine, doubt), (coarse, other) = row[j - 1], before[j - 1]
            value = fine + (fine - coarse) / (r - 1)
            row.append((value, (r * doubt + other) / (r - 1)))
            near = [fine, coarse, *([before[j][0]] if j < len(before) else [])]
            found = _Estimate(value, max(abs(value - x) for x in near), row[j][1])
            if best is None or found.error < best.error:
                best = found
    assert best is not None
    return best


def measure_noise(phi: Callable[[float], float]) -> float:
    """How far rounding may move a value of phi near 0: DEVIATIONS times its standard deviation.

    The k-th difference of values with independent errors of variance s**2 has the variance
    s**2 * (2k)!/(k!)**2, while that of a smooth function at such close points vanishes.

    >>> measure_noise(lambda t: 1.0)
    0.0
    """
    start = -NOISE_STEP * (NOISE_POINTS // 2)
    values = [phi(start + NOISE_STEP * k) for k in range(NOISE_POINTS + 1)]
    if not all(map(math.isfinite, values)):
        return 0.0
    found = []
    for k in range(1, NOISE_POINTS - 1):
        values = [b - a for a, b in pairwise(values)]
        if k > 2:  # the lowest differences still hold the slope of the function itself
            gamma = math.factorial(k) ** 2 / math.factorial(2 * k)
            # hypot: the squares themselves may overflow or vanish
            found.append(math.sqrt(gamma / len(values)) * math.hypot(*values))
    return DEVIATIONS * max(found)


def exact_sum(terms: Sequence[float]) -> float:
    """The sum, rounded once; not a number where it or a term is not finite.

    >>> exact_sum([1e16, 1.0, -1e16]), exact_sum([1e308, 1e308])
    (1.0, nan)
    """
    try:
        total = math.fsum(terms)
    except (OverflowError, ValueError):
        return math.nan
    return total if math.isfinite(total) else math.nan
