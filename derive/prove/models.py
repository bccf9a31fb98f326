"""Integer values that satisfy facts: counterexamples, and samples that rule lemmas out.

Atoms are assigned one after another, each from the interval that the facts leave it, with
backtracking. Quotients and remainders follow from their arguments.
"""

from __future__ import annotations

import random
from typing import Any

from gradproof.derive.checker import Poly as AtomPoly
from gradproof.derive.checker import add, const, scale

Fact = tuple[str, AtomPoly]
Model = dict[Any, int]
WIDTH = 4  # values above the lower bound that are tried for an atom without an upper one
NODES = 400


def value(p: AtomPoly, model: dict[Any, int]) -> Any:
    """The value of p."""
    total: Any = 0
    for m, c in p.items():
        for v in m:
            c = c * model[v]
        total += c
    return total


def whole(p: AtomPoly) -> Any:
    """p with whole coefficients as int, which is faster."""
    return {m: c.numerator if c.denominator == 1 else c for m, c in p.items() if c}


class Assignment:
    """A partial model and what the facts say about the atoms that are left."""

    def __init__(self, facts: list[Fact], seed: int) -> None:
        self.facts = [(kind, whole(p)) for kind, p in facts]
        self.seed, self.generator = seed, random.Random(seed)
        self.atoms = all_atoms([p for _, p in facts])
        self.position = {a: i for i, a in enumerate(self.atoms)}
        self.nodes = NODES

    def solve(self) -> Model | None:
        """A model, or None if none was found within the limit."""
        model: Model = {}
        return model if self.extend(model, self.facts) else None

    def extend(self, model: Model, facts: list[Fact]) -> bool:
        """Assign the remaining atoms; False (and the model as it was) where that fails."""
        if len(model) == len(self.atoms):
            return True
        self.nodes -= 1
        if self.nodes < 0:
            return False
        choice = self.choose(model, facts)
        if choice is None:
            return False
        atom, values = choice
        for v in values:
            rest = assign(facts, atom, v)
            if rest is None:
                continue
            model[atom] = v
            if self.extend(model, rest):
                return True
            del model[atom]
            if self.nodes < 0:
                return False
        return False

    def choose(self, model: Model, facts: list[Fact]) -> tuple[Any, list[int]] | None:
        """The atom with the fewest values left, and these in the order to try."""
        low: dict[Any, int] = {}
        high: dict[Any, int] = {}
        for kind, p in facts:
            bounds(kind, p, low, high)
        best: tuple[Any, ...] | None = None
        for atom in self.atoms:
            if atom in model:
                continue
            defined = definition(atom, model)
            if defined is not None:
                if not low.get(atom, defined) <= defined <= high.get(atom, defined):
                    return None
                return atom, [defined]
            start = low.get(atom, min(0, high.get(atom, 0)) - 1)
            stop = high.get(atom, start + (1 if self.seed == 1 else WIDTH))
            if stop < start:
                return None
            open_ended = atom not in high or is_quotient(atom)
            key = (open_ended, stop - start if not open_ended else 0, self.position[atom])
            if best is None or key < best[:3]:
                best = (*key, atom, start, min(stop, start + 4 * WIDTH))
        assert best is not None
        return best[3], self.order(range(best[4], best[5] + 1))

    def order(self, values: range) -> list[int]:
        """The smallest first, the largest first, or in random order, by seed."""
        if self.seed in (0, 1):
            return list(values)[:: -1 if self.seed else 1]
        return self.generator.sample(values, len(values))


def is_quotient(atom: Any) -> bool:
    """Whether the atom's value follows from its arguments."""
    return isinstance(atom, tuple) and atom[0] in ("//", "%")


def all_atoms(ps: list[AtomPoly]) -> list[Any]:
    """The atoms of ps and of their quotients' arguments, in order of appearance."""
    found: dict[Any, None] = {}

    def visit(p: AtomPoly) -> None:
        for m in p:
            for atom in m:
                if atom in found:
                    continue
                if is_quotient(atom):
                    visit(dict(atom[1]))
                    visit(dict(atom[2]))
                found[atom] = None

    for p in ps:
        visit(p)
    return list(found)


def definition(atom: Any, model: Model) -> int | None:
    """The value of a quotient or remainder, or None where it is not determined (yet)."""
    if not is_quotient(atom):
        return None
    a, b = dict(atom[1]), dict(atom[2])
    if any(v not in model for p in (a, b) for m in p for v in m):
        return None
    numerator, divisor = value(a, model), value(b, model)
    if divisor < 1:
        return None
    return int(numerator // divisor if atom[0] == "//" else numerator % divisor)


def bounds(kind: str, p: AtomPoly, low: dict[Any, int], high: dict[Any, int]) -> None:
    """Narrow an atom's interval by a fact in which it alone is left, linearly."""
    atoms = [m for m in p if m]
    if len(atoms) != 1 or len(atoms[0]) != 1:
        return
    atom, c, rest = atoms[0][0], p[atoms[0]], p.get((), 0)
    least, most = -(rest // c) if c > 0 else None, rest // -c if c < 0 else None
    if kind == "==":
        c, rest = (c, rest) if c > 0 else (-c, -rest)
        least, most = -(rest // c), -rest // c
    if least is not None:
        low[atom] = max(low.get(atom, int(least)), int(least))
    if most is not None:
        high[atom] = min(high.get(atom, int(most)), int(most))


def assign(facts: list[Fact], atom: Any, v: int) -> list[Fact] | None:
    """The facts with a value for an atom; None where one fails."""
    out = []
    for kind, p in facts:
        if not any(atom in m for m in p):
            out.append((kind, p))
            continue
        q: AtomPoly = {}
        for m, c in p.items():
            if atom in m:
                c = c * v ** m.count(atom)
                m = tuple(a for a in m if a != atom)
            q[m] = q.get(m, 0) + c
        q = {m: c for m, c in q.items() if c}
        if any(q):
            out.append((kind, q))
        elif q and (kind == "==" or q[()] < 0):
            return None
    return out


def models(facts: list[Fact], count: int = 4) -> list[Model]:
    """Up to `count` different models of the facts."""
    found: list[Model] = []
    for seed in range(2 * count):
        model = Assignment(facts, seed).solve()
        if model is not None and model not in found:
            found.append(model)
        if len(found) == count or (seed >= count and not found):
            break
    return found


def negations(goal: Fact) -> list[Fact]:
    """What one of which must hold if the goal does not."""
    kind, p = goal
    below = (">=", add(scale(p, -1), const(-1)))
    return [below] if kind == ">=" else [below, (">=", add(p, const(-1)))]


def counterexample(facts: list[Fact], goal: Fact, tries: int = 8) -> Model | None:
    """Integers that satisfy all facts and violate the goal, or None if none was found.

    >>> from gradproof.derive.checker import const, sub, var
    >>> counterexample([(">=", var("x"))], (">=", sub(var("x"), const(1))))
    {'x': 0}
    """
    for seed in range(tries):
        for violated in negations(goal):
            model = Assignment([violated, *facts], seed).solve()
            if model is not None:
                return model
    return None
