"""A nest evaluated by NumPy over its whole index space: the oracle of the fast kernels' tests."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from functools import cache
from typing import Any

import numpy as np
import sympy as sp
from numpy.typing import NDArray

from gradproof.codegen.fast.affine import Affine
from gradproof.codegen.fast.nest import Access, Nest, Reduction

Array = NDArray[Any]


def evaluate(
    n: Nest, arrays: Mapping[str, Array], scalars: Mapping[str, float] | None = None
) -> tuple[tuple[Array, ...], Array]:
    """The target's subscripts and its values, over the grid of the nest's loops."""
    grid = dict(n.loops)
    outer = _indices(grid, {})
    value_of = {
        f"r{k}": _read(a, outer, grid, arrays)
        for k, a in enumerate(n.reads)
        if a.loops <= set(grid)
    }
    for k, r in enumerate(n.reductions):
        value_of[f"a{k}"] = _reduce(n, r, arrays, scalars or {})
    value = _call(n.value, value_of, outer, scalars or {})
    places = tuple(_affine(s, outer, grid) for s in n.out.subscripts)
    return places, np.broadcast_to(value, tuple(grid.values()))


def run(
    nests: tuple[Nest, ...],
    shape: tuple[int, ...],
    arrays: Mapping[str, Array],
    scalars: Mapping[str, float] | None = None,
    dtype: Any = np.float64,
) -> Array:
    """All phases of an equation; what none of them writes is NaN (or -99 for integers)."""
    out = np.full(shape, np.nan if np.dtype(dtype).kind == "f" else -99, dtype)
    for n in nests:
        places, value = evaluate(n, arrays, scalars)
        out[places] = value
    return out


def _indices(grid: Mapping[str, int], inner: Mapping[str, int]) -> dict[str, Array]:
    both = {**grid, **inner}
    shape = tuple(both.values())
    return {
        v: np.arange(e).reshape([-1 if w == v else 1 for w in both]) * np.ones(shape, np.int64)
        for v, e in both.items()
    }


def _affine(p: Affine, indices: Mapping[str, Array], grid: Mapping[str, int]) -> Array:
    out: Array = np.full(tuple(grid.values()), p.const, np.int64)
    for v, k in p.terms:
        out = out + k * indices[v]
    return out


def _inside(
    a: Access, indices: Mapping[str, Array], grid: Mapping[str, int], arrays: Mapping[str, Array]
) -> Array:
    inside = np.ones(tuple(grid.values()), bool)
    for s, e in zip(a.subscripts, arrays[a.tensor].shape, strict=True):
        p = _affine(s, indices, grid)
        inside &= (p >= 0) & (p < e)
    return inside


def _read(
    a: Access, indices: Mapping[str, Array], grid: Mapping[str, int], arrays: Mapping[str, Array]
) -> Array:
    """The elements; 0 outside, whatever that means."""
    source = arrays[a.tensor]
    inside = _inside(a, indices, grid, arrays)
    assert a.outside != "never" or inside.all(), f"{a} leaves {source.shape}"
    clipped = tuple(np.where(inside, _affine(s, indices, grid), 0) for s in a.subscripts)
    return np.where(inside, source[clipped], 0)


def _reduce(
    n: Nest, r: Reduction, arrays: Mapping[str, Array], scalars: Mapping[str, float]
) -> Array:
    grid = {**dict(n.loops), **dict(r.loops)}
    indices = _indices(dict(n.loops), dict(r.loops))
    holds = np.ones(tuple(grid.values()), bool)
    for g in r.guards:
        holds &= _affine(g, indices, grid) >= 0
    used = n.used(sp.Tuple(r.term, *r.conditions))
    named = {f"r{k}": _read(n.reads[k], indices, grid, arrays) for k in used}
    for c in r.conditions:
        holds &= np.broadcast_to(_call(c, named, indices, scalars), holds.shape).astype(bool)
    term = np.broadcast_to(_call(r.term, named, indices, scalars), holds.shape)
    for k in n.used(r.term):
        if n.reads[k].outside == "skip":
            holds &= _inside(n.reads[k], indices, grid, arrays)
    axes = tuple(range(len(n.loops), len(grid)))
    if r.kind == "sum":
        return np.where(holds, term, 0).sum(axis=axes)
    least = np.where(holds, term.astype(np.result_type(term, np.float64)), -np.inf)
    if r.kind == "max":
        return least.max(axis=axes)
    outer = least.shape[: len(n.loops)]
    flat, holds = least.reshape(*outer, -1), holds.reshape(*outer, -1)
    first = (holds & (flat == flat.max(axis=-1, keepdims=True))).argmax(axis=-1)
    return np.where(holds.any(axis=-1), first, -1)  # the first maximum, -1 of nothing


def _call(
    e: sp.Basic,
    named: Mapping[str, Array],
    indices: Mapping[str, Array],
    scalars: Mapping[str, float],
) -> Array:
    values: dict[str, Any] = {**indices, **scalars, **named}
    symbols, function = _function(e)
    return np.asarray(function(*[values[s] for s in symbols]))


@cache
def _function(e: sp.Basic) -> tuple[list[str], Callable[..., Any]]:
    symbols = sorted(e.free_symbols, key=str)
    modules = [{"erf": np.vectorize(math.erf)}, "numpy"]
    return [str(s) for s in symbols], sp.lambdify(symbols, e, modules)
