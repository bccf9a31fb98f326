"""Elementwise producers written into their consumers, so that what lies between is never stored.

A consumer that reads P[s] where P[i] = f(A[i], ...) reads A[s], ... and computes f. The arithmetic
is the same, only the place where it happens changes; so the result is equal to the last bit.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import sympy as sp

from gradproof.codegen.fast.affine import Affine
from gradproof.codegen.fast.nest import Access, Nest, Reduction

NO_NUMBERS = (sp.zoo, sp.oo, -sp.oo, sp.nan)


def elementwise(n: Nest) -> bool:
    """Whether the nest computes every element by itself, from reads that are inside.

    >>> from gradproof.codegen.fast.specialise import specialise
    >>> from gradproof.derive.ops.relu import relu
    >>> elementwise(*specialise(relu, relu.equations[0], {"T": 4}))
    True
    """
    plain = [s.plain for s in n.out.subscripts if s != Affine()]
    covers = None not in plain and sorted(map(str, plain)) == sorted(v for v, _ in n.loops)
    return covers and not n.reductions and all(r.outside == "never" for r in n.reads)


def inlined(producer: Nest, consumer: Nest) -> Nest | None:
    """The consumer with every read of the producer's target replaced by its value; None where a
    read may lie outside, or a constant of the producer makes the value infinite: that of 1/y, y a
    ReLU's result, at its 0. The kernels compute an infinity then, and expressions have no such."""
    places = [k for k, r in enumerate(consumer.reads) if r.tensor == producer.out.tensor]
    if any(consumer.reads[k].outside != "never" for k in places):
        return None
    reads: list[Access] = [r for k, r in enumerate(consumer.reads) if k not in places]
    moved = {f"r{k}": _name(reads.index(r)) for k, r in enumerate(consumer.reads) if r in reads}
    for k in places:
        value, more = _value_at(producer, consumer.reads[k], reads)
        reads = more
        moved[f"r{k}"] = value
    mapping = {_name(int(old[1:])): new for old, new in moved.items()}
    scalars = tuple(dict.fromkeys((*consumer.scalars, *producer.scalars)))
    found = replace(_with(consumer, mapping), reads=tuple(reads), scalars=scalars)
    values = (found.value, *(r.term for r in found.reductions))
    infinite = any(e.has(*NO_NUMBERS) for e in values)
    return None if infinite else found


def _value_at(p: Nest, at: Access, reads: list[Access]) -> tuple[sp.Expr, list[Access]]:
    """The producer's value where its target's subscripts are those of `at`, and all reads then."""
    where = {
        str(own.plain): there
        for own, there in zip(p.out.subscripts, at.subscripts, strict=True)
        if own.plain
    }
    found = list(reads)
    mapping: dict[sp.Basic, sp.Basic] = {
        sp.Symbol(v, integer=True): _symbolic(there) for v, there in where.items()
    }
    for k, r in enumerate(p.reads):
        access = replace(r, subscripts=tuple(s.substitute(where) for s in r.subscripts))
        if access not in found:
            found.append(access)
        mapping[_name(k)] = _name(found.index(access))
    return p.value.xreplace(mapping), found


def _with(n: Nest, mapping: Mapping[sp.Basic, sp.Basic]) -> Nest:
    def reduction(r: Reduction) -> Reduction:
        conditions = tuple(c.xreplace(dict(mapping)) for c in r.conditions)
        return replace(r, term=r.term.xreplace(dict(mapping)), conditions=conditions)

    return replace(
        n,
        reductions=tuple(map(reduction, n.reductions)),
        value=n.value.xreplace(dict(mapping)),
    )


def renamed(n: Nest, tensors: Mapping[str, str]) -> Nest:
    """Other names for tensors."""

    def access(a: Access) -> Access:
        return replace(a, tensor=tensors.get(a.tensor, a.tensor))

    return replace(n, out=access(n.out), reads=tuple(map(access, n.reads)))


def with_loops_of(n: Nest, other: Nest) -> Nest | None:
    """An elementwise nest where another one, or one phase of it, has just computed the element that
    it reads: over that one's loops. None where it reads more than one element of it."""
    places = {r for r in n.reads if r.tensor == other.out.tensor}
    if len(places) != 1:
        return None
    (at,) = places
    mapping: dict[str, Affine] = {}
    for mine, theirs in zip(at.subscripts, other.out.subscripts, strict=True):
        if mine == theirs == Affine():
            continue
        if mine.plain is None or mine.plain in mapping:
            return None
        mapping[mine.plain] = theirs
    if set(mapping) != {v for v, _ in n.loops}:
        return None
    symbols: dict[sp.Basic, sp.Basic] = {
        sp.Symbol(v, integer=True): _symbolic(p) for v, p in mapping.items()
    }

    def access(a: Access) -> Access:
        return replace(a, subscripts=tuple(s.substitute(mapping) for s in a.subscripts))

    return Nest(
        access(n.out),
        other.loops,
        tuple(map(access, n.reads)),
        (),
        n.value.xreplace(symbols),
        n.scalars,
    )


def composed(first: Nest, then: Nest) -> Nest:
    """One nest for both, the first one's target never stored: then's value of first's value.

    then: over the same loops (`with_loops_of`)."""
    reads = list(first.reads)
    mapping: dict[sp.Basic, sp.Basic] = {}
    for k, r in enumerate(then.reads):
        if r.tensor == first.out.tensor:
            mapping[_name(k)] = first.value
            continue
        if r not in reads:
            reads.append(r)
        mapping[_name(k)] = _name(reads.index(r))
    scalars = tuple(dict.fromkeys((*first.scalars, *then.scalars)))
    value = then.value.xreplace(mapping)
    return replace(first, out=then.out, reads=tuple(reads), value=value, scalars=scalars)


def _name(k: int) -> sp.Symbol:
    return sp.Symbol(f"r{k}", real=True)


def _symbolic(p: Affine) -> sp.Expr:
    return sp.Add(p.const, *[k * sp.Symbol(v, integer=True) for v, k in p.terms])
