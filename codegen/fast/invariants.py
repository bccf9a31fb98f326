"""Parts of an expression that do not change where it is computed, under names of their own."""

from __future__ import annotations

from collections.abc import Iterable

import sympy as sp


def worth(e: sp.Expr) -> bool:
    """Whether an expression is more than a symbol, a number or their negative."""
    return not (
        e.is_Atom or (e.is_Mul and len(e.args) == 2 and e.args[0] == -1 and e.args[1].is_Atom)
    )


def hoisted(e: sp.Basic, fixed: Iterable[str], found: dict[sp.Expr, sp.Symbol]) -> sp.Basic:
    """The expression with what only has `fixed` symbols under the names in `found`, to which new
    ones are added. Factors of a product are taken together; terms of a sum are never regrouped.

    >>> a, b, x = sp.symbols("a b x", real=True)
    >>> found = {}
    >>> hoisted(a * x / sp.sqrt(b) + b, {"a", "b"}, found), found
    (b + h0*x, {a/sqrt(b): h0})
    """
    if not isinstance(e, sp.Expr):
        changes = isinstance(e, sp.And | sp.Or | sp.core.relational.Relational)
        return e.func(*[hoisted(x, fixed, found) for x in e.args]) if changes else e
    if not worth(e):
        return e
    if _is_fixed(e, fixed):
        return found.setdefault(e, sp.Symbol(f"h{len(found)}", real=True))
    if isinstance(e, sp.Piecewise):
        pairs = [(hoisted(v, fixed, found), hoisted(c, fixed, found)) for v, c in e.args]
        return sp.Piecewise(*pairs, evaluate=False)
    if e.is_Mul:
        outer = sp.Mul(*[f for f in e.args if _is_fixed(f, fixed)])
        if worth(outer):
            inner = [hoisted(f, fixed, found) for f in e.args if not _is_fixed(f, fixed)]
            return sp.Mul(hoisted(outer, fixed, found), *inner)
    return e.func(*[hoisted(x, fixed, found) for x in e.args])


def _is_fixed(e: sp.Basic, fixed: Iterable[str]) -> bool:
    return {str(s) for s in e.free_symbols} <= set(fixed)
