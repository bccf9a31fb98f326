"""Finds what the checker checks: bijections between sums, certificates, cofactors, witnesses.

`Finder` is the checker's `Certificates` with search in place of look-up. Whatever it finds goes
into the record, and is verified there and then.
"""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from typing import Any

from gradproof.derive.checker import (
    NEVER,
    Certificates,
    Fact,
    Poly,
    Refused,
    add,
    canonical,
    certain_fact,
    const,
    freeze,
    outer_reductions,
    ranges,
    replace_atom,
    scale,
    show,
    show_fact,
    substitute,
    thaw,
    var,
)
from gradproof.derive.prove.bijection import Equation, pairings, rewrites, solve
from gradproof.derive.prove.conditions import simplified
from gradproof.derive.prove.counterexample import Example, differing
from gradproof.derive.prove.handelman import counterexample
from gradproof.derive.prove.lemmas import prove_with_lemmas
from gradproof.derive.prove.models import models, value
from gradproof.derive.prove.relations import combination
from gradproof.derive.prove.witness import refute, witness


class NotFound(Refused):
    """No certificate was found; `example`: values for which the goal is false, if known."""

    def __init__(
        self, message: str, example: dict[Any, int] | Example | None = None, goal: str = ""
    ) -> None:
        super().__init__(message)
        self.example, self.goal = example, goal


class Finder(Certificates):
    """Certificates that are searched for where the record has none."""

    def __init__(self, record: Any, known: Any = None) -> None:
        super().__init__(record)
        self.known = known or {"proofs": {}, "maps": {}, "cofactors": {}}
        self.problems: dict[str, str] = {}  # why a first guess was given up

    def search(self, key: str, facts: list[Fact], goals: list[Fact], where: str) -> list[Any]:
        """Recorded steps, or new ones."""
        if key not in self.proofs:
            self.proofs[key] = self.known["proofs"].get(key) or self._prove(facts, goals, where)
        return super().search(key, facts, goals, where)

    def _prove(self, facts: list[Fact], goals: list[Fact], where: str) -> list[Any]:
        steps, unproven = prove_with_lemmas(facts, goals)
        if unproven:
            goal = goals[unproven[0]]
            example = counterexample(facts, goal)
            text = show_fact(goal)
            raise NotFound(f"{where}: {text} does not follow{_at(goal, example)}", example, text)
        return [recorded(step) for step in steps]

    def equal(self, where: str, facts: list[Fact], left: Poly, right: Poly, relation: Any) -> None:
        """Show left = right, or say where they differ."""
        try:
            super().equal(where, facts, left, right, relation)
        except Refused as error:
            old = self.known["maps"].get(where)  # which another search may replace
            example = None if old else differing(relation.__self__.system, facts, left, right)
            if example is None:
                if isinstance(error, NotFound):
                    error.example = None  # it refutes one way to show this, no more
                raise
            raise NotFound(f"{where}: the two sides differ {example}", example) from error

    def maps(self, where: str, *sides: Any) -> list[Any]:
        """Recorded bijections, or new ones."""
        if where.endswith(": witness") and where not in self.record["maps"]:
            found = witness(self.record["definition"], sides[0], [], {})
            self.record["maps"][where] = [{"witness": found}]
        if where not in self.record["maps"]:
            old = self.known["maps"].get(where)
            self.record["maps"][where] = old if old is not None else self._maps(where, *sides)
        return super().maps(where)

    def _maps(
        self, where: str, facts: list[Fact], left: Poly, right: Poly, relation: Any
    ) -> list[Any]:
        found = []
        like = outer_reductions(right)
        goal = canonical(right)
        for k, source in enumerate(outer_reductions(left)):
            if canonical(left) == goal:
                break
            if self._is_empty(facts, source):
                left = replace_atom(left, source, {})
                found.append({"sum": k, "empty": True})
                continue
            entry, new = self._map(f"{where}, sum {k}", facts, k, source, like)
            left = replace_atom(left, source, new)
            found.append(entry)
        return found

    def _is_empty(self, facts: list[Fact], source: Any) -> bool:
        """Whether a sum's ranges and guards contradict each other."""
        inside = facts + ranges((i, dict(e)) for i, e in source[1]) + thaw(source[2])
        return source[0] == "sum" and not models(inside, 1) and self._follows(inside, NEVER)

    def _map(
        self, where: str, facts: list[Fact], k: int, source: Any, like: list[Any]
    ) -> tuple[Any, Poly]:
        """The first candidate that the checker accepts, and the sum that it gives."""
        problem: Refused | None = None
        for entry in self._candidates(facts, k, source, like):
            before = set(self.proofs)
            try:
                loops, guards = self.target(entry, like, source)
                there = {i: self.integer(e) for i, e in entry["map"].items()}
                domain = facts + ranges((i, dict(e)) for i, e in loops) + thaw(guards)
                image = facts + ranges((i, dict(e)) for i, e in source[1]) + thaw(source[2])
                refute(where, domain, image, there)
                entry["witness"] = witness(self.record["definition"], domain, image, there)
                return entry, self.reindex(where, facts, source, loops, guards, entry)
            except Refused as error:
                for key in set(self.proofs) - before:  # what only this candidate asked for
                    del self.proofs[key]
                    self.used.discard(key)
                problem = problem or error
                self.problems[where.rsplit(", sum", 1)[0]] = _tried(problem, where)
        if problem is None:
            raise NotFound(
                f"{where}: nothing corresponds to {show({(source,): Fraction(1)})[:300]}"
            )
        raise problem

    def _candidates(
        self, facts: list[Fact], k: int, source: Any, like: list[Any]
    ) -> Iterator[dict[str, Any]]:
        plain = []
        for j, target in enumerate(like):
            if target[0] != source[0]:
                continue
            for equations in pairings(source, target):
                entry = _entry(k, source, target[1], target[2], equations)
                if entry:
                    yield entry | {"like": j}
                    if entry.pop("rewrite", None):  # subscripts that the map leaves different
                        plain.append(entry | {"like": j})
        yield from plain
        yield from self._without_deltas(facts, k, source)

    def _without_deltas(self, facts: list[Fact], k: int, source: Any) -> Iterator[dict[str, Any]]:
        """The sum with its unit equations solved, over the indices that are left."""
        zeros = [dict(g) for kind, g in source[2] if kind == "=="]
        solved = solve(source[1], [], zeros, {})
        loops = tuple((i, e) for i, e in source[1] if i not in solved)
        inside = facts + ranges((i, dict(e)) for i, e in loops)
        guards = []
        for kind, g in source[2]:
            fact = kind, substitute(dict(g), solved)
            if not self._follows(inside, fact):
                guards.append((kind, freeze(fact[1])))
        for i, e in source[1]:
            if i in solved:
                bounds = [(">=", solved[i]), (">=", add(dict(e), scale(solved[i], -1), const(-1)))]
                guards += [
                    (kind, freeze(p)) for kind, p in bounds if not self._follows(inside, (kind, p))
                ]
        entry = _entry(k, source, loops, tuple(guards), [])
        if entry:
            text = [[kind, show(dict(p))] for kind, p in guards]
            yield entry | {"loops": [[i, show(dict(e))] for i, e in loops], "guards": text}

    def _follows(self, facts: list[Fact], goal: Fact) -> bool:
        if certain_fact(goal) or goal in facts:
            return True
        return not prove_with_lemmas(self.complete(facts, [goal]), [goal])[1]

    def cofactors(self, where: str, *rest: Any) -> list[Any]:
        """Recorded relations and cofactors, or new ones."""
        if where not in self.record["cofactors"]:
            old = self.known["cofactors"].get(where)
            if old is None:
                old = self._combination(*rest)
                if old is None:
                    difference = rest[0]
                    left = f"no rule is known by which this is 0: {show(difference)[:300]}"
                    why = self.problems.get(where, left)
                    raise NotFound(f"{where}: no certificate was found: {why}")
            self.record["cofactors"][where] = old
        return super().cofactors(where)

    def _combination(self, difference: Poly, relation: Any, facts: list[Fact]) -> list[Any] | None:
        """Relations and cofactors, those of conditions on integers first where they are needed."""
        equations = self.equations(relation)
        found = combination(difference, relation, equations)
        if found is not None:
            return found
        rows, rest = simplified(difference, facts, self._follows)
        found = combination(rest, relation, equations) if rows and rest else None
        return rows if rows and not rest else found and rows + found

    def equations(self, relation: Any) -> list[str]:
        """The tensors for which `relation` has an equation, those computed last first."""
        base = relation.__self__
        return list(dict.fromkeys([*reversed(base.values), *reversed(base.system.equations)]))


def _entry(
    k: int, source: Any, loops: Any, guards: Any, equations: list[Equation]
) -> dict[str, Any] | None:
    """The map there and back that the equations determine, or None where they leave an index."""
    target_names = {i: var(i) for i, _ in loops}
    source_names = {i: var(i) for i, _ in source[1]}
    zeros = [dict(g) for kind, g in source[2] if kind == "=="]
    there = solve(source[1], equations, zeros, target_names)
    backwards = [(t, b, a) for t, a, b in equations]
    back = solve(loops, backwards, [dict(g) for kind, g in guards if kind == "=="], source_names)
    if len(there) < len(source[1]) or len(back) < len(loops):
        return None
    entry = {
        "sum": k,
        "map": {i: show(there[i]) for i, _ in source[1]},
        "back": {i: show(back[i]) for i, _ in loops},
    }
    rewrite = [[t, show(a), show(b)] for t, a, b in rewrites(equations, there)]
    return entry | {"rewrite": rewrite} if rewrite else entry


def recorded(step: Any) -> list[Any]:
    """A step as JSON."""
    kind, p, pos, eq = step
    return [
        kind,
        show(p),
        [[str(c), list(i)] for c, i in pos],
        [[i, show(c)] for i, c in eq],
    ]


def _tried(problem: Refused, where: str) -> str:
    """Why a way to pair the terms of two sums was given up: no more than that, it refutes none."""
    goal = problem.goal if isinstance(problem, NotFound) else ""
    why = f"{goal} was not shown" if goal else str(problem).removeprefix(f"{where}: ")
    return f"terms were paired by their subscripts, but {why}"


def _at(goal: Fact, example: dict[Any, int] | None) -> str:
    """Where a goal is false, without the quotients, whose values follow."""
    if not example:
        return ""
    named = {show(var(a)): v for a, v in example.items() if a[0] not in ("//", "%")}
    values = ", ".join(f"{a} = {named[a]}" for a in sorted(named))
    found = value(goal[1], example)
    return f"; at {values} the left side is {found}"
