"""Operands of a sum of products: reads, or pointwise functions of one large read and small ones.

In sum f(y[n, c], m[c]) * w[o, c] the operand f(y, m) is computed where y is loaded. Its *main* read
is the one with the most loops: layouts and tiles are those of the sum over y*w.
"""

from __future__ import annotations

from dataclasses import replace

import sympy as sp

from gradproof.codegen.fast.nest import Nest


def expressions(n: Nest, term: sp.Expr) -> tuple[sp.Expr, ...]:
    """The factors of a term that are no mere reads (or powers of them), in order."""
    return tuple(
        f
        for f in sp.Mul.make_args(term)
        if n.used(f) and not f.as_base_exp()[0].is_Symbol and not f.is_Number
    )


def main_read(n: Nest, e: sp.Expr) -> sp.Symbol:
    """The read of an operand that has the most loops, the first of these."""
    most = max(n.used(e), key=lambda k: (len(n.reads[k].loops), -k))
    return sp.Symbol(f"r{most}", real=True)


def plain(n: Nest) -> Nest:
    """The nest with every operand replaced by its main read.

    >>> from gradproof.codegen.fast.affine import Affine
    >>> from gradproof.codegen.fast.nest import Access, Reduction
    >>> a, b = Access("a", (Affine.of("i"), Affine.of("j"))), Access("b", (Affine.of("j"),))
    >>> r0, r1 = sp.symbols("r0 r1", real=True)
    >>> total = Reduction("sum", (("j", 4),), r1 * sp.Piecewise((0, r0 <= 0), (r0, True)))
    >>> n = Nest(Access("z", (Affine.of("i"),)), (("i", 4),), (a, b), (total,), sp.Symbol("a0"))
    >>> plain(n).reductions[0].term
    r0*r1
    """
    found = []
    for r in n.reductions:
        swapped = expressions(n, r.term)
        rest = [f for f in sp.Mul.make_args(r.term) if f not in swapped]
        found.append(replace(r, term=sp.Mul(*rest, *(main_read(n, e) for e in swapped))))
    return replace(n, reductions=tuple(found))
