"""Size expressions of the manifest: read with `ast` into closures, never evaluated as code."""

from __future__ import annotations

import ast
import operator
from collections.abc import Callable, Mapping
from functools import cache

Sizes = Mapping[str, int]
Evaluator = Callable[[Sizes], int]

_BINARY: dict[type[ast.operator], Callable[[int, int], int]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.FloorDiv: operator.floordiv,
    ast.Mod: operator.mod,
}
_COMPARE: dict[type[ast.cmpop], Callable[[int, int], bool]] = {
    ast.LtE: operator.le,
    ast.Lt: operator.lt,
    ast.Eq: operator.eq,
}


@cache
def size_expression(text: str) -> Evaluator:
    """A function from sizes to the value of `text`; comparisons give 0 or 1.

    Errors: ValueError where `text` is more than integers, names, + - * // % and one comparison.

    >>> size_expression("(H - K) // S + 1")({"H": 28, "K": 5, "S": 2})
    12
    """
    return _closure(ast.parse(text, mode="eval").body, text)


@cache
def names_in(text: str) -> tuple[str, ...]:
    """The sizes that an expression mentions, in alphabetical order."""
    tree = ast.parse(text, mode="eval")
    return tuple(sorted({n.id for n in ast.walk(tree) if isinstance(n, ast.Name)}))


def _closure(node: ast.expr, text: str) -> Evaluator:
    match node:
        case ast.Constant(value=int(value)):
            return lambda sizes: value
        case ast.Name(id=name):
            return lambda sizes: sizes[name]
        case ast.UnaryOp(op=ast.USub(), operand=a):
            inner = _closure(a, text)
            return lambda sizes: -inner(sizes)
        case ast.BinOp(left=a, op=op, right=b) if type(op) in _BINARY:
            return _apply(_BINARY[type(op)], _closure(a, text), _closure(b, text))
        case ast.Compare(left=a, ops=[op], comparators=[b]) if type(op) in _COMPARE:
            return _apply(_COMPARE[type(op)], _closure(a, text), _closure(b, text))
    raise ValueError(f"no size expression: {text!r}")


def _apply(f: Callable[[int, int], int], a: Evaluator, b: Evaluator) -> Evaluator:
    return lambda sizes: f(a(sizes), b(sizes))
