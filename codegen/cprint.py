"""From SymPy to C: integer expressions for indices, `REAL` expressions for values."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import sympy as sp

from gradproof.derive.comparison import at_least_zero, sides
from gradproof.derive.expr import (
    Divides,
    FloorQuo,
    FloorRem,
    Guard,
    Inside,
    IsZero,
    NonNeg,
    Philox,
    Quo,
    Read,
    Rem,
    cases,
)
from gradproof.derive.language import Tensor

FUNCTIONS = {
    sp.exp: "exp",
    sp.log: "log",
    sp.tanh: "tanh",
    sp.erf: "erf",
    sp.Abs: "fabs",
    sp.sign: "sign",
}
RELATIONS = {sp.Ge: ">=", sp.Gt: ">", sp.Le: "<=", sp.Lt: "<", sp.Eq: "==", sp.Ne: "!="}
DIGITS = 10**18  # of a number that is written as a product
SUM, QUOTIENT, PRODUCT, ATOM = 1, 2, 3, 4  # how tightly a piece of C binds


class CPrinter:
    """Prints expressions over the tensors of one kernel."""

    quotient = "/"

    def __init__(self, tensors: Sequence[Tensor]) -> None:
        self.tensors: Mapping[str, Tensor] = {t.name: t for t in tensors}

    # -- integers -------------------------------------------------------------------------------
    def index(self, e: sp.Expr, tight: int = SUM) -> str:
        """An `int` expression."""
        text, level = self._index(sp.sympify(e))
        return f"({text})" if level < tight else text

    def _index(self, e: sp.Expr) -> tuple[str, int]:
        if e.is_Integer:
            return str(e), ATOM if e >= 0 else SUM
        if e.is_Symbol:
            return str(e), ATOM
        if e.is_Add:
            return self._sum([(t, self.index) for t in _ordered(e)]), SUM
        if e.is_Mul:
            return " * ".join(self.index(f, PRODUCT) for f in _factors(e)), PRODUCT
        if e.is_Pow:
            return " * ".join([self.index(e.base, ATOM)] * int(e.exp)), PRODUCT
        a = e.args
        if isinstance(e, Quo):
            above, below = self.index(a[0], PRODUCT), self.index(a[1], ATOM)
            return f"{above} {self.quotient} {below}", QUOTIENT
        if isinstance(e, Rem):
            return f"{self.index(a[0], PRODUCT)} % {self.index(a[1], ATOM)}", QUOTIENT
        if isinstance(e, FloorQuo):
            return f"floor_div({self.index(a[0])}, {self.index(a[1])})", ATOM
        if isinstance(e, FloorRem):
            return f"floor_mod({self.index(a[0])}, {self.index(a[1])})", ATOM
        if isinstance(e, Read):
            return self.element(e), ATOM
        if isinstance(e, Philox):
            words = ", ".join(f"(uint)({self.index(x)})" for x in a)
            return f"philox4x32({words})", ATOM
        raise TypeError(f"no integer expression in C for {e!r}")

    def _sum(self, terms: list) -> str:  # type: ignore[type-arg]
        out = ""
        for t, show in terms:
            negative = t.could_extract_minus_sign()
            piece = show(-t if negative else t, QUOTIENT)
            sign = (" - " if negative else " + ") if out else ("-" if negative else "")
            out += sign + piece
        return out

    def element(self, read: Read) -> str:
        """`tensor[address]`, the address in Horner's form: ((n*C + c)*H + h)*W + w."""
        return f"{read.tensor}[{self.address(self.tensors[read.tensor], read.subscripts)}]"

    def address(self, tensor: Tensor, subscripts: Sequence[sp.Expr]) -> str:
        """The row-major address of an element."""
        text = "0"
        for k, (s, extent) in enumerate(zip(subscripts, tensor.shape, strict=True)):
            if k == 0:
                text = self.index(s)
                continue
            left = f"({text})" if k > 1 or not sp.sympify(subscripts[0]).is_Symbol else text
            text = f"{left} * {self.index(extent, PRODUCT if extent.is_Symbol else ATOM)}"
            text += f" + {self.index(s, QUOTIENT)}"  # a sum by itself: no partial address is larger
        return text

    def guard(self, g: Guard) -> str:
        """A condition."""
        match g:
            case NonNeg(args=(p,)):
                left, strict, right = at_least_zero(p)
                return f"{self.index(left)} {'<' if strict else '<='} {self.index(right)}"
            case IsZero(args=(p,)):
                return " == ".join(map(self.index, sides(p)))
            case Divides(args=(c, p)):
                return f"{self.index(p, PRODUCT)} % {self.index(c, ATOM)} == 0"
        raise TypeError(f"no condition in C for {g!r}")

    # -- values ---------------------------------------------------------------------------------
    def value(self, e: sp.Expr, tight: int = SUM) -> str:
        """A `REAL` expression."""
        text, level = self._value(sp.sympify(e))
        return f"({text})" if level < tight else text

    def _value(self, e: sp.Expr) -> tuple[str, int]:
        if e.is_Rational:
            return self._rational(e)
        if e is sp.E:
            return "(REAL)2.71828182845904523536", ATOM
        if e is sp.pi:
            return "(REAL)3.14159265358979323846", ATOM
        if e.is_Symbol:
            return (f"(REAL){e}" if e.is_integer else str(e)), ATOM
        if e.is_Add:
            return self._sum([(t, self.value) for t in _ordered(e)]), SUM
        if e.is_Mul or e.is_Pow:
            return self._product(e)
        if isinstance(e, Read):
            text = self.element(e)
            return (f"(REAL){text}" if self.tensors[e.tensor].dtype == "int" else text), ATOM
        if isinstance(e, Inside):
            read, *guards = e.args
            condition = " && ".join(map(self.guard, guards))
            return f"({condition} ? {self.element(read)} : 0)", ATOM
        if isinstance(e, sp.Piecewise):
            return self._cases(e), ATOM
        if e.func in FUNCTIONS:
            return f"{FUNCTIONS[e.func]}({self.value(e.args[0])})", ATOM
        if e.is_integer:
            return f"(REAL)({self.index(e)})", ATOM
        raise TypeError(f"no value in C for {e!r}")

    def _rational(self, e: sp.Rational) -> tuple[str, int]:
        if e.q == 1:
            return whole(abs(e.p)) if e.p >= 0 else f"-{whole(-e.p)}", ATOM if e.p >= 0 else SUM
        return f"{whole(e.p)} / {whole(e.q)}", QUOTIENT

    def _product(self, e: sp.Expr) -> tuple[str, int]:
        sign = "-" if e.could_extract_minus_sign() else ""
        above, below = [], []
        for f in _factors(-e if sign else e):
            base, power = f.as_base_exp() if f.is_Pow else (f, sp.Integer(1))
            if f.is_Rational:
                above += [sp.Integer(f.p)] if f.p != 1 else []
                below += [sp.Integer(f.q)] if f.q != 1 else []
            elif power.is_Rational:
                (above if power > 0 else below).append((base, abs(power)))
            else:
                raise TypeError(f"no value in C for the power {f!r}")
        top = [t for f in above for t in self._power(f)] or ["(REAL)1"]
        bottom = [t for f in below for t in self._power(f)]
        text = sign + " * ".join(top)
        if bottom:
            text += f" / ({' * '.join(bottom)})" if len(bottom) > 1 else f" / {bottom[0]}"
        return text, SUM if sign else QUOTIENT if bottom else PRODUCT

    def _power(self, f: object) -> list[str]:
        """base^(k + h/2) as k factors and h square roots."""
        if not isinstance(f, tuple):
            return [self.value(f, ATOM)]
        base, power = f
        if (2 * power).is_Integer:
            whole, half = divmod(int(2 * power), 2)
            roots = [f"sqrt({self.value(base)})"] * half
            return [self.value(base, ATOM)] * whole + roots
        return [f"pow({self.value(base)}, {self.value(power)})"]

    def _cases(self, e: sp.Piecewise) -> str:
        *first, (last, _) = cases(e)
        text = self.value(last)
        for value, conditions in reversed(first):
            condition = " && ".join(map(self._relation, conditions))
            text = f"({condition} ? {self.value(value)} : {text})"
        return text

    def _relation(self, c: sp.Basic) -> str:
        sign = RELATIONS[c.func]
        whole = all(a.is_integer or self._is_label(a) for a in c.args)
        left, right = (self.index(a) if whole else self.value(a) for a in c.args)
        return f"{left} {sign} {right}"

    def _is_label(self, e: sp.Expr) -> bool:
        return isinstance(e, Read) and self.tensors[e.tensor].dtype == "int"


def whole(n: int) -> str:
    """An integer as a REAL; C has no literal from 2^63 on.

    >>> whole(7)
    '(REAL)7'
    >>> whole(5 * 10**18 + 3)
    '(REAL)5000000000000000003'
    >>> whole(10**20)
    '((REAL)100 * (REAL)1000000000000000000)'
    """
    if abs(n) < 2**63:
        return f"(REAL){n}"
    if n < 0:
        return f"(-{whole(-n)})"
    high, low = divmod(n, DIGITS)
    return f"({whole(high)} * {whole(DIGITS)}{f' + {whole(low)}' if low else ''})"


class SizePrinter(CPrinter):
    """As C, but a quotient rounds down whatever its sign, as Python's `//` does."""

    quotient = "//"


def size_text(e: sp.Expr) -> str:
    """A size expression in Python's syntax, `//` rounding down."""
    return SizePrinter(()).index(e)


def _ordered(e: sp.Expr) -> list[sp.Expr]:
    """Terms in SymPy's canonical order, positive ones first."""
    terms = e.as_ordered_terms()
    return sorted(terms, key=lambda t: bool(t.could_extract_minus_sign()))


def _factors(e: sp.Expr) -> list[sp.Expr]:
    return list(e.as_ordered_factors()) if e.is_Mul else [e]
