"""Guesses how the indices of one sum become those of another; the checker proves or refuses it.

Two sums add the same terms if they read the same elements, so the subscripts of equal reads are
equal: each such equation that is linear in an index, with coefficient +-1, gives that index.
Guards p = 0 give more, and what is left keeps its name.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import islice, permutations, product
from typing import Any

from gradproof.derive.checker import (
    Poly,
    atoms_in,
    scale,
    sub,
    substitute,
    symbols,
    var,
)

Atom = Any
Equation = tuple[Poly, Poly]


def pairings(source: Atom, target: Atom, limit: int = 24) -> Iterator[list[Equation]]:
    """Lists of equations (subscript of the source, subscript of the target), best guess first."""
    have, want = _reads(source), _reads(target)
    options = []
    for tensor, places in have.items():
        others = want.get(tensor, [])
        count = min(len(places), len(others))
        if count:
            options.append(
                [list(zip(places, p, strict=False)) for p in permutations(others, count)]
            )
    for choice in islice(product(*options), limit):
        yield [
            (dict(a), dict(b))
            for pairs in choice
            for x, y in pairs
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

    equations: (expression in the indices, its value); guards: expressions that are 0; kept: the
    indices that exist on the other side under the same name.
    """
    names = [i for i, _ in loops]
    marks = {i: var("?" + i) for i in names}
    pending = [sub(substitute(a, marks), b) for a, b in equations]
    pending += [substitute(g, marks) for g in guards]
    found: dict[str, Poly] = {}
    progress = True
    while progress:
        progress = False
        for p in pending:
            p = substitute(p, {"?" + i: v for i, v in found.items()})
            open_names = [i for i in names if "?" + i in symbols(p)]
            for i in open_names:
                value = _unit(p, "?" + i)
                if value is not None and not any("?" + n in symbols(value) for n in names):
                    found[i] = value
                    progress = True
                    break
    return found | {i: kept[i] for i in names if i not in found and i in kept}


def _unit(p: Poly, v: str) -> Poly | None:
    """The value of v for which p = 0, where v occurs once, with coefficient +-1."""
    having = [m for m in p if any(v in symbols(var(a)) for a in m)]
    if having != [(v,)] or abs(p[(v,)]) != 1:
        return None
    return scale(sub(p, scale(var(v), p[(v,)])), -1 / p[(v,)])
