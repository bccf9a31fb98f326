"""Where one element of an operand goes, and what comes back to it: the chain rule, term by term.

Nothing is known of convolutions here. The forward table visits every index tuple of the definition
and keeps those whose subscripts are the element; the gradient's table is the eliminated gradient,
written out at the element. `table` demands that both hold the same pairs.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import sympy as sp

from gradproof.derive.adjoint import PREFIX, Occurrence, occurrences, prepare
from gradproof.derive.bounds import Scope, nonneg
from gradproof.derive.errors import DefinitionError
from gradproof.derive.expr import Divides, Guard, IsZero, NonNeg, Read, reads, substitute
from gradproof.derive.language import Definition
from gradproof.derive.machine import Machine, Points, Sizes
from gradproof.derive.system import derive

LIMIT = 2**22  # index tuples of one table: some seconds


@dataclass(frozen=True)
class Term:
    """`target += read * slope`, where all `guards` hold: what is left of them depends on data."""

    target: Read
    read: Read
    slope: sp.Expr
    guards: tuple[Guard, ...]


@dataclass(frozen=True)
class Rule:
    """A term with its loops still in it: for all values of the indices below their extents."""

    term: Term
    loops: tuple[tuple[sp.Symbol, int], ...]


@dataclass(frozen=True)
class Side:
    """One pass: its rules, and their terms at one element. `padding`: terms left out since they
    multiply by an element outside a tensor, which is 0."""

    rules: tuple[Rule, ...]
    terms: tuple[Term, ...]
    padding: int


@dataclass(frozen=True)
class Table:
    """The terms in which an element is read, and those of its gradient, in the same order."""

    forward: Side
    gradient: Side


def table(d: Definition, sizes: Sizes, operand: str, element: tuple[int, ...]) -> Table:
    """Both passes at one element of an operand.

    sizes: all sizes that are not derived. operand: a letter of the definition; element: one integer
    per dimension. Errors: DefinitionError for sizes that the definition refuses, an operand without
    a gradient, an element outside it, more than 2^22 index tuples, or tables that differ.

    >>> from gradproof.derive.registry import find
    >>> linear = table(find("linear"), {"N": 1, "K": 3, "O": 2}, "Y", (0, 2))
    >>> [(t.target, t.slope) for t in linear.forward.terms]
    [(z[0, 0], w[0, 2]), (z[0, 1], w[1, 2])]
    >>> [(t.read, t.slope) for t in linear.gradient.terms]
    [(grad_z[0, 0], w[0, 2]), (grad_z[0, 1], w[1, 2])]
    """
    if operand not in d.differentiable:
        raise DefinitionError(f"{d.name}: {operand!r} is not an operand with a gradient")
    forward = Machine.sized(prepare(d), sizes)
    shape = forward.shapes[operand]
    if len(element) != len(shape) or not all(
        0 <= p < n for p, n in zip(element, shape, strict=True)
    ):
        raise DefinitionError(f"{d.name}: {operand} has shape {shape}; it has no element {element}")
    found = Table(_forward(forward, operand, element), _gradient(d, sizes, operand, element))
    _same(d, found)
    return found


def _forward(m: Machine, operand: str, element: tuple[int, ...]) -> Side:
    places = list(occurrences(m.definition, operand))
    terms = []
    for o in places:
        _check_count(m, o, math.prod(m.shapes[o.equation.target]))
        at = _points(m, o, m.grid(o.equation.target))
        hit = np.ones(at.count, bool)
        for s, p in zip(o.read.subscripts, element, strict=True):
            hit &= m.integer(s, at) == p
        terms += list(_terms(m, o, at.where(hit)))
    return _side(m, terms, [_rule(m, o, _solved(o, element), element) for o in places])


def _solved(o: Occurrence, element: tuple[int, ...]) -> dict[sp.Symbol, sp.Integer]:
    """The indices that are themselves subscripts, as a tap's: the element gives their values."""
    pairs = zip(o.read.subscripts, element, strict=True)
    return {s: sp.Integer(p) for s, p in pairs if s.is_Symbol}


def _gradient(d: Definition, sizes: Sizes, operand: str, element: tuple[int, ...]) -> Side:
    """The occurrences of the cotangents in the gradient, which is linear in them."""
    backward = derive(d).backward
    assert backward is not None  # the operand has a gradient
    m = Machine.sized(backward, sizes)
    e = backward.equation(PREFIX + operand)
    at = Points(1, {i: np.array([p]) for i, p in zip(e.indices, element, strict=True)})
    cotangents = sorted({r.tensor for r in reads(e.body) if r.tensor.startswith(PREFIX)})
    places = [o for c in cotangents for o in occurrences(backward, c) if o.equation == e]
    for o in places:
        _check_count(m, o, 1)
    terms = [t for o in places for t in _terms(m, o, _points(m, o, at))]
    here = dict(zip(e.indices, map(sp.Integer, element), strict=True))
    return _side(m, terms, [_rule(m, o, here) for o in places])


def _check_count(m: Machine, o: Occurrence, points: int) -> None:
    count = points * math.prod(m.extent(n) for _, n in o.bound)
    if count > LIMIT:
        raise DefinitionError(
            f"{m.definition.name}: a table over {count} index tuples; at most {LIMIT} are visited"
        )


def _points(m: Machine, o: Occurrence, at: Points) -> Points:
    """The index tuples around an occurrence at which all guards hold that do not read data."""
    return m.inside(o.bound, [g for g in o.guards if not g.has(Read)], at)[1]


def _terms(m: Machine, o: Occurrence, at: Points) -> Iterator[Term]:
    """The term of an occurrence at each of the points, with numbers for all indices and sizes."""
    for k in range(at.count):
        here = {i: sp.Integer(int(np.broadcast_to(a, at.count)[k])) for i, a in at.values.items()}
        numbers = {s: sp.Integer(n) for s, n in m.sizes.items()} | here
        data = tuple(g for g in o.guards if g.has(Read))
        yield _inserted(o, data, numbers)


def _inserted(
    o: Occurrence, guards: tuple[Guard, ...], numbers: Mapping[sp.Symbol, sp.Integer]
) -> Term:
    term = Term(Read(o.equation.target, *o.equation.indices), o.read, o.slope, guards)
    return inserted(term, numbers)


def inserted(t: Term, numbers: Mapping[sp.Symbol, sp.Integer]) -> Term:
    """The term with numbers for some of its symbols.

    >>> x, y = sp.symbols("x y", integer=True)
    >>> inserted(Term(Read("z", x), Read("Y", x + y), sp.Integer(1), ()), {x: sp.Integer(2)}).read
    Y[y + 2]
    """
    target, read, slope = (substitute(e, numbers) for e in (t.target, t.read, t.slope))
    return Term(target, read, slope, tuple(substitute(g, numbers) for g in t.guards))


def _side(m: Machine, terms: list[Term], rules: list[Rule]) -> Side:
    inside = [t for t in terms if not any(_is_padding(m, r) for r in reads(t.slope))]
    return Side(tuple(rules), tuple(sorted(inside, key=_key)), len(terms) - len(inside))


def _is_padding(m: Machine, r: Read) -> bool:
    outside = any(not 0 <= p < n for p, n in zip(r.subscripts, m.shapes[r.tensor], strict=True))
    return outside and m.definition.tensor(r.tensor).outside == "zero"


def _rule(
    m: Machine,
    o: Occurrence,
    here: dict[sp.Symbol, sp.Integer],
    element: tuple[int, ...] | None = None,
) -> Rule:
    """The occurrence with numbers for the sizes, without the guards that then cannot fail.

    element: what it has to read; its subscripts become guards.
    """
    numbers = {s: sp.Integer(n) for s, n in m.sizes.items()} | here
    around = (*zip(o.equation.indices, o.shape, strict=True), *o.bound)
    loops = tuple((i, m.extent(n)) for i, n in around if i not in numbers)
    scope = Scope({i: sp.Integer(n) for i, n in loops}, {})
    term = _inserted(o, o.guards, numbers)
    guards, read = term.guards, term.read
    if element is not None:
        deltas = zip(read.subscripts, element, strict=True)
        guards = (*(IsZero(p - s) for s, p in deltas), *guards)
        read = Read(read.tensor, *element)
    guards = tuple(g for g in guards if not _always(g, scope))
    return Rule(Term(term.target, read, term.slope, guards), loops)


def _always(g: Guard, scope: Scope) -> bool:
    match g:
        case NonNeg(args=(p,)):
            return nonneg(p, scope)
        case Divides(args=(c, p)):
            return bool(c == 1) or bool(p.is_Integer and p % c == 0)
        case IsZero(args=(p,)):
            return bool(p == 0)
    return False


# -- the two passes agree -----------------------------------------------------------------------
def output(t: Term) -> Read:
    """The element of the output in a term of either pass.

    >>> output(Term(Read("grad_Y", 2), Read("grad_z", 1), sp.Integer(1), ()))
    z[1]
    """
    if t.target.tensor.startswith(PREFIX):
        return Read(t.read.tensor.removeprefix(PREFIX), *t.read.subscripts)
    return t.target


def _key(t: Term) -> tuple[str, tuple[int, ...], str, str]:
    place = output(t)
    return place.tensor, tuple(map(int, place.subscripts)), str(t.slope), str(t.guards)


def _same(d: Definition, found: Table) -> None:
    forward, gradient = (Counter(map(_key, s.terms)) for s in (found.forward, found.gradient))
    for name, more, less in (("forward", forward, gradient), ("gradient", gradient, forward)):
        if alone := sorted((more - less).elements()):
            tensor, at, slope, _ = alone[0]
            raise DefinitionError(
                f"{d.name}: only the {name} pass pairs {tensor}{list(at)} with {slope}; "
                "the derived gradient disagrees with the definition"
            )
