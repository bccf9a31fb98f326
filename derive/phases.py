"""A sum over the taps that divide evenly, as a sum over exactly these taps.

A gradient through a stride visits a tap i only where c divides t = t0 - i, and reads the output
t // c (S divides x + P - i). With t0 = c*Quo(t0, c) + Rem(t0, c) these taps are, for m = 0, 1, ...,

    i = Rem(t0, c) + c*m = t0 - c*q,    q = Quo(t, c) = Quo(t0, c) - m

and no others: no divisibility is tested, and nothing is upsampled. Where the coefficient of i is
not -1 but a product of sizes (the dilation), these have to be 1, a condition on the new form.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import sympy as sp

from gradproof.derive.bounds import nonneg, positive
from gradproof.derive.expr import (
    Divides,
    Guard,
    NonNeg,
    Quo,
    Reduce,
    Rem,
    fresh,
    integer,
    linear,
    reduces,
)
from gradproof.derive.language import Definition, Equation
from gradproof.derive.nest import Named


@dataclass(frozen=True)
class Phases:
    """The phase-split form of one equation.

    `equation` is the form as such; `named` is the same with taps and quotients as names, whose
    values are `names`, in an order in which they can be computed. `when`: sizes that must be 1.
    """

    equation: Equation
    named: Equation
    names: Named
    when: tuple[tuple[sp.Symbol, int], ...]


@dataclass(frozen=True)
class _Axis:
    """One guard `c divides t0 - unit*tap`; extent of the tap; sizes whose product is `unit`."""

    guard: Divides
    tap: sp.Symbol
    extent: sp.Expr
    start: sp.Expr
    unit: tuple[sp.Symbol, ...]


def phase_split(d: Definition, e: Equation) -> Phases | None:
    """The phase-split form of an equation, or None where no sum has a tap that must divide evenly.

    >>> from gradproof.derive.registry import find
    >>> from gradproof.derive.system import derive
    >>> backward = derive(find("max_pool2d")).backward
    >>> phase_split(backward, backward.equations[0]).when
    ((DH, 1), (DW, 1))
    """
    found = {r: axes for r in reduces(e.body) if (axes := list(_axes(d, r)))}
    if not found:
        return None
    ones = {s for axes in found.values() for a in axes for s in a.unit}
    known: dict[sp.Symbol, sp.Expr] = {s: sp.Integer(1) for s in ones}
    taken = {str(s) for s in (*e.body.atoms(sp.Symbol), *e.indices, *d.sizes)}
    taken |= {t.name for t in d.tensors} | {str(s) for s, _ in d.derived} | dict(d.scalars).keys()
    names: list[tuple[sp.Symbol, sp.Expr]] = []
    named: dict[sp.Basic, sp.Basic] = {}
    inlined: dict[sp.Basic, sp.Basic] = {}
    for r, axes in found.items():
        new, own = r.xreplace(known), dict[sp.Symbol, sp.Expr]()
        for a in axes:
            used = {name for name, _ in names}
            new, more = _split(new, a, known, taken, a.tap in used)
            own |= more
            names += more.items()
        named[r.xreplace(known)] = new
        for name, value in reversed(own.items()):
            new = new.xreplace({name: value})
        inlined[r.xreplace(known)] = new
    body = e.body.xreplace(known)
    when = tuple((s, 1) for s in sorted(ones, key=str))
    return Phases(
        replace(e, body=body.xreplace(inlined)),
        replace(e, body=body.xreplace(named)),
        tuple(names),
        when,
    )


def _axes(d: Definition, r: Reduce) -> Iterator[_Axis]:
    """The taps of a sum that have to divide evenly, one guard for each."""
    if r.kind != "sum":
        return
    extents, sizes, lower = dict(r.indices), set(d.sizes), d.scope().lower
    done: set[sp.Symbol] = set()
    for g in r.guards:
        if not isinstance(g, Divides) or g.args[0].free_symbols & set(extents):
            continue
        c, t = g.args
        taps = sorted(t.free_symbols & set(extents), key=str)
        split = linear(t, taps[0]) if len(taps) == 1 and taps[0] not in done else None
        if (
            split is None
            or not positive(c, d.scope())
            or not nonneg(extents[taps[0]] - 1, d.scope())
        ):
            continue
        unit = sp.Mul.make_args(-split[0])
        ones = tuple(s for s in unit if s != 1)
        if (
            all(s in sizes and lower.get(s, 1) <= 1 for s in ones)
            and extents[taps[0]].free_symbols <= sizes
        ):
            done.add(taps[0])
            yield _Axis(g, taps[0], extents[taps[0]], split[1], ones)


def _split(
    r: Reduce, a: _Axis, known: dict[sp.Symbol, sp.Expr], taken: set[str], used: bool
) -> tuple[Reduce, dict[sp.Symbol, sp.Expr]]:
    """The sum with one tap visited only where it divides evenly, and what is named for that.

    used: the tap has another name here, since another sum has one of its name."""
    c, t = (p.xreplace(known) for p in a.guard.args)
    start, extent = a.start.xreplace(known), a.extent.xreplace(known)
    m, q = _fresh(f"{a.tap}_m", taken), _fresh(f"{a.tap}_q", taken)
    tap = _fresh(str(a.tap), taken) if used else a.tap
    loops = [(m, Quo(extent + c - 1, c)) if i == a.tap else (i, n) for i, n in r.indices]
    divided = {Quo(t, c): q, Rem(t, c): sp.Integer(0), a.tap: tap}
    guards: list[Guard] = [NonNeg(extent - 1 - tap)]
    for g in r.guards:
        if g == Divides(c, t):
            continue
        same = isinstance(g, NonNeg) and g.args[0] == sp.expand(t)  # c*q >= 0 iff q >= 0
        guards.append(NonNeg(q) if same else g.xreplace(divided))
    names = {q: Quo(start, c) - m, tap: start - c * q}
    return Reduce("sum", loops, guards, r.body.xreplace(divided)), names


def _fresh(name: str, taken: set[str]) -> sp.Symbol:
    found = fresh(name, taken)
    taken.add(found)
    return integer(found)
