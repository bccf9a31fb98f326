"""From a nest to OpenCL C. The templates know loops and guards; the arithmetic is the nest's."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from typing import Any

import jinja2
import sympy as sp

from gradproof.codegen.cprint import ATOM, CPrinter
from gradproof.derive.expr import FloorQuo, FloorRem, Philox, reads, reduces
from gradproof.derive.language import Definition
from gradproof.derive.nest import Accumulator, For, Let, Nest, Statement, Update, When
from gradproof.derive.show import text


@dataclass(frozen=True)
class Argument:
    """One kernel argument: a tensor that is read or written, a scalar, or the table of sizes."""

    name: str
    kind: str  # "read", "write", "scalar", "sizes"
    dtype: str  # "real", "int", "uint"

    def declaration(self, *, in_place: bool) -> str:
        """The argument in OpenCL C. A kernel that may work in place promises no `restrict`."""
        ctype = {"real": "REAL", "int": "int", "uint": "uint"}[self.dtype]
        star = "*" if in_place else "*restrict "
        match self.kind:
            case "read":
                return f"__global const {ctype} {star}{self.name}"
            case "write":
                return f"__global {ctype} {star}{self.name}"
            case "scalar":
                return f"const {ctype} {self.name}"
            case _:
                return f"__global const int *restrict {self.name}"


@dataclass(frozen=True)
class Kernel:
    """A rendered kernel: its text and what a host needs to launch it."""

    name: str
    target: str
    equation: str
    arguments: tuple[Argument, ...]
    work_items: str
    in_place: bool
    text: str


@cache
def environment() -> jinja2.Environment:
    """The templates that ship with the package; an undefined name is an error."""
    return jinja2.Environment(
        loader=jinja2.PackageLoader("gradproof.codegen", "templates"),
        undefined=jinja2.StrictUndefined,
        keep_trailing_newline=True,
        autoescape=False,
    )


def render_kernel(d: Definition, nest: Nest, name: str) -> Kernel:
    """The reference kernel of one nest: one work-item per element of the target."""
    printer = CPrinter(nest.tensors)
    arguments = (
        *(Argument(t.name, "read", t.dtype) for t in nest.tensors),
        Argument(nest.target.name, "write", nest.target.dtype),
        *(Argument(n, "scalar", t) for n, t in nest.scalars),
        Argument("sizes", "sizes", "int"),
    )
    value = (printer.index if nest.target.dtype == "int" else printer.value)(_integer_names(nest))
    equation = text(nest.equation)
    in_place = works_in_place(nest)
    body = (
        environment()
        .get_template("reference.cl.j2")
        .render(
            name=name,
            equation=textwrap.wrap(equation, 96, subsequent_indent="    ", break_long_words=False),
            arguments=[a.declaration(in_place=in_place) for a in arguments],
            sizes=_sizes(d, nest),
            total=printer.index(nest.total),
            decode=_decode(nest, printer),
            accumulators=[_accumulator(a, printer) for a in nest.accumulators],
            target=nest.target.name,
            value=value,
        )
    )
    return Kernel(name, nest.target.name, equation, arguments, str(nest.total), in_place, body)


def works_in_place(nest: Nest) -> bool:
    """Each work-item reads only the elements at its own place: the target may be an operand."""
    e = nest.equation
    return not reduces(e.body) and all(r.subscripts == e.indices for r in reads(e.body))


def render_program(d: Definition, kernels: Iterable[Kernel], nests: Iterable[Nest]) -> str:
    """One program per operator: helpers that its kernels call, then the kernels."""
    helpers = sorted({h for n in nests for h in _helpers(n)})
    head = (
        environment()
        .get_template("prelude.cl.j2")
        .render(
            title=d.name,
            about=["", *textwrap.dedent(d.doc).splitlines()] if d.doc else [],
            helpers=helpers,
        )
    )
    return "\n\n".join([head.rstrip(), *(k.text.rstrip() for k in kernels)]) + "\n"


def _integer_names(nest: Nest) -> sp.Expr:
    """The value; in an integer equation an accumulator is an integer."""
    if nest.target.dtype != "int":
        return nest.value
    names = {a.name for a in nest.accumulators}
    return nest.value.xreplace(
        {s: sp.Symbol(s.name, integer=True) for s in nest.value.free_symbols if s.name in names}
    )


def _decode(nest: Nest, printer: CPrinter) -> list[tuple[str, str]]:
    """Row-major: id = ((i0*n1 + i1)*n2 + i2) ..., undone one index at a time.

    `id / n2 / n1` and not `id / (n1 * n2)`: each division then serves two indices.
    """
    out: list[tuple[str, str]] = []
    rest = "id"
    for k, (i, extent) in reversed(list(enumerate(nest.grid))):
        n = printer.index(extent, ATOM)
        out.append((str(i), rest if k == 0 else f"{rest} % {n}"))
        rest = f"{rest} / {n}"
    return out[::-1]


def _sizes(d: Definition, nest: Nest) -> list[str]:
    """The sizes that the nest mentions, in the operator's order."""
    used: set[str] = {str(s) for s in nest.equation.body.free_symbols}
    shapes = [t.shape for t in (*nest.tensors, nest.target)]
    used |= {str(s) for shape in shapes for n in shape for s in n.free_symbols}
    return [str(s) for s in (*d.sizes, *(s for s, _ in d.derived)) if str(s) in used]


def _accumulator(a: Accumulator, printer: CPrinter) -> dict[str, Any]:
    return {"name": a.name, "kind": a.kind, "body": [_statement(s, printer) for s in a.body]}


def _statement(s: Statement, printer: CPrinter) -> dict[str, Any]:
    match s:
        case Let(name, value):
            return {"kind": "let", "name": str(name), "value": printer.index(value)}
        case When(guards, body):
            condition = " && ".join(map(printer.guard, guards))
            inner = [_statement(x, printer) for x in body]
            return {"kind": "when", "condition": condition, "body": inner}
        case For(index, extent, partial, into, body):
            return {
                "kind": "for",
                "index": str(index),
                "extent": printer.index(extent),
                "partial": partial if partial != into else "",
                "into": into,
                "body": [_statement(x, printer) for x in body],
            }
        case Update(into, kind, value, position):
            return {
                "kind": kind,
                "into": into,
                "value": printer.value(value),
                "position": printer.index(position),
            }


def _helpers(nest: Nest) -> set[str]:
    found: set[str] = set()

    def visit(e: sp.Basic) -> None:
        if e.atoms(FloorQuo, FloorRem):
            found.add("floor")
        if e.atoms(Philox):
            found.add("philox")

    def walk(statements: Iterable[Statement]) -> None:
        for s in statements:
            match s:
                case Let(_, value):
                    visit(value)
                case When(guards, body):
                    for g in guards:
                        visit(g)
                    walk(body)
                case For(_, _, _, _, body):
                    walk(body)
                case Update(_, _, value, _):
                    visit(value)

    visit(nest.value)
    for a in nest.accumulators:
        walk(a.body)
    return found
