"""Loop nests: what is left to do when an equation is computed, one element of its target at a time.

`lower` decides nothing about a device. It orders loops, names the quotients that the elimination
introduced, and puts every guard at the outermost place where it can be decided. Every loop of a sum
has its own partial sum, so that the rounding error grows with the sum of the extents and not with
their product.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import count

import sympy as sp

from gradproof.derive.adjoint import row_major
from gradproof.derive.bounds import Scope, nonneg
from gradproof.derive.errors import DefinitionError
from gradproof.derive.expr import (
    FloorQuo,
    FloorRem,
    Guard,
    Inside,
    NonNeg,
    Quo,
    Read,
    Reduce,
    Rem,
    integer,
    reads,
    reduces,
    substitute,
)
from gradproof.derive.language import Definition, Equation, Tensor

Named = tuple[tuple[sp.Symbol, sp.Expr], ...]


@dataclass(frozen=True)
class Let:
    """`name = value`, an integer."""

    name: sp.Symbol
    value: sp.Expr


@dataclass(frozen=True)
class When:
    """The body runs only where all guards hold."""

    guards: tuple[Guard, ...]
    body: tuple[Statement, ...]


@dataclass(frozen=True)
class For:
    """The body for index = 0 .. extent-1, in order. For a sum, `partial` collects this loop."""

    index: sp.Symbol
    extent: sp.Expr
    partial: str
    into: str
    body: tuple[Statement, ...]


@dataclass(frozen=True)
class Update:
    """One term of a reduction; `position` is the row-major place of the term, for argmax."""

    accumulator: str
    kind: str
    value: sp.Expr
    position: sp.Expr


Statement = Let | When | For | Update


@dataclass(frozen=True)
class Accumulator:
    """A named reduction and the statements that compute it."""

    name: str
    kind: str
    body: tuple[Statement, ...]


@dataclass(frozen=True)
class Nest:
    """Everything to compute one equation: the grid of its elements, reductions, and the value."""

    equation: Equation
    target: Tensor
    grid: tuple[tuple[sp.Symbol, sp.Expr], ...]
    accumulators: tuple[Accumulator, ...]
    value: sp.Expr
    tensors: tuple[Tensor, ...]
    scalars: tuple[tuple[str, str], ...]

    @property
    def total(self) -> sp.Expr:
        """The number of elements of the target."""
        return sp.Mul(*[n for _, n in self.grid])


def lower(d: Definition, e: Equation, names: Named = ()) -> Nest:
    """The nest of one equation of `d`.

    names: symbols that its sums mention, with their values: integers that are computed once.
    Errors: DefinitionError where a "skip" tensor is read outside a maximum.
    """
    scope = d.scope(e)
    accumulated = {r: f"{r.kind}{k}" for k, r in enumerate(reduces(e.body))}
    accumulators = tuple(
        Accumulator(name, r.kind, _reduction(d, r, name, scope, names))
        for r, name in accumulated.items()
    )
    value = substitute(e.body, {r: sp.Symbol(n, real=True) for r, n in accumulated.items()})
    value = _floors(_conditional_reads(d, value, scope), scope, ())
    used = {r.tensor for r in reads(e.body)}
    symbols = {str(s) for s in e.body.free_symbols}
    return Nest(
        e,
        d.tensor(e.target),
        tuple(zip(e.indices, d.tensor(e.target).shape, strict=True)),
        accumulators,
        value,
        tuple(t for t in d.tensors if t.name in used),
        tuple((n, t) for n, t in d.scalars if n in symbols),
    )


def _reduction(
    d: Definition, r: Reduce, name: str, outer: Scope, values: Named
) -> tuple[Statement, ...]:
    scope = outer.with_indices(dict(r.indices))
    names = count()
    guards, body, lets = list(r.guards), r.body, []
    named = _used(values, r.free_symbols)
    for read in reads(body):
        if d.tensor(read.tensor).outside == "forbidden":
            continue
        if not _vanishes_with(d, r, read):
            if inside := _range_guards(d, read, scope):
                body = substitute(body, {read: Inside(read, *inside)})
            continue
        subscripts = list(read.subscripts)
        for k, extent in enumerate(d.tensor(read.tensor).shape):
            needed = _leaves(subscripts[k], extent, scope)
            if any(needed) and not subscripts[k].is_Symbol:
                u = integer(f"{name}_u{next(names)}")  # a guarded subscript is computed once
                lets.append(Let(u, subscripts[k]))
                subscripts[k] = u
            sides = (NonNeg(subscripts[k]), NonNeg(extent - 1 - subscripts[k]))
            guards += [g for g, may_fail in zip(sides, needed, strict=True) if may_fail]
        body = substitute(body, {read: Read(read.tensor, *subscripts)})
    loops = list(r.indices)
    parts = [*guards, *(x.value for x in named), *(n for _, n in loops)]
    for node in _quotients(parts, body):
        q = integer(f"{name}_q{next(names)}")
        lets.append(Let(q, node))
        named = [Let(x.name, x.value.xreplace({node: q})) for x in named]
        loops = [(i, n.xreplace({node: q})) for i, n in loops]
        guards = [g.xreplace({node: q}) for g in guards]
        body = substitute(body, {node: q})
    position = row_major(r.indices)
    update = Update(name, r.kind, body, position)
    sizes = (*d.sizes, *(s for s, _ in d.derived))
    avail = {*outer.extents, *sizes, *(integer(n) for n, t in d.scalars if t != "real")}
    return _place(loops, guards, [*lets, *named], update, avail, scope)


def _used(values: Named, symbols: set[sp.Symbol]) -> list[Let]:
    """The named values that some symbols stand for, and those that these are computed from."""
    needed = set(symbols)
    for s, value in reversed(values):
        if s in needed:
            needed |= value.free_symbols
    return [Let(s, v) for s, v in values if s in needed]


def _place(
    loops: list[tuple[sp.Symbol, sp.Expr]],
    guards: list[Guard],
    lets: list[Let],
    update: Update,
    avail: set[sp.Symbol],
    scope: Scope,
    holding: tuple[Guard, ...] = (),
    nested: bool = False,
) -> tuple[Statement, ...]:
    """Statements in order: guards that can be decided, then what they need next, then a loop."""
    ready = [g for g in guards if g.free_symbols <= avail]
    if ready:
        rest = [g for g in guards if g not in ready]
        body = _place(loops, rest, lets, update, avail, scope, (*holding, *ready), nested)
        return (When(tuple(_floor_guard(g, scope, holding) for g in ready), body),)
    let = next((x for x in lets if x.value.free_symbols <= avail), None)
    if let is not None:
        later = [x for x in lets if x is not let]
        value = _floors(let.value, scope, holding)
        inner = _place(loops, guards, later, update, avail | {let.name}, scope, holding, nested)
        return (Let(let.name, value), *inner)
    if loops:
        (i, extent), *others = loops
        own = update.kind == "sum" and nested
        partial = f"{update.accumulator}_{i}" if own else update.accumulator
        inner_update = Update(partial, update.kind, update.value, update.position)
        body = _place(others, guards, lets, inner_update, avail | {i}, scope, holding, True)
        return (For(i, extent, partial, update.accumulator, body),)
    if guards or lets:
        raise DefinitionError(f"nothing defines the symbols of {[*guards, *lets]}")
    value = _floors(update.value, scope, holding)
    return (Update(update.accumulator, update.kind, value, update.position),)


def _leaves(s: sp.Expr, extent: sp.Expr, scope: Scope) -> tuple[bool, bool]:
    """Whether a subscript may fall below 0, and whether it may go beyond its extent."""
    return not nonneg(s, scope), not nonneg(extent - 1 - s, scope)


def _range_guards(d: Definition, read: Read, scope: Scope) -> list[Guard]:
    found: list[Guard] = []
    for s, extent in zip(read.subscripts, d.tensor(read.tensor).shape, strict=True):
        low, high = _leaves(s, extent, scope)
        found += [NonNeg(s)] * low + [NonNeg(extent - 1 - s)] * high
    return found


def _vanishes_with(d: Definition, r: Reduce, read: Read) -> bool:
    """Whether a term without this element is no term at all: a zero factor, or a skipped tap."""
    skips = d.tensor(read.tensor).outside == "skip"
    if r.kind != "sum":
        return skips
    if skips:
        raise DefinitionError(f"{d.name}: {read} may lie outside, and only a maximum skips")
    return bool(r.body.xreplace({read: sp.Integer(0)}) == 0)


def _conditional_reads(d: Definition, value: sp.Expr, scope: Scope) -> sp.Expr:
    found = {}
    for read in reads(value):
        if d.tensor(read.tensor).outside == "zero":
            needed = _range_guards(d, read, scope)
            if needed:
                found[read] = Inside(read, *needed)
    return substitute(value, found)


def _quotients(guards: Iterable[sp.Basic], body: sp.Expr) -> list[sp.Expr]:
    found: dict[sp.Expr, None] = {}
    for part in (*guards, body):
        for node in sorted(part.atoms(Quo, Rem), key=sp.default_sort_key):
            if not node.args[0].atoms(Quo, Rem, Read):
                found[node] = None
    return list(found)


def _floors(e: sp.Expr, scope: Scope, holding: Iterable[Guard]) -> sp.Expr:
    """Mark the quotients whose numerator is not known to be non-negative."""
    known = [g.args[0] for g in holding if isinstance(g, NonNeg)]
    marked = {}
    for node in e.atoms(Quo, Rem):
        t = node.args[0]
        if not (nonneg(t, scope) or any(nonneg(t - k, scope) for k in known)):
            marked[node] = (FloorQuo if isinstance(node, Quo) else FloorRem)(*node.args)
    return substitute(e, marked)


def _floor_guard(g: Guard, scope: Scope, holding: Iterable[Guard]) -> Guard:
    return g.func(*[_floors(a, scope, holding) for a in g.args])
