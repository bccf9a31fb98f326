"""The loops of an equation by residue classes: quotients, remainders and divisibility are gone.

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
from gradproof.derive.expr import (
    Divides,
    Guard,
    NonNeg,
    Quo,
    Reduce,
    Rem,
    fresh,
    integer,
    reads,
    reduces,
    substitute,
)

PHASES = 64  # more residue classes than this are not worth a nest each


@dataclass(frozen=True)
class Form:
    """An equation on its way: output loops, the target's subscripts, the body."""

    loops: tuple[tuple[sp.Symbol, int], ...]
    subscripts: tuple[sp.Expr, ...]
    body: sp.Expr


class NotAffine(Exception):
    """The equation has no nest: a subscript is read from memory, or a quotient stays."""


def split(f: Form, taken: set[str]) -> Iterator[Form]:
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
    yield from split(replace(f, body=_split_sums(f.body, node, int(b), taken)), taken)


def _split_output(
    f: Form, v: sp.Symbol, extent: int, p: int, node: sp.Basic, taken: set[str]
) -> Iterator[Form]:
    q = integer(fresh(f"{v}_q", taken))
    if extent % p == 0 and extent > p and node.free_symbols == {v}:
        r = integer(fresh(f"{v}_r", taken))
        loops = tuple(
            x for i, n in f.loops for x in (((q, extent // p), (r, p)) if i == v else ((i, n),))
        )
        whole = {v: p * q + r}
        new = Form(loops, _all(f.subscripts, whole), substitute(f.body, whole))
        yield from split(new, taken | {q.name, r.name})
        return
    if p > PHASES:
        raise NotAffine
    for residue in range(min(p, extent)):
        whole = {v: p * q + residue}
        loops = tuple((q, -(-(n - residue) // p)) if i == v else (i, n) for i, n in f.loops)
        new = Form(loops, _all(f.subscripts, whole), substitute(f.body, whole))
        yield from split(new, taken | {q.name})


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


def _unresolved(f: Form) -> sp.Basic | None:
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
        p = affine(a, names)
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
    p = affine(g.args[0], names) if isinstance(g, NonNeg) else None
    return p is not None and p.limits(names)[0] >= 0


# -- affine expressions, as sympy has them and as `Affine` -------------------------------------
def affine(e: sp.Expr, extents: Mapping[str, int]) -> Affine | None:
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
