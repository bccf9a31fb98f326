"""Products of conditions on integers: those that contradict each other are 0, and a condition that
follows from the others is 1.

A condition [g] is 1 where g holds and 0 elsewhere. `simplified` takes the conditions of every
monomial apart; each change rests on a relation [g]...(1 - [h]) = 0, h following from the g.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from gradproof.derive.checker import (
    NEVER,
    Fact,
    Poly,
    add,
    is_condition,
    order,
    show,
    show_fact,
    thaw,
)
from gradproof.derive.prove.models import counterexample, models

Follows = Callable[[list[Fact], Fact], bool]
Rows = dict[tuple[str, ...], Poly]


def simplified(
    difference: Poly, facts: list[Fact], follows: Follows
) -> tuple[list[list[Any]], Poly]:
    """([[relation, cofactor as text], ...], what is left of the difference without them).

    follows(facts, goal): whether a goal is shown from facts.
    """
    rows: Rows = {}
    rest: Poly = {}
    known: dict[Any, list[Any]] = {}
    for m, c in difference.items():
        conditions = tuple(a for a in m if is_condition(a) and a[0] == "sum")
        others = tuple(a for a in m if a not in conditions)
        if conditions not in known:
            known[conditions] = _steps(conditions, facts, follows)
        left = conditions
        for goal, given in known[conditions]:
            spec = ("implied", goal, *(_text(a) for a in given))
            gone = goal == show_fact(NEVER)  # [g]... = 0; else [g]...[h] = [g]... - [g]...(1 - [h])
            rows[spec] = add(rows.get(spec, {}), {others: c if gone else -c})
            left = () if gone else given
        if not (known[conditions] and known[conditions][-1][0] == show_fact(NEVER)):
            rest = add(rest, {_monomial(others, left): c})
    return [[list(spec), show(p)] for spec, p in rows.items() if p], rest


def _steps(conditions: tuple[Any, ...], facts: list[Fact], follows: Follows) -> list[Any]:
    """(what follows, the conditions it follows from), one condition less at each step."""
    if _follows(conditions, NEVER, facts, follows):
        return [(show_fact(NEVER), conditions)]
    steps, left = [], conditions
    for a in conditions:
        fewer = tuple(b for b in left if b != a)
        if _follows(fewer, thaw(a[2])[0], facts, follows):
            steps.append((_text(a), fewer))
            left = fewer
    return steps


def _follows(conditions: tuple[Any, ...], goal: Fact, facts: list[Fact], follows: Follows) -> bool:
    """Whether a goal follows where the conditions hold; examples are looked for first."""
    given = [*facts, *(g for a in conditions for g in thaw(a[2]))]
    known = models(given, 1) if goal == NEVER else counterexample(given, goal, 2)
    return not known and follows(given, goal)


def _text(atom: Any) -> str:
    """The condition as `Text` reads it."""
    return " and ".join(map(show_fact, thaw(atom[2])))


def _monomial(others: tuple[Any, ...], conditions: tuple[Any, ...]) -> tuple[Any, ...]:
    """The product of both, in the checker's order."""
    return tuple(sorted((*others, *conditions), key=order))
