"""Operands of sums of products are copied where that saves more than the copies cost."""

from __future__ import annotations

import pytest

from gradproof.codegen.fast.contraction import contraction_cost, contraction_layouts
from gradproof.codegen.fast.copying import on_best_copies, serves
from gradproof.codegen.fast.layout import Layout
from gradproof.codegen.fast.machine import AVX2
from gradproof.codegen.fast.nest import Nest
from gradproof.codegen.fast.specialise import specialise
from gradproof.derive.language import operator

Layouts = dict[str, Layout]
DIMS = {"A": "N, K", "B": "K, M", "C": "N, M"}
SUMS = {"A": "A[n,k] = sum[m](C[n,m] * B[k,m])", "B": "B[k,m] = sum[n](A[n,k] * C[n,m])"}
SUMS["C"] = "C[n,m] = sum[k](A[n,k] * B[k,m])"
MATRICES = Layout.row_major


def product(target: str, n: int, k: int, m: int) -> tuple[tuple[Nest, ...], Layouts, Layouts]:
    """One of the three products of matrices A, B and C, row-major, and the layouts it asks for."""
    sizes = {"N": n, "K": k, "M": m}
    shapes = {t: tuple(sizes[s] for s in d.split(", ")) for t, d in DIMS.items()}
    definition = operator(f"product_{target}", SUMS[target], DIMS)
    nests = specialise(definition, definition.equations[0], sizes)
    asked = contraction_layouts(nests, shapes)
    assert asked is not None
    return nests, {t: MATRICES(shape) for t, shape in shapes.items()}, asked


def copied(target: str, n: int, k: int, m: int) -> set[str]:
    nests, home, asked = product(target, n, k, m)
    found = on_best_copies(nests, home, asked, AVX2)
    return {t for t in found if found[t] != home[t]}


def test_what_is_far_apart_is_copied() -> None:
    """A sum over rows of 1024 numbers: one number of each page."""
    assert copied("B", 256, 1024, 1024) == {"A", "C"}
    assert copied("B", 256, 128, 128) == set()


def test_a_transposed_operand_is_copied_where_it_is_used_often() -> None:
    assert copied("A", 256, 1024, 1024) == {"B"}
    assert copied("A", 2, 1024, 1024) == set()


def test_what_serves_stays_at_home() -> None:
    """The target's rows, by 16, are the rows themselves."""
    nests, home, asked = product("C", 256, 64, 64)
    assert asked["C"] != home["C"] and serves(home["C"], asked["C"])
    assert on_best_copies(nests, home, asked, AVX2) == home


def test_a_border_serves_if_it_is_wide_enough() -> None:
    shape = (4, 32, 8)
    some = Layout.blocked(shape, 1, low=(0, 0, 1), high=(0, 0, 1))
    more = Layout.blocked(shape, 1, low=(0, 0, 2), high=(0, 0, 1))
    assert serves(more, some) and not serves(some, more)
    assert not serves(Layout.row_major(shape), Layout.blocked(shape, 1))


def test_all_is_copied_where_nothing_else_has_a_kernel() -> None:
    nests, home, _ = product("C", 8, 16, 32)
    across = {t: Layout.blocked(home[t].shape, 0) for t in ("B", "C")}
    assert contraction_cost(nests, home | across, AVX2) is None
    assert on_best_copies(nests, home | across, across, AVX2) == home | across


@pytest.mark.parametrize(("row", "worse"), [(256, False), (768, True), (1024, True)])
def test_long_jumps_cost(row: int, worse: bool) -> None:
    nests, home, asked = product("B", 64, row, 64)
    far = contraction_cost(nests, home, AVX2)
    near = contraction_cost(nests, home | {"A": asked["A"]}, AVX2)
    assert far is not None and near is not None
    assert (far > 1.05 * near) == worse
