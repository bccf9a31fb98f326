"""How definitions are printed: plain text for terminals and kernel headers, LaTeX for papers."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import sympy as sp
from sympy.printing.latex import LatexPrinter
from sympy.printing.str import StrPrinter

from gradproof.derive.comparison import at_least_zero, sides
from gradproof.derive.expr import Divides, Guard, IsZero, NonNeg, Quo, Read, Reduce, Rem
from gradproof.derive.language import Definition, Equation, Tensor

GREEK = {"sum": "Σ", "max": "max", "argmax": "argmax"}
LATEX_GREEK = ("alpha", "beta", "gamma", "delta", "eta", "theta", "lambda", "mu", "sigma", "tau")


class _Text(StrPrinter):
    printmethod = "_gradproof_text"  # the nodes' own _sympystr calls this printer

    def _as_ordered_terms(self, e: sp.Expr, order: str | None = None) -> list[sp.Expr]:
        return _positive_first(super()._as_ordered_terms(e, order))

    def _print_Symbol(self, e: sp.Symbol) -> str:
        return _primed(e.name)

    def _print_Read(self, e: Read) -> str:
        inner = ", ".join(map(self.doprint, e.subscripts))
        return f"{e.tensor}[{inner}]" if e.subscripts else e.tensor

    def _print_Quo(self, e: Quo) -> str:
        return f"⌊{self.parenthesize(e.args[0], 50)}/{self.parenthesize(e.args[1], 50)}⌋"

    def _print_Rem(self, e: Rem) -> str:
        return f"({self.parenthesize(e.args[0], 50)} mod {self.parenthesize(e.args[1], 50)})"

    def _print_Reduce(self, e: Reduce) -> str:
        under = ",".join(f"{self.doprint(i)}<{self.doprint(n)}" for i, n in e.indices)
        where = "".join(f" [{self.guard(g)}]" for g in e.guards)
        body = self.parenthesize(e.body, 45)
        return f"{GREEK[e.kind]}_{{{under}}}{where} {body}" if under else f"{where.strip()} {body}"

    def guard(self, g: Guard) -> str:
        match g:
            case NonNeg(args=(p,)):
                left, strict, right = at_least_zero(p)
                return f"{self.doprint(left)} {'<' if strict else '≤'} {self.doprint(right)}"
            case IsZero(args=(p,)):
                return " = ".join(map(self.doprint, sides(p)))
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
    def __init__(self, symbol: Callable[[str, str], str] | None = None) -> None:
        super().__init__()
        self.symbol = symbol or (lambda name, shown: shown)

    def _as_ordered_terms(self, e: sp.Expr, order: str | None = None) -> list[sp.Expr]:
        return _positive_first(super()._as_ordered_terms(e, order))

    def _print_Symbol(self, e: sp.Symbol, style: str = "plain") -> str:
        return self.symbol(e.name, latex_name(e.name))

    def _print_Read(self, e: Read, exp: str | None = None) -> str:
        inner = ",".join(map(self.doprint_inner, e.subscripts))
        if e.tensor.startswith("grad_"):
            below = _latex_element(e.tensor.removeprefix("grad_"), inner)
            text = rf"\frac{{\partial \ell}}{{\partial {below}}}"
        else:
            text = _latex_element(e.tensor, inner)
        return rf"\left({text}\right)^{{{exp}}}" if exp else text

    def doprint_inner(self, e: sp.Expr) -> str:
        return str(self._print(e))

    def _print_Quo(self, e: Quo, exp: str | None = None) -> str:
        a, b = map(self.doprint_inner, e.args)
        return _raised(rf"\left\lfloor \frac{{{a}}}{{{b}}} \right\rfloor", exp)

    def _print_Rem(self, e: Rem, exp: str | None = None) -> str:
        a, b = map(self.doprint_inner, e.args)
        return _raised(rf"\left({a} \bmod {b}\right)", exp)

    def _print_Philox(self, e: sp.Expr, exp: str | None = None) -> str:
        inner = ", ".join(map(self.doprint_inner, e.args))
        return _raised(rf"\operatorname{{philox}}({inner})", exp)

    def _print_Reduce(self, e: Reduce, exp: str | None = None) -> str:
        sign = {"sum": r"\sum", "max": r"\max", "argmax": r"\operatorname*{argmax}"}[e.kind]
        under = [f"{self.doprint_inner(i)} < {self.doprint_inner(n)}" for i, n in e.indices]
        under += [self.guard(g) for g in e.guards]
        body = self.parenthesize(e.body, 45)
        if body.startswith("-"):  # after a bracket it would be read as a difference
            body = rf"\left({body}\right)"
        if not e.indices:
            return " ".join(rf"\left[{g}\right]" for g in under) + f" {body}"
        lines = r" \\ ".join(under)
        return rf"{sign}_{{\substack{{{lines}}}}} {body}"

    def guard(self, g: Guard) -> str:
        match g:
            case NonNeg(args=(p,)):
                left, strict, right = at_least_zero(p)
                sign = "<" if strict else r"\le"
                return f"{self.doprint_inner(left)} {sign} {self.doprint_inner(right)}"
            case IsZero(args=(p,)):
                return " = ".join(map(self.doprint_inner, sides(p)))
            case Divides(args=(c, p)):
                return rf"{self.doprint_inner(c)} \mid {self.doprint_inner(p)}"
        raise TypeError(type(g).__name__)

    _print_NonNeg = _print_IsZero = _print_Divides = guard


def _positive_first(terms: list[sp.Expr]) -> list[sp.Expr]:
    return sorted(terms, key=lambda t: bool(t.could_extract_minus_sign()))


def _primed(name: str) -> str:
    """The derivation's second copy of an index n is called n_ in C, and n' on paper."""
    bare = name.rstrip("_")
    return bare + "'" * (len(name) - len(bare))


def _raised(shown: str, exp: str | None) -> str:
    return rf"{shown}^{{{exp}}}" if exp else shown


def _latex_element(name: str, inner: str) -> str:
    return f"{latex_name(name)}_{{{inner}}}" if inner else latex_name(name)


def latex_name(name: str) -> str:
    """A name in LaTeX: a letter as it is, `gamma` as its Greek letter, other words in italics."""
    bare = name.rstrip("_")
    primes = "'" * (len(name) - len(bare))
    if bare in LATEX_GREEK:
        return rf"\{bare}{primes}"
    if len(bare) == 1:
        return bare + primes
    return r"\mathit{" + bare.replace("_", r"\_") + "}" + primes


def text(e: sp.Basic | Equation) -> str:
    """Plain text: `z[n, o] = Σ_{k<K} Y[n, k]*w[o, k] + b[o]`."""
    if isinstance(e, Equation):
        left = f"{e.target}[{', '.join(map(str, e.indices))}]" if e.indices else e.target
        return f"{left} = {_Text().doprint(e.body)}"
    return str(_Text().doprint(e))


def latex(e: sp.Basic | Equation, symbol: Callable[[str, str], str] | None = None) -> str:
    """LaTeX for the same. symbol: what an index or a size becomes, given its name and its LaTeX."""
    printer = _Latex(symbol)
    if isinstance(e, Equation):
        left = printer.doprint(Read(e.target, *e.indices))
        return f"{left} = {printer.doprint(e.body)}"
    return str(printer.doprint(e))


def aligned(
    given: Iterable[sp.Basic | Equation], symbol: Callable[[str, str], str] | None = None
) -> str:
    """LaTeX for equations below each other, aligned at their first equals sign."""
    return _below(_marked(e, latex(e, symbol)) for e in given)


def definition_latex(d: Definition) -> str:
    """LaTeX for an operator: its equations, the shapes of its inputs, derived sizes, conditions."""
    lines = [_marked(e, latex(e)) for e in d.equations]
    shapes = r",\; ".join(_shape(d.tensor(n)) for n in d.inputs)
    lines.append(rf"&\text{{with }} {shapes}")
    if d.derived:
        sizes = r",\; ".join(f"{latex(s)} = {latex(value)}" for s, value in d.derived)
        lines.append(rf"&\text{{and }} {sizes}")
    if d.requires:
        guards = r",\; ".join(latex(r.guard) for r in d.requires)
        lines.append(rf"&\text{{if }} {guards}")
    return _below(lines)


def _marked(e: sp.Basic | Equation, shown: str) -> str:
    """With the mark of alignment at the first equals sign of an equation."""
    if isinstance(e, Equation):
        return shown.replace(" = ", " &= ", 1)
    return rf"&\phantom{{=}} {shown}"


def _below(lines: Iterable[str]) -> str:
    return r"\begin{aligned} " + r" \\[4pt] ".join(lines) + r" \end{aligned}"


def _shape(t: Tensor) -> str:
    extents = r" \times ".join(map(latex, t.shape)) or r"\text{a number}"
    return rf"{latex_name(t.name)} : {extents}"
