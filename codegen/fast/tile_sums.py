"""Sums over the elements of a target, taken by the kernel that computes them.

A nest that sums a pointwise function of a tensor for each of its channels, or a pair of nests that
is its mean and variance, needs no pass over the tensor: whoever computes a tile adds up the terms
of its elements while they are in registers. Each work-group leaves its share in a scratch tensor

    shares[slot][row][channel]          (`shares` below)

and a last kernel adds the slots up. Of a mean and variance a share is the first value b, the sums
S of d = x - b and Q of d^2, and the number n of values: relative to b nothing large cancels. Its
mean is b + S/n and its squared deviations are Q - S^2/n. Relative to the first b, the mean of all
is the sum of n (b + S/n) over that of n; the squared deviations add up those of the shares and
n times the square of the distance of a share's mean from that of all.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

import sympy as sp

from gradproof.codegen.fast.affine import Affine
from gradproof.codegen.fast.kernel import FastKernel
from gradproof.codegen.fast.layout import Layout
from gradproof.codegen.fast.moments import are_moments
from gradproof.codegen.fast.nest import Access, Nest, Reduction
from gradproof.codegen.fast.program import LANES
from gradproof.codegen.fast.values import value_text
from gradproof.codegen.fast.vector import vector_kernel
from gradproof.codegen.fast.vector_group import grouped
from gradproof.codegen.render import environment

PART = 16  # shares that are added up one by one
_MARK = "~"  # begins the names of the terms' targets, which are no tensors


@dataclass(frozen=True)
class Row:
    """A term's place among the rows of a share: one row, or three for mean and variance."""

    first: int
    moments: bool


@dataclass
class TileSums:
    """What a kernel adds up for each channel of its target.

    terms: pointwise nests over the target, each summed to an element of its own `out`; rows: of
    the terms; ends: nests whose sums they are, each with the terms of its reductions."""

    channels: int
    terms: list[Nest] = field(default_factory=list)
    rows: list[Row] = field(default_factory=list)
    ends: list[tuple[Nest, tuple[int, ...]]] = field(default_factory=list)
    pairs: list[tuple[Nest, Nest, int]] = field(default_factory=list)

    @property
    def height(self) -> int:
        """Rows of a share; the last one has the number of values, if there are moments."""
        return sum(3 if r.moments else 1 for r in self.rows) + bool(self.pairs)

    @property
    def blocks(self) -> int:
        """Vectors of channels."""
        return -(-self.channels // LANES)

    @cached_property
    def layouts(self) -> dict[str, Layout]:
        """Of the terms' targets: a place for each channel."""
        return {n.out.tensor: Layout.blocked((self.channels,), 0) for n in self.terms}

    def row(self, tensor: str) -> Row | None:
        """That of a term's target; None for a tensor."""
        return self.rows[int(tensor[1:])] if tensor.startswith(_MARK) else None

    def size(self, slots: int) -> int:
        """Elements of the shares."""
        return slots * self.height * self.blocks * LANES

    def term(self, target: Access, n: Nest, r: Reduction, moments: bool = False) -> int:
        """The number of a reduction's term among those of the target, which it reads."""
        used = n.used(r.term)
        order = sorted(used, key=lambda k: str(n.reads[k]))
        symbols: dict[sp.Basic, sp.Basic] = {
            sp.Symbol(f"r{k}", real=True): sp.Symbol(f"r{j}", real=True)
            for j, k in enumerate(order)
        }
        value = r.term.xreplace(symbols)
        reads = tuple(n.reads[k] for k in order)
        for j, (known, row) in enumerate(zip(self.terms, self.rows, strict=True)):
            if (known.value, known.reads, row.moments) == (value, reads, moments):
                return j
        out = Access(f"{_MARK}{len(self.terms)}", (Affine.of(n.loops[0][0]),))
        self.rows.append(Row(sum(3 if x.moments else 1 for x in self.rows), moments))
        scalars = tuple(x for x in n.scalars if x[0] in {str(s) for s in value.free_symbols})
        self.terms.append(Nest(out, (*n.loops, *r.loops), reads, (), value, scalars))
        return len(self.terms) - 1


def summed(
    target: str, also: Sequence[Nest], shape: Sequence[int]
) -> tuple[tuple[Nest, ...], TileSums] | None:
    """What goes with a sum of products: its pointwise nests, and the sums over its elements. None
    where some nest is neither: every element of the target once, for each channel, no conditions.
    shape: of the target."""
    pointwise = tuple(n for n in also if not n.reductions)
    ends = [n for n in also if n.reductions]
    if not ends:
        return pointwise, TileSums(0)
    found = TileSums(ends[0].loops[0][1] if ends[0].loops else 0)
    while ends:
        n = ends.pop(0)
        if not _over_channels(target, shape, n, found.channels):
            return None
        if ends and any(r.tensor == n.out.tensor for r in ends[0].reads):
            var = ends.pop(0)
            if not _over_channels(target, shape, var, found.channels) or not _are_moments(n, var):
                return None
            k = found.term(n.out, n, n.reductions[0], moments=True)
            found.pairs.append((n, var, k))
        else:
            found.ends.append((n, tuple(found.term(n.out, n, r) for r in n.reductions)))
    return pointwise, found


def _are_moments(mean: Nest, var: Nest) -> bool:
    try:
        group = grouped("moments", (mean, var))
    except ValueError:
        return False
    plain = {str(s) for s in var.value.free_symbols} <= {"a0"}
    return mean.loops == var.loops and are_moments(group) and plain


def _over_channels(target: str, shape: Sequence[int], n: Nest, channels: int) -> bool:
    """Whether all sums of a nest go over the whole target, for each value of its one loop."""
    if len(n.loops) != 1 or n.loops[0][1] != channels:
        return False
    loops, mentioned = set(n.extents), {str(s) for s in n.value.free_symbols}
    if n.out.loops != {n.loops[0][0]} or mentioned & loops:
        return False
    return all(_over_target(target, shape, n, r) for r in n.reductions)


def _over_target(target: str, shape: Sequence[int], n: Nest, r: Reduction) -> bool:
    if r.kind != "sum" or r.guards or r.conditions:
        return False
    reads = [n.reads[k] for k in n.used(r.term)]
    loops = {n.loops[0][0], *(v for v, _ in r.loops)}
    at = {a.subscripts for a in reads if a.tensor == target}
    if len(at) != 1 or any(a.outside != "never" for a in reads):
        return False
    places = list(zip(next(iter(at)), shape, strict=True))
    plain = [s.plain for s, _ in places if s != Affine()]
    if any(n.extents.get(str(s.plain), 1) != e for s, e in places):
        return False
    named = {str(s) for s in r.term.free_symbols} & loops
    return None not in plain and sorted(map(str, plain)) == sorted(loops) and not named


# -- the last kernel ----------------------------------------------------------------------------
def merging(
    name: str, s: TileSums, shares: str, slots: int, layouts: Mapping[str, Layout]
) -> tuple[FastKernel, ...] | None:
    """The kernels that add the shares up; None where these layouts do not allow it."""
    found = []
    for k, (mean, var, term) in enumerate(s.pairs):
        one = _moments(f"{name}_moments{k}", s, mean, var, term, shares, slots, layouts)
        if one is None:
            return None
        found.append(one)
    if s.ends:
        padded = s.blocks * LANES
        of_shares = {shares: Layout.row_major((slots, s.height, padded))}
        nests = [_over_slots(n, ks, s, shares, slots) for n, ks in s.ends]
        try:
            found.append(vector_kernel(f"{name}_sums", nests, {**layouts, **of_shares}))
        except ValueError:
            return None
    return tuple(found)


def _over_slots(n: Nest, terms: Iterable[int], s: TileSums, shares: str, slots: int) -> Nest:
    """The nest with sums over the slots in place of those over the target."""
    used = n.used(n.value)
    reads = [n.reads[k] for k in used]
    symbols: dict[sp.Basic, sp.Basic] = {
        sp.Symbol(f"r{k}", real=True): sp.Symbol(f"r{j}", real=True) for j, k in enumerate(used)
    }
    (channel, _), slot = n.loops[0], f"slot_{n.loops[0][0]}"
    reductions = []
    for k in terms:
        row = Affine(s.rows[k].first)
        reads.append(Access(shares, (Affine.of(slot), row, Affine.of(channel))))
        term = sp.Symbol(f"r{len(reads) - 1}", real=True)
        reductions.append(Reduction("sum", ((slot, slots),), term))
    value = n.value.xreplace(symbols)
    return replace(n, reads=tuple(reads), reductions=tuple(reductions), value=value)


def _moments(
    name: str, s: TileSums, mean: Nest, var: Nest, term: int, shares: str, slots: int,
    layouts: Mapping[str, Layout],
) -> FastKernel | None:  # fmt: skip
    channel = {mean.loops[0][0]: Affine.of("lane") * LANES + Affine.of("lane_i")}
    extents = {"lane": s.blocks, "lane_i": LANES}
    places = []
    for a in (mean.out, var.out):
        layout = layouts[a.tensor]
        at = layout.address(tuple(x.substitute(channel) for x in a.subscripts), extents)
        full = layout.size >= s.blocks * LANES
        if at is None or at.coefficient("lane_i") != 1 or not full:
            return None
        places.append(str(at.without({"lane_i"})))
    value = value_text(var.value, {"a0": "squares_"}, frozenset({"a0"}))
    text = environment().get_template("fast_shares.cl.j2").render(
        name=name, slots=slots, blocks=s.blocks, height=s.height, base=s.rows[term].first,
        count=s.height - 1, places=places, value=value, part=PART,
    )  # fmt: skip
    tensors = ((shares, False), (mean.out.tensor, True), (var.out.tensor, True))
    return FastKernel(name, text, tensors, s.blocks, flops=20 * slots * s.channels)
