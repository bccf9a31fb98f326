"""The Winograd schedule: patterns, exact results, errors within the derived bounds."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from math import prod
from typing import Any

import numpy as np
import pytest
import sympy as sp
from fast_device import Job
from nests import run

from gradproof.codegen.fast.affine import Affine
from gradproof.codegen.fast.kernel import FastKernel
from gradproof.codegen.fast.layout import Layout
from gradproof.codegen.fast.nest import Access, Nest, Reduction
from gradproof.codegen.fast.specialise import specialise
from gradproof.codegen.fast.transforms import paired_points, shared, transform_for, transposed
from gradproof.codegen.fast.winograd import (
    gain,
    winograd_bound,
    winograd_error,
    winograd_kernels,
    winograd_layouts,
)
from gradproof.codegen.fast.winograd_pattern import pattern
from gradproof.derive.errors import DefinitionError
from gradproof.derive.registry import find
from gradproof.derive.system import derive
from gradproof.derive.winograd import INFINITY, cook_toom, default_points, identity
from gradproof.derive.winograd_error import average_error, error_bound

WHOLE = tuple(Fraction(p) for p in (0, 1, -1, 2, -2))
Shapes = dict[str, tuple[int, ...]]


def conv(target: str, **given: int) -> tuple[Nest, Shapes]:
    """The nest of conv2d's forward pass or gradients, and the shapes."""
    size = {"N": 2, "C": 16, "O": 32, "H": 9, "W": 12, "K": 3, "S": 1, "D": 1, "P": 1, **given}
    kh, kw = given.get("KH", size["K"]), given.get("KW", size["K"])
    d = find("conv2d")
    named = {"N": size["N"], "G": 1, "CG": size["C"], "OG": size["O"], "KH": kh, "KW": kw}
    named |= {"H": size["H"], "W": size["W"]}
    named |= {f"{letter}{axis}": size[letter] for letter in "SD" for axis in "HW"}
    named |= {side: size["P"] for side in ("PT", "PB", "PL", "PR")}
    symbols = {sp.Symbol(k, integer=True): v for k, v in named.items()}
    for s, value in d.derived:
        symbols[s] = int(value.xreplace(symbols))
    system = derive(d)
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
    grown = tuple([0, 0, *[more] * spatial])
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


def integers(
    rng: np.random.Generator, shape: tuple[int, ...], times: int = 1, most: int = 2
) -> np.ndarray[Any, Any]:
    return rng.integers(-most, most + 1, shape).astype(np.float64) * times


def kernels(nest: Nest, layouts: dict[str, Layout], m: int, **options: Any) -> tuple[FastKernel, ...]:
    found = winograd_kernels("k", nest, layouts, m, **options)
    assert found is not None
    return found


def compare(nest: Nest, shapes: Shapes, layouts: dict[str, Layout], m: int, whole: bool) -> float:
    """== with whole points; otherwise the largest error, which the derived bound has to hold."""
    sides = pattern(nest)
    assert sides is not None
    rng = np.random.default_rng(1)
    points = whole_points(m, sides.axes[0].taps) if whole else None
    arrays = {}
    for r in nest.reads:
        if not whole:
            host = rng.standard_normal(shapes[r.tensor]).astype(np.float32).astype(np.float64)
        elif r.tensor == sides.weights.tensor or (sides.gradient and r is sides.data):
            host = integers(rng, shapes[r.tensor], 24 ** len(sides.axes), 1)
        else:
            host = integers(rng, shapes[r.tensor])
        arrays[r.tensor] = host
    dtype = "float64" if whole else "float32"  # 24 bits do not hold the sums of m = 4
    job = Job(kernels(nest, layouts, m, points=points), layouts, dtype=dtype)
    for tensor, array in arrays.items():
        job.put(tensor, array)
    job.run()
    target = nest.out.tensor
    got = job.get(target).astype(np.float64)
    expected = run((nest,), shapes[target], arrays)
    if whole:
        assert np.array_equal(got, expected)
        return 0.0
    worst = np.abs(got - expected).max()
    largest = prod(np.abs(arrays[a.tensor]).max() for a in (sides.window, nest.reads[1]))
    terms = prod(n for _, n in nest.reductions[0].loops)
    assert worst <= winograd_bound(nest, m) * terms * largest
    return float(np.sqrt(((got - expected) ** 2).mean() / (expected**2).mean()))


def whole_points(m: int, taps: int) -> tuple[Any, ...]:
    return (*WHOLE[: m + taps - 2], INFINITY)
