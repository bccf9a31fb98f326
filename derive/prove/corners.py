"""Where a polynomial in indices and sizes is greatest: each index at an end of its range."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from gradproof.derive.checker import (
    Fact,
    Poly,
    add,
    atoms_in,
    const,
    divide,
    is_lower_bound,
    mul,
    sub,
    var,
)

Extents = dict[Any, Poly]


def extents(facts: Iterable[Fact]) -> Extents:
    """The extent E of every index, quotient and remainder that lies in 0..E-1; that a quotient is
    not negative is supposed here, and shown where the extent is used."""
    facts = list(facts)
    divided = dict.fromkeys(a for _, p in facts for a in atoms_in(p) if a[0] in ("//", "%"))
    facts = [(kind, p) for kind, p in facts if kind == ">="]
    low = {next(iter(p)) for _, p in facts if len(p) == 1} | {(a,) for a in divided}
    out: Extents = {}
    for _, p in facts:
        for m, c in p.items():
            if c == -1 and len(m) == 1 and m in low:
                out.setdefault(m[0], add(p, var(m[0]), const(1)))
    for atom in divided:
        a, b = dict(atom[1]), dict(atom[2])
        if atom[0] == "%":
            out[atom] = b
            continue
        for _, p in facts:
            whole, rest = divide(add(p, a, const(1)), b)
            if not rest and whole:
                out.setdefault(atom, whole)
    return out


def greatest(p: Poly, ranges: Mapping[Any, Poly]) -> Poly | None:
    """A bound of p in sizes alone: p with its indices at the end of the range where it is
    greatest; None where the sign of a slope is open."""
    for _ in range(len(ranges)):
        left = [a for a in ranges if any(a in m for m in p)]
        if not left:
            break
        inner = {a for b in left for m in ranges[b] for a in m}  # other ranges end at these
        i = next((a for a in left if a not in inner), left[0])
        having = {m: c for m, c in p.items() if i in m}
        slope = {_without(m, i): c for m, c in having.items()}
        if any(m.count(i) > 1 for m in having) or len({c > 0 for c in slope.values()}) != 1:
            return None
        rest = {m: c for m, c in p.items() if i not in m}
        rises = all(c > 0 for c in slope.values())
        p = add(rest, mul(slope, sub(ranges[i], const(1)))) if rises else rest
    return p if all(isinstance(a, str) and a not in ranges for m in p for a in m) else None


def _without(m: tuple[Any, ...], atom: Any) -> tuple[Any, ...]:
    left = list(m)
    left.remove(atom)
    return tuple(left)


def dominated(p: Poly, bound: Poly, positive: set[str]) -> bool:
    """Whether bound - p has no negative coefficient once each positive size is 1 + t, t >= 0."""
    difference = sub(bound, p)
    out: Poly = {}
    for m, c in difference.items():
        term = mul(*(add(var(a), const(1)) if a in positive else var(a) for a in m))
        out = add(out, {n: c * d for n, d in term.items()})
    return all(c >= 0 and all(a in positive for a in m) for m, c in out.items())


def positive_sizes(facts: Iterable[Fact]) -> set[str]:
    """The symbols that are known to be at least 1."""
    return {str(m[0]) for kind, p in facts if kind == ">=" and is_lower_bound(p) for m in p if m}
