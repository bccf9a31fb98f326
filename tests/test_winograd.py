"""Cook–Toom transforms: proved exactly, compared with brute force, refused where they are wrong."""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction

import pytest
import sympy as sp
from hypothesis import given, settings
from hypothesis import strategies as st

from gradproof.derive.errors import DefinitionError
from gradproof.derive.winograd import (
    INFINITY,
    RECORDED,
    Matrix,
    Transform,
    cook_toom,
    default_points,
    identity,
    kronecker,
    record,
    scaled,
)
from gradproof.derive.winograd_forms import (
    forward,
    forward_tile,
    input_gradient_overlapped,
    input_gradient_padded,
    input_gradient_tile,
    tiles,
    weight_gradient,
    weight_gradient_swapped,
    weight_gradient_tile,
)

SIZES = [(m, r) for m in range(1, 7) for r in range(1, 7)]
RATIONALS = st.builds(Fraction, st.integers(-9, 9), st.integers(1, 7))


@st.composite
def transforms(draw: st.DrawFn) -> Transform:
    m, r = draw(st.integers(1, 4)), draw(st.integers(1, 4))
    points: list[Fraction | str] = list(
        draw(st.lists(RATIONALS, min_size=m + r - 1, max_size=m + r - 1, unique=True))
    )
    if draw(st.booleans()):
        points[draw(st.integers(0, m + r - 2))] = INFINITY
    t = cook_toom(m, r, points)
    return scaled(t) if draw(st.booleans()) else t


def matrix(text: str) -> Matrix:
    return tuple(tuple(Fraction(v) for v in row.split()) for row in text.split(";"))


def transposed(rows: Matrix) -> Matrix:
    return tuple(zip(*rows, strict=True))


def sequence(size: int, seed: int) -> list[int]:
    return [(seed * (k + 3) ** 2 + 7 * k) % 23 - 11 for k in range(size)]


def correlation(w: list[int], y: list[int]) -> list[int]:
    """out[o] = Σ_i w[i] y[o+i]; also dw[i] = Σ_o g[o] y[o+i]."""
    return [sum(v * y[o + i] for i, v in enumerate(w)) for o in range(len(y) - len(w) + 1)]


def full_convolution(w: list[int], g: list[int]) -> list[int]:
    """dy[x] = Σ_{o+i=x} w[i] g[o]."""
    dy = [0] * (len(w) + len(g) - 1)
    for (i, a), (o, b) in itertools.product(enumerate(w), enumerate(g)):
        dy[o + i] += a * b
    return dy


# -- the identity --------------------------------------------------------------------------------
@pytest.mark.parametrize(("m", "r"), SIZES)
def test_default_transforms_are_the_correlation(m: int, r: int) -> None:
    for t in (cook_toom(m, r), scaled(cook_toom(m, r))):
        identity(t)
        w, y = sequence(r, 5), sequence(t.n, 3)
        assert forward_tile(t, w, y) == correlation(w, y)


@settings(max_examples=60, deadline=None)
@given(transforms(), st.data())
def test_any_rational_points(t: Transform, data: st.DataObject) -> None:
    identity(t)
    numbers = st.integers(-99, 99)
    w, g, y = (data.draw(st.lists(numbers, min_size=k, max_size=k)) for k in (t.r, t.m, t.n))
    assert forward_tile(t, w, y) == correlation(w, y)
    assert input_gradient_tile(t, w, g) == full_convolution(w, g)
    assert weight_gradient_tile(t, g, y) == correlation(g, y)


def test_sympy_agrees_symbolically() -> None:
    t = cook_toom(3, 2, [0, sp.Rational(2, 3), -3, INFINITY])
    w, y = sp.symbols("w:2"), sp.symbols("y:4")
    a, g, b = (
        sp.Matrix([[sp.Rational(str(v)) for v in row] for row in q]) for q in (t.A, t.G, t.B)
    )
    out = a.T * (g * sp.Matrix(w)).multiply_elementwise(b.T * sp.Matrix(y))
    direct = sp.Matrix([w[0] * y[o] + w[1] * y[o + 1] for o in range(3)])
    assert sp.expand(out - direct) == sp.zeros(3, 1)


@pytest.mark.parametrize("which", [0, 1, 2], ids="AGB")
@pytest.mark.parametrize("t", [scaled(cook_toom(2, 3)), cook_toom(3, 2, [0, 1, 2, 3])], ids=str)
def test_every_changed_entry_is_found_at_its_place(t: Transform, which: int) -> None:
    letter = "AGB"[which]
    rows = getattr(t, letter)
    for p, q in itertools.product(range(len(rows)), range(len(rows[0]))):
        mutant = [list(row) for row in rows]
        mutant[p][q] += Fraction(1, 10**6)
        changed = replace(t, **{letter: tuple(map(tuple, mutant))})
        with pytest.raises(DefinitionError) as caught:
            identity(changed)
        place = re.search(r"o = (\d+), tap i = (\d+), position x = (\d+)", str(caught.value))
        assert place is not None
        assert int(place[which + 1]) == (p if letter == "B" else q)


def test_a_wrong_shape_is_named() -> None:
    t = cook_toom(2, 3)
    with pytest.raises(DefinitionError, match=r"F\(2, 3\): G has to be 4 × 3"):
        identity(replace(t, G=t.G[:3]))
    with pytest.raises(DefinitionError, match=r"F\(2, 3\): B has to be 4 × 4"):
        identity(replace(t, B=tuple(row[:3] for row in t.B)))


# -- published matrices: Lavin & Gray, "Fast Algorithms for Convolutional Neural Networks" --------
LAVIN_GRAY = {
    (2, 3): Transform(
        2,
        3,
        (Fraction(0), Fraction(1), Fraction(-1), INFINITY),
        transposed(matrix("1 1 1 0; 0 1 -1 -1")),
        matrix("1 0 0; 1/2 1/2 1/2; 1/2 -1/2 1/2; 0 0 1"),
        transposed(matrix("1 0 -1 0; 0 1 1 0; 0 -1 1 0; 0 1 0 -1")),
    ),
    (4, 3): Transform(
        4,
        3,
        (*(Fraction(p) for p in (0, 1, -1, 2, -2)), INFINITY),
        transposed(matrix("1 1 1 1 1 0; 0 1 -1 2 -2 0; 0 1 1 4 4 0; 0 1 -1 8 -8 1")),
        matrix("1/4 0 0; -1/6 -1/6 -1/6; -1/6 1/6 -1/6; 1/24 1/12 1/6; 1/24 -1/12 1/6; 0 0 1"),
        transposed(
            matrix(
                "4 0 -5 0 1 0; 0 -4 -4 1 1 0; 0 4 -4 -1 1 0; 0 -2 -1 2 1 0; 0 2 -1 -2 1 0;"
                "0 4 0 -5 0 1"
            )
        ),
    ),
}  # fmt: skip


def ratio(a: tuple[Fraction, ...], b: tuple[Fraction, ...]) -> Fraction:
    """c with a = c * b."""
    (c,) = {x / y for x, y in zip(a, b, strict=True) if y}
    assert all(x == c * y for x, y in zip(a, b, strict=True))
    return c


@pytest.mark.parametrize("size", LAVIN_GRAY, ids=str)
def test_published_matrices_up_to_row_factors(size: tuple[int, int]) -> None:
    published = LAVIN_GRAY[size]
    identity(published)
    for t in (cook_toom(*size, published.points), scaled(cook_toom(*size, published.points))):
        columns = zip(transposed(t.B), transposed(published.B), strict=True)
        factors = [
            (ratio(a, a2), ratio(g, g2), ratio(b, b2))
            for a, a2, g, g2, (b, b2) in zip(
                t.A, published.A, t.G, published.G, columns, strict=True
            )
        ]
        assert all(a * g * b == 1 for a, g, b in factors)


def test_scaling_makes_coprime_integers() -> None:
    for m, r in RECORDED:
        t = scaled(cook_toom(m, r))
        assert all(v.denominator == 1 for row in t.B for v in row)
        assert scaled(t) == t


# -- gradients and tiles -------------------------------------------------------------------------
@pytest.mark.parametrize("extent", [1, 2, 5, 8, 9])
@pytest.mark.parametrize(("m", "r"), [(2, 3), (4, 3), (3, 2), (1, 4), (5, 1)])
def test_tiled_forms_are_the_correlation_and_its_gradients(m: int, r: int, extent: int) -> None:
    t, swapped = scaled(cook_toom(m, r)), cook_toom(r, m)
    w, g, y = sequence(r, 5), sequence(extent, 3), sequence(extent + r - 1, 11)
    assert forward(t, w, y) == correlation(w, y)
    assert input_gradient_padded(t, w, g) == full_convolution(w, g)
    assert input_gradient_overlapped(t, w, g) == full_convolution(w, g)
    assert weight_gradient(t, g, y) == correlation(g, y)
    assert weight_gradient_swapped(swapped, g, y) == correlation(g, y)


@pytest.mark.parametrize("m", range(1, 8))
def test_tiles_are_a_bijection(m: int) -> None:
    for extent in range(20):
        cover = tiles(extent, m)
        pairs = [(j, o - m * j) for j, tile in enumerate(cover) for o in tile]
        assert len(cover) == -(-extent // m)
        assert pairs == [divmod(o, m) for o in range(extent)]


def test_two_dimensions_are_the_kronecker_product() -> None:
    """F(2×2, 3×3) in full: 4 outputs, 9 taps, 16 positions; and an oblong one by brute force."""
    t = scaled(cook_toom(2, 3))
    a, g, b = (kronecker(q, q) for q in (t.A, t.G, t.B))
    for o, i in itertools.product(range(4), range(9)):
        at = (o // 2 + i // 3) * 4 + o % 2 + i % 3
        for x in range(16):
            assert sum(a[p][o] * g[p][i] * b[x][p] for p in range(16)) == (x == at)


def test_nested_passes_are_the_two_dimensional_correlation() -> None:
    """Aᵀ[(G w Gᵀ') ⊙ (Bᵀ y B')]A' with F(2, 3) on one axis and F(3, 2) on the other."""
    s, t = cook_toom(2, 3), scaled(cook_toom(3, 2))
    w = [sequence(2, k + 1) for k in range(3)]
    y = [sequence(4, k + 5) for k in range(4)]
    left = product(product(s.G, w), transposed(t.G))
    right = product(product(transposed(s.B), y), t.B)
    both = [[u * v for u, v in zip(*rows, strict=True)] for rows in zip(left, right, strict=True)]
    out = product(product(transposed(s.A), both), t.A)
    assert out == [
        [sum(w[i][j] * y[o + i][q + j] for i in range(3) for j in range(2)) for q in range(3)]
        for o in range(2)
    ]


def product(a, b) -> list[list[Fraction]]:
    return [
        [sum(u * v for u, v in zip(row, c, strict=True)) for c in zip(*b, strict=True)] for row in a
    ]


# -- record --------------------------------------------------------------------------------------
@pytest.mark.parametrize(("m", "r"), RECORDED)
def test_the_record_is_exact_and_deterministic(m: int, r: int) -> None:
    t = scaled(cook_toom(m, r))
    text = json.dumps(record(t))
    assert text == json.dumps(record(scaled(cook_toom(m, r, default_points(m + r - 1)))))
    again = json.loads(text)
    assert (again["m"], again["r"]) == (m, r)
    assert again["points"] == [str(p) for p in t.points]
    for letter in "AGB":
        read = tuple(tuple(Fraction(v) for v in row) for row in again[letter])
        assert read == getattr(t, letter)


# -- refusals ------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((0, 3), "m is 0, and has to be an integer of at least 1"),
        ((2, -1), "r is -1, and has to be an integer of at least 1"),
        ((2.0, 3), r"m is 2\.0, and has to be an integer"),
        ((True, 3), "m is True, and has to be an integer"),
        ((2, 3, [0, 1, 1, INFINITY]), "points: 1 repeated; they have to be distinct"),
        ((2, 3, [0, 1, INFINITY, INFINITY]), "points: infinity repeated"),
        ((2, 3, [0, Fraction(1, 2), sp.Rational(1, 2), 3]), "points: 1/2 repeated"),
        ((2, 3, [0, 1, -1]), r"points: 3 given, and F\(2, 3\) takes 4, infinity included"),
        ((2, 3, [0, 1, -1, 2, INFINITY]), r"points: 5 given, and F\(2, 3\) takes 4"),
        ((2, 3, [0, 1, -1, 0.5]), r"points: 0\.5 is a float; give exact rationals"),
        ((2, 3, [0, 1, -1, float("inf")]), "points: inf is a float; give exact rationals"),
        ((2, 3, [0, 1, -1, "1/2"]), "points: '1/2' is a str; give exact rationals"),
        ((2, 3, [0, 1, True, 2]), "points: True is a bool; give exact rationals"),
        ((8, 6), "points: there are default points for 1 to 12 products, not 13"),
    ],
)  # fmt: skip
def test_refusals(arguments: tuple, message: str) -> None:
    with pytest.raises(DefinitionError, match=message):
        cook_toom(*arguments)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda t: forward_tile(t, [1, 2], [1, 2, 3, 4]), "w has 2 entries; this tile takes 3"),
        (lambda t: forward_tile(t, [1, 2, 3], [1] * 5), "y has 5 entries; this tile takes 4"),
        (lambda t: input_gradient_tile(t, [1, 2, 3], [1]), "g has 1 entries; this tile takes 2"),
        (lambda t: forward(t, [1, 2, 3], [1]), "no tiles of 2 outputs cover -1"),
        (lambda t: weight_gradient(t, [1] * 4, [1] * 5), "y has 5 entries; 4 of g and 3 taps"),
        (lambda t: weight_gradient_swapped(t, [1], [1]), "y has 1 entries; 1 of g and 2 taps"),
    ],
)  # fmt: skip
def test_wrong_lengths(call: Callable[[Transform], object], message: str) -> None:
    with pytest.raises(DefinitionError, match=message):
        call(cook_toom(2, 3))
