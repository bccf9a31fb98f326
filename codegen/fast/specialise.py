"""From a derived equation and its sizes to nests: quotients, divisibility and guards are gone.

A stride S in a gradient asks S | t and reads t // S. With the loops of t written as

    v = p*v' + r,   r = 0 .. p-1,   p = S / gcd(S, coefficient of v),

either holds or fails for a whole residue class r. Output loops give one nest for each class, a
*phase*; loops of a sum keep the classes in which S divides t. A quotient such as o // OG, whose
loop has p | extent, splits the loop in two instead. What is left is affine, or there is no nest.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from math import gcd

import sympy as sp

from gradproof.codegen.fast.affine import Affine
from gradproof.codegen.fast.nest import Access, Loop, Nest, Reduction
from gradproof.derive.expr import (
    Divides,
    Guard,
    IsZero,
    NonNeg,
    Philox,
    Quo,
    Read,
    Reduce,
    Rem,
    fresh,
    integer,
    reads,
    reduces,
    substitute,
)
from gradproof.derive.language import Definition, Equation

PHASES = 64  # more residue classes than this are not worth a nest each


@dataclass(frozen=True)
class _Form:
    """An equation on its way: output loops, the target's subscripts, the body."""

    loops: tuple[tuple[sp.Symbol, int], ...]
    subscripts: tuple[sp.Expr, ...]
    body: sp.Expr


class NotAffine(Exception):
    """The equation has no nest: a subscript is read from memory, or a quotient stays."""


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
        forms = list(_split(_Form(loops, tuple(e.indices), body), {s.name for s in e.indices}))
        if len(forms) > PHASES:
            return None
        return tuple(_nest(d, e.target, f, shapes) for f in forms if all(n for _, n in f.loops))
    except NotAffine:
        return None


# -- residue classes ----------------------------------------------------------------------------
def _split(f: _Form, taken: set[str]) -> Iterator[_Form]:
    """The phases of a form; each without quotients, remainders and divisibility."""
    f = replace(f, body=_resolved(f.body, dict(f.loops)))
    node = _unresolved(f)
    if node is None:
        yield f
        return
    numerator, b = (node.args[1], node.args[0]) if isinstance(node, Divides) else node.args
    if not b.is_Integer or reads(numerator):
        raise NotAffine
    for v, extent in f.loops:
        c = numerator.coeff(v)
        if c.is_Integer and c % b:
            yield from _split_output(f, v, extent, int(b) // gcd(int(b), int(c)), node, taken)
            return
    yield from _split(replace(f, body=_split_sums(f.body, node, int(b), taken)), taken)


def _split_output(
    f: _Form, v: sp.Symbol, extent: int, p: int, node: sp.Basic, taken: set[str]
) -> Iterator[_Form]:
    q = integer(fresh(f"{v}_q", taken))
    if extent % p == 0 and extent > p and node.free_symbols == {v}:
        r = integer(fresh(f"{v}_r", taken))
        loops = tuple(
            x for i, n in f.loops for x in (((q, extent // p), (r, p)) if i == v else ((i, n),))
        )
        whole = {v: p * q + r}
        new = _Form(loops, _all(f.subscripts, whole), substitute(f.body, whole))
        yield from _split(new, taken | {q.name, r.name})
        return
    if p > PHASES:
        raise NotAffine
    for residue in range(min(p, extent)):
        whole = {v: p * q + residue}
        loops = tuple((q, -(-(n - residue) // p)) if i == v else (i, n) for i, n in f.loops)
        new = _Form(loops, _all(f.subscripts, whole), substitute(f.body, whole))
        yield from _split(new, taken | {q.name})


def _split_sums(body: sp.Expr, node: sp.Basic, b: int, taken: set[str]) -> sp.Expr:
    """The sums that have `node` as sums over the residue classes of one of their loops."""
    for r in reduces(body):
        if node not in r.atoms(Quo, Rem, Divides):
            continue
        if r.kind != "sum":
            raise NotAffine
        numerator = node.args[1] if isinstance(node, Divides) else node.args[0]
        for v, extent in r.indices:
            c = numerator.coeff(v)
            if c.is_Integer and c % b:
                return substitute(body, {r: _classes(r, v, int(extent), b // gcd(b, int(c)))})
        raise NotAffine
    raise NotAffine


def _classes(r: Reduce, v: sp.Symbol, extent: int, p: int) -> sp.Expr:
    """The sum over v as a sum over v' for each class v = p*v' + residue that is not empty."""
    if p > PHASES:
        raise NotAffine
    parts = []
    for residue in range(min(p, extent)):
        count = -(-(extent - residue) // p)
        indices = [(i, count if i == v else n) for i, n in r.indices]
        inner = {v: p * v + residue}
        guards = [g.xreplace(inner) for g in r.guards]
        part = Reduce("sum", indices, guards, r.body.xreplace(inner))
        if not any(_impossible(g) for g in part.guards):
            parts.append(part)
    return sp.Add(*parts)


def _impossible(g: Guard) -> bool:
    """c does not divide p, whatever the loops are: c divides p without its constant."""
    if not isinstance(g, Divides):
        return False
    c, p = g.args
    const, rest = sp.expand(p).as_coeff_Add()
    factors = [t.as_coeff_Mul()[0] for t in sp.Add.make_args(rest)]
    whole = c.is_Integer and const.is_Integer and all(k.is_Integer and k % c == 0 for k in factors)
    return bool(whole and const % c != 0)


def _unresolved(f: _Form) -> sp.Basic | None:
    found = f.body.atoms(Quo, Rem, Divides)
    inner = [n for n in found if not any(a.atoms(Quo, Rem) for a in n.args)]
    return min(
        inner, key=lambda n: (not isinstance(n, Divides), sp.default_sort_key(n)), default=None
    )


def _resolved(body: sp.Expr, outer: Mapping[sp.Symbol, int]) -> sp.Expr:
    """Quotients and remainders whose numerator stays within one multiple are affine now."""
    for r in reduces(body):
        extents = {**outer, **{i: int(n) for i, n in r.indices}}
        new = r.xreplace(_affine_nodes(r, extents))
        guards = [g for g in new.guards if not _certain(g, extents)]
        empty = new.kind == "sum" and any(map(_impossible, guards))
        whole = sp.Integer(0) if empty else Reduce(new.kind, new.indices, guards, new.body)
        body = body.xreplace({r: whole})
    return body.xreplace(_affine_nodes(body, dict(outer)))


def _affine_nodes(e: sp.Basic, extents: Mapping[sp.Symbol, int]) -> dict[sp.Basic, sp.Basic]:
    found: dict[sp.Basic, sp.Basic] = {}
    names = {str(v): n for v, n in extents.items()}
    for node in e.atoms(Quo, Rem):
        a, b = node.args
        p = _affine(a, names)
        if p is None or not b.is_Integer:
            continue
        q = p.quotient(int(b), names) if isinstance(node, Quo) else p.remainder(int(b), names)
        if q is not None:
            found[node] = _symbolic(q)
    return found


def _certain(g: Guard, extents: Mapping[sp.Symbol, int]) -> bool:
    if isinstance(g, Divides):
        c, p = g.args
        return all(k % c == 0 for k in sp.Poly(p, *sorted(extents, key=str)).coeffs())
    names = {str(v): n for v, n in extents.items()}
    p = _affine(g.args[0], names) if isinstance(g, NonNeg) else None
    return p is not None and p.limits(names)[0] >= 0


# -- into the small representation --------------------------------------------------------------
def _affine(e: sp.Expr, extents: Mapping[str, int]) -> Affine | None:
    """An expression as `Affine` over known loops, or None."""
    const, terms = 0, dict[str, int]()
    for term in sp.Add.make_args(sp.expand(e)):
        c, rest = term.as_coeff_Mul()
        if not c.is_Integer:
            return None
        if rest == 1:
            const += int(c)
        elif rest.is_Symbol and rest.name in extents:
            terms[rest.name] = int(c)
        else:
            return None
    return Affine.make(const, terms)


def _symbolic(p: Affine) -> sp.Expr:
    return sp.Add(p.const, *[k * integer(v) for v, k in p.terms])


def _all(es: tuple[sp.Expr, ...], mapping: Mapping[sp.Symbol, sp.Expr]) -> tuple[sp.Expr, ...]:
    return tuple(e.xreplace(dict(mapping)) for e in es)


def _needed(e: sp.Expr, extents: Mapping[str, int]) -> Affine:
    p = _affine(e, extents)
    if p is None:
        raise NotAffine
    return p


def _nest(d: Definition, target: str, f: _Form, shapes: Mapping[str, tuple[int, ...]]) -> Nest:
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
