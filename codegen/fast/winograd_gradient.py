"""The kernels of a Winograd weight gradient: partial sums over chunks of tiles, then the end.

A work-group owns some channels of both operands and one chunk of the tiles. It takes a block of
tiles at a time, transforms both operands into local memory and adds their products to its partial
sums, which stay in the second-level cache. A second kernel adds the chunks and transforms back.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import prod

from gradproof.codegen.fast.affine import Affine
from gradproof.codegen.fast.kernel import FastKernel
from gradproof.codegen.fast.machine import Machine
from gradproof.codegen.fast.program import LANES
from gradproof.codegen.fast.tiles import Region
from gradproof.codegen.fast.transforms import Index, separable, transposed
from gradproof.codegen.fast.values import value_text
from gradproof.codegen.fast.winograd_tiles import (
    Tiling,
    declared,
    flat,
    into_local,
    offset,
    piece_type,
    render_part,
    scalar_names,
    stepped,
    vector_kind,
)

CHUNKS = 2  # of the tiles, for as many cores, where the channels give less work-groups
_LOCAL = 150_000  # elements of local memory for both operands
_LEAST = 8  # tiles of a block
_MOST_BLOCKS = 8  # of 16 channels, of each operand, that one work-group takes


@dataclass(frozen=True)
class Shares:
    """How the sum is divided. "wide" is the operand whose channels are the vectors' lanes, "one"
    that whose channels are taken one by one; each has blocks of 16 channels per work-group."""

    wide: str  # "near" (the window) or "lane" (the data)
    tiles: int  # per block
    chunks: int
    wide_blocks: int
    one_blocks: int
    vectors: int  # wide blocks at once
    runs: tuple[Region, ...]  # channels of the other operand at once

    @property
    def one(self) -> str:
        """The other operand."""
        return "lane" if self.wide == "near" else "near"


def shares(t: Tiling, weights: Affine, machine: Machine) -> Shares | None:
    """Lanes are those that lie together in the weights, if there are such. None where even the
    smallest blocks are too large for local memory."""
    wide = "near" if vector_kind(weights, "near_i") == "vector" else "lane"
    one = "lane" if wide == "near" else "near"
    wide_blocks, one_blocks = (_share(t.extents[v]) for v in (wide, one))
    vectors = 2 if wide_blocks % 2 == 0 and machine.vectors >= 16 else 1
    runs = _runs(one_blocks * LANES, min(16, machine.vectors) // vectors)
    per_product, blocks = prod(t.products) * LANES, wide_blocks + one_blocks
    most = (min(_LOCAL, machine.local) // per_product - 2) // blocks // _LEAST * _LEAST
    tiles = min(max(_LEAST, min(32, most)), t.tiles)
    if (tiles * blocks + 2) * per_product > machine.local:  # a row of each is one vector longer
        return None
    groups = t.extents["near"] * t.extents["lane"] // (wide_blocks * one_blocks)
    chunks = 1 if groups >= 2 * CHUNKS else min(CHUNKS, -(-t.tiles // tiles))
    return Shares(wide, tiles, chunks, wide_blocks, one_blocks, vectors, runs)


def _runs(channels: int, most: int) -> tuple[Region, ...]:
    """Channels cut into nearly equal runs of at most so many: (first, number of runs, length)."""
    count = -(-channels // most)
    length, longer = divmod(channels, count)
    parts = ((0, longer, length + 1), (longer * (length + 1), count - longer, length))
    return tuple(part for part in parts if part[1])


def _share(blocks: int) -> int:
    """The greatest divisor that a work-group takes."""
    return next(b for b in range(min(blocks, _MOST_BLOCKS), 0, -1) if blocks % b == 0)


def weight_gradient(name: str, t: Tiling, machine: Machine) -> tuple[FastKernel, ...] | None:
    """The kernel of the partial sums and that of the weights; None where the value of an element
    needs more than its sum."""
    weights = t.place(t.pattern.weights)
    if weights is None or t.nest.used(t.nest.value) or _places(t):
        return None
    s = shares(t, weights, machine)
    if s is None:
        return None
    scratch = f"{name}_partial"
    return _partial_kernel(name, t, s, scratch, machine.pieces), _last_kernel(
        f"{name}_last", t, s, scratch
    )


def _places(t: Tiling) -> set[str]:
    return {str(v) for v in t.nest.value.free_symbols} & set(t.nest.extents)


def _row(s: Shares) -> int:
    """Vectors of partial sums of one product."""
    return s.wide_blocks * s.one_blocks * LANES + 1


def _partial_kernel(name: str, t: Tiling, s: Shares, scratch: str, pieces: int) -> FastKernel:
    data, window = t.place(t.pattern.data), t.window
    assert data is not None and window is not None  # `fits` has seen them
    taken = {s.wide: s.wide_blocks, s.one: s.one_blocks}
    rows = {v: taken[v] * s.tiles + 1 for v in taken}
    parts = []
    forward, back = [transposed(f.B) for f in t.transforms], [f.A for f in t.transforms]
    for v, address, matrices, inside in (
        ("near", window, forward, lambda i: ""),
        ("lane", data, back, lambda i: _inside(t, i)),
    ):
        base, lines = into_local(t, address, f"{v}_i", matrices, rows[v], pieces, inside)
        place = f"k * {s.tiles} + t" if v == s.wide else f"t * {taken[v]} + k"
        part = {"side": v, "base": base, "lines": lines, "blocks": taken[v], "place": place}
        parts.append(part)
    count = prod(t.products)
    groups = {v: t.extents[v] // taken[v] for v in taken}
    text = render_part(
        "partial", name=name, parts=parts, wide=s.wide, one=s.one, rows=rows, products=count,
        groups=groups, chunks=s.chunks, tiles=t.tiles, block=s.tiles,
        blocks=-(-t.tiles // s.tiles), taken=taken, vectors=s.vectors, runs=s.runs,
        decode=t.decode(), row=_row(s), pieces=pieces, piece=piece_type(pieces), LANES=LANES,
    )  # fmt: skip
    work = s.chunks * prod(groups.values())
    tensors = ((t.pattern.window.tensor, False), (t.pattern.data.tensor, False), (scratch, True))
    size = work * count * _row(s) * LANES
    return FastKernel(name, text, tensors, work, flops=t.flops, scratch=((scratch, size),))


def _inside(t: Tiling, index: Index) -> str:
    """The condition for a place of the data in a ragged tile, where its border does not hold it."""
    access = t.pattern.data
    layout = t.layouts[access.tensor]
    conditions = []
    for k, (a, n, i) in enumerate(zip(t.pattern.axes, t.positions, index, strict=True)):
        last = i.const if i.plain is None else n - 1
        d = next(d for d, s in enumerate(access.subscripts) if a.position in s.loops)
        whole = layout.shape[d] == a.extent
        held = whole and layout.high[d] >= n * a.tiles(t.m) - a.extent
        if not held and 0 < a.extent % n <= last:
            conditions.append(f"{n} * tile{k} + {i} < {a.extent}")
    return " && ".join(conditions)


def _last_kernel(name: str, t: Tiling, s: Shares, scratch: str) -> FastKernel:
    """The chunks' sum, transformed back: one work-group per channel of "one" and 16 of "wide"."""
    address = t.place(t.pattern.weights)
    assert address is not None  # `weight_gradient` has seen it
    lane = f"{s.wide}_i"
    base, steps = stepped(address, "tap", lane, len(t.products))
    part = prod(t.extents[v] for v in ("near", "lane")) // (s.wide_blocks * s.one_blocks)
    chunk = part * prod(t.products) * _row(s)
    vector = vector_kind(address, lane) == "vector"

    def total(i: Index) -> str:
        at = flat(i, t.products) * _row(s)
        return " + ".join(f"from[{at + Affine(c * chunk)}]" for c in range(s.chunks))

    def value_of(total: str) -> str:
        names = {"a0": total} | scalar_names(t.nest)
        return value_text(t.nest.value, names, frozenset({"a0"}))

    def stored(i: Index, v: str) -> list[str]:
        value = f"const REALV {v}_v = {value_of(v)};"
        at = offset(steps, "tap", i)
        if vector:
            return [value, f"STORED(to, {at}) = {v}_v;"]
        stride = address.coefficient(lane)
        place = f"to[{at} + {stride} * k] = ((const REAL *)&{v}_v)[k];"
        return [value, f"for (int k = 0; k < {LANES}; k++)", f"    {place}"]

    lines = separable([transposed(f.G) for f in t.transforms], total, stored, "w")
    channels = t.extents[s.one] * LANES
    text = render_part(
        "last", name=name, scalars=[declared(v) for v in t.nest.scalars],
        wide=s.wide, one=s.one, channels=channels, wide_blocks=s.wide_blocks,
        one_blocks=s.one_blocks, wide_groups=t.extents[s.wide] // s.wide_blocks,
        block=prod(t.products) * _row(s), base=base, lines=lines, LANES=LANES,
    )  # fmt: skip
    tensors = ((scratch, False), (t.pattern.weights.tensor, True))
    return FastKernel(name, text, tensors, t.extents[s.wide] * channels, t.nest.scalars)
