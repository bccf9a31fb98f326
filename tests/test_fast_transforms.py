"""Transforms as text: shared sums are the matrices, and points in pairs lose nothing."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from typing import Any

import pytest

from gradproof.codegen.fast.transforms import (
    number,
    paired_points,
    shared,
    transform_for,
    transposed,
)
from gradproof.derive.errors import DefinitionError
from gradproof.derive.winograd import cook_toom, default_points, identity
from gradproof.derive.winograd_error import average_error, error_bound


@pytest.mark.parametrize(("m", "r"), [(2, 3), (4, 3), (2, 5), (4, 2), (3, 3), (6, 3)])
def test_shared_sums_are_the_matrices(m: int, r: int) -> None:
    t = transform_for(m, r)
    for matrix in (transposed(t.B), t.G, t.A, transposed(t.A), transposed(t.G)):
        sources = [f"x{k}" for k in range(len(matrix[0]))]
        assert shared(matrix, sources, "s").matrix(sources) == matrix


@pytest.mark.parametrize("letter", ["A", "G", "B"])
def test_a_wrong_entry_is_refused(letter: str) -> None:
    t = transform_for(4, 3)
    matrix = [list(row) for row in getattr(t, letter)]
    matrix[2][1] += 1
    with pytest.raises(DefinitionError, match="instead of"):
        identity(replace(t, **{letter: tuple(map(tuple, matrix))}))


@pytest.mark.parametrize("form", ["forward", "weight_gradient"])
def test_paired_points_have_less_error(form: Any) -> None:
    mine = transform_for(4, 3)
    usual = cook_toom(4, 3, default_points(6))
    assert mine.points == paired_points(6)
    assert average_error(mine, 2, form=form) < average_error(usual, 2, form=form)
    assert error_bound(mine, 2, form=form) < error_bound(usual, 2, form=form)


@pytest.mark.parametrize(("m", "r"), [(2, 3), (4, 3), (2, 5), (3, 3), (4, 2), (3, 4)])
def test_shared_sums_round_no_more_often_than_the_bound_counts(m: int, r: int) -> None:
    t = transform_for(m, r)
    for matrix in (transposed(t.B), t.G, t.A, transposed(t.A), transposed(t.G)):
        sources = [f"x{k}" for k in range(len(matrix[0]))]
        found = shared(matrix, sources, "s")
        for mine, row in zip(rounded(found, sources), matrix, strict=True):
            most = sum(v != 0 for v in row) - 1
            for s, v in zip(sources, row, strict=True):
                assert not v or mine[s] <= most + inexact(v)


def inexact(v: Fraction) -> int:
    """Roundings of a product with v: of the product, and of v itself."""
    binary = v.denominator & (v.denominator - 1) == 0
    return 0 if binary and abs(v.numerator) == 1 else 1 if binary else 2


def rounded(found: Any, sources: list[str]) -> list[dict[str, int]]:
    """How many roundings each source meets on its way into each output."""
    known: dict[str, dict[str, int]] = {s: {s: 0} for s in sources}

    def through(row: dict[str, Fraction]) -> dict[str, int]:
        out: dict[str, int] = {}
        for name, v in row.items():
            for s, n in known[name].items():
                out[s] = max(out.get(s, 0), n + len(row) - 1 + inexact(v))
        return out

    for name, row in found.steps:
        known[name] = through(row)
    return [through(row) for row in found.outputs]


def test_a_constant_that_rounds_twice_is_refused() -> None:
    assert number(Fraction(5, 8)) == "((REAL)5 / 8)"
    with pytest.raises(DefinitionError, match="exact"):
        number(Fraction(2**24 + 1, 3))
