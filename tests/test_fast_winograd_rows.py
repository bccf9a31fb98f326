"""Winograd on rows of few channels: exact results, errors within the bound, what is refused."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from math import prod
from typing import Any

import numpy as np
import pytest
import sympy as sp

from gradproof.codegen.fast.accuracy import ALLOWED
from gradproof.codegen.fast.affine import Affine
from gradproof.codegen.fast.contraction import contraction_layouts
from gradproof.codegen.fast.kernel import FastKernel
from gradproof.codegen.fast.layout import Layout
from gradproof.codegen.fast.machine import AVX2
from gradproof.codegen.fast.nest import Access, Nest, Reduction
from gradproof.codegen.fast.schedules import CpuSchedules
from gradproof.codegen.fast.winograd_rows import Rows, rows, rows_bound, rows_kernels, rows_layouts
from tests.fast_device import Job
from tests.nests import evaluate, run
from tests.test_fast_winograd import Shapes, integers
from tests.test_fast_winograd_strided import conv

SEVEN = {"C": 3, "O": 32, "H": 20, "W": 23, "K": 7, "P": 3}
SIZES: list[dict[str, int]] = [
    SEVEN,
    {"C": 3, "O": 16, "H": 64, "W": 70, "K": 7, "P": 3, "N": 1},
    {"C": 4, "O": 16, "H": 21, "W": 40, "K": 5, "P": 2},
    {"C": 15, "O": 48, "H": 27, "W": 17, "K": 5, "P": 0, "N": 1},
    {"C": 3, "O": 16, "H": 25, "W": 25, "K": 8, "P": 2, "S": 3, "N": 1},
]


def made(given: dict[str, int], times: float = 32) -> tuple[Rows, Nest, Shapes, dict[str, Layout]]:
    (nest,), shapes = conv("z", **given)
    found = rows(nest, times)
    assert found is not None
    return found, nest, shapes, rows_layouts(found, shapes) | {"b": Layout.row_major(shapes["b"])}


def kernels(r: Rows, layouts: dict[str, Layout], **options: Any) -> tuple[FastKernel, ...]:
    found = rows_kernels("k", r, layouts, **options)
    assert found is not None
    return found


def computed(
    found: tuple[FastKernel, ...], layouts: dict[str, Layout], arrays: dict[str, Any], dtype: str
) -> Job:
    job = Job(found, layouts, dtype=dtype)
    for tensor, array in arrays.items():
        job.put(tensor, array)
    job.run()
    return job


def largest(arrays: dict[str, Any]) -> float:
    return prod(float(np.abs(arrays[t]).max()) for t in ("Y", "w"))


@pytest.mark.parametrize("given", SIZES)
@pytest.mark.parametrize("times", [32, 3])
def test_integers_exactly(given: dict[str, int], times: float) -> None:
    """In float64 the bound is below one half, so that rounding gives exactly the integer."""
    r, nest, shapes, layouts = made(given, times)
    rng = np.random.default_rng(1)
    arrays = {t: integers(rng, shapes[t]) for t in ("Y", "w", "b")}
    assert rows_bound(r, Fraction(1, 2**53)) * largest(arrays) < 0.5
    got = computed(kernels(r, layouts), layouts, arrays, "float64").get("z")
    assert np.array_equal(np.rint(got), run((nest,), shapes["z"], arrays))


@pytest.mark.parametrize("times", [32, 3])
def test_error_is_within_the_bound(times: float) -> None:
    r, nest, shapes, layouts = made(SEVEN, times)
    rng = np.random.default_rng(1)
    arrays = {t: rng.standard_normal(shapes[t]).astype("f4").astype("f8") for t in ("Y", "w")}
    arrays["b"] = np.zeros(shapes["b"])
    got = computed(kernels(r, layouts), layouts, arrays, "float32").get("z")
    error = np.abs(got - run((nest,), shapes["z"], arrays)).max()
    assert 0 < error <= rows_bound(r) * largest(arrays)


def test_classes_share_their_sums() -> None:
    """7 taps at stride 2: of 4 and of 3; 13 products for 4 rows, which take 28 directly."""
    r, *_ = made(SEVEN)
    assert (r.m, r.t.n, len(r.sums)) == (4, 13, 7)
    assert r.ends == (2, 4, 6, 8, 10, 11, 13) and set(r.t.A) == set(r.sums)


@pytest.mark.parametrize("precision", ["fast", "accurate"])
def test_the_tile_is_the_largest_whose_bound_is_allowed(precision: str) -> None:
    (nest,), _ = conv("z", **SEVEN)
    found = rows(nest, ALLOWED[precision])
    assert found is not None and found.m == {"fast": 4, "accurate": 3}[precision]
    allowed = ALLOWED[precision] * (3 * 49) ** 2 * 2.0**-24
    assert rows_bound(found) <= allowed
    assert precision == "fast" or rows_bound(made(SEVEN)[0]) > allowed
    assert rows(nest, 0.001) is None


@pytest.mark.parametrize(
    "more",
    [
        {"C": 16},
        {"O": 24},
        {"H": 9, "W": 9},
        {"S": 1},
        {"D": 2, "H": 40, "W": 40},
        {"K": 3, "P": 1},
        {"KW": 3},
    ],
)
def test_other_work_is_refused(more: dict[str, int]) -> None:
    """Other channels, few rows, no stride, dilations, few terms of a sum."""
    (nest,), _ = conv("z", **{**SEVEN, **more})
    assert rows(nest, 32) is None


def test_gradients_are_refused() -> None:
    for target in ("grad_Y", "grad_w"):
        assert rows(conv(target, **SEVEN)[0][0], 32) is None


def test_a_narrow_border_and_little_memory_are_refused() -> None:
    r, _, shapes, layouts = made(SEVEN)
    whole = layouts["Y"]
    for d in (2, 3):
        high = tuple(h - (k == d) for k, h in enumerate(whole.high))
        narrow = Layout.row_major(shapes["Y"], whole.low, high)
        assert rows_kernels("k", r, layouts | {"Y": narrow}) is None
        low = tuple(v - (k == d) for k, v in enumerate(whole.low))
        narrow = Layout.row_major(shapes["Y"], low, whole.high)
        assert rows_kernels("k", r, layouts | {"Y": narrow}) is None
    last = Layout.blocked(shapes["Y"], 1, low=whole.low, high=whole.high)
    assert rows_kernels("k", r, layouts | {"Y": last}) is None
    size = (r.t.n * r.near * r.vectors + len(r.sums) * r.columns.extent) * 16
    assert rows_kernels("k", r, layouts, machine=replace(AVX2, local=size)) is not None
    assert rows_kernels("k", r, layouts, machine=replace(AVX2, local=size - 1)) is None


@pytest.mark.parametrize("store", [True, False])
def test_an_epilogue_and_sums(store: bool) -> None:
    r, nest, shapes, layouts = made(SEVEN)
    at = tuple(Affine.of(k) for k in "nkuv")
    loops = tuple(zip("nkuv", shapes["z"], strict=True))
    r0, a0 = sp.symbols("r0 a0", real=True)
    relu = Nest(
        Access("t", at), loops, (Access("z", at),), (), sp.Piecewise((0, r0 <= 0), (r0, True))
    )
    total = Reduction("sum", (loops[0], *loops[2:]), r0)
    sums = Nest(Access("s", at[1:2]), loops[1:2], (Access("z", at),), (total,), a0)
    shapes |= {"t": shapes["z"], "s": shapes["z"][1:2]}
    layouts |= {"t": layouts["z"], "s": Layout.row_major(shapes["s"])}
    rng = np.random.default_rng(2)
    arrays = {t: integers(rng, shapes[t]) for t in ("Y", "w", "b")}
    found = kernels(r, layouts, also=(relu, sums), store=store)
    job = computed(found, layouts, arrays, "float64")
    arrays["z"] = run((nest,), shapes["z"], arrays)
    assert np.array_equal(np.rint(job.get("t")), evaluate(relu, arrays)[1])
    assert np.array_equal(np.rint(job.get("s")), evaluate(sums, arrays)[1])
    assert store == ("z" in {t for k in found for t, _ in k.tensors})


def test_the_scheduler_takes_it_and_copies_the_window_where_it_has_to() -> None:
    nests, shapes = conv("z", **SEVEN)
    s = CpuSchedules("fast", AVX2)
    asked = s.layouts(nests, shapes, {})
    assert asked is not None and not s.windows(nests, shapes)
    home = asked | {"b": Layout.row_major(shapes["b"])}
    assert s.working(nests, home, asked) == home
    found = s.contraction("k", nests, home, (), True)
    assert found is not None and [k.name for k in found] == ["k_weights", "k"]
    direct = contraction_layouts(nests, shapes)
    assert direct is not None
    elsewhere = home | {"Y": direct["Y"]}
    assert s.working(nests, elsewhere, asked) == home
    other = s.contraction("k", nests, elsewhere, (), True)
    assert other is not None and [k.name for k in other] == ["k"]
