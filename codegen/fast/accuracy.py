"""Which tile of the Winograd schedule is accurate enough: by its proved error bound."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from fractions import Fraction
from functools import cache
from math import prod

from gradproof.codegen.fast.nest import Nest
from gradproof.codegen.fast.winograd import PRODUCTS, pays, sides, tile_size, transform
from gradproof.codegen.fast.winograd_pattern import Axis, Pattern, pattern
from gradproof.derive.winograd import Point, Transform
from gradproof.derive.winograd_error import SINGLE, Form, average_error, error_bound
from gradproof.derive.winograd_strided import Strided

Work = Nest | Sequence[Nest]  # phases together

# A tile is allowed where its bound is at most so many times that of the sum taken term by term,
# u * terms² * max|a| * max|b|.
ALLOWED = {"fast": 32, "accurate": 3}
_TILES = {"fast": (4, 2), "accurate": (2,)}  # outputs per axis


def largest_tile(nest: Work, precision: str) -> int:
    """The most outputs per axis whose bound is allowed; 0: none is, or the pattern is another.

    Sums of few terms gain least: the transforms' own roundings weigh the more.
    """
    p = sides(nest)
    if p is None:
        return 0
    for m in sorted({tile_size(p, most) for most in _TILES[precision]}, reverse=True):
        if m < 2 or not (p.unit or pays(p, m)):
            continue
        if winograd_bound(nest, m) <= ALLOWED[precision] * terms(nest) * float(SINGLE):
            return m
    return 0


def largest_line(nest: Nest, precision: str) -> int:
    """The same for the schedule by lines, which transforms the first of several axes alone."""
    p = pattern(nest)
    if p is None or not p.unit or p.gradient or len(p.axes) < 2:
        return 0
    most = PRODUCTS + 1 - p.axes[0].taps
    for m in sorted({min(most, tile) for tile in _TILES[precision]}, reverse=True):
        if m >= 2 and line_bound(nest, m) <= ALLOWED[precision] * terms(nest) * float(SINGLE):
            return m
    return 0


def terms(nest: Work) -> int:
    """Products that the equation sums for one element, at most.

    Errors: ValueError for a nest that the Winograd schedule does not take.
    """
    p = _pattern(nest)
    taps = prod(a.extent if p.gradient else -(-a.taps // a.spread) for a in p.axes)
    extents = p.nest.extents
    return taps * (prod(extents[v] for v in p.shared) if p.gradient else extents[p.near])


def winograd_bound(
    nest: Work, m: int, points: Sequence[Point] | None = None, u: Fraction = SINGLE
) -> float:
    """B with |computed - exact| <= B * terms * max|a| * max|b|, where u is the unit roundoff:
    derive.winograd_error's bound, taken for the longest window on every axis.

    Errors: ValueError for a nest that this schedule does not take.
    """
    p = _pattern(nest)
    m = tile_size(p, m)
    tiles = prod(a.tiles(m) for a in p.axes) * prod(p.nest.extents[v] for v in p.shared)
    inner = tiles if p.gradient else p.nest.extents[p.near]
    bound = _bound(_longest(p), m, tuple(points or ()), len(p.axes), u, p.form, inner)
    return float(bound * u / terms(nest))


def line_bound(nest: Nest, m: int, u: Fraction = SINGLE) -> float:
    """`winograd_bound` where the first axis alone is transformed: the sum over the other taps and
    the channels stands between the transforms."""
    p, count = _pattern(nest), terms(nest)
    inner = count // p.axes[0].taps
    return float(_bound(_nameless(p.axes[0]), m, (), 1, u, p.form, inner) * u / count)


def winograd_error(nest: Work, m: int, points: Sequence[Point] | None = None) -> float:
    """The estimated root mean square error in float32, relative to that of the outputs: the
    average case of `winograd_bound`, one tile and channel alone."""
    p = _pattern(nest)
    m = tile_size(p, m)
    t = _transform(_longest(p), m, tuple(points or ()))
    own = prod(m if p.gradient else a.longest if a.spread > 1 else a.taps for a in p.axes)
    return average_error(t, len(p.axes), form=p.form) * float(SINGLE) / float(own) ** 0.5


def _pattern(nest: Work) -> Pattern:
    p = sides(nest)
    if p is None:
        raise ValueError("this is no sum of products over windows")
    return p


def _longest(p: Pattern) -> Axis:
    """The axis with most taps, wherever it lies: all that have so many share their bound."""
    return _nameless(max(p.axes, key=lambda a: a.taps))


def _nameless(a: Axis) -> Axis:
    """What the transform of an axis depends on."""
    return replace(a, position="", tap="", extent=0, start=0, flipped=False)


@cache
def _transform(a: Axis, m: int, points: tuple[Point, ...]) -> Transform | Strided:
    return transform(a, m, points or None)


@cache
def _bound(
    a: Axis, m: int, points: tuple[Point, ...], dims: int, u: Fraction, form: Form, inner: int
) -> Fraction:
    """Layers of one shape ask again."""
    return error_bound(_transform(a, m, points), dims, u, form, inner)
