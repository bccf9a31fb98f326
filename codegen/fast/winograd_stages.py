"""The kernels of a Winograd correlation: forward, or an input gradient.

One work-group takes a block of tiles: it transforms them into local memory, multiplies them with
the transformed weights, and transforms the sums into outputs. The transformed weights are a
scratch tensor of a kernel of their own. Local arrays and rows of the scratch tensor are longer by
one vector, so that their strides are no multiples of 4 KB.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import prod

from gradproof.codegen.fast.kernel import FastKernel
from gradproof.codegen.fast.machine import Machine
from gradproof.codegen.fast.nest import Nest
from gradproof.codegen.fast.program import LANES
from gradproof.codegen.fast.tile_sums import merging, summed
from gradproof.codegen.fast.transforms import separable, transposed
from gradproof.codegen.fast.winograd_outputs import Outputs, outputs
from gradproof.codegen.fast.winograd_tiles import (
    Tiling,
    flat,
    into_local,
    loaded,
    offset,
    piece_type,
    render_part,
    stepped,
)

SOON_BYTES = 192_000  # that a work-group asks for before its products; more would not stay
PART = 4  # blocks of 16 channels whose products are summed on their own
_VECTOR = 4 * LANES


@dataclass(frozen=True)
class Blocks:
    """columns (the tiles of a work-group) x lanes (blocks of 16 outputs) accumulators; together:
    blocks of 16 outputs whose sums are in local memory at a time."""

    columns: int
    lanes: int
    together: int


def blocks(t: Tiling, machine: Machine) -> Blocks | None:
    """Accumulators and weights fit the registers, and a block has one column of accumulators: with
    more tiles, what is read again leaves the second-level cache. None where even that is too
    large for local memory."""
    outputs, near = t.extents["lane"], t.extents["near"]
    lanes = next(b for b in (2, 3, 1) if b == 1 or (outputs % b == 0 and 8 * b <= machine.vectors))
    columns = min(8 if lanes > 1 else 16, machine.vectors // lanes)
    per_product = prod(t.products) * LANES
    shares = [b for b in range(lanes, outputs + 1, lanes) if outputs % b == 0]
    fitting = [b for b in shares if per_product * (columns * (near + b) + 2) <= machine.local]
    return Blocks(columns, lanes, max(fitting)) if fitting else None


def correlation(
    name: str,
    t: Tiling,
    also: tuple[Nest, ...],
    store: bool,
    machine: Machine,
) -> tuple[FastKernel, ...] | None:
    """The kernel of the weights, that of the tiles, and those that end sums over the target."""
    target = t.nest.out.tensor
    split, b = summed(target, also, t.layouts[target].shape), blocks(t, machine)
    out = None if split is None else outputs(t, split[0], store, split[1])
    if out is None or b is None:
        return None
    ends = merging(name, out.sums, f"{name}_shares", -(-t.tiles // b.columns), t.layouts)
    if ends is None:
        return None
    u = f"{name}_transformed"
    row = t.extents["near"] * LANES * b.together + 1
    size = t.extents["lane"] // b.together * prod(t.products) * row * LANES
    weights = _weights_kernel(f"{name}_weights", t, b, u, row, size)
    return weights, _tiles_kernel(name, t, b, out, u, row, machine), *ends


def _soon(t: Tiling, b: Blocks, out: Outputs) -> list[str]:
    """What to ask for before the products, as far as it stays in the cache until it is used."""
    vectors = len(out.moving) * prod(t.positions)
    fits = vectors * b.columns * t.extents["lane"] * _VECTOR <= SOON_BYTES
    return out.soon if fits else []


def _weights_kernel(
    name: str, t: Tiling, b: Blocks, scratch: str, row: int, size: int
) -> FastKernel:
    """U = G w for each pair of channels, 16 outputs at a time."""
    address = t.place(t.pattern.weights)
    assert address is not None  # `fits` has seen it
    base, steps = stepped(address, "tap", "lane_i", len(t.products))
    source = t.pattern.weights.tensor
    lines = separable(
        [f.G for f in t.transforms],
        lambda i: loaded("from", address, offset(steps, "tap", i), "lane_i"),
        lambda i, v: [f"to[{flat(i, t.products) * row}] = {v};"],
        "w",
    )
    near = t.extents["near"] * LANES
    text = render_part(
        "weights", name=name, near=near, lanes=b.lanes, together=b.together,
        block=prod(t.products) * row, base=base, lines=lines, LANES=LANES,
    )  # fmt: skip
    groups = t.extents["lane"] * near
    tensors = ((source, False), (scratch, True))
    return FastKernel(name, text, tensors, groups, scratch=((scratch, size),))


def _tiles_kernel(
    name: str, t: Tiling, b: Blocks, out: Outputs, scratch: str, row: int, machine: Machine
) -> FastKernel:
    """Input transform, products and output transform of a block of tiles."""
    near, count = t.extents["near"], prod(t.products)
    window = t.window
    assert window is not None  # `fits` has seen it
    column_row, sum_row = near * b.columns + 1, b.together * b.columns + 1
    base, into = into_local(
        t, window, "near_i", [transposed(f.B) for f in t.transforms], column_row, machine.pieces
    )
    back = separable(
        [transposed(f.A) for f in t.transforms],
        lambda i: f"from[{flat(i, t.products) * sum_row}]",
        out.element,
        "z",
        ends=out.ends,
    )
    text = render_part(
        "tiles", name=name, arguments=out.arguments, products=count, near=near,
        lane_blocks=t.extents["lane"], tiles=t.tiles, columns=b.columns, lanes=b.lanes,
        together=b.together, chain=PART, column_row=column_row, sum_row=sum_row, weights_row=row,
        decode=t.decode(), base=base, into=into, back=back, pointers=out.pointers, unroll=4,
        before=out.before, after=out.after, soon=_soon(t, b, out),
        pieces=machine.pieces, piece=piece_type(machine.pieces), LANES=LANES,
    )  # fmt: skip
    tensors = ((t.pattern.window.tensor, False), (scratch, False), *out.tensors)
    groups = -(-t.tiles // b.columns)
    shares = ((f"{name}_shares", out.sums.size(groups)),) if out.sums.terms else ()
    tensors += tuple((share, True) for share, _ in shares)
    return FastKernel(name, text, tensors, groups, out.scalars, t.flops, shares)
