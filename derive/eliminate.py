"""Elimination of Kronecker deltas: from sums over everything to sums over what exists.

A guard c*v + r = 0 on a bound index v is solved, in this order of preference:

1. mixed radix: v with extent m beside h with coefficient m gives h = t // m, v = t % m;
2. the first index in order that can be solved, so an output's index before a tap's: with
   coefficient +-1, v = -+r kept in range by guards; with a positive coefficient c, v = t / c
   exactly where c divides t and 0 <= t / c < extent;
3. window: (a*v + b) // m = t holds in one run of at most (m - 1) // a + 1 values of v, which
   begins at v0 = (m*t - b) / a, rounded up: v = v0 + k;
4. nothing to solve (A[i, i], a label): the equation stays a guard.

An index that stands under a quotient by m is first split in two, v = m*q + r, which is a bijection
when m divides its extent. What the elimination leaves gathers: one element of the gradient, one
loop nest, no scattering.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import product

import sympy as sp

from gradproof.derive.bounds import Scope, nonneg, positive
from gradproof.derive.expr import (
    Divides,
    Guard,
    IsZero,
    NonNeg,
    Quo,
    Read,
    Reduce,
    Rem,
    fresh,
    integer,
    linear,
    reduces,
    substitute,
)
from gradproof.derive.language import Definition, Equation


@dataclass(frozen=True)
class Step:
    """One rule as it was applied, for readers.

    `solved`: the equation that it removed (None for a split); `found`: what the indices became;
    `guards`: the conditions that this brought; `after`: the sum as it then stood.
    """

    rule: str
    solved: IsZero | None
    found: tuple[tuple[sp.Symbol, sp.Expr], ...]
    guards: tuple[Guard, ...]
    after: Reduce


@dataclass(frozen=True)
class Solution:
    """A solved sum and how it was found.

    `kept`: the guards of `value`; `dropped`: those that cannot fail, each with the guard that
    implies it, or None where the ranges of the indices do.
    """

    value: sp.Expr
    steps: tuple[Step, ...]
    kept: tuple[Guard, ...]
    dropped: tuple[tuple[Guard, Guard | None], ...]


@dataclass(frozen=True)
class Move:
    """A solution of one equation: the indices it gives, and the guards that keep them in range.

    `loop`: the index and extent that take the place of the first one found, if any."""

    rule: str
    found: Mapping[sp.Symbol, sp.Expr]
    guards: tuple[Guard, ...]
    loop: tuple[tuple[sp.Symbol, sp.Expr], ...] = ()


@dataclass(frozen=True)
class State:
    """A sum on its way: loops left, equations to solve, guards found, body."""

    loops: tuple[tuple[sp.Symbol, sp.Expr], ...]
    deltas: tuple[IsZero, ...]
    guards: tuple[Guard, ...]
    body: sp.Expr

    def put(
        self,
        mapping: Mapping[sp.Basic, sp.Basic],
        solved: IsZero | None = None,
        loop: tuple[tuple[sp.Symbol, sp.Expr], ...] = (),
    ) -> State:
        """Substitute everywhere; drop the indices that were found, the equation that gave them,
        and every equation that became 0 = 0. `loop` takes the place of the first index found."""
        first = next(iter(mapping), None)
        loops = [x for pair in self.loops for x in ([pair] if pair[0] != first else loop)]
        deltas = [substitute(z, mapping) for z in self.deltas if z != solved]
        return State(
            tuple(pair for pair in loops if pair[0] not in mapping),
            tuple(IsZero(z.args[0]) for z in deltas if sp.expand(z.args[0]) != 0),
            tuple(substitute(g, mapping) for g in self.guards),
            substitute(self.body, mapping),
        )

    def names(self) -> set[str]:
        """The names that a new index must not have."""
        tensors = {r.tensor for part in (self.body, *self.guards) for r in part.atoms(Read)}
        parts = (self.body, *self.guards, *self.deltas)
        symbols = set().union(*(x.free_symbols for x in parts), {i for i, _ in self.loops})
        return tensors | set(map(str, symbols))

    def reduce(self) -> Reduce:
        """The sum as it stands."""
        return Reduce("sum", self.loops, (*self.deltas, *self.guards), self.body)


def eliminate(d: Definition) -> Definition:
    """An adjoint with every sum solved."""
    return replace(d, equations=tuple(eliminate_equation(d, e) for e in d.equations))


def eliminate_deltas(d: Definition) -> Definition:
    """A definition with the sums solved that it wrote with deltas; others stay as written."""
    return replace(d, equations=tuple(_written(d, e) for e in d.equations))


def eliminate_equation(d: Definition, e: Equation) -> Equation:
    """One equation with its sums solved; other reductions stay as they are."""
    return _solved(d, e, [r for r in reduces(e.body) if r.kind == "sum"])


def _written(d: Definition, e: Equation) -> Equation:
    sums = [r for r in reduces(e.body) if r.kind == "sum"]
    return _solved(d, e, [r for r in sums if any(isinstance(g, IsZero) for g in r.guards)])


def _solved(d: Definition, e: Equation, sums: list[Reduce]) -> Equation:
    scope = d.scope(e)
    return replace(e, body=substitute(e.body, {r: solve(r, scope).value for r in sums}))


def solve(r: Reduce, scope: Scope) -> Solution:
    """The solved form of one sum, and the steps that led there.

    >>> from gradproof.derive.expr import integer
    >>> i, p, N = map(integer, "ipN")
    >>> r = Reduce("sum", [(i, N)], [IsZero(i - p)], Read("g", i))
    >>> solve(r, Scope({p: N}, {N: 1})).value
    g[p]
    """
    deltas = tuple(g for g in r.guards if isinstance(g, IsZero))
    state = State(r.indices, deltas, tuple(g for g in r.guards if g not in deltas), r.body)
    state, steps = _split_quotients(state)
    while (found := _next(state, scope)) is not None:
        delta, move = found
        after = state.put(move.found, delta, move.loop)
        state = replace(after, guards=(*after.guards, *move.guards))
        pairs = tuple(move.found.items())
        steps.append(Step(move.rule, delta, pairs, move.guards, state.reduce()))
    return _finish(state, tuple(steps), scope.with_indices(dict(state.loops)))


def _next(s: State, scope: Scope) -> tuple[IsZero, Move] | None:
    inner = scope.with_indices(dict(s.loops))
    arithmetic = [z for z in s.deltas if not z.has(Read)]
    labels = [z for z in s.deltas if z.has(Read)]  # only once no arithmetic is left to solve
    for deltas, rule in (
        (arithmetic, _mixed_radix),
        (arithmetic, _unit_or_divided),
        (arithmetic, _window),
        (labels, _unit),
    ):
        for delta, (v, extent) in product(deltas, s.loops):
            if any(v in r.free_symbols for r in delta.atoms(Read)):
                continue
            move = rule(s, inner, v, extent, delta.args[0])
            if move is not None:
                return delta, move
    return None


def _mixed_radix(s: State, scope: Scope, v: sp.Symbol, extent: sp.Expr, p: sp.Expr) -> Move | None:
    """h*m + v = t with 0 <= v < m has the one solution h = t // m, v = t % m."""
    c, r = linear(p, v) or (sp.Integer(0), p)
    if c not in (1, -1):
        return None
    for h, h_extent in s.loops:
        pair = linear(r, h)
        if h == v or pair is None or sp.expand(pair[0] - c * extent) != 0:
            continue
        t = sp.expand(-c * pair[1])
        found = {h: Quo(t, extent), v: Rem(t, extent)}
        return Move("mixed radix", found, (NonNeg(t), NonNeg(extent * h_extent - 1 - t)))
    return None


def _unit_or_divided(
    s: State, scope: Scope, v: sp.Symbol, extent: sp.Expr, p: sp.Expr
) -> Move | None:
    return _unit(s, scope, v, extent, p) or _divided(scope, v, extent, p)


def _unit(s: State, scope: Scope, v: sp.Symbol, extent: sp.Expr, p: sp.Expr) -> Move | None:
    c, r = linear(p, v) or (sp.Integer(0), p)
    if c not in (1, -1):
        return None
    value = sp.expand(-c * r)
    return Move("substitution", {v: value}, (NonNeg(value), NonNeg(extent - 1 - value)))


def _divided(scope: Scope, v: sp.Symbol, extent: sp.Expr, p: sp.Expr) -> Move | None:
    c, r = linear(p, v) or (sp.Integer(0), p)
    if positive(c, scope):
        t = sp.expand(-r)
    elif positive(-c, scope):
        c, t = -c, sp.expand(r)
    else:
        return None
    quotient = Quo(t, c)
    guards = (NonNeg(t), Divides(c, t), NonNeg(extent - 1 - quotient))
    return Move("divisibility", {v: quotient}, guards)


def _window(s: State, scope: Scope, v: sp.Symbol, extent: sp.Expr, p: sp.Expr) -> Move | None:
    """(a*v + b) // m = t for v = v0 + k with v0 = (m*t - b) / a, rounded up."""
    for node in sorted(p.atoms(Quo), key=sp.default_sort_key):
        whole, inner, m = linear(p, node), linear(node.args[0], v), node.args[1]
        if whole is None or inner is None or whole[0] not in (1, -1):
            continue
        (c, r), (a, b) = whole, inner
        if v in r.free_symbols | m.free_symbols or not positive(a, scope):
            continue
        t, k = -c * r, integer(fresh(f"{v}_k", s.names()))
        value = Quo(sp.expand(m * t - b + a - 1), a) + k
        below = NonNeg(m * t + m - 1 - b - a * value)
        guards = (NonNeg(value), below, NonNeg(extent - 1 - value))
        return Move("window", {v: value}, guards, ((k, Quo(m - 1, a) + 1),))
    return None


def _split_quotients(s: State) -> tuple[State, list[Step]]:
    """v = m*q + r for every index v that stands under a quotient by m, where m divides its
    extent; then v // m = q and v % m = r."""
    steps: list[Step] = []
    while (found := _splittable(s)) is not None:
        v, m, blocks = found
        q, r = (integer(fresh(f"{v}{suffix}", s.names())) for suffix in ("_q", "_r"))
        at = next(k for k, (i, _) in enumerate(s.loops) if i == v)
        loops = (*s.loops[:at], (v, m * blocks), (q, blocks), (r, m), *s.loops[at + 1 :])
        after = replace(s, loops=loops).put({v: m * q + r})
        s = after.put({Quo(r, m): sp.Integer(0), Rem(r, m): r})
        steps.append(Step("split", None, ((v, m * q + r),), (), s.reduce()))
    return s, steps


def _splittable(s: State) -> tuple[sp.Symbol, sp.Expr, sp.Expr] | None:
    """An index v, a divisor m of its extent with v // m in an equation, and extent / m."""
    known = _renamed(s)
    for v, extent in (pair for pair in s.loops if pair[0] not in known):
        for m in _divisors_of(v, s.deltas):
            blocks = Quo(extent, m)
            if not blocks.atoms(Quo):  # else m does not divide the extent as a polynomial
                return v, m, blocks
    return None


def _renamed(s: State) -> set[sp.Symbol]:
    """The indices v that an equation v = p gives, with p an index from outside the sum."""
    loops = {v for v, _ in s.loops}
    found = set()
    for z in s.deltas:
        for v in loops & z.args[0].free_symbols:
            split = linear(z.args[0], v)
            if split is not None and split[0] in (1, -1):
                value = -split[0] * split[1]
                if value.is_Symbol and value not in loops:
                    found.add(v)
    return found


def _divisors_of(v: sp.Symbol, deltas: tuple[IsZero, ...]) -> Iterator[sp.Expr]:
    for delta in deltas:
        for node in sorted(delta.atoms(Quo, Rem), key=sp.default_sort_key):
            if node.args[0] == v:
                yield node.args[1]


def _finish(s: State, steps: tuple[Step, ...], scope: Scope) -> Solution:
    """Drop the guards that cannot fail, and take constant factors out of the sum."""
    kept: list[Guard] = []
    dropped: list[tuple[Guard, Guard | None]] = []
    for g in (*s.guards, *s.deltas):
        certain, because = _certain(g, kept, scope)
        if certain:
            dropped.append((g, because))
        elif g not in kept:
            kept.append(g)
    return Solution(_factored(s, kept), steps, tuple(kept), tuple(dropped))


def _certain(g: Guard, kept: list[Guard], scope: Scope) -> tuple[bool, Guard | None]:
    """Whether g cannot fail, and the guard that implies it (None: the ranges do)."""
    if isinstance(g, Divides):
        return Rem(g.args[1], g.args[0]) == 0, None
    if not isinstance(g, NonNeg):
        return False, None
    if nonneg(g.args[0], scope):
        return True, None
    because = next((k for k in kept if _covers(k, g, scope)), None)
    return because is not None, because


def _factored(s: State, guards: list[Guard]) -> sp.Expr:
    if not s.loops:
        return Reduce("sum", (), guards, s.body) if guards else s.body
    bound = {i for i, _ in s.loops}
    factors = sp.Mul.make_args(s.body)
    outside = [f for f in factors if not f.free_symbols & bound]
    inside = [f for f in factors if f.free_symbols & bound]
    return sp.Mul(*outside) * Reduce("sum", s.loops, guards, sp.Mul(*inside))


def _covers(known: Guard, g: Guard, scope: Scope) -> bool:
    return isinstance(known, NonNeg) and nonneg(g.args[0] - known.args[0], scope)
