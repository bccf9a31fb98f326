"""What is done with the finished sums of a register tile: values, their stores, windows."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING

import sympy as sp

from gradproof.codegen.fast.affine import Affine
from gradproof.codegen.fast.contraction_schedule import Schedule
from gradproof.codegen.fast.contraction_tile import (
    Phase,
    Store,
    aligned,
    base,
    declared_as,
    points,
    vector_load,
)
from gradproof.codegen.fast.problem import Tile
from gradproof.codegen.fast.tile_sums import Row
from gradproof.codegen.fast.transforms import loop
from gradproof.codegen.fast.values import value_text
from gradproof.codegen.fast.window_text import finished, folded, window, windows

if TYPE_CHECKING:
    from gradproof.codegen.fast.contraction_sums import Shares

Sources = Sequence[str]
Term = Callable[[Row, str], Iterable[str]]  # a value, named, becomes a term of a sum
Place = Mapping[str, int | str]  # or the variable of a loop over the places
MANY = 4  # reads of an element's values, and places, from which on the text is loops


def finish(
    p: Phase, s: Schedule, tile: Tile, shares: Shares | None, sources: Sources
) -> Iterator[str]:
    """Sums over the lane, partial sums of hoisted loops, then the values and their stores; where
    accumulators have sources, one source after the other unless the order of points matters.

    sources: for each accumulator the text that declares it, if the template does not."""
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
    place = base(s, address.without({p.problem.lane}))
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
        yield f"{declared_as(names[f'v{j}'], not p.problem.reduced)} = {text};"
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
            yield f"{declared_as(names[r], vector)} = {_element(p, tensor, address, place)};"


def _text(e: sp.Expr, names: Mapping[str, str], vectors: set[str]) -> str:
    scalars = {str(x): f"s_{x}" for x in e.free_symbols if str(x) not in names}
    return value_text(e, {**names, **scalars}, frozenset(vectors))


# -- windows ------------------------------------------------------------------------------------
def results(p: Phase, s: Schedule, tile: Tile) -> Iterator[str]:
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
