"""A small sound test for `p >= 0`: every index at its worst end, every size at its lower bound.

It serves to leave out guards that cannot fail. What it does not see keeps its guard, so a weak
answer costs a comparison, never correctness.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import sympy as sp

from gradproof.derive.expr import Quo, Rem, linear


@dataclass(frozen=True)
class Scope:
    """What is known of integers: extents of indices (0 <= i < extent), lower bounds of sizes."""

    extents: Mapping[sp.Symbol, sp.Expr]
    lower: Mapping[sp.Symbol, int]

    def with_indices(self, more: Mapping[sp.Symbol, sp.Expr]) -> Scope:
        """The scope inside a loop over `more` indices."""
        return Scope({**self.extents, **more}, self.lower)


def nonneg(p: sp.Expr, scope: Scope, depth: int = 12) -> bool:
    """True only where p >= 0 for all indices in range and all sizes at or above their bounds.

    >>> from gradproof.derive.expr import integer
    >>> N, n = integer("N"), integer("n")
    >>> nonneg(N - 1 - n, Scope({n: N}, {N: 1}))
    True
    >>> nonneg(N - 2 - n, Scope({n: N}, {N: 1}))
    False
    """
    p = sp.expand(p)
    if p.is_Integer:
        return bool(p >= 0)
    if depth == 0:
        return False
    for v in sorted(p.free_symbols & set(scope.extents), key=str):
        split = linear(p, v)
        if split is None:
            continue
        c, r = split
        if nonneg(c, scope, depth - 1):
            return nonneg(r, scope, depth - 1)
        if nonneg(-c, scope, depth - 1):
            return nonneg(r + c * (scope.extents[v] - 1), scope, depth - 1)
    nodes = sorted(p.atoms(Quo, Rem), key=sp.default_sort_key)
    inner = {n for node in nodes for a in node.args for n in a.atoms(Quo, Rem)}
    if outer := [node for node in nodes if node not in inner]:
        return any(_without_division(p, node, scope, depth) for node in outer)
    return _at_lower_bounds(p, scope)


def positive(p: sp.Expr, scope: Scope) -> bool:
    """True only where p >= 1."""
    return nonneg(p - 1, scope)


def _without_division(p: sp.Expr, node: sp.Function, scope: Scope, depth: int) -> bool:
    """Replace a quotient or a remainder by a fresh index with the range it is known to have.

    0 <= Rem(a, b) <= b - 1.  b*Quo(a, b) <= a.  For a >= 0: Quo(a, b) >= 0, and Quo(a, b) <= E - 1
    iff a <= b*E - 1, where E is read off as the extent for which p is E - 1 - Quo(a, b).
    """
    a, b = node.args
    stand_in = sp.Symbol(f"_{node.func.__name__}{depth}", integer=True)
    q = p.xreplace({node: stand_in})
    if isinstance(node, Rem):
        return nonneg(q, scope.with_indices({stand_in: b}), depth - 1)
    split = linear(q, stand_in)
    if split is None:
        return False
    c, r = split
    times = _whole(-c / b)  # p = r - times*b*Quo(a, b) >= r - times*a
    parts = () if times is None else (times, r - times * a)
    if parts and all(nonneg(part, scope, depth - 1) for part in parts):
        return True
    if not nonneg(a, scope, depth - 1):
        return False
    if nonneg(c, scope, depth - 1):
        return nonneg(r, scope, depth - 1)
    limit = _whole(-r / c)  # c*q + r >= 0 for c < 0 iff q <= limit, iff a <= b*limit + b - 1
    if limit is not None and nonneg(-c, scope, depth - 1):
        return nonneg(b * limit + b - 1 - a, scope, depth - 1)
    return False


def _whole(quotient: sp.Expr) -> sp.Expr | None:
    """The quotient where it is a polynomial with integer coefficients, also where it is a number.

    >>> W = sp.Symbol("W", integer=True)
    >>> _whole(2 * W / 2), _whole((W - 1) / 2)
    (W, None)
    """
    found = sp.cancel(sp.together(quotient))
    return sp.expand(found) if sp.denom(sp.together(found)) == 1 else None


def _at_lower_bounds(p: sp.Expr, scope: Scope) -> bool:
    """With every size written as bound + t, t >= 0, no negative coefficient may be left."""
    symbols = sorted(p.free_symbols, key=str)
    if any(s not in scope.lower for s in symbols):
        return False
    shifted = sp.expand(p.subs({s: s + scope.lower[s] for s in symbols}, simultaneous=True))
    if not shifted.is_polynomial(*symbols):
        return False
    return all(c >= 0 for c in sp.Poly(shifted, *symbols).coeffs()) if symbols else shifted >= 0
