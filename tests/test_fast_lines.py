"""The schedule by lines: exact results, windows and sums behind it, errors within the bound."""

from __future__ import annotations

from fractions import Fraction
from math import prod
from typing import Any

import numpy as np
import pytest

from gradproof.codegen.fast.accuracy import ALLOWED, largest_line, line_bound, terms
from gradproof.codegen.fast.choices import Work
from gradproof.codegen.fast.layout import Layout
from gradproof.codegen.fast.lines import line_kernels
from gradproof.codegen.fast.machine import AVX2, AVX512, Machine
from gradproof.codegen.fast.schedules import schedules
from tests.fast_device import Job
from tests.nests import run
from tests.test_fast_contraction import Equation, conv
from tests.test_fast_sums import Case, measured, within_bounds, without_base
from tests.test_fast_windows import pools

Array = np.ndarray[Any, Any]
UNITS = {"float32": Fraction(1, 2**24), "float64": Fraction(1, 2**53)}


def integers(e: Equation, seed: int = 0) -> dict[str, Array]:
    """Multiples of 4: F(2, 3) then has integers only; others are exact in float64 but for errors
    far below one half."""
    rng = np.random.default_rng(seed)
    reads = sorted({a.tensor for n in e.nests for a in n.reads})
    return {t: 4.0 * rng.integers(-2, 3, e.shapes[t]) for t in reads}


def computed(
    e: Equation,
    arrays: dict[str, Array],
    m: int,
    names: tuple[str, ...] = (),
    size: tuple[int, int] = (2, 2),
    store: bool = True,
    dtype: str = "float32",
    machine: Machine = AVX2,
    layouts: dict[str, Layout] | None = None,
) -> Job:
    """The kernel run, with reductions over windows behind it."""
    layouts, found = layouts or e.layouts(), pools(e, size, size) if names else {}
    layouts |= {t: Layout.blocked(found[t][1], 1) for t in names}
    also = tuple(found[t][0] for t in names)
    kernels = line_kernels("k", *e.nests, layouts, m, also, store, machine, always=True)
    assert kernels is not None
    assert kernels[0].note.startswith(f"lines {m} along")
    assert ((e.target, True) in kernels[0].tensors) == store
    job = Job(kernels, layouts, dtype=dtype, whole=frozenset({"place"}))
    for t, x in arrays.items():
        job.put(t, x)
    job.run()
    return job


SIZES: dict[str, dict[str, int]] = {
    "plain": {"H": 8, "W": 9, "CG": 3},
    "inside": {"H": 10, "W": 12, "CG": 2, "OG": 16, "P": 0},
    "few rows": {"H": 4, "W": 17, "CG": 5, "N": 3},
    "many blocks": {"H": 12, "W": 8, "CG": 3, "OG": 64, "N": 1},
    "wide": {"H": 4, "W": 90, "CG": 3, "OG": 16},
    "filled-up lanes": {"H": 8, "W": 17, "CG": 3, "OG": 20},
    "taps": {"H": 8, "W": 14, "CG": 6, "OG": 16, "KH": 3, "KW": 5, "PL": 2, "PR": 2},
}


@pytest.mark.parametrize("machine", [AVX2, AVX512])
@pytest.mark.parametrize("name", SIZES)
def test_two_rows_are_exact(name: str, machine: Machine) -> None:
    e = conv(**SIZES[name])["z"]
    arrays = integers(e)
    got = computed(e, arrays, 2, machine=machine).get("z")
    assert np.array_equal(got, run(e.nests, e.shapes["z"], arrays))


def test_taps_that_run_against_the_rows() -> None:
    """An input gradient with 16 channels from few."""
    for sizes in ({}, {"P": 0, "H": 10}):
        e = conv(**{"CG": 16, "OG": 3, "H": 8, "W": 11} | sizes)["grad_Y"]
        arrays = integers(e)
        layouts = e.layouts()
        layouts["grad_z"] = Layout.row_major(
            e.shapes["grad_z"], layouts["grad_z"].low, layouts["grad_z"].high
        )
        got = computed(e, arrays, 2, layouts=layouts).get(e.target)
        assert np.array_equal(got, run(e.nests, e.shapes[e.target], arrays))


@pytest.mark.parametrize("sizes", [{"CG": 3}, {"CG": 6, "K": 5, "P": 0, "H": 14, "OG": 16}])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_larger_tiles_are_within_their_bound(sizes: dict[str, int], dtype: str) -> None:
    """In float64 it is below one half, so that rounding gives exactly the integer."""
    e = conv(**{"H": 8, "W": 14} | sizes)["z"]
    m = 4 if sizes.get("K", 3) == 3 else 2
    arrays = integers(e)
    got = computed(e, arrays, m, dtype=dtype).get("z").astype(np.float64)
    want = run(e.nests, e.shapes["z"], arrays)
    largest = prod(float(np.abs(arrays[t]).max()) for t in ("Y", "w"))
    bound = line_bound(e.nests[0], m, UNITS[dtype]) * terms(e.nests[0]) * largest
    # the bias is added to the sum: one more rounding
    assert np.abs(got - want).max() <= bound + 2 * float(UNITS[dtype]) * np.abs(want).max()
    if dtype == "float64":
        assert bound < 0.5 and np.array_equal(np.rint(got), want)


@pytest.mark.parametrize("names", [("most",), ("most", "place"), ("mean", "most")])
@pytest.mark.parametrize(
    ("sizes", "size", "store"),
    [
        ({"H": 8, "W": 8}, (2, 2), False),
        ({"H": 8, "W": 8}, (2, 2), True),
        ({"H": 8, "W": 9}, (2, 3), True),
        ({"H": 8, "W": 11}, (2, 2), False),  # a column in no window
        ({"H": 9, "W": 8}, (2, 2), False),  # a row
        ({"H": 8, "W": 70, "OG": 16}, (1, 2), False),
    ],
)
def test_windows(
    sizes: dict[str, int], size: tuple[int, int], store: bool, names: tuple[str, ...]
) -> None:
    e = conv(CG=3, **sizes)["z"]
    arrays = integers(e)
    job = computed(e, arrays, 2, names, size, store)
    whole = run(e.nests, e.shapes["z"], arrays)
    if store:
        assert np.array_equal(job.get("z"), whole)
    for t, (nest, shape) in pools(e, size, size).items():
        if t in names:
            kind: Any = np.int32 if t == "place" else np.float64
            want = run((nest,), shape, {"z": whole}, dtype=kind)
            exact = np.float32(want) if t == "mean" and size == (2, 3) else want
            assert np.allclose(job.get(t), exact, rtol=2.0**-23 if t == "mean" else 0, atol=0), t


def test_sums_over_the_target() -> None:
    case, rng = Case(3, 32, 12, 3), np.random.default_rng(1)
    layouts = case.complete(_few(case))
    data = case.integers()
    data |= {t: 4 * data[t] for t in ("y", "w")}
    job = measured(line_kernels("k", case.nest, layouts, 2, case.dots, always=True), layouts, data)
    z = run((case.nest,), case.shapes["z"], data)
    assert (job.get("z") == z).all()
    for n in case.dots:
        assert (job.get(n.out.tensor) == run((n,), (case.channels,), {**data, "z": z})).all()
    for level in (0.0, 3000.0):
        data = {t: rng.normal(size=case.shapes[t]) / 7 for t in ("y", "w")}
        data["b"] = rng.normal(level, 1, case.channels)
        kernels = line_kernels("k", case.nest, layouts, 4, case.moments, always=True)
        assert within_bounds(measured(kernels, layouts, data), level)
        if level:
            assert not within_bounds(measured(without_base(kernels), layouts, data), level)


def _few(case: Case) -> dict[str, Layout]:
    """Layouts as for few channels: rows of the image lie together."""
    return {
        "y": Layout.row_major(case.shapes["y"], (0, 0, 1, 1), (0, 0, 1, 1)),
        "w": Layout.blocked(case.shapes["w"], 0),
        "z": Layout.blocked(case.shapes["z"], 1),
    }


@pytest.mark.parametrize(
    ("sizes", "target"),
    [
        ({"H": 7}, "z"),  # rows that no tile divides
        ({"S": 2, "H": 15}, "z"),
        ({"SW": 2, "W": 17}, "z"),
        ({"W": 6, "P": 0, "H": 10}, "z"),  # a line is no vector
        ({"D": 2, "P": 2}, "z"),
        ({}, "grad_w"),
        ({"K": 1, "P": 0}, "z"),
    ],
)
def test_other_work_is_refused(sizes: dict[str, int], target: str) -> None:
    e = conv(**{"H": 8, "W": 9, "CG": 3} | sizes)[target]
    assert line_kernels("k", e.nests[0], e.layouts(), 4, always=True) is None


def test_the_tile_is_the_largest_whose_bound_is_allowed() -> None:
    for sizes in ({"CG": 3}, {"CG": 6, "K": 5}):
        (nest,) = conv(**{"H": 8, "W": 9} | sizes)["z"].nests
        for precision, most in (("fast", 4), ("accurate", 2)):
            m = largest_line(nest, precision)
            allowed = ALLOWED[precision] * terms(nest) * 2.0**-24
            assert m == 0 or line_bound(nest, m) <= allowed
            assert m == min(most, 7 - nest.extents["i"]) or line_bound(nest, most) > allowed


def test_where_it_pays_it_is_taken_and_can_be_forced() -> None:
    """The model weighs the transforms against what they save: not for a single channel."""
    cpu = schedules("fast", "avx2")
    notes = {}
    for channels in (1, 2, 3):
        e = conv(N=8, CG=channels, OG=16, H=32, W=32)["z"]
        found = cpu.contraction("k", e.nests, e.layouts(), (), True)
        assert found is not None
        notes[channels] = found[0].note
    assert all(notes[k].startswith("lane") for k in (1, 2)) and notes[3] == "lines 4 along i"
    work = Work(e.nests, e.layouts())
    choices = cpu.candidates(work)
    assert {"lines 2", "lines 4"} <= set(choices)
    for choice in ("lines 2", "lines 4"):
        found = cpu.contraction("k", e.nests, e.layouts(), (), True, choice)
        assert found is not None and found[0].note == f"{choice} along i"
    for wrong in ("lines 6", "lines", "lines x"):
        with pytest.raises(ValueError, match="none for"):
            cpu.contraction("k", e.nests, e.layouts(), (), True, wrong)
