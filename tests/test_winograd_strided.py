"""Transforms of windows with a stride: exact identities, and checks that fail when they should."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from itertools import product

import pytest

from gradproof.derive.errors import DefinitionError
from gradproof.derive.winograd import Matrix, cook_toom
from gradproof.derive.winograd_error import error_bound
from gradproof.derive.winograd_strided import Strided, identity, products, spread, strided

CASES = [(m, r, s) for m, r, s in product((1, 2, 3, 4), (1, 2, 3, 4, 5, 7), (1, 2, 3))]


def applied(t: Strided, w: list[int], y: list[int]) -> list[Fraction]:
    """out = Aᵀ[(G w) ⊙ (Bᵀ y)]."""
    columns = zip(*t.A, strict=True)
    middle = [
        sum(g * a for g, a in zip(row, w, strict=True))
        * sum(b * x for b, x in zip(column, y, strict=True))
        for row, column in zip(t.G, zip(*t.B, strict=True), strict=True)
    ]
    return [sum(a * v for a, v in zip(column, middle, strict=True)) for column in columns]


@pytest.mark.parametrize(("m", "r", "s"), CASES)
def test_a_convolution(m: int, r: int, s: int) -> None:
    t = strided(m, r, s, cook_toom)
    identity(t)
    assert t.n == products(m, r, s)
    w, y = [3 * i - 4 for i in range(r)], [7 * x * x - 30 * x for x in range(s * (m - 1) + r)]
    assert applied(t, w, y) == [sum(w[i] * y[s * o + i] for i in range(r)) for o in range(m)]


@pytest.mark.parametrize(("m", "r", "s"), CASES)
def test_its_gradient(m: int, r: int, s: int) -> None:
    for shift in range(r - s, r):  # with these, the first place is 0
        t = spread(m, r, s, shift, cook_toom)
        identity(t)
        w, y = [3 * i - 4 for i in range(r)], [7 * x * x - 30 * x for x in range(len(t.B))]
        assert applied(t, w, y) == [
            sum(w[i] * y[x] for i in range(r) for x in range(len(y)) if s * x + i == o + shift)
            for o in range(s * m)
        ]


def test_other_shifts_are_refused() -> None:
    with pytest.raises(DefinitionError, match="first place"):
        spread(4, 3, 2, 3, cook_toom)
    with pytest.raises(DefinitionError, match="first place"):
        spread(4, 3, 2, 0, cook_toom)


def test_three_taps_at_stride_2_take_9_products_on_each_axis() -> None:
    assert [products(m, 3, 2) for m in (2, 4)] == [5, 9]
    assert products(4, 3, 1) == strided(4, 3, 1, cook_toom).n == 6


@pytest.mark.parametrize("letter", "AGB")
@pytest.mark.parametrize("t", [strided(2, 3, 2, cook_toom), spread(2, 3, 2, 1, cook_toom)])
def test_every_changed_entry_is_found(t: Strided, letter: str) -> None:
    matrix: Matrix = getattr(t, letter)
    for k, row in enumerate(matrix):
        for j, v in enumerate(row):
            changed = (*row[:j], v + 1, *row[j + 1 :])
            with pytest.raises(DefinitionError, match=r"o = \d+, tap i = \d+, place x = \d+"):
                identity(replace(t, **{letter: (*matrix[:k], changed, *matrix[k + 1 :])}))


def test_another_stride_or_shift_is_found() -> None:
    with pytest.raises(DefinitionError):
        identity(replace(strided(2, 3, 2, cook_toom), stride=1))
    with pytest.raises(DefinitionError):
        identity(replace(spread(2, 3, 2, 1, cook_toom), shift=2))


def test_a_row_too_few_is_found() -> None:
    t = strided(2, 3, 2, cook_toom)
    with pytest.raises((DefinitionError, ValueError)):
        identity(replace(t, G=t.G[:-1]))


def test_the_bound_is_that_of_the_class_with_most_taps() -> None:
    t = strided(4, 3, 2, cook_toom)
    own = error_bound(cook_toom(4, 2))
    assert own < error_bound(t) < error_bound(cook_toom(4, 3))
