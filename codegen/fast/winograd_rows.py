"""Winograd on the first axis of a window with few channels, the direct sum on the second.

The pattern is that of winograd_pattern, with two axes and fewer channels than a block. A tile is m
whole rows of the target. Its rows of the window are transformed together, along their memory:

    V[p] = Σ_x B[x][p] window[row x],      M[s] = Σ_{p in s, near, tap} U[p, tap] V[p],
    target[row o] = Σ_s A[s][o] M[s],      U[p] = Σ_i G[p][i] weights[i].

Products whose rows of A are the same are one sum s: with a stride, those of one point in all
residue classes. So there is one output transform for all classes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import cache

from gradproof.codegen.fast.affine import Affine
from gradproof.codegen.fast.kernel import FastKernel
from gradproof.codegen.fast.layout import Layout
from gradproof.codegen.fast.machine import AVX2, Machine
from gradproof.codegen.fast.nest import Nest
from gradproof.codegen.fast.program import LANES
from gradproof.codegen.fast.tile_sums import merging, summed
from gradproof.codegen.fast.tiles import Region
from gradproof.codegen.fast.transforms import paired_points, separable, transform_for, transposed
from gradproof.codegen.fast.winograd_outputs import Outputs, outputs
from gradproof.codegen.fast.winograd_pattern import Axis, Pattern, pattern
from gradproof.codegen.fast.winograd_tiles import Tiling, loaded, offset, render_part, stepped
from gradproof.derive.winograd import INFINITY, Matrix, Transform
from gradproof.derive.winograd_error import SINGLE, error_bound
from gradproof.derive.winograd_strided import Strided, identity, strided

_LEAST_TERMS = 16  # of a sum: with fewer, the transforms are most of the work
_LEAST_GAIN = 1.5  # multiplications of the direct sum for one of the transformed one
_MOST = 4  # rows of a tile


@dataclass(frozen=True)
class Rows:
    """The roles, and the transform with its products in the order of their sums; `ends` says where
    each sum ends."""

    pattern: Pattern
    m: int
    t: Strided
    sums: Matrix  # A, one row for each sum
    ends: tuple[int, ...]

    @property
    def rows(self) -> Axis:
        """The axis that is transformed."""
        return self.pattern.axes[0]

    @property
    def columns(self) -> Axis:
        """The other one."""
        return self.pattern.axes[1]

    @property
    def near(self) -> int:
        """Channels of the window."""
        return self.pattern.nest.extents[self.pattern.near]

    @property
    def vectors(self) -> int:
        """Of a row of the window, as far as it is read."""
        a = self.columns
        return -(-(a.stride * (a.extent - 1) + a.taps) // LANES)


def rows(n: Nest, times: float) -> Rows | None:
    """With the largest tile whose bound is at most so many times that of the direct sum; None where
    the pattern is another or there is too little to save."""
    p = pattern(n)
    if p is None or p.gradient or p.unit or len(p.axes) != 2:
        return None
    near, lane, a = n.extents[p.near], n.extents[p.lane], p.axes[0]
    terms = near * p.axes[1].taps
    if near >= LANES or lane % LANES or terms < _LEAST_TERMS:
        return None
    for m in range(min(_MOST, a.extent), 1, -1):
        t = _transform(m, a.taps, a.stride)
        gain = a.extent * a.taps / (a.tiles(m) * t.n)
        if gain >= _LEAST_GAIN and _bound(t, terms) <= times * (terms * a.taps) ** 2:
            sums = tuple(dict.fromkeys(t.A))
            ends = tuple(max(k for k, row in enumerate(t.A) if row == s) + 1 for s in sums)
            return Rows(p, m, t, sums, ends)
    return None


@cache
def _transform(m: int, taps: int, stride: int) -> Strided:
    """That of a convolution, proved, with products that share a row of A side by side."""
    points = paired_points(m - 1 - (-taps // stride))

    def unit(m: int, r: int) -> Transform:
        """Classes with fewer taps take some of the same points."""
        return transform_for(m, r, (*points[: m + r - 2], INFINITY))

    t = strided(m, taps, stride, unit)
    order = sorted(range(t.n), key=lambda p: t.A.index(t.A[p]))
    columns = transposed(t.B)
    t = replace(
        t,
        A=tuple(t.A[p] for p in order),
        G=tuple(t.G[p] for p in order),
        B=transposed(tuple(columns[p] for p in order)),
    )
    identity(t)
    return t


@cache
def _bound(t: Strided, terms: int) -> Fraction:
    """Of a sum in units of u. Products that share a sum are added before A, not after: no term
    goes through more additions."""
    return error_bound(t, 1, SINGLE, "forward", terms)


def rows_bound(r: Rows, u: Fraction = SINGLE) -> float:
    """E with |computed - exact| <= E * max|a| * max|b|; u: the unit roundoff."""
    return float(error_bound(r.t, 1, u, "forward", r.near * r.columns.taps) * u)


def rows_layouts(r: Rows, shapes: Mapping[str, tuple[int, ...]]) -> dict[str, Layout]:
    """The window in rows with a border that holds every tile and whole vectors; data and weights
    blocked along the lane."""
    p, (a, b) = r.pattern, r.pattern.axes
    window = shapes[p.window.tensor]
    low, high = [0] * len(window), [0] * len(window)
    last = a.start + r.m * a.stride * (a.tiles(r.m) - 1) + a.places(r.m)
    for axis, end in ((a, last), (b, b.start + r.vectors * LANES)):
        d = _dimension(p.window.subscripts, axis.position)
        low[d], high[d] = max(0, -axis.start), max(0, end - window[d])
    lanes = {x.tensor: _dimension(x.subscripts, p.lane) for x in (p.data, p.weights)}
    found = {x: Layout.blocked(shapes[x], d) for x, d in lanes.items()}
    return found | {p.window.tensor: Layout.row_major(window, tuple(low), tuple(high))}


def _dimension(subscripts: Sequence[Affine], loop: str) -> int:
    return next(d for d, s in enumerate(subscripts) if loop in s.loops)


def rows_kernels(
    name: str,
    r: Rows,
    layouts: Mapping[str, Layout],
    also: tuple[Nest, ...] = (),
    store: bool = True,
    machine: Machine = AVX2,
) -> tuple[FastKernel, ...] | None:
    """The kernels, in launch order; None where the layouts or the epilogue do not allow it."""
    p = r.pattern
    one = replace(p, axes=p.axes[:1], shared=(*p.shared, r.columns.position))
    t = Tiling(one, r.m, (r.t,), layouts)
    window, weights = _window(r, t), _weights(r, t)
    target = p.data.tensor
    split = summed(target, also, layouts[target].shape)
    size = (r.t.n * r.near * r.vectors + len(r.sums) * r.columns.extent) * LANES
    if window is None or weights is None or split is None or size > machine.local:
        return None
    out = outputs(t, split[0], store, split[1])
    if out is None:
        return None
    groups = t.tiles // r.columns.extent
    ends = merging(name, out.sums, f"{name}_shares", groups, layouts)
    if ends is None:
        return None
    first = _weights_kernel(f"{name}_weights", r, t, weights)
    return first, _rows_kernel(name, r, t, window, out, groups, machine), *ends


def _window(r: Rows, t: Tiling) -> Affine | None:
    """The address of a vector of a row, `step0`; None where a tile would leave the border."""
    p, (a, b) = r.pattern, r.pattern.axes
    layout = t.layouts[p.window.tensor]
    step = Affine.of("step0") + Affine(a.start)
    places = {
        a.position: Affine.of("tile0") * (r.m * a.stride) + step,
        b.position: Affine.of("vector") * LANES + Affine.of("column") + Affine(b.start),
        p.near: Affine.of("near"),
    }
    places |= {v: t.loops[v] for v in p.shared}
    extents = t.extents | {"vector": r.vectors, "column": LANES, "near": r.near}
    extents["step0"] = a.places(r.m)
    subscripts = []
    for d, s in enumerate(p.window.subscripts):
        loops = [v for v in places if v in s.loops]
        place = places[loops[0]] if loops else s
        low, high = place.limits(extents)
        if low < -layout.low[d] or high >= layout.shape[d] + layout.high[d]:
            return None
        subscripts.append(place)
    found = layout.address(tuple(subscripts), extents)
    return found if found is not None and found.coefficient("column") == 1 else None


def _weights(r: Rows, t: Tiling) -> Affine | None:
    p = r.pattern
    loops = {p.near: Affine.of("near"), r.rows.tap: Affine.of("tap0")}
    loops |= {r.columns.tap: Affine.of("tap1"), p.lane: t.loops[p.lane]}
    extents = t.extents | {"near": r.near, "tap1": r.columns.taps}
    subscripts = tuple(s.substitute(loops) for s in p.weights.subscripts)
    return t.layouts[p.weights.tensor].address(subscripts, extents)


def _weights_kernel(name: str, r: Rows, t: Tiling, address: Affine) -> FastKernel:
    """U, [block of the lane][product][channel][tap]."""
    base, steps = stepped(address, "tap", "lane_i", 1)
    step = r.near * r.columns.taps
    lines = separable(
        [r.t.G],
        lambda i: loaded("from", address, offset(steps, "tap", i), "lane_i"),
        lambda i, v: [f"to[{i[0] * step}] = {v};"],
        "w",
    )
    text = render_part(
        "rows_weights", name=name, near=r.near, taps=r.columns.taps, products=r.t.n, base=base,
        lines=lines,
    )  # fmt: skip
    blocks, scratch = t.extents["lane"], f"{name}_u"
    size = blocks * r.t.n * step * LANES
    tensors = ((r.pattern.weights.tensor, False), (scratch, True))
    return FastKernel(name, text, tensors, blocks * r.near, scratch=((scratch, size),))


def _rows_kernel(
    name: str, r: Rows, t: Tiling, window: Affine, out: Outputs, groups: int, machine: Machine
) -> FastKernel:
    steps = window.only({"step0"})
    base = str(window.without({"step0", "column"}))
    row, positions = r.near * r.vectors, r.columns.extent
    into = separable(
        [transposed(r.t.B)],
        lambda i: f"LOADED(from, {offset(steps, 'step', i)})",
        lambda i, v: [f"to[{i[0] * row}] = {v};"],
        "x",
    )
    back = separable([transposed(r.sums)], lambda i: f"from[{i[0] * positions}]", out.element, "z")
    at, below = [], t.extents["tile0"]
    for k in reversed(range(len(r.pattern.shared))):
        n = t.extents[f"at{k}"]
        at.append(f"const int at{k} = get_group_id(0) / {below} % {n};")
        below *= n
    text = render_part(
        "rows", name=name, arguments=out.arguments, tiles=t.extents["tile0"], decode=at,
        position=f"at{len(r.pattern.shared)}", near=r.near, vectors=r.vectors, base=base,
        into=into, back=back, lane_blocks=t.extents["lane"], products=r.t.n, ends=r.ends,
        runs=_runs(positions, min(8, machine.vectors - 1)), taps=r.columns.taps,
        stride=r.columns.stride, positions=positions, pointers=out.pointers, before=out.before,
        after=out.after, LANES=LANES,
    )  # fmt: skip
    scratch = f"{name}_weights_u"
    tensors = ((r.pattern.window.tensor, False), (scratch, False), *out.tensors)
    shares = ((f"{name}_shares", out.sums.size(groups)),) if out.sums.terms else ()
    tensors += tuple((share, True) for share, _ in shares)
    return FastKernel(name, text, tensors, groups, out.scalars, t.flops, shares)


def _runs(positions: int, most: int) -> tuple[Region, ...]:
    """Nearly equal runs of at most so many positions: (first, number of runs, length)."""
    count = -(-positions // most)
    length, longer = divmod(positions, count)
    parts = ((0, longer, length + 1), (longer * (length + 1), count - longer, length))
    return tuple(part for part in parts if part[1])
