"""Values that satisfy a set of facts, with no size too small to show anything."""

from __future__ import annotations

import random
from collections.abc import Mapping
from typing import Any

from gradproof.derive.checker import (
    Fact,
    Poly,
    Refused,
    atoms_in,
    show_atom,
    show_fact,
    substitute,
    symbols,
)
from gradproof.derive.prove.models import models

TRIES = 4000


def witness(
    definition: Any, domain: list[Fact], image: list[Fact], there: Mapping[str, Poly]
) -> dict[str, int]:
    """Values under which all facts of `domain` hold, and those of `image` after the map `there`.

    Errors: Refused where none is found; the sum is then empty, or the search too short.
    """
    plain, other = random.Random(0), random.Random(1)
    names = sorted(set().union(*(symbols(p) for _, p in domain)))
    elements = {
        show_atom(a) for _, p in [*domain, *image] for a in atoms_in(p) if a[0] in ("read", "call")
    }
    for attempt in range(2 * TRIES):
        signed = attempt % 2 == 1  # an integer that is no size, such as a padding, is negative
        rng = other if signed else plain
        values = _draw(definition, domain, names, rng, 3 + attempt // 1000, signed)
        if values is None:
            continue
        values |= {e: rng.randrange(0, 3) for e in sorted(elements)}
        try:
            if _hold(domain, values):
                mapped = {i: evaluate(p, values) for i, p in there.items()}
                if _hold(image, values | mapped):
                    return values
        except (KeyError, ZeroDivisionError):
            continue
    raise Refused("no example with all sizes >= 2 meets its conditions")


def refute(where: str, domain: list[Fact], image: list[Fact], there: Mapping[str, Poly]) -> None:
    """Refuse a map for which an example shows at once that some fact does not carry over."""
    goals = [(kind, substitute(p, there)) for kind, p in image]
    if any(a[0] in ("read", "call") for _, p in [*domain, *goals] for a in atoms_in(p)):
        return  # equal places have equal elements, which the examples do not heed
    for example in models(domain, 2):
        at = {a: v for a, v in example.items() if isinstance(a, str)}
        for goal in goals:
            if symbols(goal[1]) <= set(at) and not _hold([goal], at):
                raise Refused(f"{where}, there: {show_fact(goal)} does not follow")


def evaluate(p: Poly, at: Mapping[str, int]) -> int:
    """The checker's `evaluate`, without fractions on the way."""
    total = 0
    for m, c in p.items():
        term = c.numerator
        for a in m:
            if isinstance(a, str):
                term *= at[a]
            elif a[0] in ("read", "call"):
                term *= at[show_atom(a)]
            else:
                x, y = (evaluate(dict(q), at) for q in a[1:])
                term *= x // y if a[0] == "//" else x % y
        total += term
    return total


def _hold(facts: list[Fact], values: Mapping[str, int]) -> bool:
    for kind, p in facts:
        v = evaluate(p, values)
        if v < 0 or (kind == "==" and v):
            return False
    return True


def _draw(
    definition: Any,
    domain: list[Fact],
    names: list[str],
    rng: random.Random,
    top: int,
    signed: bool,
) -> dict[str, int] | None:
    """Sizes first, then derived sizes from their equations, then indices in their ranges."""
    values: dict[str, int] = {}
    for s in definition["sizes"]:  # a size with a fixed value occurs no more
        low = 2 if s in definition["lower"] else 1
        if s in names:
            values[s] = rng.randint(low, top + 2 * (len(s) == 1))
            values[s] *= rng.choice((1, -1)) if signed and low == 1 else 1
    drawn = [
        (kind, p) for kind, p in domain if all(a[0] not in ("read", "call") for a in atoms_in(p))
    ]
    equations = [p for kind, p in drawn if kind == "=="]
    for s in definition["derived"]:
        if not _solve(s, equations, values) or values[s] < 2:
            return None
    extents: dict[str, Poly] = {}
    greatest = [p for kind, p in drawn if kind == ">="]  # E - 1 - i >= 0, or E = a//b + 1
    for p in sorted(greatest, key=lambda p: p.get((), 0) > -1):
        if p.get((), 0) <= 0 or len(p) == 2:  # two terms: i is at most a number
            for m, c in p.items():
                if c == -1 and len(m) == 1 and m[0] in names and m[0] not in values:
                    extents.setdefault(m[0], {n: d for n, d in p.items() if n != m})
    given = {m[0] for p in equations for m, c in p.items() if len(m) == 1 and abs(c) == 1}
    left = sorted(set(names) - set(values), key=lambda name: (name in given, name))
    while left:
        ready = [i for i in left if i not in extents or symbols(extents[i]) <= set(values)]
        name = next((i for i in left if _solve(i, equations, values)), (ready or left)[0])
        left.remove(name)
        if name not in values and ready and name in extents:
            values[name] = rng.randint(0, max(0, evaluate(extents[name], values)))
        values.setdefault(name, rng.randint(2, top))
    return values


def _solve(name: str, equations: list[Poly], values: dict[str, int]) -> bool:
    """Give `name` the value that an equation with unit coefficient determines."""
    for p in equations:
        c = p.get((name,), 0)
        rest = {m: d for m, d in p.items() if m != (name,)}
        if c and abs(c) == 1 and symbols(rest) <= set(values):
            values[name] = -c.numerator * evaluate(rest, values)
            return True
    return False
