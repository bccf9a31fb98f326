"""Where nothing rounds: operators of +, *, max and comparisons on integers that stay small.

All follows from the definition: whether an operation rounds, how large a partial sum can become,
whether the operator has branches, and its degree as a polynomial.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from fractions import Fraction
from functools import cache

import sympy as sp

from gradproof.derive.adjoint import active
from gradproof.derive.errors import DefinitionError
from gradproof.derive.expr import Philox, Read, Reduce, reads
from gradproof.derive.language import Definition
from gradproof.derive.machine import Machine
from gradproof.derive.system import derive

PRECISION = {"float32": 24, "float64": 53}  # bits of a significand


@cache
def is_exact(d: Definition) -> bool:
    """Whether no kernel of the operator divides, takes a root or calls a function."""
    system = derive(d)
    parts = [system.forward, *([system.backward] if system.backward else [])]
    return not any(_rounds(e.body) for part in parts for e in part.equations)


def _rounds(body: sp.Basic) -> bool:
    powers = [p for p in body.atoms(sp.Pow) if not (p.exp.is_Integer and p.exp > 0)]
    parts = [q for q in body.atoms(sp.Rational) if q.q & (q.q - 1)]
    return bool(powers or parts) or body.has(sp.exp, sp.log, sp.tanh, sp.erf)


@cache
def has_fractions(d: Definition) -> bool:
    """Whether its numbers are more than integers: a real scalar, or a constant such as 1/2."""
    system = derive(d)
    parts = [system.forward, *([system.backward] if system.backward else [])]
    constants = {q for part in parts for e in part.equations for q in e.body.atoms(sp.Rational)}
    return any(t == "real" for _, t in d.scalars) or any(not q.is_Integer for q in constants)


@cache
def has_branches(d: Definition) -> bool:
    """Whether a maximum or a comparison decides on what a gradient flows through."""
    moving = active(d)
    for e in d.equations:
        chosen = [r for r in e.body.atoms(Reduce) if r.kind != "sum"]
        chosen += [c for p in e.body.atoms(sp.Piecewise) for _, c in p.args]
        if moving & {r.tensor for c in chosen for r in reads(c)}:
            return True
    return False


@cache
def degree(d: Definition) -> int:
    """The degree, between branches, of the outputs of an exact operator in all that has a gradient.

    >>> from gradproof.derive.registry import find
    >>> degree(find("conv2d")), degree(find("relu"))
    (2, 1)
    """
    degrees = {t.name: int(t.name in d.differentiable) for t in d.tensors}
    for e in d.equations:
        degrees[e.target] = 0 if d.tensor(e.target).dtype == "int" else _degree(e.body, degrees)
    return max(degrees[n] for n in d.outputs)


def _degree(e: sp.Basic, degrees: Mapping[str, int]) -> int:
    if isinstance(e, Read):
        return degrees[e.tensor]
    if isinstance(e, Reduce):
        return 0 if e.kind == "argmax" else _degree(e.body, degrees)
    if isinstance(e, sp.Piecewise):
        return max(_degree(value, degrees) for value, _ in e.args)
    if e.is_Pow and e.exp.is_Integer and e.exp > 0:
        return int(e.exp) * _degree(e.base, degrees)
    parts = [_degree(a, degrees) for a in e.args]
    if e.is_Mul:
        return sum(parts)
    if not e.is_Add and any(parts):
        raise DefinitionError(f"{e} is no polynomial")
    return max(parts, default=0)


@dataclass(frozen=True)
class Span:
    """Numbers that are multiples of 2**-bits; no partial sum of them exceeds `largest`."""

    largest: Fraction
    bits: int = 0

    @property
    def width(self) -> int:
        """The bits of a significand that holds every such number."""
        return int(self.largest * 2**self.bits).bit_length()


def span_of(values: Iterable[float | int | Fraction]) -> Span:
    """The span of some numbers.

    >>> span_of([3, -0.25]).width
    4
    """
    given = [Fraction(v) for v in values]
    largest = max(map(abs, given), default=Fraction(0))
    return Span(largest, max((q.denominator.bit_length() - 1 for q in given), default=0))


def fits(
    d: Definition,
    sizes: Mapping[str, int],
    spans: Mapping[str, Span],
    scalars: Mapping[str, float | int],
    dtype: str,
) -> bool:
    """Whether every kernel of an exact operator computes without rounding, in any order.

    spans: those of the operands, and of the cotangents by `grad_<output>`.
    """
    system, known, widest = derive(d), dict(spans), 0
    for part in (system.forward, system.backward):
        if part is not None:
            walk = _Walk(Machine.sized(part, sizes), known, scalars)
            for e in part.equations:
                known[e.target] = walk.of(e.body)
            widest = max(widest, walk.widest)
    return widest <= PRECISION[dtype]


@dataclass
class _Walk:
    """Spans of expressions, and the widest of all."""

    machine: Machine
    tensors: dict[str, Span]
    scalars: Mapping[str, float | int]
    widest: int = 0

    def of(self, e: sp.Basic) -> Span:
        """The span of an expression; indices count as whole numbers below their extents."""
        found = self._of(e)
        self.widest = max(self.widest, found.width)
        return found

    def _of(self, e: sp.Basic) -> Span:
        if e.is_Rational:
            return span_of([Fraction(int(e.p), int(e.q))])
        if isinstance(e, Read):
            return self.tensors[e.tensor]
        if isinstance(e, Reduce):
            terms = math.prod(self.machine.extent(n) for _, n in e.indices)
            if e.kind == "argmax":
                return Span(Fraction(terms))
            body = self.of(e.body)
            return Span(body.largest * terms, body.bits) if e.kind == "sum" else body
        if e.is_Symbol:
            return self._symbol(e)
        if isinstance(e, sp.Piecewise):
            sides = [a for _, c in e.args if reads(c) for a in c.args]
            return self._union([*map(self.of, sides), *[self.of(value) for value, _ in e.args]])
        parts = [self.of(a) for a in e.args]
        if isinstance(e, Philox):
            return Span(Fraction(2**32 - 1))
        if e.is_Add:
            return Span(sum((p.largest for p in parts), Fraction(0)), self._union(parts).bits)
        if e.is_Pow:
            return Span(parts[0].largest ** int(e.exp), parts[0].bits * int(e.exp))
        if e.is_Mul:
            return Span(
                math.prod((p.largest for p in parts), start=Fraction(1)), sum(p.bits for p in parts)
            )
        return self._union(parts)  # a quotient or a remainder of integers

    def _symbol(self, s: sp.Symbol) -> Span:
        if str(s) in self.scalars:
            return span_of([self.scalars[str(s)]])
        if s in self.machine.sizes:
            return span_of([self.machine.sizes[s]])
        return Span(Fraction(max([1, *self.machine.sizes.values()]) ** 2))  # an index

    def _union(self, parts: list[Span]) -> Span:
        return Span(max(p.largest for p in parts), max(p.bits for p in parts))
