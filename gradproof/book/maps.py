"""The derived index maps as data for a page: what a browser evaluates, at any sizes.

Expressions are nested lists with the operation first, `["+", "i", 1]`; a text is a name. They are
read from the texts that the checker reads, so nothing here knows of any operator.
"""

from __future__ import annotations

import ast
from typing import Any

from gradproof.derive.claims import claims_about
from gradproof.derive.claims.named import NAMED
from gradproof.derive.expr import Philox
from gradproof.derive.language import Definition
from gradproof.derive.prove.record import definition_record, text
from gradproof.derive.system import derive

OPERATIONS: dict[type[ast.AST], str] = {
    ast.Add: "+",
    ast.Sub: "-",
    ast.Mult: "*",
    ast.Div: "/",
    ast.FloorDiv: "//",
    ast.Mod: "%",
    ast.Pow: "**",
    ast.And: "and",
    ast.Or: "or",
    ast.Eq: "==",
    ast.NotEq: "!=",
    ast.Lt: "<",
    ast.LtE: "<=",
    ast.Gt: ">",
    ast.GtE: ">=",
}
REDUCTIONS = ("sum", "max", "argmax")
LARGEST = 5  # dimensions of a tensor that is shown, plane by plane


def maps(d: Definition) -> dict[str, Any] | None:
    """Forward and backward system of an operator, and the closed forms that are proved of them.

    None for an operator that draws random numbers, has no gradient or has tensors without a shape
    that can be drawn.
    """
    system = derive(d)
    if system.backward is None or any(e.body.has(Philox) for e in system.forward.equations):
        return None
    if any(len(t.shape) > LARGEST for t in d.tensors):
        return None
    record = definition_record(d)
    tensors = {t.name: _tensor(t) for s in (system.forward, system.backward) for t in s.tensors}
    return {
        "name": d.name,
        "sizes": record["sizes"],
        "lower": record["lower"],
        "derived": [[s, tree(e)] for s, e in record["derived"].items()],
        "requires": [
            [tree(guard), r.message]
            for guard, r in zip(record["requires"], d.requires, strict=True)
        ],
        "scalars": record["scalars"],
        "tensors": tensors,
        "inputs": list(d.inputs),
        "outputs": list(d.outputs),
        "differentiable": list(d.differentiable),
        "names": dict(d.names),
        "forward": [_equation(e) for e in system.forward.equations],
        "backward": [_equation(e) for e in system.backward.equations],
        "closed": closed_forms(d),
    }


def closed_forms(d: Definition) -> list[dict[str, Any]]:
    """The compositions of named operators that a gradient is proved to be, for all sizes."""
    found = []
    for c in claims_about(d):
        right = c.get("right", {}).get("tensor", "")
        if "adjoint" in c.get("left", {}) and "(" in right and not c.keys() & {"fixed", "variant"}:
            form = tree(right)
            where = {name: tree(value) for name, value in c.get("where", {}).items()}
            named = {name: _named(NAMED[name]) for name in sorted(_called(form))}
            found.append(
                {
                    "claim": c["claim"],
                    "target": f"grad_{c['left']['adjoint']}",
                    "form": form,
                    "where": where,
                    "named": named,
                }
            )
    return found


def tree(expression: str) -> Any:
    """A text of the checker's language as nested lists. Errors: ValueError for another language.

    >>> tree("sum[i:KH](Y[x + i - 1], i >= 0)")
    ['sum', [['i', 'KH']], ['at', 'Y', [['-', ['+', 'x', 'i'], 1]]], [['>=', 'i', 0]]]
    """
    return _tree(ast.parse(expression.strip(), mode="eval").body)


def _tree(n: ast.expr) -> Any:
    match n:
        case ast.Constant(value=int() | float() as value):
            return value
        case ast.Name(id=name):
            return name
        case ast.UnaryOp(op=ast.USub(), operand=a):
            return ["-", 0, _tree(a)]
        case ast.BinOp(left=a, op=op, right=b):
            return [OPERATIONS[type(op)], _tree(a), _tree(b)]
        case ast.BoolOp(op=op, values=values):
            return [OPERATIONS[type(op)], *map(_tree, values)]
        case ast.Compare(left=a, ops=ops, comparators=others):
            sides = [a, *others]
            pairs = zip(ops, sides, others, strict=False)
            parts = [[OPERATIONS[type(op)], _tree(x), _tree(y)] for op, x, y in pairs]
            return parts[0] if len(parts) == 1 else ["and", *parts]
        case ast.Subscript(value=whole, slice=s):
            return ["at", _tree(whole), list(map(_tree, _parts(s)))]
        case ast.Call(func=ast.Name(id="where"), args=args):
            return ["where", *map(_tree, args)]
        case ast.Call(func=ast.Name(id=name), args=args):
            return ["call", name, list(map(_tree, args))]
        case ast.Call(func=ast.Subscript(value=ast.Name(id=kind), slice=s), args=[body, *guards]):
            if kind in REDUCTIONS:
                loops = [_loop(part) for part in _parts(s)]
                return [kind, loops, _tree(body), list(map(_tree, guards))]
    raise ValueError(f"no expression of the checker's language: {ast.unparse(n)!r}")


def _parts(s: ast.expr) -> list[ast.expr]:
    return s.elts if isinstance(s, ast.Tuple) else [s]


def _loop(part: ast.expr) -> list[Any]:
    assert isinstance(part, ast.Slice) and part.lower is not None and part.upper is not None
    return [_tree(part.lower), _tree(part.upper)]


def _equation(e: Any) -> dict[str, Any]:
    return {"target": e.target, "indices": list(map(str, e.indices)), "body": tree(text(e.body))}


def _tensor(t: Any) -> dict[str, Any]:
    values = None if t.values is None else tree(text(t.values))
    shape = [tree(text(n)) for n in t.shape]
    return {"shape": shape, "dtype": t.dtype, "outside": t.outside, "values": values}


def _named(op: dict[str, Any]) -> dict[str, Any]:
    """A named operator: its arguments' shapes are patterns, which give its sizes their values."""
    return {
        "statement": op["statement"],
        "arguments": {n: list(map(tree, shape)) for n, shape in op["arguments"].items()},
        "parameters": op["parameters"],
        "shape": list(map(tree, op["shape"])),
        "indices": op["indices"],
        "value": tree(op["value"]),
        "outside": op["outside"],
    }


def _called(form: Any) -> set[str]:
    """The named operators in a closed form."""
    if not isinstance(form, list):
        return set()
    own = {form[1]} & NAMED.keys() if form[:1] == ["call"] else set()
    return own.union(*map(_called, form))
