"""Reads the expressions of a definition: Python's syntax, parsed with `ast`, never run."""

from __future__ import annotations

import ast
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from math import isfinite
from typing import Any, NoReturn, TypeGuard

import sympy as sp

from gradproof.derive.errors import DefinitionError
from gradproof.derive.expr import (
    KINDS,
    Divides,
    Guard,
    IsZero,
    NonNeg,
    Philox,
    Quo,
    Read,
    Reduce,
    Rem,
    integer,
    reads,
)
from gradproof.derive.language import Tensor, scalar_symbol

FUNCTIONS = {"exp": sp.exp, "log": sp.log, "sqrt": sp.sqrt, "tanh": sp.tanh, "erf": sp.erf}
COMPARISONS: dict[type[ast.cmpop], Callable[[sp.Expr, sp.Expr], Guard]] = {
    ast.GtE: lambda a, b: NonNeg(a - b),
    ast.Gt: lambda a, b: NonNeg(a - b - 1),
    ast.LtE: lambda a, b: NonNeg(b - a),
    ast.Lt: lambda a, b: NonNeg(b - a - 1),
    ast.Eq: lambda a, b: IsZero(a - b),
}
RELATIONS: dict[type[ast.cmpop], Callable[[sp.Expr, sp.Expr], sp.Basic]] = {
    ast.GtE: sp.Ge,
    ast.Gt: sp.Gt,
    ast.LtE: sp.Le,
    ast.Lt: sp.Lt,
    ast.Eq: sp.Eq,
}
# of nesting, of a number, of a polynomial written out: beyond it the derivation takes for ever
DEPTH, BITS, TERMS, DEGREE, POWER = 200, 4096, 2000, 8, 128
LARGEST = 10**6  # of a constant in a function: exp of more has too many digits to reason about
BUILT_IN = {*FUNCTIONS, *KINDS, "where", "philox"}


class ExpressionReader:
    """Expressions over the sizes, scalars and tensors of one operator.

    `tensors` are those whose shape is known so far, `known` also those that a later equation
    defines. Every error names the operator and the place.
    """

    def __init__(self, operator: str, scalars: Mapping[str, str]) -> None:
        self.operator, self.scalars = operator, scalars
        self.sizes: list[str] = []
        self.tensors: Mapping[str, Tensor] = {}
        self.known: set[str] = set()

    def tree(self, text: str) -> ast.expr:
        """One expression, parsed."""
        return parsed(self.operator, text.strip(), "eval").body

    def elements(self, text: str) -> list[ast.expr]:
        """The parts of a list such as `N, G*CG, H, W`."""
        tree = self.tree(f"({text},)" if text.strip() else "()")
        return tree.elts if isinstance(tree, ast.Tuple) else [tree]

    def fail(self, place: str, why: str) -> NoReturn:
        """Raise the one error that all refusals share."""
        raise DefinitionError(f"{self.operator}: in {place!r}: {why}")

    def expression(self, node: ast.expr, free: tuple[sp.Symbol, ...] = ()) -> sp.Expr:
        """A node as an expression; `free` are the indices that are already bound around it."""
        match node:
            case ast.Constant(value=int(value)) if not isinstance(value, bool):
                return self._bounded(node, sp.Integer(value))
            case ast.Constant(value=float(value)) if isfinite(value):
                exact = sp.Rational(repr(value))  # the decimal as it is written: 0.1 is 1/10
                return self._bounded(node, exact)
            case ast.Name(id=name):
                return self._name(name, node)
            case ast.UnaryOp(op=ast.USub(), operand=a):
                return -self.expression(a, free)
            case ast.BinOp(left=a, op=op, right=b):
                sides = self.expression(a, free), self.expression(b, free)
                return self._bounded(node, self._binary(node, op, *sides))
            case ast.Subscript(value=ast.Name()):
                return self.read(node)
            case ast.Call(func=f, args=args, keywords=[]):
                return self._call(node, f, args, free)
        self.fail(ast.unparse(node), "the index language has no such expression")

    def read(self, node: ast.Subscript) -> Read:
        """An element of a tensor, its rank and its subscripts checked."""
        name = node.value.id if is_name(node.value) else ast.unparse(node.value)
        tensor = self._tensor(name, node)
        subscripts = node.slice.elts if isinstance(node.slice, ast.Tuple) else [node.slice]
        rank = len(tensor.shape)
        if len(subscripts) != rank:
            self.fail(ast.unparse(node), f"{name} has {rank} dimensions, not {len(subscripts)}")
        return Read(name, *map(self._integral, subscripts))

    def reads_below(self, node: ast.expr) -> list[Read]:
        """The reads below `node`: extents are inferred from them. Errors: of a later equation."""
        subscripts = [n for n in ast.walk(node) if isinstance(n, ast.Subscript)]
        return [self.read(n) for n in subscripts if is_name(n.value) and n.value.id in self.known]

    def infer(
        self, indices: Sequence[sp.Symbol], among: Sequence[Read], place: str, advice: str = ""
    ) -> dict[sp.Symbol, sp.Expr]:
        """As einsum does: an index runs over the dimension that it alone subscripts."""
        extents: dict[sp.Symbol, sp.Expr] = {}
        first: dict[sp.Symbol, str] = {}  # where an index was met first
        for r in among:
            for s, extent in zip(r.subscripts, self.tensors[r.tensor].shape, strict=True):
                if s not in indices:
                    continue
                known, where = extents.setdefault(s, extent), first.setdefault(s, r.tensor)
                if sp.expand(known - extent) != 0:
                    self.fail(
                        place,
                        f"index {s} runs to {known} in {where}, and to {extent} in {r.tensor}",
                    )
        for i in indices:
            if i not in extents:
                advice = advice or f"write {i}:EXTENT"
                self.fail(place, f"the extent of index {i} cannot be inferred; {advice}")
        return extents

    def index_names(self, node: ast.AST) -> list[str]:
        """The names below `node` that can only be indices, in order of appearance."""
        known = {*self.sizes, *self.scalars, *self.known, *BUILT_IN}
        names = [n for n in ast.walk(node) if is_name(n) and n.id not in known]
        names.sort(key=lambda n: (n.lineno, n.col_offset))
        return list(dict.fromkeys(n.id for n in names))

    def guards(self, node: ast.expr) -> list[Guard]:
        """A comparison, or a chain of them, between integers."""
        if not isinstance(node, ast.Compare):
            self.fail(
                ast.unparse(node),
                "a guard is a comparison; a reduction has one body, and the larger of two numbers "
                "is where(a < b, b, a)",
            )
        sides = [self._integral(n) for n in (node.left, *node.comparators)]
        found: list[Guard] = []
        for op, a, b in zip(node.ops, sides, sides[1:], strict=False):
            if type(op) not in COMPARISONS:
                self.fail(ast.unparse(node), "a guard compares with <, <=, ==, >= or >")
            if isinstance(op, ast.Eq) and isinstance(a, Rem) and b == 0:
                found.append(Divides(a.args[1], a.args[0]))
            else:
                found.append(COMPARISONS[type(op)](a, b))
        return found

    # -- the kinds of expressions ---------------------------------------------------------------
    def _name(self, name: str, node: ast.expr) -> sp.Expr:
        if name in self.scalars:
            return scalar_symbol(name, self.scalars[name])
        if name in self.known:
            rank = len(self._tensor(name, node).shape)
            if rank:
                self.fail(name, f"{name} has {rank} dimensions and needs as many subscripts")
            return Read(name)
        return integer(name)

    def _tensor(self, name: str, node: ast.expr) -> Tensor:
        if name in self.tensors:
            return self.tensors[name]
        if name in self.known:
            self.fail(
                ast.unparse(node),
                f"{name} is read before it is defined; a recurrence is outside the language",
            )
        self.fail(ast.unparse(node), f"{name!r} is not a tensor that is known here")

    def _integral(self, node: ast.expr) -> sp.Expr:
        """An expression that is an integer by its form: subscripts and guards are."""
        e = self.expression(node)
        if not self._is_integral(e):
            self.fail(
                ast.unparse(node),
                "a subscript or guard is an integer polynomial in indices and sizes, with // and "
                "% by a size, and elements of integer tensors",
            )
        return e

    def _is_integral(self, e: sp.Expr) -> bool:
        scalars = {scalar_symbol(n, kind) for n, kind in self.scalars.items() if kind == "real"}
        if e.free_symbols & scalars or any(self.tensors[r.tensor].dtype != "int" for r in reads(e)):
            return False
        atoms = e.atoms(Quo, Rem, Read)
        flat = sp.expand(
            e.xreplace({a: sp.Symbol(f"_a{k}", integer=True) for k, a in enumerate(atoms)})
        )
        symbols = sorted(flat.free_symbols, key=str)
        if not symbols:
            return bool(flat.is_Integer)
        if not flat.is_polynomial(*symbols):
            return False
        return all(c.is_Integer for c in sp.Poly(flat, *symbols).coeffs())

    def _binary(self, node: ast.expr, op: ast.operator, a: sp.Expr, b: sp.Expr) -> sp.Expr:
        match op:
            case ast.Add():
                return a + b
            case ast.Sub():
                return a - b
            case ast.Mult():
                return a * b
            case ast.Div() if b != 0:
                return a / b
            case ast.FloorDiv() | ast.Mod():
                if b == 0 or not (self._is_integral(a) and self._is_integral(b)):
                    self.fail(ast.unparse(node), "// and % take integers and a positive divisor")
                return Quo(a, b) if isinstance(op, ast.FloorDiv) else Rem(a, b)
            case ast.Pow() if b.is_Rational:
                if max(1, _bits(a)) * max(abs(b.p), b.q) > BITS:
                    self._too_large(node)
                return a**b
        self.fail(ast.unparse(node), "the index language has no such operation")

    def _bounded(self, node: ast.expr, e: sp.Expr) -> sp.Expr:
        """`e`, unless to write it out would take too long. Errors: DefinitionError."""
        if _bits(e) > BITS or _terms(e) > TERMS:
            self._too_large(node)
        if _degree(e) > DEGREE:
            self.fail(ast.unparse(node)[:200], f"sizes and indices have a degree above {DEGREE}")
        if any(abs(p.exp) > POWER for p in e.atoms(sp.Pow) if p.exp.is_Rational):
            self.fail(ast.unparse(node)[:200], f"a power above {POWER}")
        return e

    def _too_large(self, node: ast.expr) -> NoReturn:
        self.fail(
            ast.unparse(node)[:200],
            f"written out, this has more than {TERMS} terms, or a number of more than {BITS} bits",
        )

    def _call(
        self, node: ast.Call, f: ast.expr, args: list[ast.expr], free: tuple[sp.Symbol, ...]
    ) -> sp.Expr:
        match f:
            case ast.Name(id=name) if name in FUNCTIONS and len(args) == 1:
                argument = self.expression(args[0], free)
                size = abs(argument.evalf(2)) if argument.is_number else sp.Integer(0)
                if size.is_comparable and size > LARGEST:  # a random number is not
                    self.fail(ast.unparse(node)[:200], f"{name} of a number above {LARGEST}")
                return FUNCTIONS[name](argument)
            case ast.Name(id="philox") if len(args) == 4:
                return Philox(*map(self._integral, args))
            case ast.Name(id="where") if len(args) == 3:
                yes, no = (self.expression(a, free) for a in args[1:])
                return sp.Piecewise((yes, self._relation(args[0], free)), (no, True))
            case ast.Name(id=kind) if kind in KINDS and args:
                named = [n for n in self.index_names(node) if integer(n) not in free]
                return self._reduce(node, kind, [(integer(n), None) for n in named], args, free)
            case ast.Subscript(value=ast.Name(id=kind)) if kind in KINDS and args:
                return self._reduce(node, kind, list(self._bound(f)), args, free)
        known = ", ".join(sorted({*FUNCTIONS, "where"}))
        self.fail(
            ast.unparse(node),
            f"the index language has no such function as {ast.unparse(f)}; it has {known} and the "
            "reductions sum, max, argmax",
        )

    def _bound(self, f: ast.Subscript) -> Iterator[tuple[sp.Symbol, sp.Expr | None]]:
        for s in f.slice.elts if isinstance(f.slice, ast.Tuple) else [f.slice]:
            match s:
                case ast.Name(id=name) if name not in self.sizes:
                    yield integer(name), None
                case ast.Slice(lower=ast.Name(id=name), upper=ast.expr() as extent, step=None) if (
                    name not in self.sizes
                ):
                    yield integer(name), self._integral(extent)
                case _:
                    self.fail(ast.unparse(f), "a bound index is written i or i:EXTENT")

    def _reduce(
        self,
        node: ast.expr,
        kind: str,
        bound: list[tuple[sp.Symbol, sp.Expr | None]],
        args: list[ast.expr],
        free: tuple[sp.Symbol, ...],
    ) -> sp.Expr:
        names = [i for i, _ in bound]
        missing = [i for i, extent in bound if extent is None]
        around = free + tuple(names)
        if len(set(around)) != len(around):
            twice = next(i for k, i in enumerate(around) if i in around[:k])
            self.fail(ast.unparse(node), f"index {twice} is bound twice")
        inferred = (
            self.infer(missing, self.reads_below(args[0]), ast.unparse(node)) if missing else {}
        )
        indices = [(i, inferred[i] if extent is None else extent) for i, extent in bound]
        guards = [g for a in args[1:] for g in self.guards(a)]
        return Reduce(kind, indices, guards, self.expression(args[0], around))

    def _relation(self, node: ast.expr, free: tuple[sp.Symbol, ...]) -> sp.Basic:
        if isinstance(node, ast.Compare) and len(node.ops) == 1 and type(node.ops[0]) in RELATIONS:
            a, b = self.expression(node.left, free), self.expression(node.comparators[0], free)
            if a.has(sp.Piecewise) or b.has(sp.Piecewise):  # SymPy would go round in circles
                why = "a condition has no where inside; give that an equation of its own"
                self.fail(ast.unparse(node), why)
            try:
                return RELATIONS[type(node.ops[0])](a, b)
            except TypeError as error:  # such as a root of a negative number
                self.fail(ast.unparse(node), str(error))
        self.fail(ast.unparse(node), "a condition is one comparison with <, <=, ==, >= or >")


def parsed(operator: str, text: str, mode: str = "exec") -> Any:
    """A text as Python's syntax tree, never run. Errors: DefinitionError names the operator."""
    try:
        tree = ast.parse(text, mode=mode)
    except SyntaxError as error:
        place = (error.text or text).strip()[:200]
        raise DefinitionError(f"{operator}: cannot read {place!r}: {error.msg}") from None
    except (ValueError, RecursionError, MemoryError) as error:  # the last two for deep nesting
        why = str(error) or "nested too deeply"
        raise DefinitionError(f"{operator}: cannot read {text[:80]!r}: {why}") from None
    level: list[ast.AST] = [tree]
    for _ in range(DEPTH):
        level = [child for node in level for child in ast.iter_child_nodes(node)]
    if level:
        raise DefinitionError(f"{operator}: in {text[:80]!r}: it is nested more than {DEPTH} deep")
    return tree


def _bits(e: sp.Expr) -> int:
    """The size of a number; 0 for what is none."""
    return int(max(abs(e.p).bit_length(), e.q.bit_length())) if e.is_Rational else 0


def _terms(e: sp.Expr) -> int:
    """At most so many terms has a polynomial when it is multiplied out."""
    if e.is_Add:
        return sum(map(_terms, e.args))
    if e.is_Mul:
        return math.prod(map(_terms, e.args))
    if e.is_Pow and e.exp.is_Integer and e.exp > 0:
        terms = _terms(e.base)  # as many as there are monomials of this degree in the terms
        return math.comb(int(e.exp) + terms - 1, min(int(e.exp), terms - 1))
    return 1


def _degree(e: sp.Expr) -> int:
    """Of a polynomial, in its symbols."""
    if e.is_Symbol:
        return 1
    if e.is_Pow and e.exp.is_Integer:
        return abs(int(e.exp)) * _degree(e.base)
    parts = [_degree(a) for a in e.args] if e.is_Add or e.is_Mul else [0]
    return sum(parts) if e.is_Mul else max(parts)


def is_name(node: ast.AST) -> TypeGuard[ast.Name]:
    """Whether a node is a plain name."""
    return isinstance(node, ast.Name)
