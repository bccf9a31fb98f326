"""A sum of products as a staged, vectorised computation; still equations of the index language.

Any equation  out = f(sum over r of A[...] * B[...], ...)  in which some output index, the lane,
stands alone as a subscript wherever it occurs is rewritten as

    A_packed[block, ..., l] = A[..., LANES*block + l, ...]      the lane innermost, zeros at the end
    B_packed[..., p - low]  = B[..., p]                         a halo of zeros for guarded reads
    out                     = f(sum over r of A_packed[o // LANES, ..., o % LANES] * B_packed[...])

The rewrite reads access patterns only. A guard disappears only because it is the range of a read
whose zero makes the whole product zero. Sizes that must be 1 for quotients to vanish (one group,
stride 1) become conditions of the schedule.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

import sympy as sp

from gradproof.derive.bounds import Scope, nonneg
from gradproof.derive.expr import (
    Divides,
    Guard,
    NonNeg,
    Quo,
    Read,
    Reduce,
    Rem,
    fresh,
    integer,
    linear,
    reads,
    reduces,
    substitute,
)
from gradproof.derive.language import Definition, Equation, Tensor

LANES = integer("LANES")


@dataclass(frozen=True)
class Contraction:
    """The staged form of one equation.

    `definition` holds the packed tensors; `packs` define them, `equation` reads them. `lane` is the
    index that runs along vectors, `tiles` those that may be tiled in registers: no vector operand
    depends on them. `when`: sizes that must have these values.
    """

    definition: Definition
    packs: tuple[Equation, ...]
    equation: Equation
    lane: sp.Symbol
    tiles: tuple[sp.Symbol, ...]
    vectors: tuple[str, ...]
    when: tuple[tuple[sp.Symbol, int], ...]


@dataclass(frozen=True)
class _Term:
    """The one sum of an equation, under the conditions: its reads and their ranges."""

    definition: Definition
    equation: Equation
    reduction: Reduce
    scope: Scope
    when: tuple[tuple[sp.Symbol, int], ...]


def contraction(d: Definition, e: Equation) -> Contraction | None:
    """The staged form of an equation, or None where its access pattern has none."""
    term = _one_product(d, e)
    if term is None:
        return None
    halos = _halos(term)
    lane = _choose_lane(term, halos) if halos is not None else None
    if halos is None or lane is None:
        return None
    packs: list[Equation] = []
    tensors: list[Tensor] = []
    vectors: list[str] = []
    mapping: dict[sp.Basic, sp.Basic] = {}
    for read in reads(term.reduction.body):
        name = fresh(read.tensor, {t.name.rsplit("_", 1)[0] for t in tensors})
        if lane in read.free_symbols:
            pack, packed, target = _pack_lane(term, read, lane, name)
            vectors.append(target.name)
        elif halos[read]:
            pack, packed, target = _pack_halo(term, read, halos[read], name)
        else:
            continue
        packs.append(pack)
        tensors.append(target)
        mapping[read] = packed
    body = substitute(term.reduction.body, mapping)
    plain = Reduce("sum", term.reduction.indices, (), body)
    value = substitute(term.equation.body, {term.reduction: plain})
    staged = replace(term.definition, tensors=(*term.definition.tensors, *tensors))
    vector_symbols = {
        s for r in reads(term.reduction.body) if lane in r.free_symbols for s in r.free_symbols
    }
    tiles = tuple(i for i in e.indices if i not in vector_symbols)
    return Contraction(
        staged, tuple(packs), replace(e, body=value), lane, tiles, tuple(vectors), term.when
    )


def _one_product(d: Definition, e: Equation) -> _Term | None:
    """The equation as one sum of one product of different reads, with its quotients gone."""
    sums = reduces(e.body)
    if len(sums) != 1 or sums[0].kind != "sum" or not sums[0].indices:
        return None
    factors = sp.Mul.make_args(sums[0].body)
    if len(factors) < 2 or not all(isinstance(f, Read) for f in factors):
        return None
    if any(d.tensor(f.tensor).dtype != "real" for f in factors):
        return None
    around = reads(substitute(e.body, {sums[0]: sp.Integer(0)}))
    if any(d.tensor(r.tensor).outside != "forbidden" for r in around):
        return None
    when: dict[sp.Symbol, int] = {}
    for _ in range(8):  # each round removes at least one quotient
        d1, e1 = _with_sizes(d, e, when)
        node = next(_divisions(e1), None)
        if node is None:
            (r,) = reduces(e1.body)
            scope = d1.scope(e1).with_indices(dict(r.indices))
            return _Term(d1, e1, r, scope, tuple(sorted(when.items(), key=str)))
        size = next((s for s in _candidates(d1, e1, node) if _removes(d, e, when, s)), None)
        if size is None:
            return None
        when[size] = 1
    return None


def _removes(d: Definition, e: Equation, when: Mapping[sp.Symbol, int], size: sp.Symbol) -> bool:
    before = len(list(_divisions(_with_sizes(d, e, when)[1])))
    return len(list(_divisions(_with_sizes(d, e, {**when, size: 1})[1]))) < before


def _divisions(e: Equation) -> Iterator[sp.Basic]:
    yield from sorted(e.body.atoms(Quo, Rem, Divides), key=sp.default_sort_key)


def _candidates(d: Definition, e: Equation, node: sp.Basic) -> list[sp.Symbol]:
    """Sizes that may make a division trivial: a factor of the numerator's extent, the divisor."""
    extents = dict(zip(e.indices, d.tensor(e.target).shape, strict=True))
    numerator = node.args[1] if isinstance(node, Divides) else node.args[0]
    divisor = node.args[0] if isinstance(node, Divides) else node.args[1]
    sizes = set(d.sizes)
    inner = {s for i in numerator.free_symbols if i in extents for s in extents[i].free_symbols}
    outer = divisor.free_symbols
    return sorted((inner - outer) & sizes, key=str) + sorted(outer & sizes, key=str)


def _with_sizes(
    d: Definition, e: Equation, values: Mapping[sp.Symbol, int]
) -> tuple[Definition, Equation]:
    """Definition and equation with some sizes fixed, and what then simplifies."""
    known = {s: sp.Integer(v) for s, v in values.items()}
    tensors = tuple(
        replace(t, shape=tuple(sp.expand(n.xreplace(known)) for n in t.shape)) for t in d.tensors
    )
    d = replace(d, tensors=tensors)
    e = replace(e, body=_in_range(e.body.xreplace(known), d.scope(e)))
    return d, e


def _in_range(body: sp.Expr, outer: Scope) -> sp.Expr:
    """x // m = 0 and x % m = x where 0 <= x < m; 1 divides everything."""
    for r in reduces(body):
        scope = outer.with_indices(dict(r.indices))
        trivial: dict[sp.Basic, sp.Basic] = {}
        for node in r.atoms(Quo, Rem):
            a, b = node.args
            if nonneg(a, scope) and nonneg(b - 1 - a, scope):
                trivial[node] = sp.Integer(0) if isinstance(node, Quo) else a
        new = r.xreplace(trivial)
        guards = [g for g in new.guards if not (isinstance(g, Divides) and g.args[0] == 1)]
        guards = [g for g in guards if not (isinstance(g, NonNeg) and nonneg(g.args[0], scope))]
        body = body.xreplace({r: Reduce(new.kind, new.indices, guards, new.body)})
    return body


Halo = Mapping[int, tuple[sp.Expr, sp.Expr]]  # dimension -> least and greatest subscript


def _halos(t: _Term) -> dict[Read, Halo] | None:
    """Which dimensions of which reads need a halo; None where a guard is not a read's range."""
    open_guards: list[Guard] = list(t.reduction.guards)
    out: dict[Read, Halo] = {}
    for read in reads(t.reduction.body):
        tensor = t.definition.tensor(read.tensor)
        halo: dict[int, tuple[sp.Expr, sp.Expr]] = {}
        for k, (s, extent) in enumerate(zip(read.subscripts, tensor.shape, strict=True)):
            range_guards = (NonNeg(s), NonNeg(extent - 1 - s))
            ours = [g for g in open_guards if g in range_guards]
            leaves = tensor.outside == "zero" and not (
                nonneg(s, t.scope) and nonneg(extent - 1 - s, t.scope)
            )
            if ours or leaves:
                low, high = (_extreme(s, t.scope, end) for end in (0, 1))
                if low is None or high is None:
                    return None
                halo[k] = (low, high)
            open_guards = [g for g in open_guards if g not in ours]
        out[read] = halo
    return None if open_guards else out


def _choose_lane(t: _Term, halos: Mapping[Read, Halo]) -> sp.Symbol | None:
    """An output index that stands alone wherever it occurs, in reads without a halo; not in all
    reads, so that something is broadcast. The last one: its elements lie closest together."""
    found = [i for i in t.equation.indices if _can_be_lane(t, i, halos)]
    return found[-1] if found else None


def _can_be_lane(t: _Term, i: sp.Symbol, halos: Mapping[Read, Halo]) -> bool:
    having = [r for r in reads(t.reduction.body) if i in r.free_symbols]
    if not having or len(having) == len(reads(t.reduction.body)):
        return False
    return all(
        [s for s in r.subscripts if i in s.free_symbols] == [i]
        and not halos[r]
        and all(s.is_Symbol for s in r.subscripts)
        for r in having
    )


def _pack_lane(t: _Term, read: Read, lane: sp.Symbol, name: str) -> tuple[Equation, Read, Tensor]:
    tensor = t.definition.tensor(read.tensor)
    at = read.subscripts.index(lane)
    names = _names(t, len(tensor.shape))
    inner = integer(fresh("l", map(str, names)))
    blocks = Quo(tensor.shape[at] + LANES - 1, LANES)
    shape = (*tensor.shape[:at], blocks, *tensor.shape[at + 1 :], LANES)
    source = (*names[:at], LANES * names[at] + inner, *names[at + 1 :])
    target = Tensor(f"{name}_lanes", shape)
    subscripts = (*read.subscripts[:at], Quo(lane, LANES), *read.subscripts[at + 1 :])
    pack = Equation(target.name, (*names, inner), Read(tensor.name, *source))
    return pack, Read(target.name, *subscripts, Rem(lane, LANES)), target


def _pack_halo(t: _Term, read: Read, halo: Halo, name: str) -> tuple[Equation, Read, Tensor]:
    tensor = t.definition.tensor(read.tensor)
    names = _names(t, len(tensor.shape))
    shape, source, subscripts = list(tensor.shape), list(names), list(read.subscripts)
    for k, (low, high) in halo.items():
        shape[k] = sp.expand(high - low + 1)
        source[k] = names[k] + low
        subscripts[k] = sp.expand(read.subscripts[k] - low)
    target = Tensor(f"{name}_halo", tuple(shape))
    pack = Equation(target.name, names, Read(tensor.name, *source))
    return pack, Read(target.name, *subscripts), target


def _extreme(p: sp.Expr, scope: Scope, end: int) -> sp.Expr | None:
    """The least (end 0) or greatest (end 1) value of a subscript over the indices' ranges; None
    where the sign of a coefficient is not known."""
    for i in sorted(p.free_symbols & set(scope.extents), key=str):
        split = linear(p, i)
        if split is None or not (nonneg(split[0], scope) or nonneg(-split[0], scope)):
            return None
        c, r = split
        at_end = nonneg(c, scope) == bool(end)
        p = sp.expand(r + (c * (scope.extents[i] - 1) if at_end else 0))
    return p


def _names(t: _Term, rank: int) -> tuple[sp.Symbol, ...]:
    taken = {x.name for x in t.definition.tensors}
    return tuple(integer(fresh(f"a{k}", taken)) for k in range(rank))
