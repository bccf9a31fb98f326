"""Steps, written from what the search found.

Products of many factors are avoided: where a fact is multiplied by a monomial m, the step cites
m - L >= 0 (L the product of the lower bounds of m's atoms), shown once by a step of its own.
"""

from __future__ import annotations

from fractions import Fraction
from typing import Any

from gradproof.derive.prove.facts import (
    Facts,
    Monomial,
    Move,
    Number,
    Poly,
    Product,
    Step,
    add_scaled,
    divide,
)
from gradproof.derive.prove.lp import Cofactors
from gradproof.derive.prove.search import Found


class Proof:
    """Facts, and the steps that have been shown from them."""

    def __init__(self, facts: list[tuple[str, Poly]]) -> None:
        self.facts = Facts()
        for kind, p in facts:
            self.facts.add(kind, p)
        self.given = len(facts)
        self.steps: list[Step] = []

    # -- steps ----------------------------------------------------------------------------------
    def add(
        self,
        kind: str,
        p: Poly,
        pos: list[Product],
        eq: list[tuple[int, Poly]],
        auxiliary: bool = False,
    ) -> int:
        """Append a step, and its fact; the fact's index."""
        self.steps.append((kind, p, pos, eq))
        return self.facts.add(kind, p, auxiliary)

    def bound(self, m: Monomial) -> int:
        """The index of m - L >= 0, L the product of the atoms' lower bounds; shown if new."""
        facts = self.facts
        if len(m) == 1:
            return facts.lower[m[0]][1]
        low = facts.bound(m)
        p: Poly = add_scaled({m: 1}, {(): 1}, -low)
        known = facts.find(">=", p)
        if known is not None:
            return known
        first, rest = self.bound(m[:1]), self.bound(m[1:])
        low_first, low_rest = facts.bound(m[:1]), facts.bound(m[1:])
        pos = [(1, [-1]), (1, [first, rest]), (low_first, [rest]), (low_rest, [first])]
        return self.add(">=", p, [(c, i) for c, i in pos if c], [], auxiliary=True)

    def write(self, p: Poly, found: Found) -> int:
        """The step of a search's result."""
        pos: dict[tuple[int, ...], Number] = {}
        eq: Cofactors = {}

        def put(c: Number, *indices: int) -> None:
            key = tuple(sorted(indices))
            pos[key] = pos.get(key, 0) + c

        def put_monomial(c: Number, m: Monomial, *indices: int) -> None:
            """c * m * product of facts, with m = (m - L) + L."""
            if m:
                put(c, self.bound(m), *indices)
            put(c * self.facts.bound(m), *indices)

        put_monomial(*found.weight, -1)
        for move in found.moves:
            self.write_move(move, put, put_monomial, eq)
        pairs = self.pairs(found.rest)
        for c, b, factor in pairs or ():
            put_monomial(c, b, *([self.bound(factor)] if factor else []))
        for m, c in found.rest.items() if pairs is None else ():
            put(c, *(self.bound((v,)) for v in m))
        return self.add(
            ">=",
            p,
            [(c, list(key)) for key, c in sorted(pos.items()) if c],
            [(i, q) for i, q in sorted(eq.items()) if q],
        )

    def write_move(self, move: Move, put: Any, put_monomial: Any, eq: Cofactors) -> None:
        """One move as entries of a step."""
        if self.facts.items[move.fact][0] == "==":
            cofactor = {move.factor: move.multiplier}
            eq[move.fact] = add_scaled(eq.get(move.fact, {}), cofactor, 1)
        elif move.shifted:
            put(move.multiplier, *(self.bound((v,)) for v in move.factor), move.fact)
        else:
            put_monomial(move.multiplier, move.factor, move.fact)

    def pairs(self, rest: Poly) -> list[tuple[Number, Monomial, Monomial]] | None:
        """rest (shifted, non-negative) as a sum of c * b * (t - bound of t).

        Each negative monomial b of the unshifted polynomial has to meet a positive one b t; None
        where they do not.
        """
        facts = self.facts
        plain = facts.unshift(rest)
        out: list[tuple[Number, Monomial, Monomial]] = []
        for b in sorted([m for m in plain if plain[m] < 0], key=lambda m: (-len(m), m)):
            for a in sorted([m for m in plain if plain[m] > 0], key=lambda m: (-len(m), m)):
                t = divide(a, b)
                low = facts.bound(t) if t else 0
                if not t or not low or plain.get(b, 0) >= 0 or plain.get(a, 0) <= 0:
                    continue
                c = min(plain[a], Fraction(-plain[b]) / low)
                out.append((c, b, t))
                plain = add_scaled(add_scaled(plain, {a: 1}, -c), {b: 1}, c * low)
        if all(c > 0 for c in plain.values()):
            return out + [(c, m, ()) for m, c in plain.items()]
        return None
