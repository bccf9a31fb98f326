"""The text of a register tile: loads, multiply-adds, and what is done with the finished sums."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from math import prod
from typing import TYPE_CHECKING

import sympy as sp

from gradproof.codegen.fast.contraction_bounds import limits
from gradproof.codegen.fast.contraction_schedule import Around, Schedule
from gradproof.codegen.fast.contraction_tile import (
    Phase,
    Point,
    aligned,
    base,
    declared_as,
    live_loops,
    offset,
    points,
    vector_load,
)
from gradproof.codegen.fast.contraction_values import Sources, finish, results
from gradproof.codegen.fast.problem import Read, Tile
from gradproof.codegen.fast.tiles import overlapping
from gradproof.codegen.fast.values import value_text
from gradproof.codegen.fast.window_text import declared, windows

if TYPE_CHECKING:
    from gradproof.codegen.fast.contraction_sums import Shares


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
        "finish": list(finish(p, s, tile, shares, sources)),
        "before": list(declared(p.folds, len(windows(points(tile), p.problem.points)))),
        "after": list(results(p, s, tile)),
    }


# -- sums ---------------------------------------------------------------------------------------
def _sum(p: Phase, s: Schedule, a: Around, tile: Tile) -> dict[str, object]:
    hoisted = {v: piece for v, _, piece in s.hoisted}
    last = a.inner[-1][0] if a.inner else ""

    def bounds(v: str, n: int) -> tuple[str, str, str, int]:
        first, end = (f"{v}_h", f"{v}_h + {hoisted[v]}") if v in hoisted else ("0", str(n))
        return (v, *limits(a.sum, v, first, end, tile, live_loops(s)), a.unroll if v == last else 1)

    lines = [
        f"__global const REAL *p_{r.index} = m_{p.reads[r.index][0]} + {at};"
        for r in a.sum.reads
        for at in [base(s, r.address)]
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
                    yield f"{declared_as(names[at], r.vector)} = {_load(p, r, at[1])};"
            here = {f"r{r.index}": names[r.index, offset(r.address, point)] for r in a.sum.reads}
            here |= {str(x): f"s_{x}" for x in a.sum.term.free_symbols if str(x) not in here}
            vectors = frozenset(f"r{r.index}" for r in a.sum.reads if r.vector)
            term = a.sum.term
            for f in computed:
                own = {str(x) for x in f.free_symbols}
                text, vector = value_text(f, here, vectors), bool(own & vectors)
                if text not in known:
                    known[text] = f"f_{len(known)}"
                    yield f"{declared_as(known[text], vector)} = {text};"
                term = term.subs(f, sp.Symbol(known[text], real=True))
                vectors |= {known[text]} if vector else set()
            yield f"acc_{k} += {value_text(term, here, vectors)};"


def _offsets(r: Read, step: Iterable[tuple[int, Point]]) -> set[int]:
    return {offset(r.address, point) for _, point in step}


def _load(p: Phase, r: Read, at: int) -> str:
    if not r.vector:
        return f"p_{r.index}[{at}]"
    return vector_load(f"p_{r.index}", str(at), aligned(p, r.address))
