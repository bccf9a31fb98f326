"""How large a polynomial in indices and sizes can be: each index at an end of its range."""

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
    scale,
    sub,
    var,
)

CORNERS = 200  # polynomials that are looked at for one bound
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


def greatest(p: Poly, ranges: Mapping[Any, Poly]) -> list[Poly] | None:
    """Polynomials in the sizes, one of which p does not exceed; None where there are none.

    Each index is put at the end of its range where p is greatest, or at both where the sign of
    the slope is open. A quotient a//b without a known range has b*(a//b) <= a <= b*(a//b) + b - 1,
    and lies between 0 and a.
    """
    done: list[Poly] = []
    pending = [p]
    for _ in range(CORNERS):
        if not pending:
            return done
        p = pending.pop()
        i = _next(p, ranges)
        ends = [p] if i is None else _ends(p, i, ranges)
        if ends is None or (i is None and not all(isinstance(a, str) for m in p for a in m)):
            return None
        (done if i is None else pending).extend(ends)
    return None


def _next(p: Poly, ranges: Mapping[Any, Poly]) -> Any:
    """A quotient without a range, else an index at which no other range in p ends; None: none."""
    atoms = {a: None for m in p for a in m}
    unknown = [a for a in atoms if a[0] == "//" and a not in ranges]
    left = [a for a in ranges if a in atoms]
    inner = {a for b in left for m in ranges[b] for a in m}
    return next((a for a in (*unknown, *left) if a not in inner), (*left, None)[0])


def _ends(p: Poly, i: Any, ranges: Mapping[Any, Poly]) -> list[Poly] | None:
    """p where i is at an end of its range."""
    having = {m: c for m, c in p.items() if i in m}
    if any(m.count(i) > 1 for m in having):
        return None
    slope = {_without(m, i): c for m, c in having.items()}
    rest = {m: c for m, c in p.items() if i not in m}
    if i not in ranges:
        return _quotient_ends(rest, slope, dict(i[1]), dict(i[2]))
    there = add(rest, mul(slope, sub(ranges[i], const(1))))
    signs = {c > 0 for c in slope.values()}
    return [there, rest] if len(signs) > 1 else [there] if signs == {True} else [rest]


def _quotient_ends(rest: Poly, slope: Poly, a: Poly, b: Poly) -> list[Poly] | None:
    """Bounds of rest + slope*(a//b)."""
    multiple, left = divide(slope, b)
    if not left and set(multiple) == {()}:
        numerator = a if multiple[()] > 0 else add(a, const(1), scale(b, -1))
        return [add(rest, mul(multiple, numerator))]
    return [add(rest, mul(slope, a)), rest] if set(slope) == {()} else None


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
