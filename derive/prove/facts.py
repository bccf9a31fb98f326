"""Hypotheses about integers, indexed for the search of certificates.

Every atom `v` with a known lower bound `v >= L` is also seen *shifted*, as `v = t + L` with
`t >= 0`: a polynomial whose shifted coefficients are all non-negative is non-negative.
Atoms are short strings here (see `handelman.intern`), so that sorting them is fast and agrees
with the checker's order.
"""

from __future__ import annotations

from fractions import Fraction
from functools import lru_cache
from itertools import product
from typing import Any, NamedTuple

Number = int | Fraction
Monomial = tuple[Any, ...]  # sorted atoms
Poly = dict[Monomial, Any]  # coefficients are Numbers
Frozen = frozenset[tuple[Monomial, Number]]
Product = tuple[Number, list[int]]  # multiplier, indices of facts
Step = tuple[str, Poly, list[Product], list[tuple[int, Poly]]]


def ratio(a: Number, b: Number) -> Number:
    """a / b, exactly, as an int where it is one."""
    return whole(Fraction(a) / Fraction(b))


def whole(c: Number) -> Number:
    """c, as an int where it is one."""
    return c.numerator if c.denominator == 1 else c


def times(m: Monomial, n: Monomial) -> Monomial:
    """The product of two monomials."""
    return tuple(sorted(m + n)) if m and n else m or n


def multiply(a: Poly, b: Poly) -> Poly:
    """The product of two polynomials."""
    out: Poly = {}
    for m, c in a.items():
        for n, d in b.items():
            k = times(m, n)
            out[k] = out.get(k, 0) + c * d
    return {m: c for m, c in out.items() if c}


def add_scaled(a: Poly, b: Poly, c: Number) -> Poly:
    """a + c b."""
    out = dict(a)
    for m, d in b.items():
        v = out.get(m, 0) + c * d
        if v:
            out[m] = v
        else:
            out.pop(m, None)
    return out


def negated(p: Poly) -> Poly:
    """-p - 1, which is >= 0 exactly if the integer p is not."""
    return add_scaled({(): -1}, p, -1)


def divide(m: Monomial, n: Monomial) -> Monomial | None:
    """m / n, or None where n does not divide m."""
    rest = list(m)
    for v in n:
        if v not in rest:
            return None
        rest.remove(v)
    return tuple(rest)


@lru_cache(maxsize=100_000)
def divisors(m: Monomial) -> list[Monomial]:
    """The monomials that divide m, 1 among them, the largest first."""
    found = {
        tuple(v for v, taken in zip(m, mask, strict=True) if taken)
        for mask in product((0, 1), repeat=len(m))
    }
    return sorted(found, key=lambda n: (-len(n), n))


class Move(NamedTuple):
    """multiplier * factor * fact, the factor in atoms or, if `shifted`, in their excesses."""

    multiplier: Number
    factor: Monomial
    shifted: bool
    fact: int


class Facts:
    """A growing list of facts (kind, p): p >= 0 or p == 0.

    lower[v] = (L, i): fact i is v - L >= 0. A fact added as `auxiliary` (the bound of a monomial)
    can be cited but is not tried by the search.
    """

    def __init__(self) -> None:
        self.items: list[tuple[str, Poly]] = []
        self.known: dict[tuple[str, Frozen], int] = {}
        self.lower: dict[str, tuple[int, int]] = {}
        self.auxiliary: set[int] = set()
        self.shifted: list[Poly] = []
        self.at: dict[Monomial, list[tuple[int, Number]]] = {}
        self.negative_constant: list[tuple[int, Number]] = []
        self.moves: dict[tuple[Monomial, bool], list[Move]] = {}
        self._stale = True
        self._grown: dict[Monomial, Poly] = {}

    def add(self, kind: str, p: Poly, auxiliary: bool = False) -> int:
        """Append a fact; its index."""
        i = len(self.items)
        self.items.append((kind, p))
        self.known.setdefault((kind, frozenset(p.items())), i)
        if auxiliary:
            self.auxiliary.add(i)
        atoms = [m for m in p if m]
        if kind == ">=" and len(atoms) == 1 and len(atoms[0]) == 1 and p[atoms[0]] == 1:
            atom, bound = atoms[0][0], -p.get((), 0)
            better = atom not in self.lower or bound > self.lower[atom][0]
            if isinstance(bound, int) and bound >= 0 and better:
                self.lower[atom] = (bound, i)
        if auxiliary and not self._stale:
            self.shifted.append(self.shift(p))
        else:
            self._stale = True
        return i

    def find(self, kind: str, p: Poly) -> int | None:
        """The index of this very fact, or None."""
        return self.known.get((kind, frozenset(p.items())))

    def bound(self, m: Monomial) -> int:
        """The product of the lower bounds of m's atoms (each has one)."""
        out = 1
        for v in m:
            out *= self.lower[v][0]
        return out

    def grown(self, m: Monomial) -> Poly:
        """m with every atom v replaced by t + L."""
        if m not in self._grown:
            out: Poly = {(): 1}
            for v in m:
                out = multiply(out, {(v,): 1, (): self.lower.get(v, (0, 0))[0]})
            self._grown[m] = {n: c for n, c in out.items() if c}
        return self._grown[m]

    def shift(self, p: Poly) -> Poly:
        """p with every bounded atom v replaced by t + L."""
        out: Poly = {}
        for m, c in p.items():
            out = add_scaled(out, self.grown(m), c)
        return out

    def unshift(self, p: Poly) -> Poly:
        """The inverse of `shift`."""
        out: Poly = {}
        for m, c in p.items():
            factor: Poly = {(): 1}
            for v in m:
                factor = multiply(factor, {(v,): 1, (): -self.lower.get(v, (0, 0))[0]})
            out = add_scaled(out, factor, c)
        return out

    def refresh(self) -> None:
        """Bring the shifted forms and their index up to date."""
        if not self._stale:
            return
        self._stale, self._grown, self.moves = False, {}, {}
        self.shifted = [self.shift(p) for _, p in self.items]
        self.at, self.negative_constant = {}, []
        seen: set[tuple[str, Frozen]] = set()
        for i, (kind, p) in enumerate(self.items):
            key = (kind, frozenset(p.items()))
            if i in self.auxiliary or key in seen:
                continue
            seen.add(key)
            for m, c in self.shifted[i].items():
                if m:
                    self.at.setdefault(m, []).append((i, c))
                elif c < 0:
                    self.negative_constant.append((i, c))
