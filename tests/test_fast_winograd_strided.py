"""The Winograd schedule with a stride: the phases put together, exact results, what pays."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from math import prod
from typing import Any

import numpy as np
import pytest
import sympy as sp

from gradproof.codegen.fast import winograd
from gradproof.codegen.fast.accuracy import ALLOWED, largest_tile, terms, winograd_bound
from gradproof.codegen.fast.affine import Affine
from gradproof.codegen.fast.choices import Work
from gradproof.codegen.fast.layout import Layout
from gradproof.codegen.fast.machine import AVX2
from gradproof.codegen.fast.nest import Access, Nest, Reduction
from gradproof.codegen.fast.schedules import CpuSchedules
from gradproof.codegen.fast.specialise import specialise
from gradproof.codegen.fast.winograd import (
    estimate,
    gain,
    sides,
    transformed,
    winograd_kernels,
    winograd_layouts,
)
from gradproof.codegen.fast.winograd_phases import joined
from gradproof.derive.registry import find
from tests.fast_device import Job
from tests.nests import evaluate, run
from tests.test_fast_winograd import Shapes, derivation, integers

Nests = tuple[Nest, ...]
TARGETS = ["z", "grad_Y", "grad_w"]


def conv(target: str, **given: int) -> tuple[Nests, Shapes]:
    """The nests of conv2d's forward pass or gradients at stride 2, and the shapes."""
    size = {"N": 2, "C": 16, "O": 32, "H": 9, "W": 12, "K": 3, "S": 2, "D": 1, "P": 1, **given}
    named = {"N": size["N"], "G": 1, "CG": size["C"], "OG": size["O"], "H": size["H"]}
    named |= {"W": size["W"], "KH": size["K"], "KW": given.get("KW", size["K"])}
    named |= {f"{letter}{axis}": size[letter] for letter in "SD" for axis in "HW"}
    named |= {k: given.get(k, size["P"]) for k in ("PT", "PB", "PL", "PR")}
    named |= {k: given[k] for k in ("SH", "SW") if k in given}
    symbols = {sp.Symbol(k, integer=True): v for k, v in named.items()}
    for s, value in find("conv2d").derived:
        symbols[s] = int(value.xreplace(symbols))
    sizes = {str(k): int(v) for k, v in symbols.items()}
    z = (size["N"], size["O"], sizes["OH"], sizes["OW"])
    y, w = (size["N"], size["C"], size["H"], size["W"]), (size["O"], size["C"], size["K"])
    w += (named["KW"],)
    shapes = {"Y": y, "grad_Y": y, "w": w, "grad_w": w, "z": z, "grad_z": z, "b": (size["O"],)}
    system = derivation()
    for part in (system.forward, system.backward):
        for e in part.equations:
            if e.target == target:
                nests = specialise(part, e, sizes)
                assert nests is not None
                return nests, shapes
    raise AssertionError(target)


@pytest.fixture
def always(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever pays: the tests' sizes are small."""
    monkeypatch.setattr(winograd, "pays", lambda p, m: m >= 2)


def laid_out(nests: Nests, shapes: Shapes, m: int) -> dict[str, Layout]:
    found = winograd_layouts(nests, shapes, m)
    assert found is not None
    for a in {a for n in nests for a in n.reads}:
        found.setdefault(a.tensor, Layout.row_major(shapes[a.tensor]))
    return found


def computed(nests: Nests, shapes: Shapes, m: int, dtype: str, arrays: dict[str, Any]) -> Any:
    layouts = laid_out(nests, shapes, m)
    found = winograd_kernels("k", nests, layouts, m)
    assert found is not None
    job = Job(found, layouts, dtype=dtype)
    for tensor, array in arrays.items():
        job.put(tensor, array)
    job.run()
    return job.get(nests[0].out.tensor)


def bound(nests: Nests, m: int, arrays: dict[str, Any], unit: Fraction) -> float:
    largest = prod(float(np.abs(arrays[a.tensor]).max()) for a in nests[0].reads[:2])
    return winograd_bound(nests, m, u=unit) * terms(nests) * largest


SIZES: list[dict[str, int]] = [
    {},
    {"H": 8, "W": 13, "N": 1, "C": 32},
    {"H": 7, "W": 8, "P": 0},
    {"H": 14, "W": 9, "PT": 0, "PL": 2},
    {"H": 14, "W": 15, "K": 4, "N": 1},
    {"H": 11, "W": 16, "K": 5, "P": 2, "N": 1},
    {"H": 16, "W": 17, "S": 3, "K": 5, "P": 2, "N": 1},
    {"H": 16, "W": 16, "K": 7, "P": 3, "N": 1},
]


@pytest.mark.usefixtures("always")
@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("given", SIZES)
@pytest.mark.parametrize("m", [2, 4])
def test_integers_exactly(target: str, given: dict[str, int], m: int) -> None:
    """In float64 the bound is below one half, so that rounding gives exactly the integer."""
    nests, shapes = conv(target, **given)
    rng = np.random.default_rng(1)
    arrays = {a.tensor: integers(rng, shapes[a.tensor]) for n in nests for a in n.reads}
    assert bound(nests, m, arrays, Fraction(1, 2**53)) < 0.5
    got = np.rint(computed(nests, shapes, m, "float64", arrays))
    assert np.array_equal(got, run(nests, shapes[target], arrays))


@pytest.mark.usefixtures("always")
@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("m", [2, 4])
def test_error_is_within_the_bound(target: str, m: int) -> None:
    nests, shapes = conv(target, C=32, H=16, W=16)
    rng = np.random.default_rng(1)
    names = {a.tensor for n in nests for a in n.reads}
    arrays = {t: rng.standard_normal(shapes[t]).astype("f4").astype("f8") for t in names}
    error = np.abs(
        computed(nests, shapes, m, "float32", arrays) - run(nests, shapes[target], arrays)
    )
    assert 0 < error.max() <= bound(nests, m, arrays, Fraction(1, 2**24))


@pytest.mark.usefixtures("always")
@pytest.mark.parametrize("given", [{}, {"H": 8, "W": 7}])
def test_an_epilogue_of_the_phases(given: dict[str, int]) -> None:
    nests, shapes = conv("grad_Y", **given)
    at = tuple(Affine.of(k) for k in "nkuv")
    loops = tuple(zip("nkuv", shapes["grad_Y"], strict=True))
    r0, r1 = sp.symbols("r0 r1", real=True)
    reads = (Access("grad_Y", at), Access("mask", at))
    behind = Nest(Access("t", at), loops, reads, (), sp.Piecewise((0, r1 <= 0), (r0, True)))
    shapes |= {"t": shapes["grad_Y"], "mask": shapes["grad_Y"]}
    layouts = laid_out(nests, shapes, 2)
    layouts |= {k: Layout.blocked(shapes[k], 1) for k in ("t", "mask")}
    found = winograd_kernels("k", nests, layouts, 2, (behind,), False)
    assert found is not None
    job = Job(found, layouts, dtype="float64")
    rng = np.random.default_rng(2)
    arrays = {k: integers(rng, shapes[k]) for k in ("grad_z", "w", "mask")}
    for tensor, array in arrays.items():
        job.put(tensor, array)
    job.run()
    arrays["grad_Y"] = run(nests, shapes["grad_Y"], arrays)
    assert np.array_equal(np.rint(job.get("t")), evaluate(behind, arrays)[1])


@pytest.mark.usefixtures("always")
@pytest.mark.parametrize("m", [2, 4])
@pytest.mark.parametrize("given", [{}, {"H": 8, "W": 7}])
def test_sums_over_the_phases(given: dict[str, int], m: int) -> None:
    nests, shapes = conv("grad_Y", **given)
    at = tuple(Affine.of(k) for k in "nkuv")
    n, k, u, v = zip("nkuv", shapes["grad_Y"], strict=True)
    a0, r0, r1 = sp.symbols("a0 r0 r1", real=True)
    reads = (Access("grad_Y", at), Access("x", at))
    total = Reduction("sum", (n, u, v), r0 * r1)
    behind = Nest(Access("dot", at[1:2]), (k,), reads, (total,), a0)
    shapes |= {"x": shapes["grad_Y"], "dot": (k[1],)}
    layouts = laid_out(nests, shapes, m)
    layouts |= {"x": Layout.blocked(shapes["x"], 1), "dot": Layout.row_major(shapes["dot"])}
    found = winograd_kernels("k", nests, layouts, m, (behind,))
    assert found is not None
    job = Job(found, layouts, dtype="float64")
    rng = np.random.default_rng(2)
    arrays = {k: integers(rng, shapes[k]) for k in ("grad_z", "w", "x")}
    for tensor, array in arrays.items():
        job.put(tensor, array)
    job.run()
    arrays["grad_Y"] = run(nests, shapes["grad_Y"], arrays)
    assert np.array_equal(np.rint(job.get("grad_Y")), arrays["grad_Y"])
    assert np.array_equal(np.rint(job.get("dot")), evaluate(behind, arrays)[1])


def masked(nests: Nests, moved: int = 0) -> Nests:
    """The phases with a value that reads two tensors at the target's own place, or next to it."""
    a0, r2, r3, slope = sp.symbols("a0 r2 r3 slope", real=True)
    found = []
    for n in nests:
        at = n.out.subscripts
        beside = (*at[:3], at[3] + Affine(moved))
        reads = (*n.reads, Access("skip", at), Access("mask", beside))
        value = sp.Piecewise((0, r3 <= 0), (slope * a0 + r2, True))
        found.append(replace(n, reads=reads, value=value, scalars=(("slope", "real"),)))
    return tuple(found)


@pytest.mark.usefixtures("always")
@pytest.mark.parametrize("given", [{}, {"H": 8, "W": 7}])
def test_a_value_of_more_than_the_sum(given: dict[str, int]) -> None:
    plain, shapes = conv("grad_Y", **given)
    nests = masked(plain)
    shapes |= {"skip": shapes["grad_Y"], "mask": shapes["grad_Y"]}
    layouts = laid_out(nests, shapes, 4)
    layouts |= {k: Layout.blocked(shapes[k], 1) for k in ("skip", "mask")}
    found = winograd_kernels("k", nests, layouts, 4)
    assert found is not None
    job = Job(found, layouts, {"slope": 3.0}, dtype="float64")
    rng = np.random.default_rng(2)
    arrays = {k: integers(rng, shapes[k]) for k in ("grad_z", "w", "skip", "mask")}
    for tensor, array in arrays.items():
        job.put(tensor, array)
    job.run()
    total = run(plain, shapes["grad_Y"], arrays)
    expected = np.where(arrays["mask"] <= 0, 0, 3 * total + arrays["skip"])
    assert np.array_equal(np.rint(job.get("grad_Y")), expected)


def test_a_value_from_another_place_is_refused() -> None:
    nests, _ = conv("grad_Y")
    assert joined(masked(nests)) is not None
    assert joined(masked(nests, moved=1)) is None
    assert joined((*masked(nests)[:3], nests[3])) is None


# -- patterns -----------------------------------------------------------------------------------
def test_roles() -> None:
    forward, back, weights = (sides(conv(t)[0]) for t in TARGETS)
    assert forward is not None and back is not None and weights is not None
    assert [a.stride for p in (forward, weights) for a in p.axes] == [2] * 4
    assert not forward.gradient and not back.gradient and weights.gradient
    assert [(a.spread, a.extent, a.taps) for a in back.axes] == [(2, 9, 3), (2, 12, 3)]
    assert (back.near, back.lane, back.window.tensor) == ("o_r", "k", "grad_z")


@pytest.mark.parametrize("target", TARGETS)
def test_all_passes_have_the_terms_of_the_direct_sum(target: str) -> None:
    nests, _ = conv(target, P=0, H=9, W=9)
    p = sides(nests)
    assert p is not None
    assert p.terms == sum(prod(n.extents.values()) for n in nests)


OTHERS: list[dict[str, int]] = [
    {"D": 2},
    {"D": 2, "S": 1},
    {"K": 2, "P": 0},
    {"K": 1, "P": 0},
    {"SH": 1},
    {"SW": 3},
]


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("given", OTHERS)
def test_other_windows_are_refused(target: str, given: dict[str, int]) -> None:
    """A dilation, no taps to share, and axes that differ."""
    assert sides(conv(target, **given)[0]) is None


def test_phases_are_taken_together_or_not_at_all() -> None:
    nests, _ = conv("grad_Y")
    assert joined(nests) is not None and joined(nests[::-1]) == joined(nests)
    assert all(joined(nests[:k] + nests[k + 1 :]) is None for k in range(4))
    assert joined((*nests, nests[0])) is None


@pytest.mark.parametrize("which", range(4))
def test_a_phase_of_another_sum_is_refused(which: int) -> None:
    nests, _ = conv("grad_Y")
    n = nests[which]
    (r,) = n.reductions
    window, weights = n.reads
    moved = (*window.subscripts[:2], window.subscripts[2] + Affine(1), window.subscripts[3])
    other_tap = (*weights.subscripts[:3], weights.subscripts[3] + Affine(1))
    a0, r0, r1 = sp.symbols("a0 r0 r1", real=True)
    others = (
        replace(n, reads=(replace(window, subscripts=moved), weights)),
        replace(n, reads=(window, replace(weights, subscripts=other_tap))),
        replace(n, reads=(replace(window, outside="skip"), weights)),
        replace(n, value=2 * a0),
        replace(n, reductions=(replace(r, term=r0 * r1**2),)),
        replace(n, reductions=(replace(r, kind="max"),)),
        replace(n, reductions=(replace(r, guards=(Affine.of("o_r"),)),)),
        replace(n, reductions=(replace(r, loops=(("o_r", 16), *r.loops[1:])),)),
    )
    for other in others:
        assert joined((*nests[:which], other, *nests[which + 1 :])) is None


# -- what pays ----------------------------------------------------------------------------------
@pytest.mark.parametrize("target", TARGETS)
def test_the_tile_that_is_fastest(target: str) -> None:
    """28 outputs are 7 tiles of 4; 14 are 7 of 2, of 4 they would be 16."""
    for given, m in (({"C": 64, "O": 128, "H": 56}, 4), ({"C": 128, "O": 256, "H": 28}, 2)):
        nests, _ = conv(target, N=16, W=given["H"], **given)
        p = sides(nests)
        assert p is not None and max((2, 3, 4), key=lambda m: estimate(p, m)) == m
        assert largest_tile(nests, "fast") == m and largest_tile(nests, "accurate") == 2
        for precision in ("fast", "accurate"):
            allowed = ALLOWED[precision] * terms(nests) * 2.0**-24
            assert winograd_bound(nests, largest_tile(nests, precision)) <= allowed


@pytest.mark.parametrize("target", TARGETS)
def test_what_does_not_pay_is_left_to_the_direct_schedule(target: str) -> None:
    few = {"N": 32, "C": 16, "O": 32, "H": 32, "W": 32}  # the transforms are half of the work
    large = {"N": 64, "C": 512, "O": 512, "H": 16, "W": 16}  # 26 MB of transformed weights
    for given in (few, large):
        nests, shapes = conv(target, **given)
        p = sides(nests)
        assert p is not None and gain(p, 4) > 1.7
        assert largest_tile(nests, "fast") == 0 and not transformed(nests)
        assert winograd_layouts(nests, shapes) is None


@pytest.mark.parametrize("target", TARGETS)
def test_the_scheduler_takes_it(target: str) -> None:
    nests, shapes = conv(target, N=16, C=64, O=64, H=32, W=32)
    s = CpuSchedules("fast", AVX2)
    layouts = s.layouts(nests, shapes, {})
    assert layouts is not None
    layouts.setdefault("b", Layout.row_major(shapes["b"]))
    found = s.contraction("k", nests, layouts, (), True)
    direct = s.contraction("k", nests, layouts, (), True, "direct " + _tile(s, nests, layouts))
    assert found is not None and direct is not None and len(found) == 2
    assert sum(k.flops for k in found) == sum(k.flops for k in direct)


def _tile(s: CpuSchedules, nests: Nests, layouts: dict[str, Layout]) -> str:
    found = s.candidates(Work(nests, layouts))
    assert "winograd 2" in found and "winograd 4" in found
    return next(c for c in found if c.startswith("direct")).removeprefix("direct ")
