"""How a condition is written, on paper and in C: no minus sign on either side."""

from __future__ import annotations

import sympy as sp


def sides(p: sp.Expr) -> tuple[sp.Expr, sp.Expr]:
    """(left, right) with p = right - left and no minus sign on either side.

    >>> x, n = sp.symbols("x n")
    >>> sides(n - x - 1)
    (x + 1, n)
    """
    terms = sp.Add.make_args(sp.expand(p))
    negative = [t for t in terms if t.could_extract_minus_sign()]
    return sp.Add(*[-t for t in negative]), sp.Add(*[t for t in terms if t not in negative])


def at_least_zero(p: sp.Expr) -> tuple[sp.Expr, bool, sp.Expr]:
    """p >= 0 as (left, strict, right): left < right where that saves a + 1, else left <= right.

    >>> x, n = sp.symbols("x n")
    >>> at_least_zero(n - x - 1)
    (x, True, n)
    """
    left, right = sides(p)
    constant, rest = left.as_coeff_Add()
    if constant >= 1 and rest != 0:
        return rest + constant - 1, True, right
    return left, False, right
