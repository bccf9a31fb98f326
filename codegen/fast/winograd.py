"""The Winograd schedule: sums of products over unit windows, by Cook-Toom transforms.

The pattern is that of winograd_pattern. With a tile index T and F(m, r) on each axis, and
position = m*T + step,

    U = G weights,   V = Bᵀ window,   data = Aᵀ Σ_near U V        (data is the target)
    V = Bᵀ window,   Z = A data,      weights = Gᵀ Σ_shared,T Z V (weights is the target)

Both are the identity (*) of derive.winograd, which is proved for every transform that is used.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import prod

from gradproof.codegen.fast.kernel import FastKernel
from gradproof.codegen.fast.layout import Layout
from gradproof.codegen.fast.machine import AVX2, Machine
from gradproof.codegen.fast.nest import Access, Nest
from gradproof.codegen.fast.program import LANES
from gradproof.codegen.fast.transforms import transform_for
from gradproof.codegen.fast.winograd_gradient import weight_gradient
from gradproof.codegen.fast.winograd_pattern import Pattern, pattern
from gradproof.codegen.fast.winograd_stages import correlation
from gradproof.codegen.fast.winograd_tiles import Tiling
from gradproof.derive.winograd import Point

PRODUCTS = 6  # at most, on one axis: m + r - 1
_LEAST_GAIN = 1.5  # fewer multiplications saved than this do not pay for the transforms
_LARGEST = 2**31  # addresses are int


# -- tiles and layouts ------------------------------------------------------------------
def tile_size(p: Pattern, most: int | None = None) -> int:
    """Outputs per tile and axis: at most so many, and so that an axis has at most 6 products, as
    more of them lose accuracy; below 2 where the window is too long for that.

    >>> from gradproof.codegen.fast.winograd_pattern import Axis
    >>> a = Access("", ())
    >>> [tile_size(Pattern(a, a, a, (Axis("x", "i", 9, taps, 0, False),), (), "", "", False))
    ...  for taps in (3, 5, 7)]
    [4, 2, 0]
    """
    usual = 4 if len(p.axes) < 3 else 2  # 216 products would fill the local memory
    return min(most or usual, PRODUCTS + 1 - max(a.taps for a in p.axes))


def gain(p: Pattern, m: int) -> float:
    """Multiplications of the direct sum for one of the transformed one, ragged tiles included."""
    direct = prod(a.extent * a.taps for a in p.axes)
    return direct / prod(a.tiles(m) * (m + a.taps - 1) for a in p.axes)


def winograd_layouts(
    n: Nest, shapes: Mapping[str, tuple[int, ...]], m: int | None = None
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
    p = pattern(n)
    if p is None:
        return None
    m = tile_size(p, m)
    if m < 2 or n.extents[p.near] % LANES or n.extents[p.lane] % LANES or gain(p, m) < _LEAST_GAIN:
        return None
    window, data = shapes[p.window.tensor], shapes[p.data.tensor]
    low, high = [0] * len(window), [0] * len(window)
    after = [0] * len(data)
    for a in p.axes:
        d = _dimension(p.window, a.position)
        end = a.start + m * a.tiles(m) + a.taps - 1
        low[d], high[d] = max(0, -a.start), max(0, end - window[d])
        if p.gradient:
            after[_dimension(p.data, a.position)] = m * a.tiles(m) - a.extent
    sides = sorted(_dimension(p.weights, v) for v in (p.near, p.lane))
    return {
        p.window.tensor: Layout.blocked(
            window, _dimension(p.window, p.near), low=tuple(low), high=tuple(high)
        ),
        p.data.tensor: Layout.blocked(data, _dimension(p.data, p.lane), high=tuple(after)),
        p.weights.tensor: Layout.blocked(shapes[p.weights.tensor], sides[0], second=sides[1]),
    }


def _dimension(a: Access, loop: str) -> int:
    return next(d for d, s in enumerate(a.subscripts) if loop in s.loops)


def winograd_kernels(
    name: str,
    nest: Nest,
    layouts: Mapping[str, Layout],
    m: int = 4,
    epilogue: tuple[Nest, ...] = (),
    store: bool = True,
    points: Sequence[Point] | None = None,
    machine: Machine = AVX2,
) -> tuple[FastKernel, ...] | None:
    """The kernels of a nest on given layouts, in launch order; None where they do not serve.

    epilogue: pointwise nests over the target's elements, computed as soon as these are known, and
    sums over all of these for each channel (`tile_sums`), which end in kernels of their own;
    store: whether the target itself is stored; m: at most, see `tile_size`; points: of the
    transforms, m + taps - 1 of them;
    machine: the registers that decide the tiles of accumulators.
    Errors: DefinitionError for points that do not suit.
    """
    p = pattern(nest)
    if p is None or any(layout.size >= _LARGEST for layout in layouts.values()):
        return None
    m = tile_size(p, m)
    if m < 2 or nest.extents[p.near] % LANES or nest.extents[p.lane] % LANES:
        return None
    tiling = Tiling(nest, p, m, tuple(transform_for(m, a.taps, points) for a in p.axes), layouts)
    if not tiling.fits:
        return None
    if p.gradient:
        return None if epilogue or not store else weight_gradient(name, tiling, machine)
    return correlation(name, tiling, epilogue, store, machine)
