"""The direct schedule: sums of products in register tiles, on the layouts given.

Claimed: a kernel from here computes its nests exactly up to the order of the sums (tests compare
integer data with ==), writes no border, and is refused (None) where the layouts do not allow it.
Not claimed: that the chosen tile is the fastest; `contraction_tiles` lists the others for a tuner.

Sixteen neighbours of one loop, the *lane*, are a vector. The lane is an output loop that lies
together in the target and in at least one factor; factors without it are broadcast. Or it is a loop
of the sum that lies together in all factors; the vector is then summed at the end.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from math import prod

from gradproof.codegen.fast.contraction_assembly import assembled
from gradproof.codegen.fast.contraction_layouts import contraction_layouts, products
from gradproof.codegen.fast.contraction_phases import phases
from gradproof.codegen.fast.contraction_schedule import Schedule, chunked, schedules
from gradproof.codegen.fast.contraction_sums import shares_of
from gradproof.codegen.fast.contraction_text import section
from gradproof.codegen.fast.contraction_tile import Phase
from gradproof.codegen.fast.kernel import FastKernel
from gradproof.codegen.fast.layout import Layout
from gradproof.codegen.fast.machine import AVX2, Machine
from gradproof.codegen.fast.nest import Nest
from gradproof.codegen.fast.problem import Problem
from gradproof.codegen.fast.tile_sums import Row, TileSums, summed
from gradproof.codegen.fast.tiles import Tiling, tilings

__all__ = [
    "contraction_cost",
    "contraction_kernel",
    "contraction_kernels",
    "contraction_layouts",
    "contraction_tiles",
]

_BETWEEN = "; "  # the tiles of phases, in a kernel's note
PAGE = 1024  # elements: terms at least half of it apart are far from each other,
MANY = 16  # if there are so many;
FAR_VECTORS, FAR_NUMBERS = 1.4, 1.1  # then a product takes so many times as long,
SAME_PLACE = 1.7  # and so many where they are whole pages apart; all measured


def contraction_kernel(
    name: str,
    nests: tuple[Nest, ...],
    layouts: Mapping[str, Layout],
    epilogue: tuple[Nest, ...] = (),
    store: bool = True,
    force: str | None = None,
    machine: Machine = AVX2,
) -> FastKernel | None:
    """The phases of one sum of products as one kernel; None where these layouts do not allow it.

    epilogue: elementwise nests over the target, in order, each stored to its own target, or
    reductions over windows that tile it (`windows`); store: whether the target itself is written;
    force: a tile as the kernel's `note` gives it; machine:
    what tiles are chosen for.
    Errors: ValueError for a forced tile that is none of this kernel's.

    >>> from gradproof.derive.ops.linear import linear
    >>> from gradproof.codegen.fast.specialise import specialise
    >>> nests = specialise(linear, linear.equations[0], {"N": 8, "K": 8, "O": 32})
    >>> k = contraction_kernel("k", nests, contraction_layouts(nests, {
    ...     "z": (8, 32), "Y": (8, 8), "w": (32, 8), "b": (32,)}))
    >>> k.tensors, k.flops
    ((('Y', False), ('w', False), ('b', False), ('z', True)), 4096)
    """
    found = contraction_kernels(name, nests, layouts, epilogue, store, force, machine)
    return None if found is None or len(found) > 1 else found[0]


def contraction_kernels(
    name: str,
    nests: tuple[Nest, ...],
    layouts: Mapping[str, Layout],
    also: tuple[Nest, ...] = (),
    store: bool = True,
    force: str | None = None,
    machine: Machine = AVX2,
) -> tuple[FastKernel, ...] | None:
    """The same with sums over the target among the nests in `also` (`tile_sums`): they end in
    kernels of their own."""
    if not products(nests):
        return None
    epilogue, sums, rows = behind(nests, layouts, also)
    layouts = {**layouts, **sums.layouts}
    chosen: list[tuple[Phase, Tiling]] = []
    forced = force.split(_BETWEEN) if force is not None else [None] * len(nests)
    if len(forced) != len(nests):
        raise ValueError(f"the tile {force!r} is for {len(forced)} phases, there are {len(nests)}")
    for n, wanted in zip(nests, forced, strict=True):
        found = _ranked(n, layouts, epilogue, store, machine, rows)
        if not found:
            return None
        chosen.append(found[0] if wanted is None else _forced(found, wanted))
    return _kernels(name, nests, chosen, epilogue, sums, layouts)


def behind(
    nests: tuple[Nest, ...], layouts: Mapping[str, Layout], also: tuple[Nest, ...]
) -> tuple[tuple[Nest, ...], TileSums, dict[str, Row]]:
    """The nests behind a sum of products, windows among them, with the terms of sums over the
    target; these sums, and the rows of their terms."""
    target = nests[0].out.tensor
    pointwise, sums = summed(target, also, layouts[target].shape) or (also, TileSums(0))
    rows = dict(zip((n.out.tensor for n in sums.terms), sums.rows, strict=True))
    return (*pointwise, *sums.terms), sums, rows


def contraction_tiles(
    nests: tuple[Nest, ...],
    layouts: Mapping[str, Layout],
    most: int = 4,
    machine: Machine = AVX2,
    also: tuple[Nest, ...] = (),
    store: bool = True,
) -> tuple[str, ...]:
    """The cheapest tiles by the model, to force and to time; for phases, rank by rank."""
    epilogue, sums, rows = behind(nests, layouts, also)
    layouts = {**layouts, **sums.layouts}
    ranked = [_ranked(n, layouts, epilogue, store, machine, rows) for n in nests]
    if not all(ranked):
        return ()
    count = min(most, max(map(len, ranked)))
    return tuple(_BETWEEN.join(str(r[min(k, len(r) - 1)][1]) for r in ranked) for k in range(count))


def contraction_cost(
    nests: tuple[Nest, ...], layouts: Mapping[str, Layout], machine: Machine = AVX2
) -> float | None:
    """Instructions for each multiply-add by the model, about 1 at best; None where there is no
    kernel. It compares layouts: a sum over the lane in short sums is possible, and slow; so are
    long jumps in memory."""
    if not products(nests):
        return None
    ranked = [(n, _ranked(n, layouts, (), True, machine)) for n in nests]
    if not all(found for _, found in ranked):
        return None
    work = [prod(n.extents.values()) if n.reductions else 0 for n, _ in ranked]
    costs = [found[0][1].cost * _jumps(found[0][0].problem) for _, found in ranked]
    return sum(w * c for w, c in zip(work, costs, strict=True)) / sum(work)


def _jumps(p: Problem) -> float:
    """What it costs that the terms of a sum lie far apart: each brings a line, none of which is
    fetched ahead, and which all fight for the same places of the cache at a whole page apart."""
    if (s := p.main) is None:
        return 1.0
    cost = 1.0
    for r in s.reads:
        steps = [(abs(k), n) for v, n in s.loops if n > 1 and (k := r.address.coefficient(v))]
        nearest = min((k for k, _ in steps), default=0)
        if nearest >= PAGE // 2 and prod(n for _, n in steps) >= MANY:
            far = FAR_VECTORS if r.vector else FAR_NUMBERS
            cost = max(cost, SAME_PLACE if nearest % PAGE == 0 else far)
    return cost


def _forced(found: tuple[tuple[Phase, Tiling], ...], wanted: str) -> tuple[Phase, Tiling]:
    for phase, tiling in found:
        if str(tiling) == wanted:
            return phase, tiling
    raise ValueError(f"no tile {wanted!r} here; the cheapest is {str(found[0][1])!r}")


def _kernels(
    name: str,
    nests: tuple[Nest, ...],
    chosen: list[tuple[Phase, Tiling]],
    epilogue: tuple[Nest, ...],
    sums: TileSums,
    layouts: Mapping[str, Layout],
) -> tuple[FastKernel, ...] | None:
    parts = [
        (phase, s)
        for phase, tiling in chosen
        for s in schedules(phase.problem, tiling, phase.stores[0].stored and not phase.folds)
    ]
    groups = sum(s.groups for _, s in parts)
    sections, slots = [], 0
    for (phase, s), mine in zip(parts, _shares(parts), strict=True):
        shares = shares_of(phase, s, sums, slots) if sums.terms else None
        if sums.terms and shares is None:
            return None
        sections.append(section(phase, s, *mine, shares))
        slots += shares.slots if shares else 0
    note = _BETWEEN.join(str(t) for _, t in chosen)
    return assembled(
        "fast_contraction.cl.j2", name, nests, [p for p, _ in chosen], epilogue, sums, layouts,
        groups, slots, note, sections=sections,
    )  # fmt: skip


def _shares(parts: list[tuple[Phase, Schedule]]) -> Iterator[tuple[str, str]]:
    """Which work-groups do each part, and their number within it. Parts of as many groups each take
    turns, so that neighbours in memory, written or read by several parts, are met while they are in
    the cache."""
    counts = [s.groups for _, s in parts]
    first = 0
    for k, n in enumerate(counts):
        if len(set(counts)) == 1 < len(counts):
            yield f"group_ % {len(counts)} == {k}", f"group_ / {len(counts)}"
        else:
            yield f"group_ >= {first} && group_ < {first + n}", f"group_ - {first}"
        first += n


def _ranked(
    n: Nest,
    layouts: Mapping[str, Layout],
    epilogue: tuple[Nest, ...],
    store: bool,
    machine: Machine,
    rows: Mapping[str, Row] | None = None,
) -> tuple[tuple[Phase, Tiling], ...]:
    """All tiles of a phase, lane by lane, the cheapest first."""
    lanes = []
    for phase in phases(n, layouts, epilogue, store, rows):
        whole = replace(phase, problem=chunked(phase.problem))
        lanes.append([(whole, t) for t in tilings(whole.problem, machine)])
    return tuple(x for found in sorted(lanes, key=lambda f: f[0][1].cost) for x in found)
