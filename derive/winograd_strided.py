"""Transforms of windows with a stride, put together from F(m, r) of every residue class.

With a stride S the sum over the taps i = S i' + e of one class e is a correlation of stride 1 on
the places of one class. For m positions of each class, `strided` is the algorithm of

    out[o] = Σ_i w[i] y[S o + i],        0 <= o < m                      (a convolution), and
    `spread` that of   out[o] = Σ w[i] y[x] over S x + i = o + shift,  0 <= o < S m  (its gradient).

Both have Σ_e (m + r_e - 1) products, r_e being the taps of class e; the products of a class are
those of its own F(m, r_e). `identity` forms every sum of

    Σ_p A[p][o] G[p][i] B[x][p] = [x = S o + i],  or  [S x + i = o + shift],

exactly; that proves the algorithm and, as in `winograd`, its transposes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from itertools import product

from gradproof.derive.errors import DefinitionError
from gradproof.derive.winograd import Matrix, Transform

Unit = Callable[[int, int], Transform]
"""F(m, r) of a class with r taps."""


@dataclass(frozen=True)
class Strided:
    """A: products × outputs, G: products × taps, B: places × products; shift: None for a
    convolution, else that of its gradient."""

    stride: int
    shift: int | None
    A: Matrix
    G: Matrix
    B: Matrix

    @property
    def n(self) -> int:
        """The number of products."""
        return len(self.A)

    def holds(self, o: int, i: int, x: int) -> bool:
        """Whether the product of tap i and place x belongs to output o."""
        if self.shift is None:
            return x == self.stride * o + i
        return self.stride * x + i == o + self.shift


def products(m: int, r: int, stride: int) -> int:
    """Of m positions of every class.

    >>> products(4, 3, 1), products(4, 3, 2)
    (6, 9)
    """
    return sum(m + taps - 1 for taps in (-(-(r - e) // stride) for e in range(stride)) if taps > 0)


def strided(m: int, r: int, stride: int, unit: Unit) -> Strided:
    """m outputs of an r-tap convolution of that stride; places 0 .. stride (m - 1) + r - 1.

    >>> from gradproof.derive.winograd import cook_toom
    >>> t = strided(4, 3, 2, cook_toom)
    >>> identity(t)
    >>> t.n, len(t.B)
    (9, 9)
    """
    a, g, b = [], [], []
    places = stride * (m - 1) + r
    for e in range(min(stride, r)):
        f = unit(m, -(-(r - e) // stride))
        for row_a, row_g, column in _products(f):
            a.append(row_a)
            g.append(_placed(row_g, range(e, r, stride), r))
            b.append(_placed(column, range(e, places, stride), places))
    return Strided(stride, None, tuple(a), tuple(g), tuple(zip(*b, strict=True)))


def spread(m: int, r: int, stride: int, shift: int, unit: Unit) -> Strided:
    """stride * m outputs of its gradient; place 0 is the first that an output needs.

    Errors: DefinitionError for a shift with which it is another.

    >>> from gradproof.derive.winograd import cook_toom
    >>> t = spread(4, 3, 2, 1, cook_toom)
    >>> identity(t)
    >>> t.n, len(t.A[0]), len(t.B)
    (9, 8, 5)
    """
    if -(-(shift - r + 1) // stride) != 0:
        raise DefinitionError(f"shift is {shift}: the first place is not 0")
    a, g, b = [], [], []
    outputs, places = stride * m, (stride * m - 1 + shift) // stride + 1
    for residue in range(stride):
        e = (residue + shift) % stride
        taps = -(-(r - e) // stride)
        if taps < 1:
            continue
        f = unit(m, taps)
        first = (residue + shift - e) // stride - (taps - 1)
        for row_a, row_g, column in _products(f):
            a.append(_placed(row_a, range(residue, outputs, stride), outputs))
            g.append(_placed(row_g[::-1], range(e, r, stride), r))
            b.append(_placed(column, range(first, first + f.n), places))
    return Strided(stride, shift, tuple(a), tuple(g), tuple(zip(*b, strict=True)))


def _products(f: Transform) -> Iterator[tuple[tuple[Fraction, ...], ...]]:
    return zip(f.A, f.G, zip(*f.B, strict=True), strict=True)


def _placed(values: tuple[Fraction, ...], at: range, size: int) -> tuple[Fraction, ...]:
    found = dict(zip(at, values, strict=True))
    return tuple(found.get(k, Fraction(0)) for k in range(size))


def identity(t: Strided) -> None:
    """Prove it by computing every sum exactly.

    Errors: DefinitionError with the first (o, i, x) where it fails."""
    columns = tuple(zip(*t.A, strict=True)), tuple(zip(*t.G, strict=True))
    for (o, a), (i, g) in product(enumerate(columns[0]), enumerate(columns[1])):
        weights = [v * w for v, w in zip(a, g, strict=True)]
        for x, row in enumerate(t.B):
            value = sum(v * b for v, b in zip(weights, row, strict=True))
            if value != t.holds(o, i, x):
                raise DefinitionError(
                    f"stride {t.stride}: at output o = {o}, tap i = {i}, place x = {x}, "
                    f"Σ_p A[p][o] G[p][i] B[x][p] is {value} instead of {int(t.holds(o, i, x))}"
                )
