"""From the text of a definition to its nodes: declarations, equations, shapes."""

from __future__ import annotations

import ast
import textwrap
from collections.abc import Mapping, Sequence

import sympy as sp

from gradproof.derive.expr import Guard, Reduce, integer
from gradproof.derive.expressions import ExpressionReader, is_name, parsed
from gradproof.derive.language import Equation, Tensor


class Reader(ExpressionReader):
    """Reads the declarations and equations of one operator."""

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
        super().__init__(operator, scalars)
        self.shapes, self.derived, self.labels = tensors, derived, labels
        texts = [*tensors.values(), *derived.values(), *labels.values()]
        parts = [part for t in texts for part in self.elements(t)]
        names = {n.id for part in parts for n in ast.walk(part) if is_name(n)}
        self.sizes = sorted(names | set(derived) | set(integers) | self._capitals(equations))

    def free_sizes(self) -> list[str]:
        """The sizes that are not derived from others."""
        return [s for s in self.sizes if s not in self.derived]

    def polynomial(self, text: str) -> sp.Expr:
        """A size expression such as `(H - K)//S + 1`."""
        return self.expression(self.tree(text))

    def condition(self, text: str) -> Guard:
        """One comparison between size expressions."""
        guards = self.guards(self.tree(text))
        if len(guards) != 1:
            self.fail(text, "one comparison is expected")
        return guards[0]

    def declare(self, outside: Mapping[str, str]) -> dict[str, Tensor]:
        """The tensors whose shapes are written down."""
        for name in (*outside, *self.labels):
            if name not in self.shapes:
                self.fail(name, "'outside' or 'labels' names a tensor that has no shape")
        declared = {}
        for name, text in self.shapes.items():
            limit = self.labels.get(name, "").strip()
            values = self.polynomial(limit) if limit else None
            declared[name] = Tensor(
                name,
                tuple(map(self.expression, self.elements(text))),
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
        lines = [line for line in lines if line and not line.startswith("#")]
        targets = [self._left(line)[0] for line in lines]
        for line in lines:
            self.known = set(tensors) | set(targets)
            self.tensors = tensors
            equation, shape = self._equation(line)
            dtype = "int" if _is_argmax(equation.body) else "real"
            tensors.setdefault(equation.target, Tensor(equation.target, shape, dtype))
            equations.append(equation)
        if not equations:
            self.fail(text, "there is no equation")
        return equations, tensors

    def _capitals(self, equations: str) -> set[str]:
        """Names with a capital first letter that are no tensors are sizes: strides, paddings."""
        tree = parsed(self.operator, textwrap.dedent(equations).strip())
        nodes = list(ast.walk(tree))
        names = {n.id for n in nodes if is_name(n) and n.id[0].isupper()}
        indexed = {n.value.id for n in nodes if isinstance(n, ast.Subscript) and is_name(n.value)}
        return names - set(self.shapes) - set(self.scalars) - indexed

    def _left(self, line: str) -> tuple[str, list[sp.Symbol], ast.expr]:
        (statement, *_) = parsed(self.operator, line).body
        if not isinstance(statement, ast.Assign) or len(statement.targets) != 1:
            self.fail(line, "an equation has the form  target[indices] = expression")
        left = statement.targets[0]
        if is_name(left):
            return left.id, [], statement.value
        if not isinstance(left, ast.Subscript) or not is_name(left.value):
            self.fail(line, "the left side is a tensor with plain indices")
        subscripts = left.slice.elts if isinstance(left.slice, ast.Tuple) else [left.slice]
        names = [s.id for s in subscripts if is_name(s) and s.id not in self.sizes]
        if len(names) != len(subscripts) or len(set(names)) != len(names):
            self.fail(line, "every subscript on the left is an index of its own")
        return left.value.id, [integer(n) for n in names], statement.value

    def _equation(self, line: str) -> tuple[Equation, tuple[sp.Expr, ...]]:
        target, indices, right = self._left(line)
        body = self.expression(right, tuple(indices))
        if target in self.tensors:
            shape = self.tensors[target].shape
            if len(shape) != len(indices):
                self.fail(line, f"{target} has {len(shape)} dimensions, not {len(indices)}")
        else:
            advice = f"declare the shape of {target}"
            extents = self.infer(indices, self.reads_below(right), line, advice)
            shape = tuple(extents[i] for i in indices)
        named = {integer(n) for n in self.index_names(right)}
        loose = (body.free_symbols & named) - set(indices)
        if loose:
            self.fail(line, f"index {min(map(str, loose))} is neither on the left nor summed over")
        return Equation(target, tuple(indices), body), shape


def _is_argmax(body: sp.Expr) -> bool:
    return isinstance(body, Reduce) and body.kind == "argmax"
