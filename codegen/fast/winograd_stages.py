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
from gradproof.codegen.fast.nest import Nest
from gradproof.codegen.fast.program import LANES
from gradproof.codegen.fast.tiles import Machine
from gradproof.codegen.fast.transforms import separable, transposed
from gradproof.codegen.fast.winograd_outputs import Outputs, outputs
from gradproof.codegen.fast.winograd_tiles import (
    Tiling,
    flat,
    into_local,
    loaded,
    offset,
    render_part,
    stepped,
)

LOCAL_BYTES = 700_000  # of local memory that the tiles of a block may take, in float32
_MOST_TILES = 24  # of a block; more only make it larger
_VECTOR = 4 * LANES


@dataclass(frozen=True)
class Blocks:
    """tiles: per work-group; columns (tiles) x lanes (blocks of 16) accumulators."""

    tiles: int
    columns: int
    lanes: int


def blocks(t: Tiling, machine: Machine) -> Blocks:
    """Accumulators and weights fit the registers; the tiles of a block fit the second-level
    cache."""
    lanes = next(
        b for b in (2, 3, 1) if b == 1 or (t.extents["lane"] % b == 0 and 8 * b <= machine.vectors)
    )
    columns = min(8 if lanes > 1 else 16, machine.vectors // lanes)
    per_tile = prod(t.products) * _VECTOR * (t.extents["near"] + lanes)
    most = min(_MOST_TILES, LOCAL_BYTES // per_tile, t.tiles)
    return Blocks(max(1, round(most / columns)) * columns, columns, lanes)


def correlation(
    name: str, t: Tiling, epilogue: tuple[Nest, ...], store: bool, machine: Machine
) -> tuple[FastKernel, ...] | None:
    """The kernel of the weights and the kernel of the tiles."""
    out = outputs(t, epilogue, store)
    if out is None:
        return None
    b = blocks(t, machine)
    u = f"{name}_transformed"
    row = t.extents["near"] * LANES * b.lanes + 1
    size = t.extents["lane"] // b.lanes * prod(t.products) * row * LANES
    weights = _weights_kernel(f"{name}_weights", t, b, u, row, size)
    return weights, _tiles_kernel(name, t, b, out, u, row)


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
        "weights", name=name, near=near, lanes=b.lanes, block=prod(t.products) * row, base=base,
        lines=lines, LANES=LANES,
    )  # fmt: skip
    groups = t.extents["lane"] * near
    tensors = ((source, False), (scratch, True))
    return FastKernel(name, text, tensors, groups, scratch=((scratch, size),))


def _tiles_kernel(
    name: str, t: Tiling, b: Blocks, out: Outputs, scratch: str, row: int
) -> FastKernel:
    """Input transform, products and output transform of a block of tiles."""
    near, count = t.extents["near"], prod(t.products)
    window = t.window
    assert window is not None  # `fits` has seen it
    column_row, sum_row = near * b.tiles + 1, b.lanes * b.tiles + 1
    base, into = into_local(
        t, window, "near_i", [transposed(f.B) for f in t.transforms], column_row
    )
    back = separable(
        [transposed(f.A) for f in t.transforms],
        lambda i: f"from[{flat(i, t.products) * sum_row}]",
        out.element,
        "z",
    )
    text = render_part(
        "tiles", name=name, arguments=out.arguments, products=count, near=near,
        lane_blocks=t.extents["lane"], tiles=t.tiles, block=b.tiles, columns=b.columns,
        lanes=b.lanes, column_row=column_row, sum_row=sum_row, weights_row=row,
        decode=t.decode(), base=base, into=into, back=back, pointers=out.pointers, unroll=4,
        LANES=LANES,
    )  # fmt: skip
    tensors = ((t.pattern.window.tensor, False), (scratch, False), *out.tensors)
    groups = -(-t.tiles // b.tiles)
    return FastKernel(name, text, tensors, groups, out.scalars, t.flops)
