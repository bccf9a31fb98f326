"""Reductions over windows that tile a target: who computes a window's elements can reduce them.

    z[n, x] = ...,    p[n, u] = f(max over i < K of g(z[n, S*u + i])),    S >= K

Every element of z lies in at most one window. With x = S*u + i the producer runs over u and i, the
`points` of a window, and p[n, u] is done when all its points are; z need not be stored.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import prod

import sympy as sp

from gradproof.codegen.fast.affine import Affine
from gradproof.codegen.fast.nest import Access, Loop, Nest
from gradproof.codegen.fast.validate import distinct
from gradproof.derive.expr import fresh

LARGEST = 16  # points of a window: more are a pass of their own


@dataclass(frozen=True)
class Fold:
    """A reduction over the points: "sum", "max" or "argmax" of `term`, over reads `r_k` and the
    element `v0`; argmax counts in `place`."""

    kind: str
    term: sp.Expr
    place: Affine | None = None


@dataclass(frozen=True)
class Windowed:
    """`producer` over windows and points, with what the reductions read; what is stored for each
    window, as values of the folds `a_k`; `whole`: whether every element lies in a window."""

    producer: Nest
    points: tuple[str, ...]
    folds: tuple[Fold, ...]
    results: tuple[tuple[Access, sp.Expr], ...]
    whole: bool


def windowed(producer: Nest, pools: Sequence[Nest]) -> Windowed | None:
    """The producer's nest over the windows of all `pools`; None where these are no reductions over
    the same windows, or windows overlap, leave the tensor, or are large."""
    first = pools[0]
    points = first.reductions[0].loops if first.reductions else ()
    if not 1 < prod(n for _, n in points) <= LARGEST:
        return None
    for p in pools:
        if p.loops != first.loops or not p.reductions:
            return None
        if any(r.loops != points or r.guards or r.conditions for r in p.reductions):
            return None
    at = _place(producer, first.loops + points, pools)
    if at is None:
        return None
    taken = set(producer.extents)
    names: dict[str, str] = {}
    for v, _ in (*first.loops, *points):
        names[v] = fresh(f"{v}_w", taken)
        taken.add(names[v])
    renamed = {v: Affine.of(w) for v, w in names.items()}
    where = {
        str(own.plain): there.substitute(renamed)
        for own, there in zip(producer.out.subscripts, at, strict=True)
        if own.plain
    }
    loops = tuple((names[v], n) for v, n in (*first.loops, *points))
    whole = prod(n for _, n in loops) == prod(n for _, n in producer.loops)
    moved = replace(
        producer,
        out=_moved(producer.out, where),
        reads=tuple(_moved(a, where) for a in producer.reads),
        loops=loops,
    )
    builder = _Builder(moved, renamed, frozenset(names[v] for v, _ in points))
    results = [builder.add(p) for p in pools]
    written = {producer.out.tensor, *(p.out.tensor for p in pools)}
    outside = any(a.outside != "never" for a in builder.reads[len(producer.reads) :])
    if None in results or outside or any(a.tensor in written for a in builder.reads):
        return None
    places = {f"a{k}" for k, f in enumerate(builder.folds) if f.kind == "argmax"}
    for _, value in (r for r in results if r is not None):
        if not value.is_Symbol and places & {str(s) for s in value.free_symbols}:
            return None
    scalars = tuple(dict.fromkeys(s for n in (producer, *pools) for s in n.scalars))
    return Windowed(
        replace(moved, reads=tuple(builder.reads), scalars=scalars),
        tuple(names[v] for v, _ in points),
        tuple(builder.folds),
        tuple(r for r in results if r is not None),
        whole,
    )


def _place(
    producer: Nest, loops: tuple[Loop, ...], pools: Sequence[Nest]
) -> tuple[Affine, ...] | None:
    """The one element that every pool reads, where different loops mean different elements."""
    out = producer.out
    places = {a.subscripts for p in pools for a in p.reads if a.tensor == out.tensor}
    plain = [s.plain for s in out.subscripts if s != Affine()]
    if len(places) != 1 or sorted(map(str, plain)) != sorted(v for v, _ in producer.loops):
        return None
    (at,) = places
    extents = dict(loops)
    address = Affine()
    for own, s in zip(out.subscripts, at, strict=True):
        extent = dict(producer.loops)[own.plain] if own.plain else 1
        low, high = s.limits(extents)
        if low < 0 or high >= extent:
            return None
        address = address * extent + s
    return at if distinct(address, extents) else None


def _moved(a: Access, where: dict[str, Affine]) -> Access:
    return replace(a, subscripts=tuple(s.substitute(where) for s in a.subscripts))


class _Builder:
    """Reads and folds of the pools, numbered behind those of the producer."""

    def __init__(self, producer: Nest, names: dict[str, Affine], points: frozenset[str]) -> None:
        self.out, self.names, self.points = producer.out, names, points
        self.reads = list(producer.reads)
        self.folds: list[Fold] = []

    def add(self, p: Nest) -> tuple[Access, sp.Expr] | None:
        """What a pool stores, and where; None where that depends on the numbers of its loops, or
        on a point after the reduction."""
        terms = [r.term for r in p.reductions]
        mentioned = {str(s) for e in (p.value, *terms) for s in e.free_symbols}
        if mentioned & set(p.extents):
            return None
        places = [_moved(a, self.names) for a in p.reads]
        if any(places[k].loops & self.points for k in p.used(p.value)):
            return None
        symbols = {_symbol(f"r{k}"): self._read(a) for k, a in enumerate(places)}
        folds: dict[sp.Basic, sp.Basic] = {}
        for k, r in enumerate(p.reductions):
            place = None if r.place is None else r.place.substitute(self.names)
            fold = Fold(r.kind, r.term.xreplace(symbols), place)
            if fold not in self.folds:
                self.folds.append(fold)
            folds[_symbol(f"a{k}")] = _symbol(f"a{self.folds.index(fold)}")
        return _moved(p.out, self.names), p.value.xreplace({**symbols, **folds})

    def _read(self, a: Access) -> sp.Symbol:
        if (a.tensor, a.subscripts) == (self.out.tensor, self.out.subscripts):
            return _symbol("v0")
        if a not in self.reads:
            self.reads.append(a)
        return _symbol(f"r{self.reads.index(a)}")


def _symbol(name: str) -> sp.Symbol:
    return sp.Symbol(name, real=True)
