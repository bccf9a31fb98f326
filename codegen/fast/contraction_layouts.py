"""The layouts that the direct schedule wants: which loop is the lane, and what is blocked with it.

The lane is an output loop that is plain wherever it occurs and that some factor lacks (that one is
broadcast). Of several, the one that fills its vectors and runs through the smaller factors wins:
channels in most networks; the batch where channels are few. A loop that all factors have will do
(a product for each channel apart), and so will a summed loop that all factors have.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from math import prod

import sympy as sp

from gradproof.codegen.fast.affine import Affine
from gradproof.codegen.fast.layout import Layout
from gradproof.codegen.fast.nest import Access, Nest
from gradproof.codegen.fast.operands import plain

# Costs, relative to a full vector with a broadcast factor; measured, and rough on purpose.
_LARGER = 1.4  # the lane runs through the larger factor
_EVERYWHERE = 1.1  # no factor is broadcast
_SUMMED = 1.15  # the lane is summed at the end, ...
_ELSEWHERE = 1.5  # for each tensor that others block along another dimension
_ACROSS = 8.0  # ... which costs this many multiply-adds


@dataclass(frozen=True)
class _Lane:
    loop: str
    reduced: bool
    cost: float
    place: int  # of the loop in the target


def products(nests: tuple[Nest, ...]) -> bool:
    """Whether these phases are sums of a product of two or more different operands."""
    sums = [(n, r) for n in map(plain, nests) for r in n.reductions]
    return bool(sums) and all(
        r.kind == "sum"
        and not r.guards
        and not r.conditions
        and (r.loops or len(nests) > 1)
        and len(_factors(n, r.term)) >= 2
        for n, r in sums
    )


def _factors(n: Nest, term: sp.Expr) -> set[sp.Basic]:
    """The different reads that are factors of a term."""
    names = {f"r{k}" for k in range(len(n.reads))}
    bases = (f.as_base_exp()[0] for f in sp.Mul.make_args(term))
    return {b for b in bases if str(b) in names}


def contraction_layouts(
    nests: tuple[Nest, ...],
    shapes: Mapping[str, tuple[int, ...]],
    lanes: int = 16,
    prefer: Mapping[str, int] | None = None,
) -> dict[str, Layout] | None:
    """A layout for the target and every read of the phases of one equation, borders included; None
    where it is no sum of products or no loop can be the lane.

    prefer: dimensions along which others block some of the tensors.

    >>> from gradproof.derive.ops.linear import linear
    >>> from gradproof.codegen.fast.specialise import specialise
    >>> nests = specialise(linear, linear.equations[0], {"N": 8, "K": 8, "O": 32})
    >>> found = contraction_layouts(nests, {"z": (8, 32), "Y": (8, 8), "w": (32, 8), "b": (32,)})
    >>> found["w"].axes, found["Y"].axes
    (((0, 16, 2), (1, 1, 8), (0, 1, 16)), ((0, 1, 8), (1, 1, 8)))
    """
    if not products(nests):
        return None
    nests = tuple(map(plain, nests))
    main = max(nests, key=lambda n: (prod(n.extents.values()), bool(n.reductions)))
    found = _choose(main, lanes, prefer or {})
    if found is None:
        return None
    out: dict[str, Layout] = {}
    broadcast = {a.tensor: _block(a, found.loop, main, lanes) for a in main.reads}
    blocked = {u for a in main.reads if (u := broadcast[a.tensor]) is not None}
    names = dict.fromkeys(a.tensor for n in nests for a in (n.out, *n.reads))
    for tensor in names:
        low, high = border(tensor, nests, shapes[tensor])
        access = next((a for a in (main.out, *main.reads) if a.tensor == tensor), None)
        lane = None if access is None else _dimension(access, found.loop, main)
        if access is not None and lane is not None:
            second = _second(access, blocked - {found.loop}, lane, main, lanes)
            order = _order(access, lane, main)
            out[tensor] = Layout.blocked(
                shapes[tensor], lane, lanes=lanes, low=low, high=high, second=second, order=order
            )
            continue
        dim = None
        if access is not None and (loop := broadcast.get(tensor)) is not None:
            dim = _dimension(access, loop, main)
        shape = shapes[tensor]
        last = len(shape) - 1
        if dim is None or (dim == last and not _down(access, last, main)):
            out[tensor] = Layout.row_major(shape, low, high)
        else:
            columns = (last, *range(last)) if dim == last else ()
            out[tensor] = Layout.blocked(shape, dim, lanes=lanes, low=low, high=high, order=columns)
    return out


# -- the lane -----------------------------------------------------------------------------------
def _choose(n: Nest, lanes: int, prefer: Mapping[str, int]) -> _Lane | None:
    term_reads = _term_reads(n)
    found = []
    for v, e in n.loops:
        if _dimension(n.out, v, n) is not None and _along(term_reads, v, n):
            cost = _output_cost(term_reads, v) * -(-e // lanes) * lanes / e
            cost *= _against(n, v, prefer)
            found.append(_Lane(v, False, cost, _place(n.out, v)))
    for v, e in n.reductions[0].loops if len(n.reductions) == 1 else ():
        everywhere = all(v in a.loops for a in term_reads)
        if everywhere and e % lanes == 0 and _along(term_reads, v, n):
            steps = prod(x for _, x in n.reductions[0].loops) / lanes
            cost = (_SUMMED + _ACROSS / steps) * _against(n, v, prefer)
            found.append(_Lane(v, True, cost, 0))
    first = all(not (a.subscripts[0].loops & set(dict(n.loops))) for a in term_reads)
    return min(
        found, key=lambda x: (round(x.cost, 3), x.place if first else -x.place), default=None
    )


def _against(n: Nest, v: str, prefer: Mapping[str, int]) -> float:
    """What it costs that tensors are blocked along other dimensions than this lane's."""
    cost = 1.0
    for a in (n.out, *_term_reads(n)):
        if a.tensor in prefer and v not in a.subscripts[prefer[a.tensor]].loops:
            cost *= _ELSEWHERE
    return cost


def _term_reads(n: Nest) -> tuple[Access, ...]:
    return tuple(n.reads[k] for k in sorted({k for r in n.reductions for k in n.used(r.term)}))


def _along(term_reads: Iterable[Access], v: str, n: Nest) -> bool:
    """Whether the loop is a digit of a subscript in every factor where it occurs."""
    having = [a for a in term_reads if v in a.loops]
    return bool(having) and all(_dimension(a, v, n) is not None for a in having)


def _output_cost(term_reads: tuple[Access, ...], v: str) -> float:
    having = [a for a in term_reads if v in a.loops]
    larger = max(len(a.loops) for a in having) > min(len(a.loops) for a in term_reads)
    if len(having) == len(term_reads):
        return _EVERYWHERE
    return _LARGER if larger else 1.0


def _place(a: Access, v: str) -> int:
    return [v in s.loops for s in a.subscripts].index(True)


def _dimension(a: Access, v: str, n: Nest) -> int | None:
    """The one dimension along which a loop runs, plain or as the last digit of whole blocks."""
    places = [d for d, s in enumerate(a.subscripts) if v in s.loops]
    if len(places) != 1:
        return None
    return places[0] if _is_digit(a.subscripts[places[0]], v, n.extents) else None


def _is_digit(s: Affine, v: str, extents: Mapping[str, int], lanes: int = 16) -> bool:
    if s.plain == v:
        return True
    rest = s.without({v})
    e = extents[v]
    return (
        s.coefficient(v) == 1
        and e % lanes == 0
        and rest.const % e == 0
        and all(k % e == 0 for _, k in rest.terms)
    )


# -- what else is blocked -----------------------------------------------------------------------
def _block(a: Access, lane: str, n: Nest, lanes: int) -> str | None:
    """The loop along which a broadcast factor is blocked: that of its first dimension but one
    (loops that all accesses have do not count), where whole blocks fill it."""
    if lane in a.loops or a not in _term_reads(n):
        return None
    everywhere = frozenset.intersection(*(x.loops for x in (n.out, *_term_reads(n))))
    dims = [s for s in a.subscripts if s.loops and not s.loops <= everywhere]
    for s in dims[1:] or dims:
        for v in sorted(s.loops):
            if _is_digit(s, v, n.extents, lanes):
                return v if n.extents[v] % lanes == 0 else None
    return None


def _down(a: Access | None, last: int, n: Nest) -> bool:
    """Whether the sum runs down the columns of a row-major factor, and not along its rows."""
    if a is None:
        return False
    summed = {v for r in n.reductions for v, _ in r.loops}
    return bool(a.loops & summed) and not a.subscripts[last].loops & summed


def _second(a: Access, blocked: set[str], lane: int, n: Nest, lanes: int) -> int | None:
    """A dimension next to the lane that a broadcast factor blocks too."""
    if len(a.subscripts) < 3 and not all(s.plain for s in a.subscripts):
        return None
    for d, s in enumerate(a.subscripts):
        if d != lane and any(_is_digit(s, v, n.extents, lanes) for v in blocked & s.loops):
            return d
    return None


def _order(a: Access, lane: int, n: Nest) -> tuple[int, ...]:
    """The lane's blocks outermost where no other dimension is an output loop's."""
    outer = set(dict(n.loops))
    others = [d for d in range(len(a.subscripts)) if d != lane]
    if a is n.out or any(a.subscripts[d].loops & outer for d in others):
        return ()
    return (lane, *others)


def border(
    tensor: str, nests: tuple[Nest, ...], shape: tuple[int, ...]
) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """How far the reads of all phases reach beyond a tensor that is zero there."""
    low, high = [0] * len(shape), [0] * len(shape)
    for n in nests:
        for a in n.reads:
            if a.tensor == tensor and a.outside == "zero":
                for d, s in enumerate(a.subscripts):
                    least, most = s.limits(n.extents)
                    low[d] = max(low[d], -least)
                    high[d] = max(high[d], most - shape[d] + 1)
    return tuple(low), tuple(high)
