"""From a derived equation and its sizes to nests: quotients, divisibility and guards are gone.

`residues` splits the loops until every subscript is affine; what is left becomes a nest, whose sums
keep only the guards that their reads do not state.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from math import gcd

import sympy as sp

from gradproof.codegen.fast.affine import Affine
from gradproof.codegen.fast.nest import Access, Loop, Nest, Reduction
from gradproof.codegen.fast.residues import PHASES, Form, NotAffine, affine, split
from gradproof.derive.expr import (
    IsZero,
    NonNeg,
    Philox,
    Read,
    Reduce,
    integer,
    reads,
    reduces,
    substitute,
)
from gradproof.derive.language import Definition, Equation


def specialise(d: Definition, e: Equation, sizes: Mapping[str, int]) -> tuple[Nest, ...] | None:
    """The nests of one equation of `d`; None where its accesses are not affine.

    sizes: all sizes of `d`, the derived ones too.

    >>> from gradproof.derive.ops.linear import linear
    >>> (nest,) = specialise(linear, linear.equations[0], {"N": 2, "K": 8, "O": 16})
    >>> str(nest.out), [str(r) for r in nest.reads], nest.value
    ('z[n, o]', ['Y[n, k]', 'w[o, k]', 'b[o]'], a0 + r2)
    """
    known = {integer(s): sp.Integer(v) for s, v in sizes.items()}
    shapes = {t.name: tuple(int(n.xreplace(known)) for n in t.shape) for t in d.tensors}
    body = substitute(e.body, known)
    loops = tuple(zip(e.indices, shapes[e.target], strict=True))
    try:
        forms = list(split(Form(loops, tuple(e.indices), body), {s.name for s in e.indices}))
        if len(forms) > PHASES:
            return None
        return tuple(_nest(d, e.target, f, shapes) for f in forms if all(n for _, n in f.loops))
    except NotAffine:
        return None


def _needed(e: sp.Expr, extents: Mapping[str, int]) -> Affine:
    p = affine(e, extents)
    if p is None:
        raise NotAffine
    return p


def _nest(d: Definition, target: str, f: Form, shapes: Mapping[str, tuple[int, ...]]) -> Nest:
    if f.body.atoms(Philox):
        raise NotAffine
    outer = {str(v): n for v, n in f.loops}
    out = Access(target, tuple(_needed(s, outer) for s in f.subscripts))
    found: dict[Access, int] = {}
    reductions: list[Reduction] = []
    value, named = f.body, dict[sp.Basic, sp.Basic]()
    for r in reduces(f.body):
        a = _reduction(d, r, outer, shapes, found)
        if a is None:
            named[r] = sp.Integer(0)
            continue
        named[r] = sp.Symbol(f"a{len(reductions)}", real=True)
        reductions.append(a)
    value = value.xreplace(named)
    around: dict[sp.Basic, sp.Basic] = {
        read: _read(d, read, outer, shapes, found) for read in reads(value)
    }
    value = value.xreplace(around)
    loops: tuple[Loop, ...] = tuple((str(v), n) for v, n in f.loops)
    symbols = {str(s) for s in f.body.free_symbols}
    scalars = tuple((n, t) for n, t in d.scalars if n in symbols)
    return squeezed(Nest(out, loops, tuple(found), tuple(reductions), value, scalars))


def squeezed(n: Nest) -> Nest:
    """The nest without its loops of one step: their variable is 0."""
    ones = {v for v, extent in n.extents.items() if extent == 1}
    zero = {v: Affine() for v in ones}
    symbols: dict[sp.Basic, sp.Basic] = {integer(v): sp.Integer(0) for v in ones}

    def access(a: Access) -> Access:
        return replace(a, subscripts=tuple(s.substitute(zero) for s in a.subscripts))

    def reduction(r: Reduction) -> Reduction:
        return Reduction(
            r.kind,
            tuple(x for x in r.loops if x[0] not in ones),
            r.term.xreplace(symbols),
            tuple(g.substitute(zero) for g in r.guards),
            tuple(c.xreplace(symbols) for c in r.conditions),
            None if r.place is None else r.place.substitute(zero),
        )

    return Nest(
        access(n.out),
        tuple(x for x in n.loops if x[0] not in ones),
        tuple(map(access, n.reads)),
        tuple(map(reduction, n.reductions)),
        n.value.xreplace(symbols),
        n.scalars,
    )


def _read(
    d: Definition,
    read: Read,
    extents: Mapping[str, int],
    shapes: Mapping[str, tuple[int, ...]],
    found: dict[Access, int],
) -> sp.Symbol:
    """The name r_k of a read."""
    subscripts = tuple(_needed(s, extents) for s in read.subscripts)
    inside = all(
        p.limits(extents)[0] >= 0 and p.limits(extents)[1] < n
        for p, n in zip(subscripts, shapes[read.tensor], strict=True)
    )
    outside = "never" if inside else d.tensor(read.tensor).outside
    if outside == "forbidden":
        raise NotAffine  # kept inside by a guard of the sum; see `_reduction`
    access = Access(read.tensor, subscripts, outside)
    return _name(found.setdefault(access, len(found)))


def _name(k: int) -> sp.Symbol:
    return sp.Symbol(f"r{k}", real=True)


def _reduction(
    d: Definition,
    r: Reduce,
    outer: Mapping[str, int],
    shapes: Mapping[str, tuple[int, ...]],
    found: dict[Access, int],
) -> Reduction | None:
    """None where no term exists."""
    extents = {**outer, **{str(i): int(n) for i, n in r.indices}}
    if any(int(n) == 0 for _, n in r.indices):
        return None
    guards: list[Affine] = []
    conditions: list[sp.Basic] = []
    for g in r.guards:
        if isinstance(g, NonNeg) and not reads(g):
            p = _needed(g.args[0], extents)
            if p.limits(extents)[1] < 0:
                return None
            guards.append(_tight(p))
        elif isinstance(g, IsZero):
            conditions.append(sp.Eq(g.args[0], 0, evaluate=False))
        else:
            raise NotAffine
    term, named, left = r.body, dict[sp.Basic, sp.Basic](), list(guards)
    needed: list[Affine] = []  # the range of a read that is nowhere but inside
    for read in reads(sp.Tuple(term, *conditions)):
        named[read] = _guarded_read(d, r, read, extents, shapes, (guards, left, needed), found)
    guards = left + [g for g in needed if g not in left]
    term = term.xreplace(named)
    place = None
    if r.kind == "argmax":
        place = Affine()
        for i, n in r.indices:
            place = place * int(n) + Affine.of(str(i))
    loops = tuple((str(i), int(n)) for i, n in r.indices)
    holding = tuple(c.xreplace(named) for c in conditions)
    return Reduction(r.kind, loops, term, tuple(guards), holding, place)


def _tight(p: Affine) -> Affine:
    """An equivalent of p >= 0 without a common factor: k*q + c >= 0 is q + floor(c / k) >= 0."""
    k = gcd(*(c for _, c in p.terms)) or 1
    return Affine(p.const // k, tuple((v, c // k) for v, c in p.terms))


def _guarded_read(
    d: Definition,
    r: Reduce,
    read: Read,
    extents: Mapping[str, int],
    shapes: Mapping[str, tuple[int, ...]],
    guards: tuple[list[Affine], list[Affine], list[Affine]],
    found: dict[Access, int],
) -> sp.Symbol:
    """A read whose range some guards state: they leave where the term is 0 with the read.

    guards: all of the sum's, those that have not left yet, and those that may not leave."""
    stated, left, needed = guards
    subscripts = tuple(_needed(s, extents) for s in read.subscripts)
    ranges = []
    for p, n in zip(subscripts, shapes[read.tensor], strict=True):
        low, high = p.limits(extents)
        ranges += [_tight(p)] if low < 0 else []
        ranges += [_tight(Affine(n - 1) - p)] if high >= n else []
    outside = d.tensor(read.tensor).outside if ranges else "never"
    vanishes = r.kind == "sum" and r.body.xreplace({read: sp.Integer(0)}) == 0
    if outside == "forbidden":
        if not all(any(_implies(g, p) for g in stated) for p in ranges):
            raise NotAffine
        needed += [] if vanishes else ranges
        outside = "zero"
    if outside == "zero" and vanishes:
        left[:] = [g for g in left if g not in ranges]
    access = Access(read.tensor, subscripts, outside)
    return _name(found.setdefault(access, len(found)))


def _implies(g: Affine, p: Affine) -> bool:
    """Whether p >= 0 wherever g >= 0: p is g and at least 0 more."""
    more = p - g
    return not more.terms and more.const >= 0
