"""The text of a register tile: loads, multiply-adds, and what is done with the finished sums."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import product
from math import prod
from typing import TYPE_CHECKING

import sympy as sp

from gradproof.codegen.fast.affine import Affine
from gradproof.codegen.fast.contraction_schedule import Around, Schedule
from gradproof.codegen.fast.problem import LINE, Problem, Read, Tile
from gradproof.codegen.fast.tile_sums import Row
from gradproof.codegen.fast.tiles import overlapping
from gradproof.codegen.fast.transforms import loop
from gradproof.codegen.fast.values import value_text
from gradproof.codegen.fast.window_text import declared, finished, folded, window, windows
from gradproof.codegen.fast.windows import Fold

if TYPE_CHECKING:
    from gradproof.codegen.fast.contraction_sums import Shares

Point = Mapping[str, int]
Sources = Sequence[str]
Term = Callable[[Row, str], Iterable[str]]  # a value, named, becomes a term of a sum
Place = Mapping[str, int | str]  # or the variable of a loop over the places
MANY = 4  # reads of an element's values, and places, from which on the text is loops


@dataclass(frozen=True)
class Store:
    """A value and where it goes; `stored` is False for one that only others read; `whole`: its
    tensor is one of integers; `row`: that of a term of a sum, which is added up
    (`contraction_sums`)."""

    tensor: str
    address: Affine
    value: sp.Expr
    stored: bool = True
    whole: bool = False
    row: Row | None = None


@dataclass(frozen=True)
class Phase:
    """A problem with its reads (tensor, address) by number and its stores in order; in their values
    `acc` is the sum, `r_k` a read, `v_k` the k-th value.

    folds: reductions `a_k` of the values over the points of windows; results: what is stored for
    each window."""

    problem: Problem
    reads: tuple[tuple[str, Affine], ...]
    stores: tuple[Store, ...]
    folds: tuple[Fold, ...] = ()
    results: tuple[Store, ...] = ()


def section(
    p: Phase,
    s: Schedule,
    mine: str,
    number: str,
    shares: Shares | None = None,
    sources: Sources = (),
) -> dict[str, object]:
    """What the template needs for one schedule of a phase; mine: whether a work-group does it,
    number: which of its work-groups that is; `shares`: where its sums over the target go;
    sources: for each accumulator the text that declares it, if the template does not."""
    return {
        "before": shares.before if shares else [],
        "after": shares.after if shares else [],
        "mine": mine,
        "number": number,
        "schedule": s,
        "regions": [
            _region(p, s, base, count, steps, shares, sources) for base, count, steps in s.regions
        ],
    }  # fmt: skip


def _region(
    p: Phase,
    s: Schedule,
    base: int,
    count: int,
    steps: int,
    shares: Shares | None,
    sources: Sources,
) -> dict[str, object]:
    tile: Tile = (((s.tiled, steps),) if s.tiled else ()) + s.factors
    return {
        "first": base,
        "end": base + count * steps,
        "steps": steps,
        "accumulators": [f"acc_{k}" for k in range(prod(n for _, n in tile))],
        "sums": [_sum(p, s, a, tile) for a in s.sums],
        "finish": list(_finish(p, s, tile, shares, sources)),
        "before": list(declared(p.folds, len(windows(points(tile), p.problem.points)))),
        "after": list(_results(p, s, tile)),
    }


def points(tile: Tile) -> list[dict[str, int]]:
    """The places of a tile, in order."""
    names = [v for v, _ in tile]
    return [
        dict(zip(names, x, strict=True)) for x in product(*[range(n) for _, n in tile])
    ]  # fmt: skip


def offset(address: Affine, point: Point) -> int:
    """What a place of the tile adds to an address."""
    return sum(address.coefficient(v) * k for v, k in point.items())


def _base(p: Phase, s: Schedule, address: Affine) -> Affine:
    """The address of the tile's first place; loops that the tile covers have no variable."""
    live = {x[0] for x in s.grid} | {x[0] for x in (*s.outside, *s.inner)} | {s.tiled}
    live |= {v for v, _ in s.points}
    live |= {v for a in s.sums for v, _ in a.sum.loops}
    return Affine(address.const) + address.only(live)


# -- sums ---------------------------------------------------------------------------------------
def _sum(p: Phase, s: Schedule, a: Around, tile: Tile) -> dict[str, object]:
    hoisted = {v: piece for v, _, piece in s.hoisted}
    last = a.inner[-1][0] if a.inner else ""

    def bounds(v: str, n: int) -> tuple[str, int | str, int | str, int]:
        step = a.unroll if v == last else 1
        return (v, f"{v}_h", f"{v}_h + {hoisted[v]}", step) if v in hoisted else (v, 0, n, step)

    lines = [
        f"__global const REAL *p_{r.index} = m_{p.reads[r.index][0]} + {_base(p, s, r.address)};"
        for r in a.sum.reads
    ]
    return {
        "outer": [bounds(*x) for x in a.outer],
        "inner": [bounds(*x) for x in a.inner],
        "rolled": a.unroll == 1 and bool(last) and overlapping(a.sum, tile, last, 2),
        "lines": [*lines, *_multiply_adds(p, a, tile, last)],
    }


def _multiply_adds(p: Phase, a: Around, tile: Tile, last: str) -> Iterator[str]:
    """Loads at first use. Vectors of a step, or of all unrolled steps where no operand is a
    scalar, stay in registers; the operand with the most loads streams by."""
    places = points(tile)
    steps = [[(k, {**x, last: u}) for k, x in enumerate(places)] for u in range(a.unroll)]
    if a.sum.shared:
        steps = [[x for step in steps for x in step]]
    number = 0
    computed = [f for f in sp.Mul.make_args(a.sum.term) if not f.as_base_exp()[0].is_Atom]
    known: dict[str, str] = {}  # operands that are computed from what is loaded, by their text
    for step in steps:
        names: dict[tuple[int, int], str] = {}
        stream = max(a.sum.reads, key=lambda r: (not r.vector, len(_offsets(r, step))))
        for k, point in sorted(step, key=lambda x: offset(stream.address, x[1])):
            for r in a.sum.reads:
                at = (r.index, offset(r.address, point))
                if at not in names:
                    names[at] = f"x_{number}"
                    number += 1
                    yield f"{_declared(names[at], r.vector)} = {_load(p, r, at[1])};"
            here = {f"r{r.index}": names[r.index, offset(r.address, point)] for r in a.sum.reads}
            here |= {str(x): f"s_{x}" for x in a.sum.term.free_symbols if str(x) not in here}
            vectors = frozenset(f"r{r.index}" for r in a.sum.reads if r.vector)
            term = a.sum.term
            for f in computed:
                own = {str(x) for x in f.free_symbols}
                text, vector = value_text(f, here, vectors), bool(own & vectors)
                if text not in known:
                    known[text] = f"f_{len(known)}"
                    yield f"{_declared(known[text], vector)} = {text};"
                term = term.subs(f, sp.Symbol(known[text], real=True))
                vectors |= {known[text]} if vector else set()
            yield f"acc_{k} += {value_text(term, here, vectors)};"


def _offsets(r: Read, step: Iterable[tuple[int, Point]]) -> set[int]:
    return {offset(r.address, point) for _, point in step}


def _load(p: Phase, r: Read, at: int) -> str:
    if not r.vector:
        return f"p_{r.index}[{at}]"
    return vector_load(f"p_{r.index}", str(at), aligned(p, r.address))


def aligned(p: Phase, address: Affine) -> bool:
    """Whether every vector begins at a multiple of the lanes."""
    rest = address.without({p.problem.lane})
    return all(k % LINE == 0 for k in (rest.const, *(k for _, k in rest.terms)))


def vector_load(pointer: str, place: str, is_aligned: bool) -> str:
    """A vector from memory."""
    return f"{'VECTOR' if is_aligned else 'LOADED'}({pointer}, {place})"


def _declared(name: str, vector: bool) -> str:
    return f"const {'REALV' if vector else 'REAL'} {name}"


# -- values -------------------------------------------------------------------------------------
def _finish(
    p: Phase, s: Schedule, tile: Tile, shares: Shares | None, sources: Sources
) -> Iterator[str]:
    """Sums over the lane, partial sums of hoisted loops, then the values and their stores; where
    accumulators have sources, one source after the other unless the order of points matters."""
    target = p.stores[0]
    if not sources and _repeated(p, s, tile, shares):
        yield from _in_loops(p, s, tile)
        return
    if shares:
        yield from shares.begun(points(tile))
    order = list(enumerate(points(tile)))
    if not sources or any(f.kind != "max" for f in p.folds):
        order.sort(key=lambda x: [x[1].get(v, 0) for v in p.problem.points])
    known: set[str] = set()
    for k, point in order:
        if sources and sources[k] not in known:
            known.add(sources[k])
            yield from sources[k].splitlines()
        if p.problem.reduced:
            yield from _across(k)
        if s.hoisted:
            first = " && ".join(f"{v}_h == 0" for v, _, _ in s.hoisted)
            last = " && ".join(f"{v}_h + {n} == {extent}" for v, extent, n in s.hoisted)
            place = _place(p, s, target.address, point)
            whole = _element(p, target.tensor, target.address, place)
            yield f"if (!({first})) {_sum_name(p, k)} += {whole};"
            yield f"if (!({last})) {_stored(p, target, place, _sum_name(p, k))} else {{"
        else:
            yield "{"
        of = window(points(tile), p.problem.points, point)
        term = partial(shares.term, point=point) if shares else None
        yield from (f"    {line}" for line in _values(p, s, k, point, of, term))
        yield "}"
    if shares:
        yield from shares.added(points(tile), s.hoisted)


def _repeated(p: Phase, s: Schedule, tile: Tile, shares: Shares | None) -> bool:
    """Whether the values of all places are the same text, long enough to be written once."""
    reads = {x for store in p.stores for x in store.value.free_symbols if str(x).startswith("r")}
    plain = not (shares or p.folds or p.problem.reduced or s.hoisted)
    return plain and len(reads) >= MANY and len(points(tile)) >= MANY


def _in_loops(p: Phase, s: Schedule, tile: Tile) -> Iterator[str]:
    """The values of all places as loops: unrolled, a compiler takes four times as long."""
    count, number = len(points(tile)), Affine()
    for v, n in tile:
        number = number * n + Affine.of(f"{v}_e")
    yield f"const REALV accs[{count}] = {{{', '.join(f'acc_{k}' for k in range(count))}}};"
    lines = [f"const REALV acc_e = accs[{number}];"]
    lines += _values(p, s, "e", {v: f"{v}_e" for v, _ in tile}, 0, None)
    for v, n in reversed(tile):
        lines = ["#pragma nounroll", *loop(f"{v}_e", str(n), lines)]
    yield from lines


def _across(k: int) -> Iterator[str]:
    yield f"const JOIN(REAL, 8) half_{k} = acc_{k}.lo + acc_{k}.hi;"
    yield f"const JOIN(REAL, 4) quarter_{k} = half_{k}.lo + half_{k}.hi;"
    yield f"const JOIN(REAL, 2) pair_{k} = quarter_{k}.lo + quarter_{k}.hi;"
    yield f"REAL sum_{k} = pair_{k}.lo + pair_{k}.hi;"


def _sum_name(p: Phase, k: int | str) -> str:
    return f"sum_{k}" if p.problem.reduced else f"acc_{k}"


def _place(p: Phase, s: Schedule, address: Affine, point: Place) -> str:
    place = _base(p, s, address.without({p.problem.lane}))
    for v, k in point.items():
        place += (Affine.of(k) if isinstance(k, str) else Affine(k)) * address.coefficient(v)
    return str(place)


def _is_vector(p: Phase, address: Affine) -> bool:
    return not p.problem.reduced and address.coefficient(p.problem.lane) != 0


def _element(p: Phase, tensor: str, address: Affine, place: str) -> str:
    if _is_vector(p, address):
        return vector_load(f"m_{tensor}", place, aligned(p, address))
    return f"m_{tensor}[{place}]"


def _stored(p: Phase, store: Store, place: str, value: str) -> str:
    if p.problem.reduced:
        return f"m_{store.tensor}[{place}] = {value};"
    how = "STORED" if aligned(p, store.address) else "PLACED"
    return f"{how}(m_{store.tensor}, {place}) = {value};"


def _values(
    p: Phase, s: Schedule, k: int | str, point: Place, of: int, term: Term | None
) -> Iterator[str]:
    names = {"acc": _sum_name(p, k)}
    vectors = set() if p.problem.reduced else {"acc"}
    for j, store in enumerate(p.stores):
        yield from _loads(p, s, store.value, point, names, vectors)
        names[f"v{j}"] = f"v_{j}"
        text = _text(store.value, names, vectors)
        vectors |= set() if p.problem.reduced else {f"v{j}"}
        yield f"{_declared(names[f'v{j}'], not p.problem.reduced)} = {text};"
        if store.row is not None and term:
            yield from term(store.row, names[f"v{j}"])
        elif store.stored:
            place = _place(p, s, store.address, point)
            yield _stored(p, store, place, names[f"v{j}"])
    for j, fold in enumerate(p.folds):
        yield from _loads(p, s, fold.term, point, names, vectors)
        place = "" if fold.place is None else _place(p, s, fold.place, point)
        yield from folded(p.folds, j, of, _text(fold.term, names, vectors), place)


def _loads(
    p: Phase, s: Schedule, e: sp.Expr, point: Place, names: dict[str, str], vectors: set[str]
) -> Iterator[str]:
    """The reads of an expression that are not there yet."""
    used = {str(x) for x in e.free_symbols}
    for i, (tensor, address) in enumerate(p.reads):
        r = f"r{i}"
        if r in used and r not in names:
            names[r] = f"y_{i}"
            place = _place(p, s, address, point)
            vector = _is_vector(p, address)
            vectors |= {r} if vector else set()
            yield f"{_declared(names[r], vector)} = {_element(p, tensor, address, place)};"


def _text(e: sp.Expr, names: Mapping[str, str], vectors: set[str]) -> str:
    scalars = {str(x): f"s_{x}" for x in e.free_symbols if str(x) not in names}
    return value_text(e, {**names, **scalars}, frozenset(vectors))


# -- windows ------------------------------------------------------------------------------------
def _results(p: Phase, s: Schedule, tile: Tile) -> Iterator[str]:
    """What is stored for each window."""
    for w, point in enumerate(windows(points(tile), p.problem.points) if p.results else ()):
        names = {f"a{j}": f"a{j}_{w}" for j in range(len(p.folds))}
        vectors = set(names)
        yield "{"
        yield from finished(p.folds, w)
        for store in p.results:
            yield from _loads(p, s, store.value, point, names, vectors)
            place = _place(p, s, store.address, point)
            if store.whole:
                value = f"__builtin_convertvector({names[str(store.value)]}, int16)"
                yield f"PLACED_WHOLE(m_{store.tensor}, {place}) = {value};"
            else:
                yield _stored(p, store, place, _text(store.value, names, vectors))
        yield "}"
