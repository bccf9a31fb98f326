"""Finds cofactors: how a difference of two expressions is a combination of known relations.

Every monomial of the difference is divided by every monomial of every relation; the quotients are
the candidates, and linear algebra over the rationals does the rest. Equations of the system are
tried as few as possible at first, those of late tensors before those of early ones.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from fractions import Fraction
from typing import Any

from gradproof.derive.checker import (
    Poly,
    atoms_in,
    canonical,
    inverse_atom,
    join,
    mul,
    show,
    symbols,
    var,
)

ROUNDS = 3
LIMIT = 400

Column = tuple[list[str], tuple[Any, ...], Poly]


def combination(
    difference: Poly, relation: Any, equations: Sequence[str]
) -> list[Any] | None:
    """[[relation, cofactor as text], ...] that add up to `difference`, or None.

    equations: the tensors for which there is an equation, those that depend on others first.
    """
    every = relations_for(difference, relation, equations)
    needed = [t for t in equations if any(s[:2] == ["equation", t] for s in every)]
    for k in range(len(needed) + 1):
        specs = relations_for(difference, relation, needed[:k])
        found = _combined(difference, specs, [canonical(relation(s)) for s in specs])
        if found is not None:
            return found
    return None


def _combined(
    difference: Poly, specs: list[list[str]], relations: list[Poly]
) -> list[Any] | None:
    """The cofactors of these relations, or None."""
    monomials = dict.fromkeys(difference)
    columns: dict[tuple[int, tuple[Any, ...]], Poly] = {}
    for _ in range(ROUNDS):
        for k, r in enumerate(relations):
            for q in _quotients(list(monomials), r):
                if (k, q) not in columns and len(columns) < LIMIT:
                    columns[k, q] = mul({q: Fraction(1)}, r)
        solution = _solve(difference, list(columns.values()))
        if solution is not None:
            return _grouped(list(columns), solution, specs)
        monomials |= dict.fromkeys(m for c in columns.values() for m in c)
    return None


def relations_for(p: Poly, relation: Any, equations: Sequence[str]) -> list[list[str]]:
    """What may be known of the elements, inverses and roots in p, and of those that they bring."""
    found: dict[str, list[str]] = {}
    pending = [p]
    for _ in range(ROUNDS):
        new: list[Poly] = []
        for a in (a for q in pending for a in atoms_in(q)):
            for spec in _specs(a, equations):
                if repr(spec) not in found:
                    found[repr(spec)] = spec
                    new.append(canonical(relation(spec)))
        pending = new
    return list(found.values())


def _specs(a: Any, equations: Sequence[str]) -> list[list[str]]:
    if a[0] == "sum":
        return _exponentials(a)
    if a[0] == "read" and a[1] in equations and not bound(a):
        return [["equation", a[1], *(show(dict(s)) for s in a[2])]]
    if a[0] != "call" or a[1] not in ("inv", "sqrt", "exp") or bound(a):
        return []
    argument = show(dict(a[2][0]))
    if a[1] == "exp":
        return [["exp", argument, show(q)] for q in _negative_terms(dict(a[2][0]))]
    if a[1] == "sqrt":
        return [["sqrt", argument], ["inv sqrt", argument]]
    return [["inv", argument]] if len(a[2][0]) > 1 else []


def _exponentials(a: Any) -> list[list[str]]:
    """exp(p + q) = exp(p)*exp(q) under a sum of exp(p) alone, where -q is a term of p."""
    _, loops, guards, body = a
    inner = next(iter(dict(body)))
    if guards or len(body) > 1 or len(inner) != 1 or inner[0][:2] != ("call", "exp"):
        return []
    p = dict(inner[0][2][0])
    pairs = [text for i, n in loops for text in (i, show(dict(n)))]
    free = [q for q in _negative_terms(p) if not symbols(q) & {i for i, _ in loops}]
    return [["exp", show(p), show(q), *pairs] for q in free]


def _negative_terms(p: Poly) -> list[Poly]:
    """-t for the terms t of a sum that have a negative coefficient."""
    return [{m: -c} for m, c in p.items() if c < 0 and len(p) > 1]


def bound(a: Any) -> bool:
    """Whether an atom mentions a bound index of the canonical form."""
    return any(re.fullmatch(r"_\d+_\d+", s) for s in symbols(var(a)))


def _quotients(monomials: list[Any], r: Poly) -> list[Any]:
    """m / t for monomials t of the relation whose factors, except inverses, are factors of m; and
    m / t for t = u where 1/u divides m."""
    out = {}
    for m in monomials:
        for t in r:
            left = list(m)
            rest = []
            for a in t:
                if a in left:
                    left.remove(a)
                else:
                    rest.append(a)
            other = next((u for u in r if u != t), ()) if len(r) == 2 else ()
            inverted = bool(other) and all(inverse_atom(a) in m for a in other)
            if inverted or all(a[:2] == ("call", "inv") for a in rest):
                out[join(tuple(left), tuple(inverse_atom(a) for a in rest))] = None
    return list(out)


def _solve(target: Poly, columns: list[Poly]) -> list[Fraction] | None:
    """Coefficients with sum of coefficient * column = target, by elimination."""
    rows = dict.fromkeys([*target, *(m for c in columns for m in c)])
    system = [
        {**{k: c[m] for k, c in enumerate(columns) if m in c}, -1: target.get(m, Fraction(0))}
        for m in rows
    ]
    pivots: list[tuple[int, dict[int, Fraction]]] = []
    for row in system:
        for k, pivot in pivots:
            if row.get(k):
                factor = row[k]
                for j, v in pivot.items():
                    row[j] = row.get(j, Fraction(0)) - factor * v
        lead = min((j for j, v in row.items() if v and j >= 0), default=None)
        if lead is None:
            if row.get(-1):
                return None
            continue
        pivots.append((lead, {j: v / row[lead] for j, v in row.items() if v}))
    solution = [Fraction(0)] * len(columns)
    for k, pivot in reversed(pivots):
        known = sum((v * solution[j] for j, v in pivot.items() if j not in (k, -1)), Fraction(0))
        solution[k] = pivot.get(-1, Fraction(0)) - known
    return solution


def _grouped(keys: list[Any], solution: list[Fraction], specs: list[list[str]]) -> list[Any]:
    cofactors: dict[int, Poly] = {}
    for (k, q), value in zip(keys, solution, strict=True):
        if value:
            cofactors.setdefault(k, {})[q] = value
    return [[specs[k], show(p)] for k, p in cofactors.items()]
