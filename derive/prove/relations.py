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
    is_condition,
    order,
    radicand,
    show,
    symbols,
    var,
)

ROUNDS = 3
LIMIT = 250

Monomial = tuple[int, ...]
Numbered = dict[Monomial, Fraction]


def combination(difference: Poly, relation: Any, equations: Sequence[str]) -> list[Any] | None:
    """[[relation, cofactor as text], ...] that add up to `difference`, or None.

    equations: the tensors for which there is an equation, those that depend on others first.
    """
    every = relations_for(difference, relation, equations)
    needed = [t for t in equations if any(s[:2] == ["equation", t] for s in every)]
    sets = [relations_for(difference, relation, needed[:k]) for k in range(len(needed) + 1)]
    known = [[canonical(relation(s)) for s in specs] for specs in sets]
    for rounds in range(1, ROUNDS + 1):
        for specs, relations in zip(sets, known, strict=True):
            found = _combined(difference, specs, relations, rounds)
            if found is not None:
                return found
    return None


def _combined(
    difference: Poly, specs: list[list[str]], relations: list[Poly], rounds: int
) -> list[Any] | None:
    """The cofactors of these relations, or None. A round adds the monomials of the last one."""
    atoms = Numbers()
    target, *known = (atoms.numbered(p) for p in (difference, *relations))
    monomials, fresh = dict.fromkeys(target), list(target)
    columns: dict[tuple[int, Monomial], Numbered] = {}
    for _ in range(rounds):
        for k, r in enumerate(known):
            for q in _quotients(fresh, r, atoms):
                if (k, q) not in columns and len(columns) < LIMIT:
                    columns[k, q] = atoms.times(q, r)
        fresh = [
            m for m in dict.fromkeys(m for c in columns.values() for m in c) if m not in monomials
        ]
        monomials |= dict.fromkeys(fresh)
    solution = _solve(target, list(columns.values()))
    if solution is None:
        return None
    cofactors: dict[int, Poly] = {}
    for (k, q), value in zip(columns, solution, strict=True):
        if value:
            cofactors.setdefault(k, {})[tuple(sorted(map(atoms.named, q), key=order))] = value
    return [[specs[k], show(p)] for k, p in cofactors.items()]


class Numbers:
    """Atoms as integers, 1/a as -a: monomials are sorted tuples of them, quick to compare."""

    def __init__(self) -> None:
        self.numbers: dict[Any, int] = {}
        self.atoms: dict[int, Any] = {}
        self.inverse: set[int] = set()  # written as 1/x
        self.once: set[int] = set()  # a condition counts once
        self.roots: dict[int, Any] = {}  # the roots of numbers: sqrt(2) * sqrt(2) = 2

    def number(self, atom: Any) -> int:
        """The integer of an atom."""
        if atom not in self.numbers:
            k = len(self.numbers) + 1
            for i, a in ((k, atom), (-k, inverse_atom(atom))):
                self.numbers[a], self.atoms[i] = i, a
                self.inverse |= {i} if a[:2] == ("call", "inv") else set()
                self.once |= {i} if is_condition(a) else set()
            self.roots |= {k: radicand(atom)} if radicand(atom) else {}
        return self.numbers[atom]

    def named(self, k: int) -> Any:
        """The atom of an integer."""
        return self.atoms[k]

    def numbered(self, p: Poly) -> Numbered:
        """A polynomial over integers in place of atoms."""
        return {tuple(sorted(map(self.number, m))): c for m, c in p.items()}

    def join(self, m: Monomial, n: Monomial) -> Monomial:
        """The product of two monomials."""
        found = list(m)
        for a in n:
            if -a in found:
                found.remove(-a)
            elif a not in found or a not in self.once:
                found.append(a)
        return tuple(sorted(found))

    def rooted(self, m: Monomial) -> tuple[Monomial, Fraction]:
        """m as a monomial with every root of a number at most once, and a number."""
        factor = Fraction(1)
        for k, number in self.roots.items():
            twice, once = divmod(m.count(k) - m.count(-k), 2)
            factor *= Fraction(number) ** twice
            m = tuple(sorted([*(a for a in m if abs(a) != k), *[k] * once]))
        return m, factor

    def times(self, q: Monomial, p: Numbered) -> Numbered:
        """q*p."""
        out: Numbered = {}
        for m, c in p.items():
            product, factor = self.rooted(self.join(q, m))
            out[product] = out.get(product, Fraction(0)) + factor * c
        return {m: c for m, c in out.items() if c}


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
    if a[0] == "read" and a[1] in equations and not bound(a):
        return [["equation", a[1], *(show(dict(s)) for s in a[2])]]
    if a[0] != "call" or a[1] not in ("inv", "sqrt", "exp") or bound(a):
        return []
    argument = show(dict(a[2][0]))
    if a[1] == "exp":
        return _powers(dict(a[2][0]))
    if a[1] == "sqrt":
        return [["sqrt", argument], ["inv sqrt", argument]]
    return [["inv", argument]] if len(a[2][0]) > 1 else []


def _powers(p: Poly) -> list[list[str]]:
    """exp(m) = exp(m/q)*exp((q-1)*m/q) for an argument m/q."""
    ((m, c),) = p.items()
    rest = {m: (c.denominator - 1) * c}
    return [["exp", show(p), show(rest)]] if c.denominator > 1 and c.numerator == 1 else []


def bound(a: Any) -> bool:
    """Whether an atom mentions a bound index of the canonical form."""
    return any(re.fullmatch(r"_\d+_\d+", s) for s in symbols(var(a)))


def _quotients(monomials: list[Monomial], r: Numbered, atoms: Numbers) -> list[Monomial]:
    """m / t for monomials t of the relation whose factors, except inverses, are factors of m; and
    m / t for t = u where 1/u divides m."""
    out: dict[Monomial, None] = {}
    for m in monomials:
        for t in r:
            rest = list(t)
            for a in m:
                if a in rest:
                    rest.remove(a)
            other = next((u for u in r if u != t), ()) if len(r) == 2 else ()
            inverted = bool(other) and all(-a in m for a in other)
            if inverted or atoms.inverse.issuperset(rest):
                out[atoms.rooted(atoms.join(m, tuple(-a for a in t)))[0]] = None
    return list(out)


def _solve(target: Numbered, columns: list[Numbered]) -> list[Fraction] | None:
    """Coefficients with sum of coefficient * column = target, by elimination; row[-1] is the
    target's coefficient."""
    rows: dict[Any, dict[int, Fraction]] = {m: {-1: c} for m, c in target.items()}
    for k, column in enumerate(columns):
        for m, c in column.items():
            rows.setdefault(m, {})[k] = c
    pivots: dict[int, dict[int, Fraction]] = {}
    for row in sorted(rows.values(), key=len):
        while lead := min((j for j in row if j >= 0), default=-1) + 1:
            pivot = pivots.get(lead - 1)
            if pivot is None:
                inverse = 1 / Fraction(row[lead - 1])
                pivots[lead - 1] = {j: v * inverse for j, v in row.items()}
                break
            row = _less(row, pivot, row[lead - 1])
        else:
            if row.get(-1):
                return None
    solution = [Fraction(0)] * len(columns)
    for k in sorted(pivots, reverse=True):
        known = sum((v * solution[j] for j, v in pivots[k].items() if j > k), Fraction(0))
        solution[k] = pivots[k].get(-1, Fraction(0)) - known
    return solution


def _less(
    row: dict[int, Fraction], pivot: dict[int, Fraction], factor: Fraction
) -> dict[int, Fraction]:
    """row - factor*pivot, without zeros."""
    out = dict(row)
    for j, v in pivot.items():
        out[j] = out.get(j, Fraction(0)) - factor * v
        if not out[j]:
            del out[j]
    return out
