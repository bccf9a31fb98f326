"""Definitions as the checker reads them: JSON with expressions in Python's syntax."""

from __future__ import annotations

from typing import Any

import sympy as sp
from sympy.printing.str import StrPrinter

from gradproof.derive.adjoint import prepare
from gradproof.derive.expr import Divides, Guard, IsZero, NonNeg, Quo, Read, Reduce, Rem, cases
from gradproof.derive.language import Definition, Equation, Tensor


class _Record(StrPrinter):
    printmethod = "_gradproof_record"

    def _print_Read(self, e: Read) -> str:
        inner = ", ".join(map(self.doprint, e.subscripts)) or "()"
        return f"{e.tensor}[{inner}]"

    def _print_Quo(self, e: Quo) -> str:
        return f"(({self.doprint(e.args[0])})//({self.doprint(e.args[1])}))"

    def _print_Rem(self, e: Rem) -> str:
        return f"(({self.doprint(e.args[0])})%({self.doprint(e.args[1])}))"

    def _print_Reduce(self, e: Reduce) -> str:
        loops = ", ".join(f"{i}:{self.doprint(n)}" for i, n in e.indices)
        parts = ", ".join([self.doprint(e.body), *map(self.guard, e.guards)])
        return f"{e.kind}[{loops or '()'}]({parts})"

    def guard(self, g: Guard) -> str:
        match g:
            case NonNeg(args=(p,)):
                return f"{self.doprint(p)} >= 0"
            case IsZero(args=(p,)):
                return f"{self.doprint(p)} == 0"
            case Divides(args=(c, p)):
                return f"({self.doprint(p)})%({self.doprint(c)}) == 0"
        raise TypeError(type(g).__name__)

    def _print_Philox(self, e: sp.Expr) -> str:
        return f"philox({', '.join(map(self.doprint, e.args))})"

    def _print_Piecewise(self, e: sp.Piecewise) -> str:
        *first, (last, _) = cases(e)
        out = f"({self.doprint(last)})"
        for value, conditions in reversed(first):
            condition = " and ".join(map(self.doprint, conditions))
            out = f"where({condition}, {self.doprint(value)}, {out})"
        return out

    def _print_Relational(self, e: sp.Basic) -> str:
        return f"{self.doprint(e.lhs)} {e.rel_op} {self.doprint(e.rhs)}"

    def _print_Pow(self, e: sp.Pow, rational: bool = False) -> str:
        base, exponent = self.doprint(e.base), e.exp
        if exponent == sp.Rational(1, 2):
            return f"sqrt({base})"
        if exponent.is_Integer and exponent > 0:
            return f"({base})**{exponent}"
        if exponent.is_Rational and exponent < 0 and exponent.q <= 2:
            return self._over(base, -exponent)
        if exponent.is_Rational and exponent < 0:
            return f"inv({self.doprint(e.base**-exponent)})"
        if exponent.is_Rational and exponent.q == 2:
            return f"({base})**{exponent.p // 2}*sqrt({base})"
        return f"pow({base}, {self.doprint(exponent)})"

    def _over(self, base: str, exponent: sp.Rational) -> str:
        """base**-exponent for a whole or half exponent, factor by factor: the base may be a sum."""
        whole, half = divmod(exponent.p, 2) if exponent.q == 2 else (exponent.p, 0)
        power = f"inv({base})" + (f"**{whole}" if whole > 1 else "")
        return "*".join([power] * (whole > 0) + [f"inv(sqrt({base}))"] * half)

    def _print_Mul(self, e: sp.Mul) -> str:
        if e.as_coeff_Mul()[0] < 0:
            return f"-{self._factor(-e)}" if (-e).is_Add else f"-{self.doprint(-e)}"
        return "*".join(self._factor(f) for f in e.as_ordered_factors())

    def _factor(self, e: sp.Expr) -> str:
        text = self.doprint(e)
        if e.is_Rational and e.q != 1:
            return f"({e.p})*inv({e.q})" if e.p != 1 else f"inv({e.q})"
        return f"({text})" if e.is_Add or (e.is_Number and e < 0) or e.is_Piecewise else text

    def _print_Exp1(self, e: sp.Basic) -> str:
        return "exp(1)"

    def _print_Abs(self, e: sp.Abs) -> str:
        return f"abs({self.doprint(e.args[0])})"

    def _print_Rational(self, e: sp.Rational) -> str:
        return f"({e.p})*inv({e.q})"


def text(e: sp.Basic) -> str:
    """An expression of the index language as the checker reads it."""
    return str(_Record().doprint(e))


def definition_record(d: Definition) -> dict[str, Any]:
    """The definition with everything that its proofs refer to.

    >>> from gradproof.derive.ops.linear import linear
    >>> definition_record(linear)["equations"]
    ['z[n, o] = b[o] + sum[k:K](Y[n, k]*w[o, k])']
    """
    prepared = prepare(d) if d.differentiable else d
    return {
        "name": d.name,
        "sizes": [str(s) for s in d.sizes],
        "lower": {str(s): bound for s, bound in d.lower},
        "derived": {str(s): text(e) for s, e in d.derived},
        "requires": [_Record().guard(r.guard) for r in d.requires],
        "tensors": {t.name: _tensor(t) for t in prepared.tensors},
        "scalars": dict(d.scalars),
        "inputs": list(d.inputs),
        "outputs": list(d.outputs),
        "constant": list(d.constant),
        "optional": {t: int(v) for t, v in d.optional},
        "equations": [_equation(e) for e in prepared.equations],
    }


def _tensor(t: Tensor) -> dict[str, Any]:
    out: dict[str, Any] = {"shape": [text(n) for n in t.shape]}
    if t.dtype != "real":
        out["dtype"] = t.dtype
    if t.outside != "forbidden":
        out["outside"] = t.outside
    if t.values is not None:
        out["values"] = text(t.values)
    return out


def _equation(e: Equation) -> str:
    return f"{e.target}[{', '.join(map(str, e.indices))}] = {text(e.body)}"
