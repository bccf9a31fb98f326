"""The Winograd schedule: sums of products over windows, by Cook-Toom transforms.

The pattern is that of winograd_pattern. With a tile index T and F(m, r) on each axis, and
position = m*T + step,

    U = G weights,   V = Bᵀ window,   data = Aᵀ Σ_near U V        (data is the target)
    V = Bᵀ window,   Z = A data,      weights = Gᵀ Σ_shared,T Z V (weights is the target)

Both are the identity (*) of derive.winograd, which is proved for every transform that is used;
with a stride, that of derive.winograd_strided.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import prod

from gradproof.codegen.fast.kernel import FastKernel
from gradproof.codegen.fast.layout import Layout
from gradproof.codegen.fast.machine import AVX2, Machine
from gradproof.codegen.fast.nest import Access, Nest
from gradproof.codegen.fast.program import LANES
from gradproof.codegen.fast.transforms import spread_for, strided_for, transform_for
from gradproof.codegen.fast.winograd_gradient import weight_gradient
from gradproof.codegen.fast.winograd_pattern import Axis, Pattern, pattern
from gradproof.codegen.fast.winograd_phases import joined
from gradproof.codegen.fast.winograd_stages import correlation
from gradproof.codegen.fast.winograd_tiles import Tiling
from gradproof.derive.winograd import Point, Transform
from gradproof.derive.winograd_strided import Strided

PRODUCTS = 6  # at most, on one axis: m + r - 1
_LEAST_GAIN = 1.5  # fewer multiplications saved than this do not pay for the transforms
# With a stride less is saved. Measured, in multiply-adds of a vector: what the transforms cost for
# each product and block of channels; those of the weights, as so many more tiles.
_TRANSFORM, _WEIGHTS = 12, 20
_MOST_WEIGHTS = 2**22  # transformed ones, which are read again and again
_LARGEST = 2**31  # addresses are int


def sides(nests: Nest | Sequence[Nest]) -> Pattern | None:
    """The pattern of a nest, or of phases together."""
    given = (nests,) if isinstance(nests, Nest) else tuple(nests)
    return pattern(given[0]) if len(given) == 1 else joined(given)


# -- tiles and layouts ------------------------------------------------------------------
def tile_size(p: Pattern, most: int | None = None) -> int:
    """Outputs per tile and axis (of each residue class): at most so many, and so that no class has
    more than 6 products, as more of them lose accuracy; below 2 where the window is too long for
    that. With a stride, what is fastest by `estimate`.

    >>> import sympy as sp
    >>> a = Access("", ())
    >>> n = Nest(a, (), (), (), sp.Integer(0))
    >>> [tile_size(Pattern(a, a, a, (Axis("x", "i", 9, taps, 0, False),), (), "", "", False, n))
    ...  for taps in (3, 5, 7)]
    [4, 2, 0]
    """
    usual = 4 if len(p.axes) < 3 else 2  # 216 products would fill the local memory
    limit = min(most or usual, PRODUCTS + 1 - max(a.longest for a in p.axes))
    return limit if p.unit else max(range(2, limit + 1), key=lambda m: estimate(p, m), default=0)


def gain(p: Pattern, m: int) -> float:
    """Multiplications of the direct sum for one of the transformed one, ragged tiles included."""
    return prod(a.terms for a in p.axes) / prod(a.tiles(m) * a.products(m) for a in p.axes)


def estimate(p: Pattern, m: int) -> float:
    """The time of the direct sum over that of the transformed one, roughly."""
    near, lane = (p.nest.extents[v] / LANES for v in (p.near, p.lane))
    tiles = prod(a.tiles(m) for a in p.axes) * prod(p.nest.extents[v] for v in p.shared)
    sums = LANES * near * lane
    return gain(p, m) * sums / (sums + _TRANSFORM * (near + lane)) * tiles / (tiles + _WEIGHTS)


def pays(p: Pattern, m: int) -> bool:
    """Whether tiles of m are likely to be faster than the direct sum."""
    if m < 2 or any(p.nest.extents[v] % LANES for v in (p.near, p.lane)):
        return False
    if p.unit:
        return gain(p, m) >= _LEAST_GAIN
    weights = prod(a.products(m) for a in p.axes) * prod(
        p.nest.extents[v] for v in (p.near, p.lane)
    )
    return weights <= _MOST_WEIGHTS and estimate(p, m) >= 1


def transformed(nests: Nest | Sequence[Nest]) -> bool:
    """Whether a transform may take these nests: those of unit windows, and those with a stride
    where it pays."""
    p = sides(nests)
    return p is not None and (p.unit or pays(p, tile_size(p)))


def transform(a: Axis, m: int, points: Sequence[Point] | None = None) -> Transform | Strided:
    """The transform of an axis for tiles of m. points: for unit windows."""
    if a.spread > 1:
        return spread_for(m, a.taps, a.spread, a.shift)
    return strided_for(m, a.taps, a.stride) if a.stride > 1 else transform_for(m, a.taps, points)


def winograd_layouts(
    nests: Nest | Sequence[Nest], shapes: Mapping[str, tuple[int, ...]], m: int | None = None
) -> dict[str, Layout] | None:
    """Layouts of the target and of both operands for tiles of at most m (`tile_size`); None where
    the schedule does not apply.

    Window and data are blocked by 16 along their channels, with borders that hold every tile; the
    weights are blocked along both. It does not apply to other access patterns, to channels that
    are no multiples of 16 and to images so small that little is saved.

    >>> from gradproof.codegen.fast.affine import Affine
    >>> from gradproof.codegen.fast.nest import Reduction
    >>> import sympy as sp
    >>> o, c, x, i = (Affine.of(v) for v in "ocxi")
    >>> r0, r1 = sp.symbols("r0 r1", real=True)
    >>> reads = (Access("y", (c, x + i + Affine(-1)), "zero"), Access("w", (o, c, i)))
    >>> terms = Reduction("sum", (("c", 16), ("i", 3)), r0 * r1)
    >>> loops = (("o", 32), ("x", 10))
    >>> n = Nest(Access("z", (o, x)), loops, reads, (terms,), sp.Symbol("a0", real=True))
    >>> found = winograd_layouts(n, {"y": (16, 10), "w": (32, 16, 3), "z": (32, 10)})
    >>> found["y"].low, found["y"].high, found["w"].axes[-2:]
    ((0, 1), (0, 3), ((1, 1, 16), (0, 1, 16)))
    """
    p = sides(nests)
    if p is None:
        return None
    m = tile_size(p, m)
    if not pays(p, m):
        return None
    window, data = shapes[p.window.tensor], shapes[p.data.tensor]
    low, high = [0] * len(window), [0] * len(window)
    after = [0] * len(data)
    for a in p.axes:
        d = _dimension(p.window, a.position)
        end = a.start + m * a.stride * (a.tiles(m) - 1) + a.places(m)
        low[d], high[d] = max(0, -a.start), max(0, end - window[d])
        if p.gradient:
            after[_dimension(p.data, a.position)] = a.step(m) * a.tiles(m) - a.extent
    channels = sorted(_dimension(p.weights, v) for v in (p.near, p.lane))
    return {
        p.window.tensor: Layout.blocked(
            window, _dimension(p.window, p.near), low=tuple(low), high=tuple(high)
        ),
        p.data.tensor: Layout.blocked(data, _dimension(p.data, p.lane), high=tuple(after)),
        p.weights.tensor: Layout.blocked(shapes[p.weights.tensor], channels[0], second=channels[1]),
    }


def _dimension(a: Access, loop: str) -> int:
    return next(d for d, s in enumerate(a.subscripts) if loop in s.loops)


def winograd_kernels(
    name: str,
    nests: Nest | Sequence[Nest],
    layouts: Mapping[str, Layout],
    m: int = 4,
    epilogue: tuple[Nest, ...] = (),
    store: bool = True,
    points: Sequence[Point] | None = None,
    machine: Machine = AVX2,
) -> tuple[FastKernel, ...] | None:
    """The kernels of a nest, or of phases, on given layouts, in launch order; None where they do
    not serve.

    epilogue: pointwise nests over the target's elements, computed as soon as these are known, and
    sums over all of these for each channel (`tile_sums`), which end in kernels of their own;
    store: whether the target itself is stored; m: at most, see `tile_size`; points: of the
    transforms, m + taps - 1 of them;
    machine: the registers that decide the tiles of accumulators.
    Errors: DefinitionError for points that do not suit.
    """
    p = sides(nests)
    if p is None or any(layout.size >= _LARGEST for layout in layouts.values()):
        return None
    m = tile_size(p, m)
    if m < 2 or any(p.nest.extents[v] % LANES for v in (p.near, p.lane)):
        return None
    tiling = Tiling(p, m, tuple(transform(a, m, points) for a in p.axes), layouts)
    if not tiling.fits:
        return None
    if p.gradient:
        return None if epilogue or not store else weight_gradient(name, tiling, machine)
    return correlation(name, tiling, epilogue, store, machine)
