"""Winograd's minimal filtering F(m, r): m outputs of an r-tap correlation in m + r - 1 products.

For out[o] = Σ_i w[i] y[o+i], 0 <= o < m, 0 <= i < r, with n = m + r - 1 products and entries of y,

    out = Aᵀ[(G w) ⊙ (Bᵀ y)],    A: n × m,  G: n × r,  B: n × n,

with the letters of Lavin & Gray, "Fast Algorithms for Convolutional Neural Networks" (CVPR 2016).
Comparing the coefficients of w[i]*y[x] on both sides, this holds for all w and y if and only if

    Σ_p A[p][o] G[p][i] B[x][p] = [x = o + i]    for all o, i, x,                             (*)

finitely many sums of rationals, which `identity` forms exactly. Nothing in (*) says which of o, i
and x is the output, so it proves the transposed forms for the gradients too:

    dy = B[(G w) ⊙ (A g)]      is  dy[x] = Σ_{o+i=x} w[i] g[o],       and
    dw = Gᵀ[(A g) ⊙ (Bᵀ y)]    is  dw[i] = Σ_o g[o] y[o+i].

In d dimensions the matrices are Kronecker products, one factor per axis, and the left side of (*)
is the product of the axes' left sides: it is 1 exactly where x = o + i on every axis.

`winograd_forms` has these forms as functions, on a tile and on signals; `winograd_error` bounds the
floating-point error and ranks points by the bound.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from itertools import product
from numbers import Rational
from typing import Any, Final, Literal

from gradproof.derive.errors import DefinitionError

INFINITY: Final = "infinity"
"""The point where a polynomial's value is its leading coefficient."""

Point = Fraction | Literal["infinity"]
Matrix = tuple[tuple[Fraction, ...], ...]

# 0, 1, -1, then a, -1/a, -a, 1/a: chosen with `winograd_error.rank` among small rationals, as
# Barabasz et al. choose theirs by measurement ("Error Analysis and Improving the Accuracy of
# Winograd Convolution for Deep Neural Networks", 2018). Dyadic, so that A is exact in binary.
_HALF, _FOURTH = Fraction(1, 2), Fraction(1, 4)
_SEQUENCE = (0, 1, -1, 2, -_HALF, -2, _HALF, 4, -_FOURTH, -4, _FOURTH)
_FOUR = (0, -1, 2, _HALF)  # for F(3, 3) a third less error than 0, 1, -1, 2

RECORDED: Final = (
    *((2, 3), (4, 3), (6, 3), (2, 5), (4, 5)),  # outputs and input gradients of 3 and 5 taps
    *((3, 2), (3, 4), (3, 6), (5, 2), (5, 4)),  # weight gradients of 3 and 5 taps
)
"""The (m, r) whose transforms are kept with the generated kernels."""


@dataclass(frozen=True)
class Transform:
    """F(m, r) from `points`: A is n × m, G is n × r, B is n × n, with row p of A and G and column
    p of B (row p of Bᵀ) for product p; n = m + r - 1."""

    m: int
    r: int
    points: tuple[Point, ...]
    A: Matrix
    G: Matrix
    B: Matrix

    @property
    def n(self) -> int:
        """The number of products, and of entries of y that a tile reads."""
        return self.m + self.r - 1

    @property
    def name(self) -> str:
        """F(m, r), as in the literature."""
        return f"F({self.m}, {self.r})"


# -- construction ------------------------------------------------------------------------------
def default_points(n: int) -> tuple[Point, ...]:
    """n - 1 finite points of small error, and infinity.

    Errors: DefinitionError below 1, and above 12, where points have to be given.

    >>> [str(p) for p in default_points(6)]
    ['0', '1', '-1', '2', '-1/2', 'infinity']
    """
    if not 1 <= n <= len(_SEQUENCE) + 1:
        raise DefinitionError(
            f"points: there are default points for 1 to {len(_SEQUENCE) + 1} products, not {n}"
        )
    finite = _FOUR if n == 5 else _SEQUENCE[: n - 1]
    return (*(Fraction(p) for p in finite), INFINITY)


def cook_toom(m: int, r: int, points: Sequence[Rational | str] | None = None) -> Transform:
    """F(m, r) by Cook–Toom: evaluate, multiply, interpolate; then transpose.

    points: n = m + r - 1 distinct exact rationals, one of which may be INFINITY (the "modified"
    algorithm, of smaller error); by default `default_points(n)`.

    The product of polynomials with coefficients f[o] and w[i] has the values (A f) ⊙ (G w), where
    row p of A and G holds the powers of point p, or ends in 1 at infinity. n values determine its
    n coefficients Σ_{o+i=x} f[o] w[i]; B is that interpolation. This is the transposed form of (*).
    Errors: DefinitionError for m or r below 1 and for points that are too few, too many, repeated
    or not exact rationals.

    >>> t = cook_toom(2, 2, [0, 1, INFINITY])
    >>> [[int(v) for v in row] for row in t.B]
    [[1, 0, 0], [-1, 1, -1], [0, 0, 1]]
    """
    for letter, size in (("m", m), ("r", r)):
        if not isinstance(size, int) or isinstance(size, bool) or size < 1:
            raise DefinitionError(f"{letter} is {size!r}, and has to be an integer of at least 1")
    n = m + r - 1
    given = default_points(n) if points is None else _points(points, m, r)
    finite = [p for p in given if not isinstance(p, str)]
    columns = [_interpolant(p, finite, n) for p in given]
    return Transform(
        m,
        r,
        given,
        tuple(_evaluation(p, m) for p in given),
        tuple(_evaluation(p, r) for p in given),
        tuple(zip(*columns, strict=True)),
    )


def scaled(t: Transform) -> Transform:
    """The same algorithm with column p of B made of coprime integers, and row p of G divided by
    the factor: the data transform is then exact in small integers.

    >>> t = scaled(cook_toom(2, 3))
    >>> [[int(v) for v in row] for row in zip(*t.B)]
    [[1, 0, -1, 0], [0, 1, 1, 0], [0, -1, 1, 0], [0, -1, 0, 1]]
    >>> [[str(v) for v in row] for row in t.G]
    [['1', '0', '0'], ['1/2', '1/2', '1/2'], ['1/2', '-1/2', '1/2'], ['0', '0', '1']]
    """
    columns = list(zip(*t.B, strict=True))
    factors = [
        Fraction(math.lcm(*(v.denominator for v in c)), math.gcd(*(v.numerator for v in c)))
        for c in columns
    ]
    return replace(
        t,
        G=tuple(tuple(v / f for v in row) for row, f in zip(t.G, factors, strict=True)),
        B=tuple(tuple(v * f for v, f in zip(row, factors, strict=True)) for row in t.B),
    )


def _points(points: Sequence[Rational | str], m: int, r: int) -> tuple[Point, ...]:
    """The points as Fractions, refused unless n distinct ones."""
    exact: list[Point] = []
    for p in points:
        if isinstance(p, str) and p == INFINITY:
            exact.append(INFINITY)
        elif isinstance(p, Rational) and not isinstance(p, bool):
            exact.append(Fraction(int(p.numerator), int(p.denominator)))
        else:
            raise DefinitionError(
                f"points: {p!r} is a {type(p).__name__}; give exact rationals (int or Fraction) "
                f"or {INFINITY!r}"
            )
    repeated = sorted({str(p) for p in exact if exact.count(p) > 1})
    if repeated:
        raise DefinitionError(f"points: {', '.join(repeated)} repeated; they have to be distinct")
    if len(exact) != m + r - 1:
        raise DefinitionError(
            f"points: {len(exact)} given, and F({m}, {r}) takes {m + r - 1}, infinity included"
        )
    return tuple(exact)


def _evaluation(p: Point, size: int) -> tuple[Fraction, ...]:
    """The functional that evaluates a polynomial of `size` coefficients, lowest first, at p."""
    if isinstance(p, str):
        return (*(Fraction(0),) * (size - 1), Fraction(1))
    return tuple(p**k for k in range(size))


def _interpolant(p: Point, finite: Sequence[Fraction], n: int) -> tuple[Fraction, ...]:
    """The n coefficients of the polynomial that is 1 at point p and 0 at the others.

    For infinity that is the product of all (z - q), q finite. For a finite p it is Lagrange's
    polynomial, whose degree leaves out the leading coefficient where infinity is a point.
    """
    others = [q for q in finite if q != p]
    coefficients = [Fraction(1)]
    for q in others:  # times (z - q)
        raised, lowered = [Fraction(0), *coefficients], [*coefficients, Fraction(0)]
        coefficients = [a - q * b for a, b in zip(raised, lowered, strict=True)]
    at_p = (
        Fraction(1) if isinstance(p, str) else math.prod((p - q for q in others), start=Fraction(1))
    )
    return (*(c / at_p for c in coefficients), *(Fraction(0),) * (n - len(coefficients)))


# -- proof -------------------------------------------------------------------------------------
def identity(t: Transform) -> None:
    """Prove (*), and with it all forms of this module, by computing every sum exactly.

    Errors: DefinitionError with the first (o, i, x) where it fails, or the matrix that has a wrong
    shape.

    >>> identity(cook_toom(4, 3))
    """
    for letter, matrix, width in (("A", t.A, t.m), ("G", t.G, t.r), ("B", t.B, t.n)):
        if len(matrix) != t.n or any(len(row) != width for row in matrix):
            raise DefinitionError(f"{t.name}: {letter} has to be {t.n} × {width}")
    for o, i in product(range(t.m), range(t.r)):
        weights = [t.A[p][o] * t.G[p][i] for p in range(t.n)]
        for x, row in enumerate(t.B):
            value = sum(v * b for v, b in zip(weights, row, strict=True))
            if value != (x == o + i):
                raise DefinitionError(
                    f"{t.name}: at output o = {o}, tap i = {i}, position x = {x}, "
                    f"Σ_p A[p][o] G[p][i] B[x][p] is {value} instead of {int(x == o + i)}"
                )


def kronecker(first: Matrix, second: Matrix) -> Matrix:
    """first ⊗ second; entry (a*rows + b, c*columns + d) is first[a][c] * second[b][d].

    >>> one, two = ((Fraction(1), Fraction(2)),), ((Fraction(3),), (Fraction(4),))
    >>> [[int(v) for v in row] for row in kronecker(one, two)]
    [[3, 6], [4, 8]]
    """
    return tuple(tuple(a * b for a in row for b in other) for row in first for other in second)


# -- record ------------------------------------------------------------------------------------
def record(t: Transform) -> dict[str, Any]:
    """t as plain JSON values: rationals as text in lowest terms, matrices by rows.

    >>> record(cook_toom(2, 1, [1, -1]))["B"]
    [['1/2', '1/2'], ['1/2', '-1/2']]
    """
    matrices = {
        letter: [[str(v) for v in row] for row in matrix]
        for letter, matrix in (("A", t.A), ("G", t.G), ("B", t.B))
    }
    return {"m": t.m, "r": t.r, "points": [str(p) for p in t.points], **matrices}
