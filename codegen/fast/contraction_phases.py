"""A nest on its layouts with the elementwise nests behind it, for each possible lane."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace

import sympy as sp

from gradproof.codegen.fast.affine import Affine
from gradproof.codegen.fast.contraction_bounds import bounds_of
from gradproof.codegen.fast.contraction_tile import Phase, Store
from gradproof.codegen.fast.layout import Layout
from gradproof.codegen.fast.nest import Access, Loop, Nest
from gradproof.codegen.fast.problem import Problem, Read, Sum
from gradproof.codegen.fast.program import LANES
from gradproof.codegen.fast.strided import Strided, fused_loops, strided
from gradproof.codegen.fast.tile_sums import Row
from gradproof.codegen.fast.windows import Windowed, windowed

Values = tuple[tuple[Access, sp.Expr], ...]
Together = tuple[Nest, Values, Windowed | None]
Rows = Mapping[str, Row]


def phases(
    n: Nest,
    layouts: Mapping[str, Layout],
    epilogue: tuple[Nest, ...],
    store: bool,
    rows: Rows | None = None,
) -> Iterator[Phase]:
    """One for each lane; none where the layouts or the nests do not allow it. rows: of the nests of
    the epilogue that are terms of sums."""
    if any(r.kind != "sum" or r.guards or r.conditions for r in n.reductions):
        return
    pools = tuple(e for e in epilogue if e.reductions)
    together = _over_windows(n, epilogue, store) if pools else _together(n, epilogue)
    if together is None or _ambiguous(n):
        return
    whole, values, pooled = together
    s = strided(_split_digits(whole, layouts), layouts)
    if s is None or any(r.guards for r in s.reductions):
        return
    points = frozenset(pooled.points if pooled else ())
    if not points <= set(dict(s.loops)):
        return
    for one, lane, reduced in _lanes(s):
        within = [bounds_of(one, r, lane, layouts) for r in one.reductions]
        kept = points.union({lane}, *(b.loops for found in within for b in found))
        fused = fused_loops(one, kept) if one.reductions else one
        phase = _phase(fused, lane, reduced, values, store, rows or {}, within)
        if phase is None or (pooled and (reduced or lane in points)):
            continue
        yield _pooled(phase, pooled) if pooled else phase


def _ambiguous(n: Nest) -> bool:
    """A loop that has two extents, or occurs in a value or a term by itself."""
    pairs = {x for r in n.reductions for x in r.loops} | set(n.loops)
    names = {v for v, _ in pairs}
    symbols = {str(x) for e in (n.value, *(r.term for r in n.reductions)) for x in e.free_symbols}
    return len(names) < len(pairs) or bool(names & symbols)


# -- loops --------------------------------------------------------------------------------------
def _split_digits(n: Nest, layouts: Mapping[str, Layout]) -> Nest:
    """A loop that runs along several blocks within a longer subscript (groups), split like it."""
    extents = n.extents
    blocks: dict[str, int] = {}
    for a in (n.out, *n.reads):
        for d, s in enumerate(a.subscripts):
            b = layouts[a.tensor].block(d)
            if b > 1 and not s.plain:
                blocks |= {
                    v: b for v, k in s.terms if k == 1 and extents[v] > b and extents[v] % b == 0
                }
    where = {v: Affine.of(f"{v}_o") * b + Affine.of(f"{v}_i") for v, b in blocks.items()}

    def split(loops: tuple[Loop, ...]) -> tuple[Loop, ...]:
        new: list[Loop] = []
        for v, e in loops:
            b = blocks.get(v, 1)
            new += [(v, e)] if b == 1 else [(f"{v}_o", e // b), (f"{v}_i", b)]
        return tuple(new)

    def access(a: Access) -> Access:
        return replace(a, subscripts=tuple(s.substitute(where) for s in a.subscripts))

    return replace(
        n,
        out=access(n.out),
        loops=split(n.loops),
        reads=tuple(map(access, n.reads)),
        reductions=tuple(replace(r, loops=split(r.loops)) for r in n.reductions),
    )


def _lanes(s: Strided) -> Iterator[tuple[Strided, str, bool]]:
    """Loops of 16 neighbours (or a multiple) that may be the lane; whether they are summed."""
    summed = [r.loops for r in s.reductions]
    for v, n in (*s.loops, *(summed[0] if len(summed) == 1 else ())):
        if n % LANES == 0:
            one = s if n == LANES else _halved(s, v)
            yield one, v, (v, n) not in s.loops


def _halved(s: Strided, loop: str) -> Strided:
    """A loop of several blocks as one over the blocks, `loop`_b, and one within."""
    where = {loop: Affine.of(f"{loop}_b") * LANES + Affine.of(loop)}

    def split(loops: tuple[Loop, ...]) -> tuple[Loop, ...]:
        new: list[Loop] = []
        for v, n in loops:
            new += [(f"{v}_b", n // LANES), (v, LANES)] if v == loop else [(v, n)]
        return tuple(new)

    return replace(
        s,
        loops=split(s.loops),
        out=s.out.substitute(where),
        reads=tuple(p.substitute(where) for p in s.reads),
        reductions=tuple(replace(r, loops=split(r.loops)) for r in s.reductions),
    )


def _store(tensor: str, address: Affine, value: sp.Expr, rows: Rows, stored: bool) -> Store:
    row = rows.get(tensor)
    return Store(tensor, address, value, stored and row is None, row=row)


def _phase(
    s: Strided,
    lane: str,
    reduced: bool,
    values: Values,
    store: bool,
    rows: Rows,
    within: list[tuple[Affine, ...]],
) -> Phase | None:
    """The phase with this lane; None where some address does not run along it in steps of 1."""
    count = len(s.reads) - (len(values) - 1)
    stores = tuple(
        _store(a.tensor, address, value, rows, store or j > 0)
        for j, ((a, value), address) in enumerate(
            zip(values, (s.out, *s.reads[count:]), strict=True)
        )
    )
    reads = tuple((s.nest.reads[k].tensor, s.reads[k]) for k in range(count))
    sums = tuple(
        Sum(
            tuple(x for x in r.loops if x[0] != lane),
            tuple(
                Read(k, s.reads[k], s.reads[k].coefficient(lane) == 1) for k in s.nest.used(r.term)
            ),
            r.term,
            bounds,
        )
        for r, bounds in zip(s.reductions, within, strict=True)
    )
    along = [x.address.coefficient(lane) for x in stores]
    if any(k != (0 if reduced else 1) for k in along):
        return None
    if any(p.coefficient(lane) not in (0, 1) for _, p in reads):
        return None
    factors = [[r.vector for r in x.reads] for x in sums]
    if not all(all(f) if reduced else any(f) for f in factors):
        return None
    loops = tuple(x for x in s.loops if x[0] != lane)
    return Phase(Problem(loops, s.out, sums, lane, reduced), reads, stores)


# -- windows ------------------------------------------------------------------------------------
def _over_windows(n: Nest, pools: tuple[Nest, ...], store: bool) -> Together | None:
    """The nest over windows, with the values of their reductions behind its own."""
    value = _of_one_sum(n)
    pooled = None if value is None else windowed(n, pools)
    if value is None or pooled is None or (store and not pooled.whole):
        return None
    found = pooled.producer
    values = ((found.out, value), *pooled.results)
    reads = (*found.reads, *(a for a, _ in pooled.results))
    return replace(found, reads=reads), values, pooled


def _pooled(phase: Phase, pooled: Windowed) -> Phase:
    """The phase with what it stores for each window apart."""
    places = {f"a{k}" for k, f in enumerate(pooled.folds) if f.kind == "argmax"}
    first, *rest = phase.stores
    results = tuple(replace(x, whole=str(x.value) in places) for x in rest)
    return replace(
        phase,
        problem=replace(phase.problem, points=pooled.points, folds=len(pooled.folds)),
        stores=(first,),
        folds=pooled.folds,
        results=results,
    )


# -- values -------------------------------------------------------------------------------------
def _together(n: Nest, epilogue: tuple[Nest, ...]) -> Together | None:
    """The nest with the reads of its epilogue, and every value with its place; last among the
    reads stand the places that the epilogue writes."""
    value = _of_one_sum(n)
    if value is None:
        return None
    reads = list(n.reads)
    values = [(n.out, value)]
    for e in epilogue:
        where = _where(e, [a for a, _ in values])
        if where is None or e.reductions:
            return None
        named: dict[sp.Basic, sp.Basic] = {}
        for k, a in enumerate(e.reads):
            here = replace(a, subscripts=tuple(s.substitute(where) for s in a.subscripts))
            named[_symbol(f"r{k}")] = _known(here, values, reads)
        if {str(x) for x in e.value.free_symbols} & set(where):
            return None
        out = replace(e.out, subscripts=tuple(s.substitute(where) for s in e.out.subscripts))
        values.append((out, e.value.xreplace(named)))
    scalars = tuple(dict.fromkeys(s for x in (n, *epilogue) for s in x.scalars))
    reads += [a for a, _ in values[1:]]
    written = {a.tensor for a, _ in values}
    summed = {n.reads[k].tensor for r in n.reductions for k in n.used(r.term)}
    if written & summed:
        return None
    return replace(n, reads=tuple(reads), scalars=scalars), tuple(values), None


def _known(a: Access, values: list[tuple[Access, sp.Expr]], reads: list[Access]) -> sp.Symbol:
    """The value just computed for this place, or a read."""
    for j, (out, _) in enumerate(values):
        if (a.tensor, a.subscripts) == (out.tensor, out.subscripts):
            return _symbol(f"v{j}")
    if a not in reads:
        reads.append(a)
    return _symbol(f"r{reads.index(a)}")


def _symbol(name: str) -> sp.Symbol:
    return sp.Symbol(name, real=True)


def _of_one_sum(n: Nest) -> sp.Expr | None:
    """The value over `acc`, the sum of all sums; None where it is no function of that."""
    acc = _symbol("acc")
    first = {_symbol(f"a{k}"): acc if k == 0 else sp.Integer(0) for k in range(len(n.reductions))}
    value = n.value.xreplace(first)
    total = sp.Add(*first) if first else sp.Integer(0)
    loops = set(n.extents)
    if {str(x) for x in value.free_symbols} & loops:
        return None
    if len(first) > 1 and sp.expand(value.xreplace({acc: total}) - n.value) != 0:
        return None
    return value


def _where(e: Nest, computed: list[Access]) -> dict[str, Affine] | None:
    """The loops of an elementwise nest in those of a value that it reads."""
    loops = {v for v, _ in e.loops}
    for a in e.reads:
        for out in computed:
            if a.tensor == out.tensor:
                pairs = zip(a.subscripts, out.subscripts, strict=True)
                found = {s.plain: x for s, x in pairs if s.plain}
                if set(found) == loops:
                    return {str(v): x for v, x in found.items()}
    return None
