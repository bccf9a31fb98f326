"""How definitions are printed: plain text for terminals and kernel headers, LaTeX for papers."""

from __future__ import annotations

from typing import Any

import sympy as sp
from sympy.printing.latex import LatexPrinter
from sympy.printing.str import StrPrinter

from gradproof.derive.expr import Divides, Guard, NonNeg, Quo, Read, Reduce, Rem, IsZero
from gradproof.derive.language import Equation

GREEK = {"sum": "Σ", "max": "max", "argmax": "argmax"}


class _Text(StrPrinter):
    printmethod = "_gradproof_text"  # the nodes' own _sympystr calls this printer

    def _print_Read(self, e: Read) -> str:
        inner = ", ".join(map(self.doprint, e.subscripts))
        return f"{e.tensor}[{inner}]" if e.subscripts else e.tensor

    def _print_Quo(self, e: Quo) -> str:
        return f"⌊{self.parenthesize(e.args[0], 50)}/{self.parenthesize(e.args[1], 50)}⌋"

    def _print_Rem(self, e: Rem) -> str:
        return f"({self.parenthesize(e.args[0], 50)} mod {self.parenthesize(e.args[1], 50)})"

    def _print_Reduce(self, e: Reduce) -> str:
        under = ",".join(f"{i}<{self.doprint(n)}" for i, n in e.indices)
        where = "".join(f" [{self.guard(g)}]" for g in e.guards)
        body = self.parenthesize(e.body, 45)
        return f"{GREEK[e.kind]}_{{{under}}}{where} {body}" if under else f"{where.strip()} {body}"

    def guard(self, g: Guard) -> str:
        match g:
            case NonNeg(args=(p,)):
                return "{} ≤ {}".format(*_sides(p, self))
            case IsZero(args=(p,)):
                return "{} = {}".format(*_sides(p, self))
            case Divides(args=(c, p)):
                return f"{self.doprint(c)} divides {self.doprint(p)}"
        raise TypeError(type(g).__name__)

    _print_NonNeg = _print_IsZero = _print_Divides = guard

    def _print_Philox(self, e: sp.Expr) -> str:
        return f"philox({', '.join(map(self.doprint, e.args))})"

    def _print_Piecewise(self, e: sp.Piecewise) -> str:
        cases = [
            f"{self.doprint(v)} {'otherwise' if c == True else 'if ' + self.doprint(c)}"  # noqa: E712
            for v, c in e.args
        ]
        return "(" + "; ".join(cases) + ")"


class _Latex(LatexPrinter):
    def _print_Read(self, e: Read, exp: str | None = None) -> str:
        name = _latex_name(e.tensor)
        inner = ",".join(map(self.doprint_inner, e.subscripts))
        text = f"{name}_{{{inner}}}" if e.subscripts else name
        return rf"\left({text}\right)^{{{exp}}}" if exp else text

    def doprint_inner(self, e: sp.Expr) -> str:
        return str(self._print(e))

    def _print_Quo(self, e: Quo, exp: str | None = None) -> str:
        a, b = map(self.doprint_inner, e.args)
        return rf"\left\lfloor \frac{{{a}}}{{{b}}} \right\rfloor"

    def _print_Rem(self, e: Rem, exp: str | None = None) -> str:
        a, b = map(self.doprint_inner, e.args)
        return rf"\left({a} \bmod {b}\right)"

    def _print_Philox(self, e: sp.Expr, exp: str | None = None) -> str:
        return rf"\operatorname{{philox}}({', '.join(map(self.doprint_inner, e.args))})"

    def _print_Reduce(self, e: Reduce, exp: str | None = None) -> str:
        sign = {"sum": r"\sum", "max": r"\max", "argmax": r"\operatorname*{argmax}"}[e.kind]
        under = [rf"{i} < {self.doprint_inner(n)}" for i, n in e.indices]
        under += [self.guard(g) for g in e.guards]
        body = self.doprint_inner(e.body)
        lines = r" \\ ".join(under)
        if not e.indices:
            return rf"\left[{lines}\right] {body}"
        return rf"{sign}_{{\substack{{{lines}}}}} {body}"

    def guard(self, g: Guard) -> str:
        match g:
            case NonNeg(args=(p,)):
                return r"{} \le {}".format(*_sides(p, self))
            case IsZero(args=(p,)):
                return "{} = {}".format(*_sides(p, self))
            case Divides(args=(c, p)):
                return rf"{self.doprint_inner(c)} \mid {self.doprint_inner(p)}"
        raise TypeError(type(g).__name__)


def _sides(p: sp.Expr, printer: Any) -> tuple[str, str]:
    """p = positive terms - negative terms, so that no side shows a needless minus sign."""
    terms = sp.Add.make_args(sp.expand(p))
    negative = [t for t in terms if t.could_extract_minus_sign()]
    right = sp.Add(*[t for t in terms if t not in negative])
    left = sp.Add(*[-t for t in negative])
    show = printer._print if isinstance(printer, LatexPrinter) else printer.doprint
    return str(show(left)), str(show(right))


def _latex_name(name: str) -> str:
    if name.startswith("grad_"):
        return rf"\frac{{\partial \ell}}{{\partial {_latex_name(name[5:])}}}"
    return name if len(name) == 1 else rf"\mathrm{{{name}}}".replace("_", r"\_")


def text(e: sp.Basic | Equation) -> str:
    """Plain text: `z[n, o] = Σ_{k<K} Y[n, k]*w[o, k] + b[o]`."""
    if isinstance(e, Equation):
        left = f"{e.target}[{', '.join(map(str, e.indices))}]" if e.indices else e.target
        return f"{left} = {_Text().doprint(e.body)}"
    return str(_Text().doprint(e))


def latex(e: sp.Basic | Equation) -> str:
    """LaTeX for the same."""
    if isinstance(e, Equation):
        left = _Latex().doprint(Read(e.target, *e.indices))
        return f"{left} = {_Latex().doprint(e.body)}"
    return str(_Latex().doprint(e))
