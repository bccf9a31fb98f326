"""Runs a kernel's text at small sizes, in exact numbers: what it stores, and what goes wrong.

An untrusted counterpart of the checker's symbolic run; it shows by example what a kernel that
cannot be proved does.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from fractions import Fraction
from itertools import product
from typing import Any

from gradproof.derive.arithmetic import HIGH
from gradproof.derive.checker import HELPERS, INT_MAX, Poly, Refused, System, const, sub, var
from gradproof.derive.prove.counterexample import Example, Search, differ, number
from gradproof.derive.prove.values import (
    Outside,
    Values,
    compiled,
    element,
    exactly,
    function,
)

COMPARISONS: dict[str, Callable[[Any, Any], bool]] = {
    "<": lambda a, b: a < b,
    "<=": lambda a, b: a <= b,
    ">": lambda a, b: a > b,
    ">=": lambda a, b: a >= b,
    "==": lambda a, b: a == b,
    "!=": lambda a, b: a != b,
}
SAME = ("exp", "log", "sqrt", "tanh", "erf", "sign", "pow")
FUNCTIONS = {"fabs": "abs", **{name: name for name in SAME}}


class Trouble(Exception):
    """What goes wrong, and at which line."""


class Run:
    """One kernel at given sizes and elements."""

    def __init__(self, text: Any, values: Values) -> None:
        self.name, self.where, _, self.body = text
        self.values = values
        self.stores: list[tuple[str, str, int, Any]] = []  # (line, tensor, address, value)

    def item(self, number: int) -> list[tuple[str, str, int, Any]]:
        """What one work-item stores."""
        self.names: dict[str, Any] = {"id": number}
        self.number, self.stores = number, []
        self.block(self.body)
        return self.stores

    def block(self, statements: Any) -> None:
        """Statements in order."""
        for s in statements:
            self.statement(s)

    def statement(self, s: Any) -> None:
        """One statement."""
        self.values.count()
        if s[0] == "if":
            if self.value(s[2]):
                self.block(s[3])
        elif s[0] == "for":
            for k in range(self.value(s[3])):
                self.names[s[2]] = k
                self.block(s[4])
        else:
            _, where, name, value, kind, _, index, operator = s
            v = self.value(value)
            if index is not None:
                self.stores.append((where, name, self.value(index), v))
                return
            v = Fraction(v) if kind == "REAL" and isinstance(v, int) else v
            self.names[name] = self.names[name] + v if operator == "+=" else v

    def value(self, e: Any) -> Any:
        """The value of an expression: int for C's integers, Fraction for reals."""
        kind, where, *rest = e
        match kind:
            case "number":
                return rest[0]
            case "name":
                return self.named(where, rest[0])
            case "REAL":
                return Fraction(self.value(rest[0]))
            case "uint":
                return self.value(rest[0]) & 0xFFFFFFFF
            case "pi" | "e":  # decimals, which stand for these numbers
                return exactly(+getattr(HIGH, kind))
            case "neg":
                return -self.value(rest[0])
            case "element":
                return self.element(where, *rest)
            case "call":
                return self.call(where, *rest)
            case "?":
                return self.value(rest[1] if self.value(rest[0]) else rest[2])
            case "&&":
                return bool(self.value(rest[0])) and bool(self.value(rest[1]))
            case "||":
                return bool(self.value(rest[0])) or bool(self.value(rest[1]))
        a, b = map(self.value, rest)
        if kind in COMPARISONS:
            return COMPARISONS[kind](a, b)
        return self.arithmetic(where, kind, a, b)

    def arithmetic(self, where: str, kind: str, a: Any, b: Any) -> Any:
        """a + b, a - b, a * b, a / b or a % b, as C has it."""
        whole = isinstance(a, int) and isinstance(b, int)
        if kind in "/%" and whole:
            if a < 0 or b < 1:
                raise Trouble(
                    f"{where}: {self.name} takes {a} {kind} {b}, which C does not round down"
                )
            return a // b if kind == "/" else a % b
        if kind == "/":
            return a * function("inv", [b])
        value = {"+": a + b, "-": a - b, "*": a * b}[kind]
        if whole and abs(value) > INT_MAX and max(a, b) <= INT_MAX:
            raise Trouble(f"{where}: {self.name} computes {value}, which does not fit 32 bits")
        return value

    def named(self, where: str, name: str) -> Any:
        """A variable, a size, a scalar."""
        if name in self.names:
            return self.names[name]
        if name == "INFINITY":
            return math.inf
        known = {**self.values.sizes, **self.values.scalars}
        if name.removeprefix("SIZE_") not in known:
            raise Refused(f"{where}: {name} is no name here")
        return known[name.removeprefix("SIZE_")]

    def call(self, where: str, name: str, arguments: Any) -> Any:
        """A function's value."""
        if name == "get_global_id":
            return self.number
        values = [self.value(a) for a in arguments]
        if name == "philox4x32":
            return function("philox", values)
        if name in HELPERS:
            return values[0] // values[1] if name == "floor_div" else values[0] % values[1]
        if name not in FUNCTIONS:
            raise Refused(f"{where}: there is no function {name}")
        return function(FUNCTIONS[name], values)

    def element(self, where: str, tensor: str, address: Any) -> Any:
        """An element that is read. Errors: Trouble where it lies outside its tensor."""
        shape = self.values.shape(tensor)
        subs = self.subscripts(address, shape)
        if subs is None:
            at = self.value(address)
            if not 0 <= at < math.prod(shape):
                raise Trouble(
                    f"{where}: {self.name} reads {tensor}[{at}] of {math.prod(shape)} elements"
                )
            subs = unravel(at, shape)
        try:
            return self.values.read(tensor, tuple(subs))
        except Outside as error:
            raise Trouble(f"{where}: {self.name} reads outside: {error}") from None

    def subscripts(self, address: Any, shape: tuple[int, ...]) -> list[int] | None:
        """The subscripts in a row-major address (i0*n1 + i1)*n2 + i2; None for another form."""
        if len(shape) < 2:
            return [self.value(address)] if shape else None
        last = 0
        while address[0] in ("+", "-"):
            last += self.value(address[3]) * (1 if address[0] == "+" else -1)
            address = address[2]
        if address[0] != "*" or self.value(address[3]) != shape[-1]:
            return None
        outer = self.subscripts(address[2], shape[:-1])
        return None if outer is None else [*outer, last]


def unravel(at: int, shape: tuple[int, ...]) -> list[int]:
    """The subscripts of a row-major address."""
    out = []
    for n in reversed(shape):
        at, k = divmod(at, n)
        out.append(k)
    return out[::-1]


def meaning(system: System, target: str) -> Callable[[list[Poly]], Poly]:
    """What a kernel with this target has to compute, by place."""
    if target in system.equations:
        return lambda places: system.rhs(target, places)

    def adjoint(places: list[Poly]) -> Poly:
        return system.adjoint(target.removeprefix("grad_"), [next(iter(p))[0] for p in places])

    return adjoint


def kernel_example(system: System, text: Any, target: str) -> Example | None:
    """Sizes at which a kernel reads outside a tensor, stores a wrong value, or does not write
    every element once; None if none was found.

    `text` is one kernel as `checker.Source` gives it, `target` the tensor that it computes.
    """
    names = [f"p{k}" for k in range(rank(system, target))]
    code = compiled(meaning(system, target)([var(n) for n in names]))

    def test(values: Values, _: Mapping[str, int]) -> tuple[str, Any, Any] | None:
        return _whole(
            Run(text, values),
            values,
            target,
            lambda at: values.of(code, dict(zip(names, at, strict=True))),
        )

    positive = [(">=", sub(var(s), const(1))) for s in system.derived()]
    return Search(system, [*system.sizes(), *positive], set(), test).find()


def rank(system: System, target: str) -> int:
    """The number of subscripts of a tensor or gradient."""
    known = system.tensors
    return len((known[target] if target in known else known[target.removeprefix("grad_")]).shape)


def _whole(run: Run, values: Values, target: str, truth: Any) -> tuple[str, Any, Any] | None:
    """What is wrong with all work-items of a kernel together, or None."""
    shape = values.shape(target)
    written: dict[int, str] = {}
    for k in range(math.prod(shape) + 1):
        try:
            stores = run.item(k)
        except Trouble as trouble:
            return str(trouble), None, None
        for where, name, at, value in stores:
            if name != target or not 0 <= at < math.prod(shape):
                return f"{where}: {run.name} writes {name}[{at}], outside {target}", None, None
            place = element(target, tuple(unravel(at, shape)))
            if at in written:
                return f"{where}: {run.name} writes {place} twice", None, None
            written[at] = where
            right = truth(unravel(at, shape))
            if differ(right, value):
                what = f"{place} has to be {number(right)}, {run.name} stores {number(value)}"
                return f"{where}: {what}", right, value
    for k, subscripts in enumerate(product(*map(range, shape))):
        if k not in written:
            missing = element(target, subscripts)
            return f"{run.where}: {run.name} does not write {missing}", None, None
    return None
