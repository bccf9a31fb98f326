"""From the text of a definition to its nodes. The syntax is Python's, read with `ast`, never run."""

from __future__ import annotations

import ast
import textwrap
from collections.abc import Iterator, Mapping, Sequence

import sympy as sp

from gradproof.derive.errors import DefinitionError
from gradproof.derive.expr import (
    KINDS,
    Divides,
    Guard,
    NonNeg,
    Philox,
    Quo,
    Read,
    Reduce,
    Rem,
    IsZero,
    integer,
    reads,
)
from gradproof.derive.language import Equation, Tensor, scalar_symbol

FUNCTIONS = {"exp": sp.exp, "log": sp.log, "sqrt": sp.sqrt, "tanh": sp.tanh, "erf": sp.erf}
COMPARISONS = {
    ast.GtE: lambda a, b: [NonNeg(a - b)],
    ast.Gt: lambda a, b: [NonNeg(a - b - 1)],
    ast.LtE: lambda a, b: [NonNeg(b - a)],
    ast.Lt: lambda a, b: [NonNeg(b - a - 1)],
    ast.Eq: lambda a, b: [IsZero(a - b)],
}
RELATIONS = {ast.GtE: sp.Ge, ast.Gt: sp.Gt, ast.LtE: sp.Le, ast.Lt: sp.Lt, ast.Eq: sp.Eq}


class Reader:
    """Reads the equations of one operator; every error names the operator and the place."""

    def __init__(
        self,
        operator: str,
        tensors: Mapping[str, str],
        derived: Mapping[str, str],
        integers: Sequence[str],
        scalars: Mapping[str, str],
        labels: Mapping[str, str],
        equations: str,
    ) -> None:
        self.operator, self.shapes, self.derived = operator, tensors, derived
        self.integers, self.scalars, self.labels = integers, scalars, labels
        texts = [*tensors.values(), *derived.values(), *labels.values()]
        names = {n.id for t in texts for n in ast.walk(self._tree(f"({t},)")) if _is_name(n)}
        self.sizes = sorted(names | set(derived) | set(integers) | self._capitals(equations))

    # -- entry points ---------------------------------------------------------------------------
    def free_sizes(self) -> list[str]:
        """The sizes that are not derived from others."""
        return [s for s in self.sizes if s not in self.derived]

    def polynomial(self, text: str) -> sp.Expr:
        """A size expression such as `(H - K)//S + 1`."""
        return self._expr(self._tree(text))

    def condition(self, text: str) -> Guard:
        """One comparison between size expressions."""
        guards = self._guards(self._tree(text))
        if len(guards) != 1:
            self._fail(text, "one comparison is expected")
        return guards[0]

    def declare(self, outside: Mapping[str, str]) -> dict[str, Tensor]:
        """The tensors whose shapes are written down."""
        for name in outside:
            if name not in self.shapes:
                self._fail(name, "'outside' names a tensor that has no shape")
        declared = {}
        for name, text in self.shapes.items():
            elements = self._tree(f"({text},)" if text.strip() else "()").elts
            values = self.polynomial(self.labels[name]) if name in self.labels else None
            declared[name] = Tensor(
                name,
                tuple(map(self._expr, elements)),
                "int" if name in self.labels else "real",
                outside.get(name, "forbidden"),
                values,
            )
        return declared

    def system(
        self, text: str, declared: dict[str, Tensor]
    ) -> tuple[list[Equation], dict[str, Tensor]]:
        """All equations in order, and every tensor with its shape."""
        tensors, equations = dict(declared), []
        lines = [line.strip() for line in text.strip().splitlines()]
        targets = [self._left(line)[0] for line in lines if line and not line.startswith("#")]
        for line in lines:
            if line and not line.startswith("#"):
                self.known = set(tensors) | set(targets)
                equation, shape = self._equation(line, tensors)
                dtype = "int" if _is_argmax(equation.body) else "real"
                tensors.setdefault(equation.target, Tensor(equation.target, shape, dtype))
                equations.append(equation)
        if not equations:
            self._fail(text, "there is no equation")
        return equations, tensors

    def _capitals(self, equations: str) -> set[str]:
        """Names with a capital first letter that are no tensors are sizes: strides, paddings."""
        try:
            tree = ast.parse(textwrap.dedent(equations).strip())
        except SyntaxError as error:
            raise DefinitionError(f"{self.operator}: cannot read {error.text!r}: {error}") from None
        names = {n.id for n in ast.walk(tree) if _is_name(n) and n.id[0].isupper()}
        indexed = {n.value.id for n in ast.walk(tree)
                   if isinstance(n, ast.Subscript) and _is_name(n.value)}
        return names - set(self.shapes) - set(self.scalars) - indexed

    # -- equations and extents ------------------------------------------------------------------
    def _left(self, line: str) -> tuple[str, list[sp.Symbol], ast.expr]:
        try:
            statement = ast.parse(line).body[0]
        except (SyntaxError, IndexError) as error:
            raise DefinitionError(f"{self.operator}: cannot read {line!r}: {error}") from None
        if not isinstance(statement, ast.Assign) or len(statement.targets) != 1:
            self._fail(line, "an equation has the form  target[indices] = expression")
        left = statement.targets[0]
        if isinstance(left, ast.Name):
            return left.id, [], statement.value
        if not isinstance(left, ast.Subscript) or not isinstance(left.value, ast.Name):
            self._fail(line, "the left side is a tensor with plain indices")
        subscripts = left.slice.elts if isinstance(left.slice, ast.Tuple) else [left.slice]
        names = [s.id for s in subscripts if isinstance(s, ast.Name) and s.id not in self.sizes]
        if len(names) != len(subscripts) or len(set(names)) != len(names):
            self._fail(line, "every subscript on the left is an index of its own")
        return left.value.id, [integer(n) for n in names], statement.value

    def _equation(
        self, line: str, tensors: dict[str, Tensor]
    ) -> tuple[Equation, tuple[sp.Expr, ...]]:
        target, indices, right = self._left(line)
        self.tensors = tensors
        if target in tensors:
            shape = tensors[target].shape
            if len(shape) != len(indices):
                self._fail(line, f"{target} has {len(shape)} dimensions, not {len(indices)}")
            extents = dict(zip(indices, shape, strict=True))
        else:
            extents = self._infer(indices, self._bare(right), line)
        body = self._expr(right, tuple(indices), extents)
        loose = body.free_symbols & {integer(n) for n in self._index_names(right)} - set(indices)
        if loose:
            self._fail(line, f"index {min(map(str, loose))} is neither on the left nor summed over")
        return Equation(target, tuple(indices), body), tuple(extents[i] for i in indices)

    def _bare(self, node: ast.expr) -> list[Read]:
        """The reads below `node`, to infer extents from."""
        found = []
        for n in ast.walk(node):
            if isinstance(n, ast.Subscript) and isinstance(n.value, ast.Name):
                if n.value.id in self.tensors:
                    found.append(self._read(n))
        return found

    def _infer(
        self, indices: Sequence[sp.Symbol], among: Sequence[Read], place: str
    ) -> dict[sp.Symbol, sp.Expr]:
        """As einsum does: an index runs over the dimension that it alone subscripts."""
        extents: dict[sp.Symbol, sp.Expr] = {}
        for read in among:
            for s, extent in zip(read.subscripts, self.tensors[read.tensor].shape, strict=True):
                if s not in indices:
                    continue
                if s in extents and sp.expand(extents[s] - extent) != 0:
                    self._fail(
                        place, f"index {s} runs to {extents[s]} in one tensor, {extent} in another"
                    )
                extents.setdefault(s, extent)
        for i in indices:
            if i not in extents:
                self._fail(place, f"the extent of index {i} cannot be inferred; write {i}:EXTENT")
        return extents

    def _index_names(self, node: ast.AST) -> list[str]:
        known = {*self.sizes, *self.scalars, *self.known, *FUNCTIONS, *KINDS, "where", "philox"}
        names = [n for n in ast.walk(node) if _is_name(n) and n.id not in known]
        names.sort(key=lambda n: (n.lineno, n.col_offset))  # in order of appearance
        return list(dict.fromkeys(n.id for n in names))

    # -- expressions ----------------------------------------------------------------------------
    def _expr(
        self,
        node: ast.expr,
        free: tuple[sp.Symbol, ...] = (),
        extents: Mapping[sp.Symbol, sp.Expr] | None = None,
    ) -> sp.Expr:
        def go(n: ast.expr) -> sp.Expr:
            return self._expr(n, free, extents)

        match node:
            case ast.Constant(value=int(value)):
                return sp.Integer(value)
            case ast.Name(id=name):
                return self._name(name)
            case ast.UnaryOp(op=ast.USub(), operand=a):
                return -go(a)
            case ast.BinOp(left=a, op=op, right=b):
                return self._binary(node, op, go(a), go(b))
            case ast.Subscript(value=ast.Name()):
                return self._read(node)
            case ast.Call(func=f, args=args, keywords=[]):
                return self._call(node, f, args, free)
        self._fail(ast.unparse(node), "the index language has no such expression")

    def _name(self, name: str) -> sp.Expr:
        if name in self.scalars:
            return scalar_symbol(name, self.scalars[name])
        if name in getattr(self, "known", ()):
            return Read(name)
        return integer(name)

    def _binary(self, node: ast.expr, op: ast.operator, a: sp.Expr, b: sp.Expr) -> sp.Expr:
        match op:
            case ast.Add():
                return a + b
            case ast.Sub():
                return a - b
            case ast.Mult():
                return a * b
            case ast.Div():
                return a / b
            case ast.FloorDiv():
                return Quo(a, b)
            case ast.Mod():
                return Rem(a, b)
            case ast.Pow() if b.is_Rational:
                return a**b
        self._fail(ast.unparse(node), "the index language has no such operation")

    def _read(self, node: ast.Subscript) -> Read:
        name = node.value.id if isinstance(node.value, ast.Name) else ""
        if name not in self.tensors:
            self._fail(ast.unparse(node), f"{name!r} is not a tensor that is known here")
        subscripts = node.slice.elts if isinstance(node.slice, ast.Tuple) else [node.slice]
        rank = len(self.tensors[name].shape)
        if len(subscripts) != rank:
            self._fail(ast.unparse(node), f"{name} has {rank} dimensions, not {len(subscripts)}")
        values = [self._expr(s) for s in subscripts]
        for value, text in zip(values, subscripts, strict=True):
            if not _is_index_expression(value, self.tensors):
                self._fail(ast.unparse(text), "a subscript is an integer polynomial, // or %")
        return Read(name, *values)

    def _call(
        self, node: ast.Call, f: ast.expr, args: list[ast.expr], free: tuple[sp.Symbol, ...]
    ) -> sp.Expr:
        match f:
            case ast.Name(id=name) if name in FUNCTIONS and len(args) == 1:
                return FUNCTIONS[name](self._expr(args[0], free))
            case ast.Name(id="philox") if len(args) == 4:
                return Philox(*map(self._expr, args))
            case ast.Name(id="where") if len(args) == 3:
                yes, no = (self._expr(a, free) for a in args[1:])
                return sp.Piecewise((yes, self._relation(args[0], free)), (no, True))
            case ast.Name(id=kind) if kind in KINDS and args:
                named = [n for n in self._index_names(node) if integer(n) not in free]
                return self._reduce(node, kind, [(integer(n), None) for n in named], args, free)
            case ast.Subscript(value=ast.Name(id=kind)) if kind in KINDS and args:
                return self._reduce(node, kind, list(self._bound(f)), args, free)
        self._fail(ast.unparse(node), "the index language has no such function")

    def _bound(self, f: ast.Subscript) -> Iterator[tuple[sp.Symbol, sp.Expr | None]]:
        for s in f.slice.elts if isinstance(f.slice, ast.Tuple) else [f.slice]:
            match s:
                case ast.Name(id=name):
                    yield integer(name), None
                case ast.Slice(lower=ast.Name(id=name), upper=ast.expr() as extent, step=None):
                    yield integer(name), self._expr(extent)
                case _:
                    self._fail(ast.unparse(f), "a bound index is written i or i:EXTENT")

    def _reduce(
        self,
        node: ast.expr,
        kind: str,
        bound: list[tuple[sp.Symbol, sp.Expr | None]],
        args: list[ast.expr],
        free: tuple[sp.Symbol, ...],
    ) -> sp.Expr:
        missing = [i for i, extent in bound if extent is None]
        inferred = self._infer(missing, self._bare(args[0]), ast.unparse(node)) if missing else {}
        indices = [(i, inferred[i] if extent is None else extent) for i, extent in bound]
        inside = free + tuple(i for i, _ in indices)
        if len(set(inside)) != len(inside):
            self._fail(ast.unparse(node), "an index is bound twice")
        guards = [g for a in args[1:] for g in self._guards(a)]
        return Reduce(kind, indices, guards, self._expr(args[0], inside))

    def _guards(self, node: ast.expr) -> list[Guard]:
        if not isinstance(node, ast.Compare):
            self._fail(ast.unparse(node), "a guard is a comparison")
        sides = [self._expr(n) for n in (node.left, *node.comparators)]
        guards: list[Guard] = []
        for op, a, b in zip(node.ops, sides, sides[1:], strict=False):
            if type(op) not in COMPARISONS:
                self._fail(ast.unparse(node), "a guard compares with <, <=, ==, >= or >")
            if isinstance(op, ast.Eq) and isinstance(a, Rem) and b == 0:
                guards.append(Divides(a.args[1], a.args[0]))
            else:
                guards += COMPARISONS[type(op)](a, b)
        return guards

    def _relation(self, node: ast.expr, free: tuple[sp.Symbol, ...]) -> sp.Basic:
        if isinstance(node, ast.Compare) and len(node.ops) == 1 and type(node.ops[0]) in RELATIONS:
            a, b = self._expr(node.left, free), self._expr(node.comparators[0], free)
            return RELATIONS[type(node.ops[0])](a, b)
        self._fail(ast.unparse(node), "a condition is one comparison")

    def _tree(self, text: str) -> ast.expr:
        try:
            return ast.parse(text.strip(), mode="eval").body
        except SyntaxError as error:
            raise DefinitionError(f"{self.operator}: cannot read {text!r}: {error.msg}") from None

    def _fail(self, place: str, why: str) -> None:
        raise DefinitionError(f"{self.operator}: in {place!r}: {why}")


def _is_name(node: ast.AST) -> bool:
    return isinstance(node, ast.Name)


def _is_argmax(body: sp.Expr) -> bool:
    return isinstance(body, Reduce) and body.kind == "argmax"


def _is_index_expression(e: sp.Expr, tensors: Mapping[str, Tensor]) -> bool:
    if any(tensors[r.tensor].dtype != "int" for r in reads(e)):
        return False
    atoms = e.atoms(Quo, Rem, Read)
    flat = e.xreplace({a: sp.Symbol(f"_a{k}", integer=True) for k, a in enumerate(atoms)})
    if not flat.is_polynomial(*flat.free_symbols):
        return False
    return all(c.is_Integer for c in sp.Poly(flat, *sorted(flat.free_symbols, key=str)).coeffs()) \
        if flat.free_symbols else bool(flat.is_Integer)
