"""Floating-point error of a transform: a proved bound, an average-case estimate, and a ranking.

A value that went through N roundings of relative error at most u is the exact one times 1 + θ with
|θ| <= γ_N = N u / (1 - N u) (Higham, "Accuracy and Stability of Numerical Algorithms", 2002, Lemma
3.1). In a dot product of k nonzero coefficients, each term meets

- at most k - 1 additions, in whichever order they are done,
- one multiplication, unless its coefficient is ± a power of two,
- one rounding of the coefficient, unless it is a number of the format.

So the term of product p in output o, P[o][p] * (Σ_j L[p][j] a[j]) * (Σ_k R[p][k] b[k]), is off by
at most γ_N |P[o][p]| Σ_j |L[p][j]| Σ_k |R[p][k]| max|a| max|b|, N being the sum of the three dot
products' roundings and one. The bound adds these. It holds for every order of summation, with and
without fused multiply-add, where each coefficient is applied once and nothing under- or overflows.
The analysis is that of Barabasz et al., "Error Analysis and Improving the Accuracy of Winograd
Convolution for Deep Neural Networks" (2018), with the roundings counted per coefficient.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from fractions import Fraction
from itertools import combinations_with_replacement
from numbers import Rational
from typing import Literal

from gradproof.derive.errors import DefinitionError
from gradproof.derive.winograd import Matrix, Point, Transform, cook_toom, scaled
from gradproof.derive.winograd_strided import Strided

SINGLE = Fraction(1, 2**24)
"""The unit roundoff of float32, rounding to nearest."""

Form = Literal["forward", "input_gradient", "weight_gradient"]
Paths = dict[int, Fraction]
"""Number of roundings -> summed magnitude of the terms that go through so many."""


def error_bound(
    t: Transform | Strided,
    dims: int = 1,
    u: Fraction | float = SINGLE,
    form: Form = "forward",
    terms: int = 1,
) -> Fraction:
    """E with |computed - exact| <= E * u * max|a| * max|b| for every output of one tile.

    a and b are the two operands of `form` (w and y, w and g, g and y); dims: the same transform on
    each of so many axes; u: the unit roundoff; terms: products that are summed before the last
    transform (channels, or the tiles of a weight gradient), in any order. Tiles that are added
    after it (an overlapped input gradient) add their own errors and one rounding each.
    Errors: DefinitionError for dims or terms below 1, and where the bound says nothing because N
    roundings can lose everything, N u >= 1.

    >>> two, six = (scaled(cook_toom(m, 3)) for m in (2, 6))
    >>> [round(float(error_bound(t)), 1) for t in (two, six)]
    [44.0, 1075.3]
    """
    _positive(dims=dims, terms=terms)
    unit = Fraction(u)
    worst = Fraction(0)
    for axes in combinations_with_replacement(_outputs(t, form, unit, 1), dims):
        total = Fraction(0)
        for count, magnitude in _combined(axes).items():
            roundings = count + 1 + (terms - 1)  # the product, and the sum of the products
            if roundings * unit >= 1:
                raise DefinitionError(f"u = {u} is too coarse to bound {roundings} roundings")
            total += magnitude * roundings / (1 - roundings * unit)
        worst = max(worst, total * terms)
    return worst


def average_error(
    t: Transform | Strided,
    dims: int = 1,
    u: Fraction | float = SINGLE,
    form: Form = "forward",
) -> float:
    """Estimated root mean square error of a tile's outputs, in units of u: a model, not a bound.

    The operands' entries are independent with variance 1, each rounding is an independent relative
    error of variance u²/3, and a transformed value is off by its own size at each rounding.

    >>> round(average_error(scaled(cook_toom(6, 3))), 1)
    17.5
    """
    _positive(dims=dims)
    squares = [
        sum(magnitude * (count + 1) for count, magnitude in _combined(axes).items()) * _orders(axes)
        for axes in combinations_with_replacement(_outputs(t, form, Fraction(u), 2), dims)
    ]
    outputs = len(_matrices(t, form)[2]) ** dims
    return math.sqrt(sum(squares) / outputs / 3)


def amplification(t: Transform, dims: int = 1, form: Form = "forward") -> Fraction:
    """How much larger the terms are than those of the direct sum: the largest ratio, over the
    outputs, of the sums of the terms' magnitudes for operands of magnitude 1. The direct sum has 1.

    >>> [str(amplification(cook_toom(m, 3))) for m in (2, 4, 6)]
    ['8/3', '148/15', '203/9']
    """
    _positive(dims=dims)
    magnitudes = [sum(paths.values()) for paths in _outputs(t, form, SINGLE, 1)]
    return (
        max(
            Fraction(size, direct)
            for size, direct in zip(magnitudes, _direct(t, form), strict=True)
        )
        ** dims
    )


def rank(
    m: int,
    r: int,
    candidates: Iterable[Sequence[Rational | str]],
    dims: int = 1,
    form: Form = "forward",
) -> list[tuple[Fraction, tuple[Point, ...]]]:
    """The candidate point sets of F(m, r) with their error bounds, least first.

    Errors: as of `cook_toom`.

    >>> two, half = (0, 1, -1, 2, -2, "infinity"), (0, 1, -1, 2, Fraction(-1, 2), "infinity")
    >>> [[str(p) for p in points][3:5] for _, points in rank(4, 3, [two, half])]
    [['2', '-1/2'], ['2', '-2']]
    """
    transforms = [scaled(cook_toom(m, r, points)) for points in candidates]
    ranked = [(error_bound(t, dims, form=form), t.points) for t in transforms]
    return sorted(ranked, key=lambda pair: pair[0])


def _positive(**sizes: int) -> None:
    for name, size in sizes.items():
        if size < 1:
            raise DefinitionError(f"{name} is {size}, and has to be at least 1")


def _matrices(t: Transform | Strided, form: Form) -> tuple[Matrix, Matrix, Matrix]:
    """(L, R, P): L and R with a row per product, P with a row per output."""
    transposed = {
        "A": tuple(zip(*t.A, strict=True)),
        "B": tuple(zip(*t.B, strict=True)),
        "G": tuple(zip(*t.G, strict=True)),
    }
    if form == "forward":
        return t.G, transposed["B"], transposed["A"]
    if form == "input_gradient":
        return t.G, t.A, t.B
    if form == "weight_gradient":
        return t.A, transposed["B"], transposed["G"]
    raise DefinitionError(
        f"form: {form!r} is none of 'forward', 'input_gradient' and 'weight_gradient'"
    )


def _outputs(t: Transform | Strided, form: Form, u: Fraction, power: int) -> list[Paths]:
    """For each output along one axis, its terms' magnitudes to `power`, by number of roundings."""
    left, right, last = _matrices(t, form)
    inner = [
        (max(_roundings(a, u)) + max(_roundings(b, u)), _norm(a, power) * _norm(b, power))
        for a, b in zip(left, right, strict=True)
    ]
    outputs: list[Paths] = []
    for row in last:
        paths: Paths = defaultdict(Fraction)
        for (count, norm), value, own in zip(inner, row, _roundings(row, u), strict=True):
            paths[count + own] += norm * abs(value) ** power
        outputs.append(paths)
    return outputs


def _norm(row: Sequence[Fraction], power: int) -> Fraction:
    return sum((abs(v) ** power for v in row), start=Fraction(0))


def _roundings(row: Sequence[Fraction], u: Fraction) -> list[int]:
    """The roundings that each term of the dot product with `row` meets; 0 for a zero."""
    additions = sum(v != 0 for v in row) - 1
    return [
        additions + (not _power_of_two(v)) + (not _representable(v, u)) if v else 0 for v in row
    ]


def _power_of_two(v: Fraction) -> bool:
    a, b = abs(v.numerator), v.denominator
    return a & (a - 1) == 0 and b & (b - 1) == 0


def _representable(v: Fraction, u: Fraction) -> bool:
    """Whether v has at most as many significant bits as a number of unit roundoff u."""
    a, b = abs(v.numerator), v.denominator
    return b & (b - 1) == 0 and (a // (a & -a)) * u <= 1


def _combined(axes: Sequence[Paths]) -> Paths:
    """The paths of an output in several dimensions: roundings add, magnitudes multiply."""
    total: Paths = {0: Fraction(1)}
    for paths in axes:
        longer: Paths = defaultdict(Fraction)
        for count, magnitude in total.items():
            for own, norm in paths.items():
                longer[count + own] += magnitude * norm
        total = longer
    return total


def _orders(axes: Sequence[Paths]) -> int:
    """In how many orders the same outputs appear along the axes."""
    repeats = Counter(id(paths) for paths in axes)
    return math.factorial(len(axes)) // math.prod(math.factorial(k) for k in repeats.values())


def _direct(t: Transform, form: Form) -> list[int]:
    """The number of terms of the direct sum, per output."""
    if form == "input_gradient":
        return [min(x + 1, t.m, t.r, t.n - x) for x in range(t.n)]
    return [t.r] * t.m if form == "forward" else [t.m] * t.r
