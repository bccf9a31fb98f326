"""Guesses how the indices of one sum become those of another; the checker proves or refuses it.

Two sums add the same terms if they read the same elements, so the subscripts of equal reads are
equal: each such equation that is linear in an index, with coefficient +-1, gives that index.
Guards p = 0 give more, and what is left keeps its name.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import islice, permutations, product
from math import gcd
from typing import Any

from gradproof.derive.checker import (
    Poly,
    add,
    atoms_in,
    const,
    divide,
    mul,
    scale,
    show,
    sub,
    substitute,
    symbols,
    var,
)

Atom = Any
Equation = tuple[str, Poly, Poly]  # a tensor, its subscript in one sum, and in the other


def pairings(source: Atom, target: Atom, limit: int = 24) -> Iterator[list[Equation]]:
    """Lists of equations (subscript of the source, subscript of the target), best guess first."""
    have, want = _reads(source), _reads(target)
    options = []
    for tensor, places in have.items():
        others = want.get(tensor, [])
        count = min(len(places), len(others))
        if count:
            options.append(
                [
                    [(tensor, *pair) for pair in zip(places, p, strict=False)]
                    for p in permutations(others, count)
                ]
            )
    for choice in islice(product(*options), limit):
        yield [
            (tensor, dict(a), dict(b))
            for pairs in choice
            for tensor, x, y in pairs
            for a, b in zip(x, y, strict=True)
        ]


def _reads(atom: Atom) -> dict[str, list[Any]]:
    found: dict[str, dict[Any, None]] = {}
    for a in atoms_in(dict(atom[3])):
        if a[0] == "read":
            found.setdefault(a[1], {})[a[2]] = None
    return {t: list(places) for t, places in found.items()}


def solve(
    loops: tuple[Any, ...], equations: list[Equation], guards: list[Poly], kept: Mapping[str, Poly]
) -> dict[str, Poly]:
    """Values for the indices of `loops`; those that nothing determines are missing.

    equations: (tensor, expression in the indices, its value); guards: expressions that are 0;
    kept: the indices that exist on the other side under the same name. Of several values for an
    index the shortest is taken, a quotient only where nothing else is left.
    """
    names = [i for i, _ in loops]
    marks = {i: var("?" + i) for i in names}
    pending = [sub(substitute(a, marks), b) for _, a, b in equations]
    pending += [substitute(g, marks) for g in guards]
    pending += _exact_quotients(pending)
    found: dict[str, Poly] = {}
    for give in (_exact, _coprime, _quotient):
        while values := dict(_values(pending, names, found, give)):
            found |= values
    return found | {i: kept[i] for i in names if i not in found and i in kept}


def _exact_quotients(pending: list[Poly]) -> list[Poly]:
    """a = b*v for every equation a//b = v where a % b = 0 is known too."""
    zeros = [next(iter(p)) for p in pending if len(p) == 1]
    divided = {m[0][1:] for m in zeros if len(m) == 1 and m[0][0] == "%"}
    found = []
    for p in pending:
        for m, c in p.items():
            if len(m) == 1 and abs(c) == 1 and m[0][0] == "//" and m[0][1:] in divided:
                value = scale(sub(p, {m: c}), -c)  # c is 1 or -1
                found.append(sub(dict(m[0][1]), mul(dict(m[0][2]), value)))
    return found


def _values(
    pending: list[Poly], names: list[str], found: Mapping[str, Poly], give: Any
) -> Iterator[tuple[str, Poly]]:
    """The first index, by its place in the loops, that the equations give, with its value."""
    known = {"?" + i: v for i, v in found.items()}
    left = [substitute(p, known) for p in pending]
    for i in (i for i in names if i not in found):
        multiples = [pair for p in left if (pair := _multiple(p, "?" + i)) is not None]
        multiples = [m for m in multiples if not any("?" + n in symbols(m[1]) for n in names)]
        values = list(give(multiples))
        if values:
            yield i, min(values, key=lambda v: len(show(v)))
            return


def _multiple(p: Poly, v: str) -> tuple[Poly, Poly] | None:
    """(c, value) with c*v = value where p = 0, v being in one term; c > 0 if it is a number."""
    having = [m for m in p if any(v in symbols(var(a)) for a in m)]
    if len(having) != 1 or having[0].count(v) != 1:
        return None
    m = having[0]
    factor = tuple(a for a in m if a != v)
    if any(v in symbols(var(a)) for a in factor):
        return None
    sign = 1 if p[m] > 0 else -1
    return {factor: abs(p[m])}, scale(sub(p, {m: p[m]}), -sign)


def _exact(multiples: list[tuple[Poly, Poly]]) -> Iterator[Poly]:
    return (value for c, value in multiples if c == const(1))


def _coprime(multiples: list[tuple[Poly, Poly]]) -> Iterator[Poly]:
    """From a*v = p and b*v = q, with 1 = x*a + y*b: v = x*p + y*q."""
    numbers = [(int(c[()]), value) for c, value in multiples if set(c) == {()}]
    for (a, p), (b, q) in permutations(numbers, 2):
        if a > 1 and gcd(a, b) == 1:
            y = pow(b, -1, a)
            yield add(scale(p, (1 - y * b) // a), scale(q, y))


def _quotient(multiples: list[tuple[Poly, Poly]]) -> Iterator[Poly]:
    return (divide(value, c)[0] for c, value in multiples)


def rewrites(equations: list[Equation], there: Mapping[str, Poly]) -> list[tuple[str, Poly, Poly]]:
    """(tensor, subscript after the map, subscript wanted) where the two are spelt differently."""
    pairs = [(t, substitute(a, there), b) for t, a, b in equations]
    return [row for k, row in enumerate(pairs) if row[1] != row[2] and row not in pairs[:k]]
