"""A best-first search for p = sum of multiplier * product of facts + sum of cofactor * equation.

The state is what is left of p, shifted. A monomial is *bad* if its coefficient is negative or an
atom of it has no lower bound; each move subtracts a multiple of one fact so that one bad monomial
cancels. With none left, what remains is a sum of products of lower bounds.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterator
from dataclasses import dataclass

from gradproof.derive.prove.facts import (
    Facts,
    Monomial,
    Move,
    Number,
    Poly,
    add_scaled,
    divide,
    divisors,
    multiply,
    ratio,
    whole,
)

Weight = tuple[int, Monomial]  # their product, at least 1
NODES = 240  # states looked at per goal
FREE = 3  # how much an atom without a bound counts


@dataclass
class Found:
    """weight * p + weight - 1 = sum of moves + rest, with `rest` shifted and non-negative."""

    weight: Weight
    moves: list[Move]
    rest: Poly


def bad_monomials(facts: Facts, p: Poly) -> list[Monomial]:
    """Those that keep the shifted p from being a sum of non-negative terms."""
    lower = facts.lower
    return [m for m, c in p.items() if c < 0 or any(v not in lower for v in m)]


def moves_for(facts: Facts, bad: Monomial, positive: bool) -> list[Move]:
    """The ways to cancel the monomial `bad` by one fact, with the multipliers for coefficient 1."""
    key = (bad, positive)
    if key not in facts.moves:
        facts.moves[key] = list(new_moves(facts, bad, positive))
    return facts.moves[key]


def new_moves(facts: Facts, bad: Monomial, positive: bool) -> Iterator[Move]:
    """What `moves_for` remembers."""
    for n in divisors(bad):
        candidates = facts.at.get(n, []) if n else facts.negative_constant
        if not candidates:
            continue
        factor = divide(bad, n) or ()
        bounded = all(v in facts.lower for v in factor)
        for i, d in candidates:
            equation = facts.items[i][0] == "=="
            if not equation and not (bounded and (d > 0) == positive):
                continue
            multiplier = ratio(1, d)
            yield Move(multiplier, factor, False, i)
            if not equation and any(facts.lower[v][0] for v in factor):
                yield Move(multiplier, factor, True, i)


def apply(facts: Facts, p: Poly, move: Move) -> Poly:
    """What is left of the shifted p."""
    fact = facts.shifted[move.fact]
    if not move.factor:
        return add_scaled(p, fact, -move.multiplier)
    factor = {move.factor: 1} if move.shifted else facts.grown(move.factor)
    return add_scaled(p, multiply(factor, fact), -move.multiplier)


def weights(facts: Facts, p: Poly, most: int = 4) -> list[Weight]:
    """Factors w >= 1 to try: over the integers p >= 0 follows from w p + w - 1 >= 0.

    They are what stands beside an atom of p in some fact, as S in t == S q + r beside q, or a
    number, as 2 in t == 2 q + r; the numbers come last.
    """
    count: dict[Weight, int] = {}
    for m in p:
        if not m:
            continue
        for i, (kind, fact) in enumerate(facts.items):
            for n, c in fact.items() if i not in facts.auxiliary else ():
                w = divide(n, m) if len(n) > len(m) else None
                if w and all(v in facts.lower and facts.lower[v][0] >= 1 for v in w):
                    count[1, w] = count.get((1, w), 0) + (2 if kind == "==" else 1)
                elif n == m and abs(c) > 1 and isinstance(c, int) and kind == "==":
                    count[abs(c), ()] = count.get((abs(c), ()), 0) + 2
    return sorted(count, key=lambda w: (w[0] > 1, -count[w], w))[:most]


def cost(facts: Facts, bad: list[Monomial], depth: int) -> int:
    """Small where the end seems near."""
    return depth + sum(len(m) + 1 + FREE * sum(1 for v in m if v not in facts.lower) for m in bad)


class Frontier:
    """The states reached from weight * p + weight - 1, the most promising one next."""

    def __init__(self, facts: Facts, p: Poly, weight: Weight) -> None:
        scale, factor = weight
        goal = add_scaled(multiply({factor: scale}, p), {factor: scale}, 1)
        goal = add_scaled(goal, {(): 1}, -1)
        self.facts, self.weight = facts, weight
        self.highest = 1 + max(3, *(len(m) for m in goal), 0)
        self.queue: list[tuple[int, int, Poly, tuple[Move, ...]]] = []
        self.seen: set[frozenset[tuple[Monomial, Number]]] = set()
        self.found: Found | None = None
        self.push(facts.shift(goal), ())

    def push(self, left: Poly, moves: tuple[Move, ...]) -> None:
        """Reach a state, the end perhaps."""
        key = frozenset(left.items())
        if self.found or key in self.seen or any(len(m) > self.highest for m in left):
            return
        self.seen.add(key)
        bad = bad_monomials(self.facts, left)
        if not bad:
            self.found = Found(self.weight, list(moves), left)
        entry = (cost(self.facts, bad, len(moves)), len(self.seen), left, moves)
        heapq.heappush(self.queue, entry)

    def step(self) -> None:
        """Take the next state, and cancel its bad monomial of highest degree in all ways."""
        _, _, left, moves = heapq.heappop(self.queue)
        bad = bad_monomials(self.facts, left)
        ways = {m: moves_for(self.facts, m, left[m] > 0) for m in bad}
        if not all(ways.values()):
            return
        chosen = min(bad, key=lambda m: (-len(m), len(ways[m]), m))
        for unit in ways[chosen]:
            move = unit._replace(multiplier=whole(unit.multiplier * left[chosen]))
            self.push(apply(self.facts, left, move), (*moves, move))


def search(facts: Facts, p: Poly, nodes: int = NODES) -> Found | None:
    """A certificate of p >= 0, or None if none was found among `nodes` states.

    The weights take turns, no weight every second one.
    """
    facts.refresh()
    frontiers = []
    for weight in [(1, ()), *weights(facts, p)]:
        frontiers.append(Frontier(facts, p, weight))
        if frontiers[-1].found:
            return frontiers[-1].found
    turns = [f for other in frontiers[1:] for f in (frontiers[0], other)] or frontiers
    for turn in range(nodes):
        frontier = turns[turn % len(turns)]
        if frontier.queue:
            frontier.step()
        if frontier.found:
            return frontier.found
        if turn % len(turns) == 0 and not any(f.queue for f in frontiers):
            return None
    return None
