"""What an argmax selected is the maximum: it need not be read again where it came from.

    m[u] = max over i of g(z[S*u + i]),   p[u] = the i of that,
    d[S*u + 1] = (p[u] == 1 ? a : 0) where z[S*u + 1] > 0, else 0

Where p[u] is 1, g(z[S*u + 1]) is m[u]; elsewhere d is 0 whatever z is. With g(z) = (z <= 0 ? 0 : z)
the tests z <= 0 and m <= 0 agree. So d reads m, and nobody needs z.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import product
from math import prod

import sympy as sp
from sympy.core.relational import Relational

from gradproof.codegen.fast.affine import Affine
from gradproof.codegen.fast.graph import Shape
from gradproof.codegen.fast.nest import Access, Nest, Reduction
from gradproof.codegen.fast.tasks import Step, Task

LARGEST = 64  # terms of a maximum


@dataclass(frozen=True)
class _Maximum:
    """`position` stores where the maximum of `nest` is; `value` stores that maximum."""

    position: Nest
    value: Access


def with_selected(step: Step) -> Step:
    """Reads of selected elements as reads of their maxima, where that frees the nest from them."""
    once = {b for b, n in Counter(b for t in step.tasks for b in t.writes).items() if n == 1}
    known: dict[str, _Maximum] = {}
    tasks = []
    for t in step.tasks:
        if t.kind == "vector" and known.keys() & t.reads:
            nests = tuple(_freed(n, known, step.shapes) or _used_only(n) for n in t.nests)
            t = replace(t, nests=nests)
        tasks.append(t)
        known |= {b: m for b, m in _maxima(step, t) if {b, m.value.tensor} <= once}
    return replace(step, tasks=tuple(tasks))


def _maxima(step: Step, t: Task) -> Iterator[tuple[str, _Maximum]]:
    """The positions that a task stores beside their maxima."""
    nests = (*t.nests, *t.also) if t.kind == "vector" else ()
    single = [n for n in nests if len(n.reductions) == 1 and str(n.value) == "a0"]
    for n in single:
        (r,) = n.reductions
        if r.kind != "argmax" or r.guards or r.conditions or n.out.tensor not in step.whole:
            continue
        for m in single:
            (other,) = m.reductions
            alike = (m.loops, m.reads, other) == (
                n.loops,
                n.reads,
                replace(r, kind="max", place=None),
            )
            if alike and m.out.subscripts == n.out.subscripts:
                yield n.out.tensor, _Maximum(n, m.out)


def _freed(n: Nest, known: Mapping[str, _Maximum], shapes: Mapping[str, Shape]) -> Nest | None:
    """The nest on a maximum, without the read that it was selected from; None where the nest is no
    such selection, or needs that read all the same."""
    chosen = _chosen(n, known)
    if chosen is None:
        return None
    position, number = chosen
    m = known[n.reads[position].tensor]
    where = _where(m.position, n.reads[position], number)
    term = None if where is None else _term(m.position, where, n)
    if where is None or term is None:
        return None
    at = tuple(s.substitute(where) for s in m.value.subscripts)
    ends = [s.limits(dict(n.loops)) for s in at]
    inside = all(
        low >= 0 and high < e for (low, high), e in zip(ends, shapes[m.value.tensor], strict=True)
    )
    read = Access(m.value.tensor, at, "never" if inside else "zero")
    value = _on_maximum(n.value, term, _symbol(f"r{len(n.reads)}"))
    if value is None:
        return None
    return _used_only(replace(n, reads=(*n.reads, read), value=value))


def _chosen(n: Nest, known: Mapping[str, _Maximum]) -> tuple[int, int] | None:
    """Which read is a position, and the number that it must have for a value other than 0."""
    if len(n.reductions) != 1 or n.value.xreplace({_symbol("a0"): sp.Integer(0)}) != 0:
        return None
    (r,) = n.reductions
    if r.kind != "sum" or prod(e for _, e in r.loops) != 1 or len(r.conditions) != 1:
        return None
    (c,) = r.conditions
    if not isinstance(c, sp.Eq):
        return None
    difference = c.lhs - c.rhs
    for k in n.used(c):
        (symbol,) = (s for s in c.free_symbols if str(s) == f"r{k}")
        number = sp.solve(difference, symbol)
        if n.reads[k].tensor in known and len(number) == 1 and number[0].is_Integer:
            return k, int(number[0])
    return None


def _where(position: Nest, at: Access, number: int) -> dict[str, Affine] | None:
    """The loops of the maximum that has this place in `at`, and of the element with this number."""
    (r,) = position.reductions
    names = [v for v, _ in r.loops]
    if r.place is None or prod(e for _, e in r.loops) > LARGEST:
        return None
    for point in product(*(range(e) for _, e in r.loops)):
        offsets = {v: Affine(k) for v, k in zip(names, point, strict=True)}
        if r.place.substitute(offsets) == Affine(number):
            break
    else:
        return None
    outer = {
        str(own.plain): there
        for own, there in zip(position.out.subscripts, at.subscripts, strict=True)
        if own.plain
    }
    return {**offsets, **outer} if set(outer) == {v for v, _ in position.loops} else None


def _term(position: Nest, where: Mapping[str, Affine], n: Nest) -> sp.Expr | None:
    """What was compared there, over the reads of the nest; None where it does not read them."""
    term = position.reductions[0].term
    places = {(a.tensor, a.subscripts): k for k, a in enumerate(n.reads)}
    names: dict[sp.Basic, sp.Basic] = {}
    for k in position.used(term):
        a = position.reads[k]
        found = places.get((a.tensor, tuple(s.substitute(where) for s in a.subscripts)))
        if found is None:
            return None
        names[_symbol(f"r{k}")] = _symbol(f"r{found}")
    return term.xreplace(names) if names else None


def _on_maximum(value: sp.Expr, term: sp.Expr, maximum: sp.Symbol) -> sp.Expr | None:
    """The value where `term` is `maximum`, over that one in place of what the term reads."""
    if term.is_Symbol:
        return value.xreplace({term: maximum})
    (read, *more) = term.free_symbols
    tests = [c for c in value.atoms(Relational) if read in c.free_symbols]
    if more or not isinstance(term, sp.Piecewise) or not all(_agree(c, read, term) for c in tests):
        return None
    value = value.xreplace({c: c.xreplace({read: maximum}) for c in tests})
    return None if read in value.free_symbols else value


def _agree(test: Relational, read: sp.Symbol, term: sp.Piecewise) -> bool:
    """Whether a test of the read is the same test of the term: in each case of the term it is so
    word by word, or true where the case is this test, or false where it is the opposite."""
    before: list[sp.Basic] = []  # conditions that are false
    for value, condition in term.args:
        there = test.xreplace({read: value})
        known = there == test
        known |= there == sp.true and condition == test
        known |= there == sp.false and (condition == sp.Not(test) or test in before)
        if not known:
            return False
        before.append(condition)
    return True


def _used_only(n: Nest) -> Nest:
    """Without the reads that nothing mentions."""
    parts = sp.Tuple(n.value, *(e for r in n.reductions for e in (r.term, *r.conditions)))
    kept = n.used(parts)
    names: dict[sp.Basic, sp.Basic] = {}
    for new, old in enumerate(kept):
        names |= {
            s: sp.Symbol(f"r{new}", **s.assumptions0)
            for s in parts.free_symbols
            if str(s) == f"r{old}"
        }

    def reduction(r: Reduction) -> Reduction:
        conditions = tuple(c.xreplace(names) for c in r.conditions)
        return replace(r, term=r.term.xreplace(names), conditions=conditions)

    reads = tuple(n.reads[k] for k in kept)
    reductions = tuple(map(reduction, n.reductions))
    return replace(n, reads=reads, reductions=reductions, value=n.value.xreplace(names))


def _symbol(name: str) -> sp.Symbol:
    return sp.Symbol(name, real=True)
