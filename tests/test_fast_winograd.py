"""The Winograd schedule: patterns, exact results, errors within the derived bounds."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from functools import cache
from math import prod
from typing import Any

import numpy as np
import pytest
import sympy as sp

from gradproof.codegen.fast import accuracy
from gradproof.codegen.fast.accuracy import largest_tile, terms, winograd_bound, winograd_error
from gradproof.codegen.fast.affine import Affine
from gradproof.codegen.fast.kernel import FastKernel
from gradproof.codegen.fast.layout import Layout
from gradproof.codegen.fast.machine import AVX2, AVX512, Machine
from gradproof.codegen.fast.nest import Access, Nest, Reduction
from gradproof.codegen.fast.specialise import specialise
from gradproof.codegen.fast.winograd import (
    gain,
    tile_size,
    winograd_kernels,
    winograd_layouts,
)
from gradproof.codegen.fast.winograd_pattern import pattern
from gradproof.derive.registry import find
from gradproof.derive.system import derive
from tests.fast_device import Job
from tests.nests import evaluate, run

UNITS = {"float32": Fraction(1, 2**24), "float64": Fraction(1, 2**53)}
Shapes = dict[str, tuple[int, ...]]
Array = np.ndarray[Any, Any]


@cache
def derivation() -> Any:
    return derive(find("conv2d"))


def conv(target: str, **given: int) -> tuple[Nest, Shapes]:
    """The nest of conv2d's forward pass or gradients, and the shapes."""
    size = {"N": 2, "C": 16, "O": 32, "H": 9, "W": 12, "K": 3, "S": 1, "D": 1, "P": 1, **given}
    kh, kw = given.get("KH", size["K"]), given.get("KW", size["K"])
    d = find("conv2d")
    named = {"N": size["N"], "G": 1, "CG": size["C"], "OG": size["O"], "KH": kh, "KW": kw}
    named |= {"H": size["H"], "W": size["W"]}
    named |= {f"{letter}{axis}": size[letter] for letter in "SD" for axis in "HW"}
    named |= dict.fromkeys(("PT", "PB", "PL", "PR"), size["P"])
    symbols = {sp.Symbol(k, integer=True): v for k, v in named.items()}
    for s, value in d.derived:
        symbols[s] = int(value.xreplace(symbols))
    system = derivation()
    sizes = {str(k): int(v) for k, v in symbols.items()}
    for part in (system.forward, system.backward):
        for e in part.equations:
            if e.target == target:
                nests = specialise(part, e, sizes)
                assert nests is not None
                z = (size["N"], size["O"], sizes["OH"], sizes["OW"])
                y = (size["N"], size["C"], size["H"], size["W"])
                w = (size["O"], size["C"], kh, kw)
                shapes = {"Y": y, "grad_Y": y, "w": w, "grad_w": w, "z": z, "grad_z": z}
                return nests[0], shapes | {"b": (size["O"],)}
    raise AssertionError(target)


def line(n: int, near: int, lane: int, extent: int, taps: int, start: int) -> tuple[Nest, Shapes]:
    """A correlation with one axis."""
    v = {k: Affine.of(k) for k in ("n", "o", "c", "x", "i")}
    reads = (
        Access("y", (v["n"], v["c"], v["x"] + v["i"] + Affine(start)), "zero"),
        Access("w", (v["o"], v["c"], v["i"])),
    )
    term = sp.Symbol("r0", real=True) * sp.Symbol("r1", real=True)
    total = Reduction("sum", (("c", near), ("i", taps)), term)
    loops = (("n", n), ("o", lane), ("x", extent))
    nest = Nest(Access("z", (v["n"], v["o"], v["x"])), loops, reads, (total,), sp.Symbol("a0"))
    shapes = {"y": (n, near, extent), "w": (lane, near, taps), "z": (n, lane, extent)}
    return nest, shapes


def wider(layout: Layout, more: int) -> Layout:
    """The same with a larger border along every spatial dimension."""
    spatial = len(layout.shape) - 2
    grown = (0, 0, *[more] * spatial)
    low = tuple(a + b for a, b in zip(layout.low, grown, strict=True))
    high = tuple(a + 2 * b for a, b in zip(layout.high, grown, strict=True))
    return Layout.blocked(layout.shape, 1, low=low, high=high)


def laid_out(nest: Nest, shapes: Shapes, m: int | None = None, more: int = 0) -> dict[str, Layout]:
    found = winograd_layouts(nest, shapes, m)
    assert found is not None
    sides = pattern(nest)
    assert sides is not None
    for a in (sides.window, sides.data):
        found[a.tensor] = wider(found[a.tensor], more)
    for r in nest.reads:
        found.setdefault(r.tensor, Layout.row_major(shapes[r.tensor]))
    return found


def integers(rng: np.random.Generator, shape: tuple[int, ...]) -> Array:
    """Multiples of 4: halves of halves are integers."""
    return 4.0 * rng.integers(-2, 3, shape)


def random(rng: np.random.Generator, shape: tuple[int, ...]) -> Array:
    return rng.standard_normal(shape).astype(np.float32).astype(np.float64)


def kernels(
    nest: Nest, layouts: dict[str, Layout], m: int, **options: Any
) -> tuple[FastKernel, ...]:
    found = winograd_kernels("k", nest, layouts, m, **options)
    assert found is not None
    return found


def compare(nest: Nest, shapes: Shapes, layouts: dict[str, Layout], m: int, dtype: str) -> float:
    """The largest error is within the derived bound; the root mean square, relative."""
    job, arrays, expected = done(nest, shapes, layouts, m, dtype, random)
    got = job.get(nest.out.tensor).astype(np.float64)
    assert np.abs(got - expected).max() <= bound(nest, m, arrays, dtype)
    return float(np.sqrt(((got - expected) ** 2).mean() / (expected**2).mean()))


def bound(nest: Nest, m: int, arrays: dict[str, Array], dtype: str) -> float:
    largest = prod(float(np.abs(arrays[a.tensor]).max()) for a in nest.reads[:2])
    terms = prod(n for _, n in nest.reductions[0].loops)
    return winograd_bound(nest, m, u=UNITS[dtype]) * terms * largest


def whole(
    nest: Nest, shapes: Shapes, layouts: dict[str, Layout], m: int, machine: Machine = AVX2
) -> None:
    """Integer data: all numbers of F(2, 3) are float32 numbers. Others have thirds in G: their
    bound in float64 is below one half, so that rounding gives exactly the integer."""
    sides = pattern(nest)
    assert sides is not None
    small = tile_size(sides, m) + sides.axes[0].taps - 1 <= 4
    dtype = "float32" if small else "float64"
    job, arrays, expected = done(nest, shapes, layouts, m, dtype, integers, machine)
    got = job.get(nest.out.tensor)
    if not small:
        assert bound(nest, m, arrays, dtype) < 0.5
        got = np.rint(got)
    assert np.array_equal(got, expected)


def done(
    nest: Nest,
    shapes: Shapes,
    layouts: dict[str, Layout],
    m: int,
    dtype: str,
    data: Callable[[np.random.Generator, tuple[int, ...]], Array],
    machine: Machine = AVX2,
) -> tuple[Job, dict[str, Array], Array]:
    rng = np.random.default_rng(1)
    arrays = {r.tensor: data(rng, shapes[r.tensor]) for r in nest.reads}
    job = Job(kernels(nest, layouts, m, machine=machine), layouts, dtype=dtype)
    for tensor, array in arrays.items():
        job.put(tensor, array)
    job.run()
    return job, arrays, run((nest,), shapes[nest.out.tensor], arrays)


# -- patterns ----------------------------------------------------------------------------------
@pytest.mark.parametrize("given", [{"S": 2}, {"D": 2}, {"K": 1, "P": 0}, {"C": 24}, {"O": 8}])
def test_other_work_is_refused(given: dict[str, int]) -> None:
    nest, shapes = conv("z", **given)
    assert winograd_layouts(nest, shapes) is None


@pytest.mark.parametrize("given", [{"H": 2, "W": 2}, {"H": 3, "W": 3}, {"KH": 7, "KW": 7, "P": 3}])
def test_small_gain_is_refused(given: dict[str, int]) -> None:
    nest, shapes = conv("z", **given)
    assert winograd_layouts(nest, shapes) is None


@pytest.mark.parametrize("target", ["grad_Y", "grad_w"])
@pytest.mark.parametrize("given", [{"S": 2}, {"D": 2}])
def test_gradients_of_other_work_are_refused(target: str, given: dict[str, int]) -> None:
    nest, shapes = conv(target, **given)
    assert winograd_layouts(nest, shapes) is None


def test_roles() -> None:
    forward, back, weights = (pattern(conv(t)[0]) for t in ("z", "grad_Y", "grad_w"))
    assert forward is not None and back is not None and weights is not None
    assert not forward.gradient and not back.gradient and weights.gradient
    assert not forward.axes[0].flipped and back.axes[0].flipped
    assert [a.start for a in (*forward.axes, *back.axes)] == [-1] * 4
    assert (weights.near, weights.lane, weights.weights.tensor) == ("c", "o", "grad_w")


def test_a_term_with_a_factor_is_refused() -> None:
    nest, _ = line(1, 16, 16, 12, 3, 0)
    (r,) = nest.reductions
    assert pattern(nest) is not None
    assert pattern(replace(nest, reductions=(replace(r, term=2 * r.term),))) is None
    assert pattern(replace(nest, reductions=(replace(r, kind="max"),))) is None


# -- results -----------------------------------------------------------------------------------
SIZES: list[tuple[int, dict[str, int]]] = [
    (4, {"H": 9, "W": 12, "N": 3}),
    (4, {"H": 7, "W": 5, "C": 48, "O": 16, "N": 1}),
    (4, {"H": 14, "W": 14, "C": 32, "N": 1}),
    (3, {"H": 7, "W": 8, "P": 0}),
    (2, {"H": 9, "W": 6, "K": 5, "P": 2}),
    (4, {"H": 9, "W": 8, "KW": 1, "P": 0}),
]


@pytest.mark.parametrize("target", ["z", "grad_Y", "grad_w"])
@pytest.mark.parametrize(("m", "given"), SIZES)
def test_integers_exactly(target: str, m: int, given: dict[str, int]) -> None:
    nest, shapes = conv(target, **given)
    whole(nest, shapes, laid_out(nest, shapes, m), m)


@pytest.mark.parametrize("target", ["z", "grad_Y", "grad_w"])
@pytest.mark.parametrize("m", [2, 4])
def test_error_is_within_the_bound(target: str, m: int) -> None:
    nest, shapes = conv(target, C=32, H=14, W=14)
    found = compare(nest, shapes, laid_out(nest, shapes, m), m, "float32")
    assert found < 2 * winograd_error(nest, m)  # of one channel and tile; sums average out


@pytest.mark.parametrize("target", ["z", "grad_Y", "grad_w"])
def test_larger_borders(target: str) -> None:
    nest, shapes = conv(target, H=9, W=7)
    whole(nest, shapes, laid_out(nest, shapes, 2, more=2), 2)


def test_ragged_data_without_a_border() -> None:
    nest, shapes = conv("grad_w", H=9, W=7)
    layouts = laid_out(nest, shapes, 4)
    layouts["grad_z"] = Layout.blocked(shapes["grad_z"], 1)
    whole(nest, shapes, layouts, 4)


@pytest.mark.parametrize("target", ["z", "grad_Y", "grad_w"])
@pytest.mark.parametrize("blocked", ["row major", "first", "second", "both"])
def test_layouts_of_the_weights(target: str, blocked: str) -> None:
    nest, shapes = conv(target, N=1, H=6, W=6)
    layouts = laid_out(nest, shapes, 2)
    w = "grad_w" if target == "grad_w" else "w"
    layouts[w] = {
        "row major": Layout.row_major(shapes[w]),
        "first": Layout.blocked(shapes[w], 0),
        "second": Layout.blocked(shapes[w], 1),
        "both": Layout.blocked(shapes[w], 1, second=0),
    }[blocked]
    whole(nest, shapes, layouts, 2)


def test_registers_decide_tiles_only() -> None:
    for target in ("z", "grad_w"):
        nest, shapes = conv(target, C=32, O=32, H=8, W=8)
        layouts = laid_out(nest, shapes, 2)
        texts = [kernels(nest, layouts, 2, machine=k)[target == "z"].text for k in (AVX2, AVX512)]
        assert texts[0] != texts[1]
        whole(nest, shapes, layouts, 2, machine=AVX512)


@pytest.mark.parametrize("m", [2, 4])
def test_one_axis(m: int) -> None:
    nest, shapes = line(3, 32, 16, 22, 3, -1)
    whole(nest, shapes, laid_out(nest, shapes, m), m)


def test_three_axes() -> None:
    v = {k: Affine.of(k) for k in "ocxyzijk"}
    ends = [v[a] + v[b] for a, b in ("xi", "yj", "zk")]
    reads = (Access("y", (v["c"], *ends)), Access("w", (v["o"], *(v[k] for k in "cijk"))))
    term = sp.Symbol("r0", real=True) * sp.Symbol("r1", real=True)
    total = Reduction("sum", (("c", 16), ("i", 3), ("j", 3), ("k", 3)), term)
    loops = (("o", 16), ("x", 4), ("y", 5), ("z", 6))
    out = Access("z", (v["o"], v["x"], v["y"], v["z"]))
    nest = Nest(out, loops, reads, (total,), sp.Symbol("a0", real=True))
    shapes = {"y": (16, 6, 7, 8), "w": (16, 16, 3, 3, 3), "z": (16, 4, 5, 6)}
    layouts = winograd_layouts(nest, shapes)
    assert layouts is not None
    whole(nest, shapes, layouts, 2)


def test_narrow_borders_are_refused() -> None:
    nest, shapes = conv("z")
    layouts = laid_out(nest, shapes, 4)
    layouts["Y"] = Layout.blocked(shapes["Y"], 1, low=(0, 0, 1, 1), high=(0, 0, 1, 1))
    assert winograd_kernels("k", nest, layouts, 4) is None


def test_too_many_channels_for_local_memory_are_refused() -> None:
    nest, shapes = line(1, 16, 16, 12, 3, 0)
    layouts = laid_out(nest, shapes, 4)
    assert winograd_kernels("k", nest, layouts, 4) is not None
    many, large = conv("z", C=4096, O=16, N=1)
    assert winograd_kernels("k", many, laid_out(many, large, 4), 4) is None


# -- epilogues ---------------------------------------------------------------------------------
def pointwise(name: str, of: str, value: sp.Expr, more: tuple[Access, ...] = ()) -> Nest:
    """A nest over [n, k, u, v] that reads `of` as r0 and `more` from r1."""
    at = tuple(Affine.of(k) for k in "nkuv")
    loops = (("n", 2), ("k", 32), ("u", 9), ("v", 12))
    return Nest(Access(name, at), loops, (Access(of, at), *more), (), value, (("slope", "real"),))


@pytest.mark.parametrize("store", [True, False])
def test_epilogue(store: bool) -> None:
    nest, shapes = conv("z")
    r0, r1, r2, slope = sp.symbols("r0 r1 r2 slope", real=True)
    at = tuple(Affine.of(k) for k in "nkuv")
    scaled = pointwise(
        "s", "z", r0 * r1 + slope * r2, (Access("gain", at[1:2]), Access("skip", at))
    )
    relu = pointwise("t", "s", sp.Piecewise((0, r0 <= 0), (r0, True)))
    shapes |= {"s": shapes["z"], "t": shapes["z"], "skip": shapes["z"], "gain": (32,)}
    layouts = laid_out(nest, shapes, 2)
    layouts |= {k: Layout.blocked(shapes[k], 1) for k in "st"}
    layouts["gain"] = Layout.row_major((32,))
    layouts["skip"] = wider(layouts["s"], 1)
    found = kernels(nest, layouts, 2, epilogue=(scaled, relu), store=store)
    job = Job(found, layouts, {"slope": 3.0})
    rng = np.random.default_rng(2)
    arrays = {k: integers(rng, shapes[k]) for k in ("Y", "w", "b", "gain", "skip")}
    for tensor, array in arrays.items():
        job.put(tensor, array)
    job.run()
    arrays["z"] = evaluate(nest, arrays)[1]
    arrays["s"] = evaluate(scaled, arrays, {"slope": 3.0})[1]
    arrays["t"] = evaluate(relu, arrays, {"slope": 3.0})[1]
    for tensor in ("z", "s", "t") if store else ("s", "t"):
        assert np.array_equal(job.get(tensor), arrays[tensor])
    assert store == ("z" in dict(found[1].tensors))


def test_epilogue_at_other_elements_is_refused() -> None:
    nest, shapes = conv("z")
    at = tuple(Affine.of(k) for k in "nkuv")
    moved = pointwise("s", "z", sp.Symbol("r0", real=True))
    moved = replace(moved, reads=(Access("z", (*at[:3], at[3] + Affine(1)), "zero"),))
    layouts = laid_out(nest, shapes, 2)
    layouts["s"] = layouts["z"]
    assert winograd_kernels("k", nest, layouts, 2, epilogue=(moved,)) is None


def test_epilogues_that_are_no_function_of_their_place_are_refused() -> None:
    nest, shapes = conv("z")
    at = tuple(Affine.of(k) for k in "nkuv")
    moved = (*at[:3], at[3] + Affine(1))
    r0, r1 = sp.symbols("r0 r1", real=True)
    good = pointwise("s", "z", r0 + r1, (Access("skip", at),))
    shapes |= dict.fromkeys(("s", "skip"), shapes["z"])
    layouts = laid_out(nest, shapes, 2)
    layouts |= dict.fromkeys(("s", "skip"), layouts["z"])
    wrong: dict[str, tuple[Nest, ...]] = {
        "one target twice": (good, good),
        "the place in the value": (replace(good, value=r0 * sp.Symbol("u", integer=True)),),
        "a neighbour of the sum": (pointwise("s", "z", r0 + r1, (Access("z", moved, "zero"),)),),
        "a neighbour outside": (pointwise("s", "z", r0 + r1, (Access("skip", moved, "zero"),)),),
        "a reduction": (replace(good, reductions=nest.reductions),),
    }
    assert kernels(nest, layouts, 2, epilogue=(good,))
    for why, epilogue in wrong.items():
        assert winograd_kernels("k", nest, layouts, 2, epilogue=epilogue) is None, why
    rows = layouts | {"s": Layout.row_major(shapes["s"])}
    assert winograd_kernels("k", nest, rows, 2, epilogue=(good,)) is None


def test_epilogues_of_numbers_alone() -> None:
    """What depends on no tensor is one number for all lanes."""
    nest, shapes = conv("z")
    r0, slope = sp.symbols("r0 slope", real=True)
    epilogue = (pointwise("s", "z", r0 + sp.exp(slope)), pointwise("t", "z", 2 * slope))
    shapes |= dict.fromkeys("st", shapes["z"])
    layouts = laid_out(nest, shapes, 2)
    layouts |= dict.fromkeys("st", layouts["z"])
    job = Job(kernels(nest, layouts, 2, epilogue=epilogue), layouts, {"slope": 0.0})
    arrays = {k: integers(np.random.default_rng(3), shapes[k]) for k in ("Y", "w", "b")}
    for tensor, array in arrays.items():
        job.put(tensor, array)
    job.run()
    z = evaluate(nest, arrays)[1]
    assert np.array_equal(job.get("s"), z + 1)
    assert np.array_equal(job.get("t"), 0 * z)


def test_bound_decides() -> None:
    nest, _ = conv("z")
    assert winograd_bound(nest, 2) < winograd_bound(nest, 4)
    assert winograd_error(nest, 2) < winograd_error(nest, 4)
    sides = pattern(nest)
    assert sides is not None and gain(sides, 4) > gain(sides, 2)
    with pytest.raises(ValueError, match="no sum of products"):
        winograd_bound(conv("z", D=2)[0], 4)


@pytest.mark.parametrize("target", ["z", "grad_Y", "grad_w"])
@pytest.mark.parametrize("precision", ["fast", "accurate"])
def test_the_tile_is_the_largest_whose_bound_is_allowed(target: str, precision: str) -> None:
    nest, _ = conv(target, N=4, C=32, H=16, W=16)
    allowed = accuracy.ALLOWED[precision] * terms(nest) * 2.0**-24
    m = largest_tile(nest, precision)
    assert m == {"fast": 4, "accurate": 2}[precision]
    assert winograd_bound(nest, m) <= allowed
    assert m == 4 or winograd_bound(nest, 4) > allowed


@pytest.mark.parametrize("target", ["z", "grad_Y", "grad_w"])
@pytest.mark.parametrize("local", [8192, 32768, 65536, 131072, 262144])
@pytest.mark.parametrize("channels", [16, 64, 256])
def test_local_memory_is_not_exceeded(target: str, local: int, channels: int) -> None:
    """A work-group that takes more than the device has would write over other memory."""
    nest, shapes = conv(target, N=8, C=channels, O=channels, H=8, W=8)
    machine = replace(AVX2, local=local)
    found = winograd_kernels("k", nest, laid_out(nest, shapes, 4), 4, machine=machine)
    assert found is not None or local < 262144
    for k in found or ():
        sizes = re.findall(r"__local REALV \w+\[(\d+)\]", k.text)
        assert sum(16 * int(n) for n in sizes) <= local


def test_few_terms_get_a_smaller_tile_and_none_where_none_is_allowed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    few, _ = conv("grad_w", N=1, C=32, H=4, W=4)  # one tile of 4 × 4 outputs
    assert largest_tile(few, "fast") == 2
    monkeypatch.setitem(accuracy.ALLOWED, "fast", 0)
    assert largest_tile(few, "fast") == 0
    assert largest_tile(conv("z", S=2)[0], "fast") == 0
