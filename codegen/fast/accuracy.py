"""Which tile of the Winograd schedule is accurate enough: by its proved error bound."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from functools import cache
from math import prod

from gradproof.codegen.fast.nest import Nest
from gradproof.codegen.fast.transforms import transform_for
from gradproof.codegen.fast.winograd import PRODUCTS, tile_size
from gradproof.codegen.fast.winograd_pattern import Pattern, pattern
from gradproof.derive.winograd import Point, Transform
from gradproof.derive.winograd_error import SINGLE, Form, average_error, error_bound

# A tile is allowed where its bound is at most so many times that of the sum taken term by term,
# u * terms² * max|a| * max|b|.
ALLOWED = {"fast": 32, "accurate": 3}
_TILES = {"fast": (4, 2), "accurate": (2,)}  # outputs per axis


def largest_tile(nest: Nest, precision: str) -> int:
    """The most outputs per axis whose bound is allowed; 0: none is, or the pattern is another.

    Sums of few terms gain least: the transforms' own roundings weigh the more.
    """
    p = pattern(nest)
    if p is None:
        return 0
    for m in sorted({tile_size(p, most) for most in _TILES[precision]}, reverse=True):
        if m >= 2 and winograd_bound(nest, m) <= ALLOWED[precision] * terms(nest) * float(SINGLE):
            return m
    return 0


def largest_line(nest: Nest, precision: str) -> int:
    """The same for the schedule by lines, which transforms the first of several axes alone."""
    p = pattern(nest)
    if p is None or p.gradient or len(p.axes) < 2:
        return 0
    most = PRODUCTS + 1 - p.axes[0].taps
    for m in sorted({min(most, tile) for tile in _TILES[precision]}, reverse=True):
        if m >= 2 and line_bound(nest, m) <= ALLOWED[precision] * terms(nest) * float(SINGLE):
            return m
    return 0


def terms(nest: Nest) -> int:
    """Products that the equation sums for one element, at most.

    Errors: ValueError for a nest that the Winograd schedule does not take.
    """
    p = _pattern(nest)
    taps = prod(a.extent if p.gradient else a.taps for a in p.axes)
    return taps * (prod(nest.extents[v] for v in p.shared) if p.gradient else nest.extents[p.near])


def winograd_bound(
    nest: Nest, m: int, points: Sequence[Point] | None = None, u: Fraction = SINGLE
) -> float:
    """B with |computed - exact| <= B * terms * max|a| * max|b|, where u is the unit roundoff:
    derive.winograd_error's bound, taken for the longest window on every axis.

    Errors: ValueError for a nest that this schedule does not take.
    """
    p = _pattern(nest)
    m, taps = tile_size(p, m), max(a.taps for a in p.axes)
    tiles = prod(a.tiles(m) for a in p.axes) * prod(nest.extents[v] for v in p.shared)
    inner = tiles if p.gradient else nest.extents[p.near]
    bound = _bound(m, taps, tuple(points or ()), len(p.axes), u, p.form, inner)
    return float(bound * u / terms(nest))


def line_bound(nest: Nest, m: int, u: Fraction = SINGLE) -> float:
    """`winograd_bound` where the first axis alone is transformed: the sum over the other taps and
    the channels stands between the transforms."""
    p, count = _pattern(nest), terms(nest)
    taps = p.axes[0].taps
    return float(_bound(m, taps, (), 1, u, p.form, count // taps) * u / count)


def winograd_error(nest: Nest, m: int, points: Sequence[Point] | None = None) -> float:
    """The estimated root mean square error in float32, relative to that of the outputs: the
    average case of `winograd_bound`, one tile and channel alone."""
    p = _pattern(nest)
    m = tile_size(p, m)
    t = _transform(m, max(a.taps for a in p.axes), tuple(points or ()))
    own = prod(m if p.gradient else a.taps for a in p.axes)
    return average_error(t, len(p.axes), form=p.form) * float(SINGLE) / float(own) ** 0.5


def _pattern(nest: Nest) -> Pattern:
    p = pattern(nest)
    if p is None:
        raise ValueError(f"{nest.out} is no sum of products over unit windows")
    return p


@cache
def _transform(m: int, taps: int, points: tuple[Point, ...]) -> Transform:
    return transform_for(m, taps, points or None)


@cache
def _bound(
    m: int, taps: int, points: tuple[Point, ...], dims: int, u: Fraction, form: Form, inner: int
) -> Fraction:
    """Layers of one shape ask again."""
    return error_bound(_transform(m, taps, points), dims, u, form, inner)
