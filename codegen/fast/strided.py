"""A nest on layouts: every access is one affine address over split loops.

A loop that runs along a blocked dimension is split like it, v = b*v_o + v_i. Where the last block
is filled up, an output loop runs on into the filler (what is there is nobody's), and a loop of a
sum gets a guard.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from itertools import combinations

from gradproof.codegen.fast.affine import Affine
from gradproof.codegen.fast.layout import Layout
from gradproof.codegen.fast.nest import Access, Loop, Nest, Reduction


@dataclass(frozen=True)
class Strided:
    """`out` and `reads` are addresses; loops, guards and values are those of the split nest."""

    loops: tuple[Loop, ...]
    out: Affine
    reads: tuple[Affine, ...]
    reductions: tuple[Reduction, ...]
    nest: Nest

    @property
    def extents(self) -> dict[str, int]:
        """All loops."""
        found = dict(self.loops)
        for r in self.reductions:
            found |= dict(r.loops)
        return found

    @property
    def addresses(self) -> tuple[Affine, ...]:
        """The target's address, then those of the reads."""
        return (self.out, *self.reads)


def strided(n: Nest, layouts: Mapping[str, Layout], masked: bool = False) -> Strided | None:
    """The nest on these layouts; None where an address is not affine or would leave the memory.

    masked: reads outside a tensor that are zero may leave the memory; the caller masks them.

    >>> from gradproof.derive.ops.linear import linear
    >>> from gradproof.codegen.fast.specialise import specialise
    >>> (n,) = specialise(linear, linear.equations[0], {"N": 2, "K": 8, "O": 32})
    >>> lanes = {"w": Layout.blocked((32, 8), 0), "z": Layout.blocked((2, 32), 1),
    ...          "Y": Layout.row_major((2, 8)), "b": Layout.row_major((32,))}
    >>> s = strided(n, lanes)
    >>> s.loops, str(s.out)
    ((('n', 2), ('o_o', 2), ('o_i', 16)), '32*n + o_i + 16*o_o')
    """
    accesses = (n.out, *n.reads)
    blocks = _blocks(accesses, layouts)
    split = {v: Affine.of(f"{v}_o") * b + Affine.of(f"{v}_i") for v, b in blocks.items()}
    loops = _split(n.loops, blocks)
    reductions = tuple(_split_reduction(r, blocks, split) for r in n.reductions)
    extents = dict(loops) | {v: e for r in reductions for v, e in r.loops}
    found = []
    for a in accesses:
        layout = layouts[a.tensor]
        subscripts = tuple(s.substitute(split) for s in a.subscripts)
        address = layout.address(subscripts, extents)
        if address is None or not _fits(
            replace(a, outside="never") if masked else a, layout, n, blocks, subscripts, extents
        ):
            return None
        found.append(address)
    return Strided(loops, found[0], tuple(found[1:]), reductions, n)


def _blocks(accesses: Iterable[Access], layouts: Mapping[str, Layout]) -> dict[str, int]:
    """Loops that are the whole subscript of a blocked dimension, with the block's length."""
    found: dict[str, int] = {}
    for a in accesses:
        for d, s in enumerate(a.subscripts):
            b = layouts[a.tensor].block(d)
            if b > 1 and s.plain:
                found[s.plain] = max(b, found.get(s.plain, 1))
    return found


def _split(loops: Iterable[Loop], blocks: Mapping[str, int]) -> tuple[Loop, ...]:
    out: list[Loop] = []
    for v, n in loops:
        b = blocks.get(v)
        out += [(f"{v}_o", -(-n // b)), (f"{v}_i", b)] if b else [(v, n)]
    return tuple(out)


def _split_reduction(
    r: Reduction, blocks: Mapping[str, int], split: Mapping[str, Affine]
) -> Reduction:
    guards = [g.substitute(split) for g in r.guards]
    guards += [Affine(n - 1) - split[v] for v, n in r.loops if v in blocks and n % blocks[v]]
    place = None if r.place is None else r.place.substitute(split)
    return replace(r, loops=_split(r.loops, blocks), guards=tuple(guards), place=place)


def _fits(
    a: Access,
    layout: Layout,
    n: Nest,
    blocks: Mapping[str, int],
    subscripts: tuple[Affine, ...],
    extents: Mapping[str, int],
) -> bool:
    """Whether all places are in the memory: in the tensor, its border, or a filled-up block; for
    reads that may lie outside, whether the border is wide enough to hold the zeros. A read that a
    guard keeps inside is the business of who evaluates the guard."""
    over = {v for v, e in n.loops if v in blocks and e % blocks[v]}
    for d, s in enumerate(a.subscripts):
        low, high = s.limits(n.extents)
        filled = layout.block(d) > 1 and s.plain
        if s.loops & over and not filled:
            return False
        if a.outside == "zero" and (
            low < -layout.low[d] or high >= layout.shape[d] + layout.high[d]
        ):
            return False
        if filled and subscripts[d].limits(extents)[1] + layout.low[d] >= _places(layout, d):
            return False
    return True


def _places(layout: Layout, dim: int) -> int:
    places = 1
    for d, _, count in layout.axes:
        places *= count if d == dim else 1
    return places


def fused_loops(s: Strided, keep: frozenset[str] = frozenset()) -> Strided:
    """Loops a, b as one wherever stride_a = extent_b * stride_b in every address; never `keep`."""
    while pair := _fusable(s, keep):
        s = _fuse(s, *pair)
    return s


def _fusable(s: Strided, keep: frozenset[str]) -> tuple[str, str] | None:
    mentioned = set(keep)
    for r in s.reductions:
        mentioned |= {v for g in r.guards for v in g.loops}
        mentioned |= {str(x) for e in (r.term, *r.conditions) for x in e.free_symbols}
        mentioned |= r.place.loops if r.place is not None else set()
    mentioned |= {str(x) for x in s.nest.value.free_symbols}
    for group in (s.loops, *(r.loops for r in s.reductions)):
        free = [(v, e) for v, e in group if v not in mentioned]
        for (a, _), (b, n) in combinations(free, 2):
            for one, other, extent in ((a, b, n), (b, a, dict(group)[a])):
                if all(p.coefficient(one) == extent * p.coefficient(other) for p in s.addresses):
                    return one, other
    return None


def _fuse(s: Strided, outer: str, inner: str) -> Strided:
    extents = s.extents
    extents[inner] *= extents[outer]

    def group(loops: tuple[Loop, ...]) -> tuple[Loop, ...]:
        return tuple((v, extents[v]) for v, _ in loops if v != outer)

    return replace(
        s,
        loops=group(s.loops),
        out=s.out.without({outer}),
        reads=tuple(p.without({outer}) for p in s.reads),
        reductions=tuple(replace(r, loops=group(r.loops)) for r in s.reductions),
    )
