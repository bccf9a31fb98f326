"""Elimination of Kronecker deltas: from sums over everything to sums over what exists.

A guard c*v + r = 0 on a bound index v is solved, in this order of preference:

1. mixed radix: v with extent m beside h with coefficient m gives h = t // m, v = t % m;
2. the first index in order that can be solved, so an output's index before a tap's: with
   coefficient +-1, v = -+r kept in range by guards; with a positive coefficient c, v = t / c
   exactly where c divides t and 0 <= t / c < extent;
3. nothing to solve (A[i, i], a label): the equation stays a guard.

An index that stands under a quotient by m is first split in two, v = m*q + r, which is a bijection
when m divides its extent. What the elimination leaves gathers: one element of the gradient, one
loop nest, no scattering.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from itertools import product

import sympy as sp

from gradproof.derive.bounds import Scope, nonneg, positive
from gradproof.derive.expr import (
    Divides,
    Guard,
    NonNeg,
    Quo,
    Read,
    Reduce,
    Rem,
    IsZero,
    fresh,
    integer,
    linear,
    reduces,
    substitute,
)
from gradproof.derive.language import Definition, Equation


@dataclass(frozen=True)
class Step:
    """One rule as it was applied, for readers: its name and what it did."""

    rule: str
    detail: str


@dataclass(frozen=True)
class State:
    """A sum on its way: loops left, equations to solve, guards found, body."""

    loops: tuple[tuple[sp.Symbol, sp.Expr], ...]
    deltas: tuple[IsZero, ...]
    guards: tuple[Guard, ...]
    body: sp.Expr
    steps: tuple[Step, ...] = field(default=())

    def put(
        self,
        mapping: Mapping[sp.Basic, sp.Basic],
        gone: set[sp.Symbol],
        step: Step,
        solved: IsZero | None = None,
    ) -> State:
        """Substitute everywhere; drop the solved loops, the equation that was solved for them, and
        every equation that became 0 = 0."""
        deltas = [substitute(z, mapping) for z in self.deltas if z != solved]
        return State(
            tuple(pair for pair in self.loops if pair[0] not in gone),
            tuple(IsZero(z.args[0]) for z in deltas if sp.expand(z.args[0]) != 0),
            tuple(substitute(g, mapping) for g in self.guards),
            substitute(self.body, mapping),
            (*self.steps, step),
        )


def eliminate(d: Definition) -> Definition:
    """The definition with every sum over Kronecker deltas solved."""
    return replace(d, equations=tuple(eliminate_equation(d, e) for e in d.equations))


def eliminate_equation(d: Definition, e: Equation) -> Equation:
    """One equation with its sums solved; other reductions stay as they are."""
    scope = d.scope(e)
    solved = {r: solve(r, scope)[0] for r in reduces(e.body) if r.kind == "sum"}
    return replace(e, body=substitute(e.body, solved))


def solve(r: Reduce, scope: Scope) -> tuple[sp.Expr, tuple[Step, ...]]:
    """The solved form of one sum, and the steps that led there."""
    deltas = tuple(g for g in r.guards if isinstance(g, IsZero))
    state = State(r.indices, deltas, tuple(g for g in r.guards if g not in deltas), r.body)
    state = _split_quotients(state)
    while True:
        after = _next(state, scope)
        if after is None:
            break
        state = after
    inner = scope.with_indices(dict(state.loops))
    return _finish(state, inner), state.steps


def _next(s: State, scope: Scope) -> State | None:
    inner = scope.with_indices(dict(s.loops))
    arithmetic = [z for z in s.deltas if not z.has(Read)]
    labels = [z for z in s.deltas if z.has(Read)]  # only once no arithmetic is left to solve
    for deltas, rule in (
        (arithmetic, _mixed_radix),
        (arithmetic, _unit_or_divided),
        (labels, _unit),
    ):
        for delta, (v, extent) in product(deltas, s.loops):
            split = linear(delta.args[0], v)
            if split is None or any(v in r.free_symbols for r in delta.atoms(Read)):
                continue
            after = rule(s, inner, delta, v, extent, *split)
            if after is not None:
                return after
    return None


def _mixed_radix(
    s: State, scope: Scope, delta: IsZero, v: sp.Symbol, extent: sp.Expr, c: sp.Expr, r: sp.Expr
) -> State | None:
    """h*m + v = t with 0 <= v < m has the one solution h = t // m, v = t % m."""
    if c not in (1, -1):
        return None
    for h, h_extent in s.loops:
        pair = linear(r, h)
        if h == v or pair is None or sp.expand(pair[0] - c * extent) != 0:
            continue
        t = sp.expand(-c * pair[1])
        found = {h: Quo(t, extent), v: Rem(t, extent)}
        step = Step("mixed radix", f"{h} = {t} // ({extent}), {v} = {t} % ({extent})")
        after = s.put(found, {h, v}, step, delta)
        return _with(after, NonNeg(t), NonNeg(extent * h_extent - 1 - t))
    return None


def _unit_or_divided(
    s: State, scope: Scope, delta: IsZero, v: sp.Symbol, extent: sp.Expr, c: sp.Expr, r: sp.Expr
) -> State | None:
    return (_unit if c in (1, -1) else _divided)(s, scope, delta, v, extent, c, r)


def _unit(
    s: State, scope: Scope, delta: IsZero, v: sp.Symbol, extent: sp.Expr, c: sp.Expr, r: sp.Expr
) -> State | None:
    if c not in (1, -1):
        return None
    value = sp.expand(-c * r)
    after = s.put({v: value}, {v}, Step("substitution", f"{v} = {value}"), delta)
    return _with(after, NonNeg(value), NonNeg(extent - 1 - value))


def _divided(
    s: State, scope: Scope, delta: IsZero, v: sp.Symbol, extent: sp.Expr, c: sp.Expr, r: sp.Expr
) -> State | None:
    if positive(c, scope):
        c, t = c, sp.expand(-r)
    elif positive(-c, scope):
        c, t = -c, sp.expand(r)
    else:
        return None
    quotient = Quo(t, c)
    step = Step("divisibility", f"{v} = ({t})/{c} where {c} divides {t}")
    after = s.put({v: quotient}, {v}, step, delta)
    return _with(after, NonNeg(t), Divides(c, t), NonNeg(extent - 1 - quotient))


def _with(s: State, *guards: Guard) -> State:
    return replace(s, guards=(*s.guards, *guards))


def _split_quotients(s: State) -> State:
    for v, extent in s.loops:
        for m in _divisors_of(v, s.deltas):
            blocks = Quo(extent, m)
            if blocks.atoms(Quo):
                continue  # m does not divide the extent as a polynomial: no bijection
            taken = {str(i) for i, _ in s.loops} | {str(x) for x in s.body.free_symbols}
            q, r = (integer(fresh(f"{v}{suffix}", taken)) for suffix in ("_q", "_r"))
            split = {v: m * q + r}
            at = next(k for k, (i, _) in enumerate(s.loops) if i == v)
            loops = (*s.loops[:at], (q, blocks), (r, m), *s.loops[at + 1 :])
            after = replace(s, loops=loops)
            after = after.put(split, set(), Step("split", f"{v} = {m}*{q} + {r}, {r} < {m}"))
            known = {Quo(r, m): sp.Integer(0), Rem(r, m): r}
            after = after.put(known, set(), Step("range", f"{r} // {m} = 0"))
            return _split_quotients(replace(after, steps=after.steps[:-1]))
    return s


def _divisors_of(v: sp.Symbol, deltas: tuple[IsZero, ...]) -> Iterator[sp.Expr]:
    for delta in deltas:
        for node in sorted(delta.atoms(Quo, Rem), key=sp.default_sort_key):
            if node.args[0] == v:
                yield node.args[1]


def _finish(s: State, scope: Scope) -> sp.Expr:
    """Drop the guards that cannot fail, and take constant factors out of the sum."""
    guards: list[Guard] = []
    for g in (*s.guards, *s.deltas):
        certain = isinstance(g, NonNeg) and (
            nonneg(g.args[0], scope) or any(_covers(k, g, scope) for k in guards)
        )
        if not certain and g not in guards:
            guards.append(g)
    if not s.loops:
        return Reduce("sum", (), guards, s.body) if guards else s.body
    bound = {i for i, _ in s.loops}
    factors = sp.Mul.make_args(s.body)
    outside = [f for f in factors if not f.free_symbols & bound]
    inside = [f for f in factors if f.free_symbols & bound]
    return sp.Mul(*outside) * Reduce("sum", s.loops, guards, sp.Mul(*inside))


def _covers(known: Guard, g: Guard, scope: Scope) -> bool:
    return isinstance(known, NonNeg) and nonneg(g.args[0] - known.args[0], scope)
