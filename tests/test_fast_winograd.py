"""The Winograd schedule: patterns, exact results, errors within the derived bounds."""

from __future__ import annotations

from collections.abc import Callable
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

UNITS = {"float32": Fraction(1, 2**24), "float64": Fraction(1, 2**53)}
Shapes = dict[str, tuple[int, ...]]
Array = np.ndarray[Any, Any]


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


def integers(rng: np.random.Generator, shape: tuple[int, ...]) -> Array:
    """Multiples of 4: halves of halves are integers."""
    return 4.0 * rng.integers(-2, 3, shape)


def random(rng: np.random.Generator, shape: tuple[int, ...]) -> Array:
    return rng.standard_normal(shape).astype(np.float32).astype(np.float64)


def kernels(nest: Nest, layouts: dict[str, Layout], m: int, **options: Any) -> tuple[FastKernel, ...]:
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


def whole(nest: Nest, shapes: Shapes, layouts: dict[str, Layout], m: int) -> None:
    """Integer data: with m = 2 all numbers on the way are float32 numbers. With m = 4 (thirds in
    G) the bound in float64 is below one half, so rounding gives exactly the integer."""
    dtype = "float32" if m == 2 else "float64"
    job, arrays, expected = done(nest, shapes, layouts, m, dtype, integers)
    got = job.get(nest.out.tensor)
    if m > 2:
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
) -> tuple[Job, dict[str, Array], Array]:
    rng = np.random.default_rng(1)
    arrays = {r.tensor: data(rng, shapes[r.tensor]) for r in nest.reads}
    job = Job(kernels(nest, layouts, m), layouts, dtype=dtype)
    for tensor, array in arrays.items():
        job.put(tensor, array)
    job.run()
    return job, arrays, run((nest,), shapes[nest.out.tensor], arrays)
