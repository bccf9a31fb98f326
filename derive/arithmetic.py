"""The numbers that a definition is evaluated in: integers, floats, rationals, mpmath's reals.

The kind is read off the operands' arrays; see `numbers_of`. Every operation here takes and returns
NumPy arrays, for the exact kinds of dtype object.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from fractions import Fraction
from functools import reduce
from typing import Any

import numpy as np
import sympy as sp
from mpmath.ctx_mp import MPContext  # type: ignore[import-untyped]

from gradproof.derive.errors import DefinitionError

Array = np.ndarray[Any, Any]

HIGH = MPContext()  # a context of its own: other users of mpmath keep their precision
HIGH.dps = 60
FUNCTIONS = {sp.exp: "exp", sp.log: "log", sp.tanh: "tanh", sp.erf: "erf", sp.Abs: "fabs"}
LARGEST = 2**63 - 1


class Numbers:
    """float64, and the common ground of all kinds."""

    dtype: Any = np.float64

    def element(self, x: Any) -> Any:
        """One number of this kind, from an int, a float or a Fraction."""
        return float(x)

    def array(self, values: Any) -> Array:
        """An array of this kind, element by element."""
        given = np.asarray(values)
        if self.dtype is not object:
            return given.astype(self.dtype)
        out = np.empty(given.shape, object)
        for at in np.ndindex(given.shape):
            x = given[at]
            out[at] = self.element(x.item() if isinstance(x, np.generic) else x)
        return out

    def constant(self, p: int, q: int = 1) -> Array:
        """p/q, of shape (1,) so that it broadcasts and stays an array."""
        return self.array([Fraction(p, q)]) if self.dtype is object else np.array([p / q])

    def add(self, terms: Sequence[Array]) -> Array:
        """The sum of some arrays."""
        return reduce(np.add, terms)

    def multiply(self, factors: Sequence[Array]) -> Array:
        """The product of some arrays."""
        return reduce(np.multiply, factors)

    def power(self, base: Array, exponent: sp.Rational) -> Array:
        """base ** exponent; exact kinds raise where the result is not one of them."""
        with np.errstate(all="ignore"):
            return np.asarray(base ** float(exponent))

    def function(self, name: str, x: Array) -> Array:
        """exp, log, tanh, erf or fabs."""
        return self._map(getattr(math, name), x)

    def accumulate(self, into: Array, at: tuple[Array, ...], values: Array) -> None:
        """into[at] += values, where places repeat."""
        np.add.at(into, at, values)

    def zeros(self, shape: tuple[int, ...]) -> Array:
        """Zeros of this kind."""
        if self.dtype is not object:
            return np.zeros(shape, self.dtype)
        return np.full(shape, self.element(0), object)

    def lowest(self) -> Any:
        """The maximum of nothing."""
        return -math.inf

    def _map(self, f: Callable[[Any], Any], x: Array) -> Array:
        out = np.empty(x.shape, self.dtype)
        for at in np.ndindex(x.shape):
            out[at] = f(x[at])
        return out


class Integers(Numbers):
    """int64. A product or a sum that might not fit raises; so does a quotient."""

    dtype = np.int64

    def element(self, x: Any) -> int:
        """x itself. Errors: DefinitionError where it is no integer."""
        if x != int(x):
            raise DefinitionError(f"{x} is no integer; give the operands as fractions")
        return int(x)

    def constant(self, p: int, q: int = 1) -> Array:
        """p/q."""
        return np.array([self.element(Fraction(p, q))], np.int64)

    def multiply(self, factors: Sequence[Array]) -> Array:
        """The product of some arrays."""
        _fits(math.prod(map(_largest, factors)))
        return super().multiply(factors)

    def add(self, terms: Sequence[Array]) -> Array:
        """The sum of some arrays."""
        _fits(sum(map(_largest, terms)))
        return super().add(terms)

    def power(self, base: Array, exponent: sp.Rational) -> Array:
        """base ** exponent."""
        if not (exponent.is_Integer and exponent > 0):
            raise DefinitionError(f"power {exponent} of integers: give the operands as fractions")
        return self.multiply([base] * int(exponent))

    def function(self, name: str, x: Array) -> Array:
        """exp, log, tanh, erf or fabs."""
        if name != "fabs":
            raise DefinitionError(f"{name} of integers: give the operands as mpmath numbers")
        return np.abs(x)

    def accumulate(self, into: Array, at: tuple[Array, ...], values: Array) -> None:
        """into[at] += values, where places repeat."""
        _fits(_largest(into) + _largest(values) * values.size)
        super().accumulate(into, at, values)

    def lowest(self) -> Any:
        """The maximum of nothing."""
        raise DefinitionError("a maximum over nothing has no integer value")


class Fractions(Numbers):
    """Rationals, exact; a square root must be rational too."""

    dtype = object

    def element(self, x: Any) -> Any:
        """One number of this kind."""
        return Fraction(x)

    def power(self, base: Array, exponent: sp.Rational) -> Array:
        """base ** exponent."""
        if exponent.q not in (1, 2):
            raise DefinitionError(f"power {exponent} of fractions")
        root = base if exponent.q == 1 else self._map(_exact_root, base)
        return self._map(lambda x: x ** int(exponent.p), root)

    def function(self, name: str, x: Array) -> Array:
        """exp, log, tanh, erf or fabs."""
        if name != "fabs":
            raise DefinitionError(f"{name} of fractions: give the operands as mpmath numbers")
        return self._map(abs, x)

    def lowest(self) -> Any:
        """The maximum of nothing."""
        raise DefinitionError("a maximum over nothing is no fraction")


class HighPrecision(Numbers):
    """mpmath reals of 60 digits."""

    dtype = object

    def element(self, x: Any) -> Any:
        """One number of this kind."""
        return HIGH.mpf(x.numerator) / x.denominator if isinstance(x, Fraction) else HIGH.mpf(x)

    def power(self, base: Array, exponent: sp.Rational) -> Array:
        """base ** exponent."""
        power = self.element(Fraction(int(exponent.p), int(exponent.q)))
        return self._map(lambda x: x**power, base)

    def function(self, name: str, x: Array) -> Array:
        """exp, log, tanh, erf or fabs."""
        return self._map(getattr(HIGH, name), x)

    def lowest(self) -> Any:
        """The maximum of nothing."""
        return HIGH.mpf("-inf")


def numbers_of(arrays: Iterable[Array]) -> Numbers:
    """The kind that holds all of `arrays`: objects before floats before integers.

    An element of a kind of its own, such as `Bounded`, has a method `numbers` that says which.

    >>> type(numbers_of([np.array([1, 2])])).__name__
    'Integers'
    """
    floats = False
    for a in arrays:
        if a.dtype == object and a.size:
            first = a.reshape(-1)[0]
            if hasattr(first, "numbers"):
                kind: Numbers = first.numbers()
                return kind
            return Fractions() if isinstance(first, Fraction) else HighPrecision()
        floats |= a.dtype.kind == "f"
    return Numbers() if floats else Integers()


def _largest(a: Array) -> int:
    return max(abs(int(a.max())), abs(int(a.min()))) if a.size else 0


def _fits(bound: int) -> None:
    if bound > LARGEST:
        raise DefinitionError("64-bit integers might overflow; give the operands as fractions")


def _exact_root(x: Fraction) -> Fraction:
    p, q = math.isqrt(x.numerator), math.isqrt(x.denominator)
    if (p * p, q * q) != (x.numerator, x.denominator):
        raise DefinitionError(f"the square root of {x} is not rational; use mpmath numbers")
    return Fraction(p, q)
