"""Rounding: a number together with a bound for what a kernel may make of it.

Every operation bounds the error of its result from the errors of its operands and the accuracy
that OpenCL C 1.2 (section 7.4, relative error as ULPs) promises of the operation itself:

    product     |fl(ab) - ab|  <= (|a| + ea)(|b| + eb)(1 + u) - |a||b|
    sum         |fl(sum) - sum| <= sum of e + gamma_(n-1) * sum of (|a| + e), in any order,
                gamma_n = n u / (1 - n u)      (Higham, Accuracy and Stability, chapters 3 and 4)

with u = 2^-24 or 2^-53, and one ulp of x at most 2u|x|. A contraction to a fused multiply-add only
leaves roundings out. `tiny` allows for numbers below the normal range being flushed to 0.
So the tolerance of a comparison is computed from the definition and the data, never picked.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

import numpy as np
import sympy as sp

from gradproof.derive.arithmetic import HIGH, Array, HighPrecision, Numbers
from gradproof.derive.errors import DefinitionError

GUARD = 1 + 2.0**-40  # the bounds themselves are computed in float64


@dataclass(frozen=True)
class Format:
    """A kernel's REAL: unit roundoff, least normal number, and the ULPs of its functions."""

    name: str
    unit: float
    tiny: float
    ulps: Mapping[str, float] = field(hash=False)


SINGLE = Format(
    "float32",
    2.0**-24,
    2.0**-126,
    {"division": 2.5, "sqrt": 3, "exp": 3, "log": 3, "tanh": 5, "erf": 16, "pow": 16},
)
DOUBLE = Format(
    "float64",
    2.0**-53,
    2.0**-1022,
    {"division": 0.5, "sqrt": 0.5, "exp": 3, "log": 3, "tanh": 5, "erf": 16, "pow": 16},
)
FORMATS = {f.name: f for f in (SINGLE, DOUBLE)}


@dataclass(frozen=True, eq=False)
class Bounded:
    """An exact value (mpmath) and a bound for |computed - value|."""

    value: Any
    error: float
    format: Format

    def numbers(self) -> Bounds:
        """The arithmetic of such numbers."""
        return Bounds(self.format)

    def _compare(self, other: Bounded) -> Any:
        """The exact difference. Errors: DefinitionError where rounding could change its sign."""
        difference = self.value - other.value
        margin = self.error + other.error
        if margin and abs(difference) <= margin:
            raise DefinitionError("a comparison of two numbers closer than their rounding errors")
        return difference

    def __gt__(self, other: Bounded) -> bool:
        return bool(self._compare(other) > 0)

    def __ge__(self, other: Bounded) -> bool:
        return bool(self._compare(other) >= 0)

    def __lt__(self, other: Bounded) -> bool:
        return bool(self._compare(other) < 0)

    def __le__(self, other: Bounded) -> bool:
        return bool(self._compare(other) <= 0)

    def __ne__(self, other: object) -> bool:
        return not self == other

    def __eq__(self, other: object) -> bool:
        if self is other:  # `v != v` asks whether v is NaN: here, no rounding can change the answer
            return True
        return isinstance(other, Bounded) and bool(self._compare(other) == 0)

    __hash__ = None  # type: ignore[assignment]


class Bounds(Numbers):
    """Arithmetic on `Bounded` numbers of one format."""

    dtype = object

    def __init__(self, format: Format) -> None:
        self.format = format

    def element(self, x: Any) -> Bounded:
        """x: integers are converted, one 18 digits after the other; a fraction is divided out."""
        if isinstance(x, Bounded):
            return x
        value = HighPrecision().element(x)
        if not isinstance(x, Fraction) or _dyadic(x):
            n = _numerator(x)
            wide = self._whole(HIGH.mpf(n)) / n if n * self.format.unit > 1 else 0.0
            return Bounded(value, float(abs(value)) * wide, self.format)
        parts = [HIGH.mpf(n) for n in (abs(x.numerator), x.denominator) if n * self.format.unit > 1]
        converted = sum(self._whole(n) / float(n) for n in parts)
        error = self._relative(abs(value), "division") + float(abs(value)) * converted
        return Bounded(value, error * GUARD, self.format)

    def _whole(self, n: Any) -> float:
        """The error of a natural number: a conversion, a product and a sum for 18 digits each."""
        steps = 1 + 4 * (len(str(int(n))) // 18)
        return steps * self.format.unit * float(n) * GUARD

    def add(self, terms: Sequence[Array]) -> Array:
        """The sum of some arrays."""
        stacked = np.stack(np.broadcast_arrays(*terms))
        flat = stacked.reshape(len(terms), -1).T
        out = np.empty(len(flat), object)
        for k, row in enumerate(flat):
            out[k] = self.total(list(row))
        return out.reshape(stacked.shape[1:])

    def multiply(self, factors: Sequence[Array]) -> Array:
        """The product of some arrays."""
        grids = np.broadcast_arrays(*factors)
        out = np.empty(grids[0].shape, object)
        for at in np.ndindex(out.shape):
            factors_here: list[Any] = [g[at] for g in grids]
            out[at] = self._product(factors_here)
        return out

    def total(self, terms: Sequence[Bounded]) -> Bounded:
        """The sum of some numbers, added in any order."""
        value = sum((t.value for t in terms), HIGH.mpf(0))
        errors = sum(t.error for t in terms)
        if len(terms) < 2:
            return Bounded(value, errors, self.format)
        size = sum(float(abs(t.value)) for t in terms) + errors
        n = (len(terms) - 1) * self.format.unit
        return Bounded(value, (errors + n / (1 - n) * size) * GUARD, self.format)

    def accumulate(self, into: Array, at: tuple[Array, ...], values: Array) -> None:
        """into[at] += values, where places repeat."""
        terms: dict[int, list[Bounded]] = {}
        for p, value in zip(at[0].tolist(), values, strict=True):
            terms.setdefault(p, []).append(value)
        for p, found in terms.items():
            into[p] = self.total(found)  # the first addition is to 0 and rounds nothing

    def power(self, base: Array, exponent: sp.Rational) -> Array:
        """base ** exponent."""
        return self._map(lambda x: self._power(x, exponent), base)

    def function(self, name: str, x: Array) -> Array:
        """exp, log, tanh, erf or fabs."""
        if name == "fabs":
            return self._map(lambda b: Bounded(abs(b.value), b.error, self.format), x)
        f = getattr(HIGH, name)
        return self._map(lambda b: self._monotone(f, b, name), x)

    def lowest(self) -> Bounded:
        """The maximum of nothing."""
        return Bounded(HIGH.mpf("-inf"), 0.0, self.format)

    def _product(self, factors: Sequence[Bounded]) -> Bounded:
        """The product of some numbers; a factor of 1 or -1 rounds nothing."""
        value, largest, roundings = HIGH.mpf(1), HIGH.mpf(1), -1
        for f in factors:
            value, largest = value * f.value, largest * (abs(f.value) + f.error)
            roundings += f.error > 0 or abs(f.value) != 1
        if roundings < 1:
            return Bounded(value, float(largest - abs(value)) * GUARD, self.format)
        grown = largest * (1 + HIGH.mpf(self.format.unit)) ** roundings
        error = float(grown - abs(value)) * GUARD + self.format.tiny * roundings
        return Bounded(value, error, self.format)

    def _power(self, x: Bounded, exponent: sp.Rational) -> Bounded:
        """As the kernels compute it: factors, square roots, and one division."""
        whole, rest = divmod(abs(exponent), 1)
        if rest not in (0, sp.Rational(1, 2)):
            raise DefinitionError(f"no rounding bound for power {exponent}")
        roots = [self._monotone(HIGH.sqrt, x, "sqrt")] if rest else []
        product = self._product([x] * int(whole) + roots)
        if exponent > 0:
            return product
        return self._monotone(lambda v: 1 / v, product, "division")

    def _monotone(self, f: Any, x: Bounded, operation: str) -> Bounded:
        """A function that is monotone between x - error and x + error."""
        low, high = x.value - x.error, x.value + x.error
        if operation == "sqrt" and low < 0:
            raise DefinitionError(f"the square root of {x.value}, negative within its error")
        if (operation == "division" and low <= 0 <= high) or (operation == "log" and low <= 0):
            raise DefinitionError(f"{operation} of a number that is 0 within its rounding error")
        value, ends = f(x.value), (f(low), f(high))
        spread = max(abs(end - value) for end in ends)
        error = float(spread) + self._relative(max(map(abs, ends)), operation)
        return Bounded(value, error * GUARD, self.format)

    def _relative(self, largest: Any, operation: str) -> float:
        ulps = self.format.ulps[operation]
        return 2 * ulps * self.format.unit * float(largest) + self.format.tiny


def _numerator(x: Any) -> int:
    """What is converted of an integer or a dyadic fraction; 0 for a float, held as it is."""
    if isinstance(x, Fraction):
        return abs(x.numerator)
    return abs(int(x)) if isinstance(x, int | np.integer) else 0


def _dyadic(x: Fraction) -> bool:
    return x.denominator & (x.denominator - 1) == 0
