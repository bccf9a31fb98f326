"""The formulas of claims, as the checker reads them, in LaTeX.

Their language is the index language with named operators, as in
`dloss/dY == correlate(pad(upsample(grad_z, SH, SW), ...), transpose(flip(w), G), G, DH, DW)`.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator

from gradproof.book.palette import Palette
from gradproof.derive.adjoint import PREFIX
from gradproof.derive.show import latex_name

FUNCTIONS = {"exp": r"\exp", "log": r"\log", "tanh": r"\tanh", "erf": r"\operatorname{erf}"}
REDUCTIONS = {"sum": r"\sum", "max": r"\max", "argmax": r"\operatorname*{argmax}"}
RELATIONS: dict[type[ast.cmpop], str] = {
    ast.Eq: "=",
    ast.NotEq: r"\ne",
    ast.Lt: "<",
    ast.LtE: r"\le",
    ast.Gt: ">",
    ast.GtE: r"\ge",
}
SUM, PRODUCT, SIGN, POWER, ATOM = range(5)  # how strongly an expression binds


def claim(formal: str, palette: Palette) -> str:
    r"""A claim as LaTeX: `left == right`, or integer facts.

    Errors: ValueError for a text of another language.

    >>> claim("dloss/dY == pad(g, -P)", Palette({}))
    '\\frac{\\partial \\ell}{\\partial Y} = \\operatorname{pad}\\left(g,\\, -P\\right)'
    """
    return Typesetter(palette).text(formal)


class Typesetter:
    """LaTeX for the expressions of claims."""

    def __init__(self, palette: Palette) -> None:
        self.palette = palette

    def text(self, text: str) -> str:
        """An expression or a comparison. Errors: ValueError where it is neither."""
        try:
            tree = ast.parse(text.strip(), mode="eval").body
        except SyntaxError as error:
            raise ValueError(f"no formula: {text!r}: {error.msg}") from None
        return self.node(tree)

    def node(self, n: ast.expr, binding: int = SUM) -> str:
        """A node, in brackets where it binds less than what is around it."""
        shown, own = self.bound(n)
        return shown if own >= binding else rf"\left({shown}\right)"

    def bound(self, n: ast.expr) -> tuple[str, int]:
        """A node without brackets, and how strongly it binds."""
        match n:
            case ast.Constant(value=value):
                return str(value), ATOM
            case ast.Name(id=name):
                return self.name(name), ATOM
            case ast.UnaryOp(op=ast.USub(), operand=a):
                return f"-{self.node(a, PRODUCT)}", SIGN
            case ast.BinOp(left=a, op=op, right=b):
                return self.binary(a, op, b)
            case ast.Compare(left=a, ops=ops, comparators=others):
                parts = [self.node(a)]
                for comparison, b in zip(ops, others, strict=True):
                    parts += [RELATIONS[type(comparison)], self.node(b)]
                return " ".join(parts), SUM
            case ast.BoolOp(op=op, values=values):
                word = r" \text{ and } " if isinstance(op, ast.And) else r" \text{ or } "
                return word.join(map(self.node, values)), SUM
            case ast.Subscript(value=ast.Name(id=name), slice=s):
                return self.element(self.name(name), name, s), ATOM
            case ast.Subscript(value=whole, slice=s):
                return rf"\left({self.node(whole)}\right)_{{{self.subscripts(s)}}}", ATOM
            case ast.Call(func=f, args=args):
                return self.call(f, args)
        raise ValueError(f"no formula: {ast.unparse(n)!r}")

    def name(self, name: str) -> str:
        """A tensor, a size or an index; `grad_z` is the loss's derivative by z."""
        if name.startswith(PREFIX):
            return rf"\frac{{\partial \ell}}{{\partial {latex_name(name.removeprefix(PREFIX))}}}"
        return self.palette.latex(name, latex_name(name))

    def element(self, shown: str, name: str, s: ast.expr) -> str:
        """An element of a tensor."""
        inner = self.subscripts(s)
        if name.startswith(PREFIX):
            below = latex_name(name.removeprefix(PREFIX))
            return rf"\frac{{\partial \ell}}{{\partial {below}_{{{inner}}}}}"
        return rf"{shown}_{{{inner}}}"

    def subscripts(self, s: ast.expr) -> str:
        """What stands between the brackets of an element."""
        parts = s.elts if isinstance(s, ast.Tuple) else [s]
        return ",".join(map(self.node, parts))

    def binary(self, a: ast.expr, op: ast.operator, b: ast.expr) -> tuple[str, int]:
        """Sums, products, quotients; `dloss/dY` is a derivative."""
        match op:
            case ast.Add():
                return f"{self.node(a)} + {self.node(b)}", SUM
            case ast.Sub():
                return f"{self.node(a)} - {self.node(b, PRODUCT)}", SUM
            case ast.Mult():
                return rf"{self.node(a, PRODUCT)} \cdot {self.node(b, PRODUCT)}", PRODUCT
            case ast.Div():
                top, bottom = self.differential(a, b) or (self.node(a), self.node(b))
                return rf"\frac{{{top}}}{{{bottom}}}", ATOM
            case ast.FloorDiv():
                return (
                    rf"\left\lfloor \frac{{{self.node(a)}}}{{{self.node(b)}}} \right\rfloor",
                    ATOM,
                )
            case ast.Mod():
                return rf"{self.node(a, PRODUCT)} \bmod {self.node(b, SIGN)}", SUM
            case ast.Pow():
                return rf"{self.node(a, ATOM)}^{{{self.node(b)}}}", POWER
        raise ValueError(f"no formula: {type(op).__name__}")

    def differential(self, a: ast.expr, b: ast.expr) -> tuple[str, str] | None:
        """The two sides of `dz/dY`; of the loss it is `dloss/dY`."""
        if not isinstance(a, ast.Name) or not isinstance(b, ast.Name):
            return None
        if not (a.id.startswith("d") and b.id.startswith("d") and len(b.id) > 1):
            return None
        above, below = a.id[1:], b.id[1:]
        top = r"\ell" if above == "loss" else latex_name(above)
        return rf"\partial {top}", rf"\partial {latex_name(below)}"

    def call(self, f: ast.expr, args: list[ast.expr]) -> tuple[str, int]:
        """A function, a case distinction, a sum, or a named operator."""
        match f:
            case ast.Name(id="where"):
                condition, a, b = map(self.node, args)
                rows = rf"{a} & \text{{if }} {condition} \\ {b} & \text{{otherwise}}"
                return rf"\begin{{cases}} {rows} \end{{cases}}", ATOM
            case ast.Name(id="sqrt"):
                return rf"\sqrt{{{self.node(args[0])}}}", ATOM
            case ast.Name(id=name):
                inner = r",\, ".join(map(self.node, args))
                upright = name.replace("_", r"\_")
                head = FUNCTIONS.get(name, rf"\operatorname{{{upright}}}")
                return rf"{head}\left({inner}\right)", ATOM
            case ast.Subscript(value=ast.Name(id=kind), slice=s) if kind in REDUCTIONS:
                under = [*self.loops(s), *map(self.node, args[1:])]
                below = r" \\ ".join(under)
                return (
                    rf"{REDUCTIONS[kind]}_{{\substack{{{below}}}}} {self.node(args[0], PRODUCT)}",
                    SUM,
                )
        raise ValueError(f"no formula: {ast.unparse(f)!r}")

    def loops(self, s: ast.expr) -> Iterator[str]:
        """`i:KH` under a sum is i < KH."""
        for part in s.elts if isinstance(s, ast.Tuple) else [s]:
            if isinstance(part, ast.Slice) and part.lower is not None and part.upper is not None:
                yield f"{self.node(part.lower)} < {self.node(part.upper)}"
            else:
                yield self.node(part)
