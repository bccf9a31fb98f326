"""The phases of an input gradient with a stride, put together to one Winograd pattern.

A stride S divides the equation into nests, one for each residue class r of the target's positions
t = S q + r. They are one sum over the pairs of a place x and a tap i with S x + i = t + c:

    target[S q + r] = Σ_{near, j} window[q - j + (r + c - e) / S] weights[S j + e],
    with e = (r + c) mod S.

The value may have other reads at the target's own place, a residual or a mask for instance.
`joined` reads S, c and the extents off the phase with most taps. It then writes all phases as this
equation has them: unless they are the given ones, there is no pattern.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import product

import sympy as sp

from gradproof.codegen.fast.affine import Affine
from gradproof.codegen.fast.nest import Access, Loop, Nest
from gradproof.codegen.fast.specialise import squeezed
from gradproof.codegen.fast.winograd_pattern import Axis, Pattern, roles

_SUM = sp.Symbol("a0", real=True)


def joined(nests: Sequence[Nest]) -> Pattern | None:
    """The pattern of all phases together; None where they are other sums.

    In its nest, whose loops are whole positions and taps, "position + tap" stands for the place.
    """
    if not all(map(_plain, nests)):
        return None
    full = max(nests, key=lambda n: len(n.extents))
    first, second = _factors(full)
    for window, weights in ((first, second), (second, first)):
        axes = _axes(full, window, weights, nests)
        if axes and sorted(map(_essence, nests)) == sorted(_phases(full, window, axes)):
            return _pattern(full, window, weights, axes)
    return None


def _plain(n: Nest) -> bool:
    """Whether the nest is a sum of products, where what lies outside is zero, in a value that has
    the sum."""
    if len(n.reductions) != 1 or _SUM not in n.value.free_symbols:
        return False
    (r,) = n.reductions
    of = n.used(r.term)
    if (
        r.kind != "sum"
        or r.guards
        or r.conditions
        or len(of) != 2
        or set(of) & set(n.used(n.value))
    ):
        return False
    product = sp.prod(sp.Symbol(f"r{k}", real=True) for k in of)
    inside = all(a.outside == "never" for k, a in enumerate(n.reads) if k not in of)
    return r.term == product and inside and all(n.reads[k].outside != "skip" for k in of)


def _factors(n: Nest) -> tuple[Access, Access]:
    first, second = n.used(n.reductions[0].term)
    return n.reads[first], n.reads[second]


def _axes(n: Nest, window: Access, weights: Access, nests: Sequence[Nest]) -> tuple[Axis, ...]:
    """Those of the fullest phase, one for each subscript of the target that skips places; none
    where they are other windows."""
    axes = []
    for d, t in enumerate(n.out.subscripts):
        if len(t.terms) != 1 or t.terms[0][1] < 2:
            continue
        ((q, s),) = t.terms
        places = [x for x in window.subscripts if q in x.loops]
        loops = [v for x in places for v in x.loops - {q}]
        taps = [k for k, x in enumerate(weights.subscripts) if x.loops & set(loops)]
        if not len(places) == len(loops) == len(taps) == 1:
            return ()
        shift = s * places[0].const + weights.subscripts[taps[0]].const - t.const
        extent = _extent(nests, d, n.out.tensor)
        count = _extent(nests, taps[0], weights.tensor)
        first = -(-(shift - count + 1) // s)
        axes.append(Axis(q, loops[0], extent, count, first, False, 1, s, shift - s * first))
    same = len({a.spread for a in axes}) == 1 and all(a.taps > a.spread for a in axes)
    return tuple(axes) if same else ()


def _extent(nests: Sequence[Nest], d: int, tensor: str) -> int:
    """What all phases together take of a dimension of a tensor."""
    found = [(n, a) for n in nests for a in (n.out, *n.reads) if a.tensor == tensor]
    return 1 + max(a.subscripts[d].limits(n.extents)[1] for n, a in found)


def _pattern(n: Nest, window: Access, weights: Access, axes: tuple[Axis, ...]) -> Pattern | None:
    """In loops over whole positions and taps, which keep the names of those of the phases."""
    extents = {a.position: a.extent for a in axes} | {a.tap: a.taps for a in axes}
    places = {a.position: Affine.of(a.position) + Affine.of(a.tap) for a in axes}
    plain = {v: Affine.of(v) for v in extents}
    reads = tuple(_with(x, places if x is window else plain) for x in n.reads)
    at = [next(k for k, y in enumerate(n.reads) if y is x) for x in (window, weights)]
    out, (r,) = _with(n.out, plain), n.reductions
    total = replace(r, loops=_longer(r.loops, extents))
    nest = replace(n, out=out, loops=_longer(n.loops, extents), reads=reads, reductions=(total,))
    return roles(nest, reads[at[0]], out, reads[at[1]], axes, gradient=False)


def _with(a: Access, subscripts: Mapping[str, Affine]) -> Access:
    """The access with other subscripts where these loops occur."""
    found = [next((subscripts[v] for v in subscripts if v in s.loops), s) for s in a.subscripts]
    return replace(a, subscripts=tuple(found))


def _longer(loops: tuple[Loop, ...], extents: Mapping[str, int]) -> tuple[Loop, ...]:
    return tuple((v, extents.get(v, n)) for v, n in loops)


# -- what the equation has ----------------------------------------------------------------------
def _phases(n: Nest, window: Access, axes: tuple[Axis, ...]) -> Iterator[str]:
    """The essence of all phases, one for each residue on each axis."""
    for residues in product(*(range(a.spread) for a in axes)):
        outer, inner, taps = dict[str, Affine](), dict[str, Affine](), dict[str, Affine]()
        extents: dict[str, int] = {}
        for a, r in zip(axes, residues, strict=True):
            s, q, j = a.spread, Affine.of(a.position), Affine.of(a.tap)
            e = (r + a.shift) % s
            outer[a.position], taps[a.tap] = q * s + Affine(r), j * s + Affine(e)
            inner[a.position] = q - j + Affine(a.start + (r + a.shift - e) // s)
            extents[a.position] = len(range(r, a.extent, s))
            extents[a.tap] = len(range(e, a.taps, s))
        (total,) = n.reductions
        total = replace(total, loops=_longer(total.loops, extents))
        reads = tuple(_with(x, inner if x is window else outer | taps) for x in n.reads)
        out, loops = _with(n.out, outer), _longer(n.loops, extents)
        yield _essence(squeezed(replace(n, out=out, loops=loops, reads=reads, reductions=(total,))))


def _essence(n: Nest) -> str:
    """What tells such sums apart, whatever the order of loops."""
    (r,) = n.reductions
    parts = str(n.out), sorted(n.loops), [str(a) for a in n.reads], sorted(r.loops)
    return repr((*parts, sp.srepr(r.term), sp.srepr(n.value), n.scalars))
