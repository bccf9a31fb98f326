"""The access pattern of the Winograd schedule: a trilinear form with unit windows.

A sum of products is a trilinear form. Winograd's applies where its three tensors (the target and
two reads) share their loops like this, on one or more axes:

    window   [shared, near, position ± tap + const]      the tensor with the window
    data     [shared, lane, position]
    weights  [lane, near, tap]

The tap is the shorter loop of the window. Where it is summed, the target is `data` (a convolution
or its input gradient); where the position is summed, the target is `weights` (a weight gradient).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import sympy as sp

from gradproof.codegen.fast.affine import Affine
from gradproof.codegen.fast.nest import Access, Nest
from gradproof.derive.winograd_error import Form


@dataclass(frozen=True)
class Axis:
    """A window: place = position + tap + start, or, flipped, position - tap + taps - 1 + start."""

    position: str
    tap: str
    extent: int
    taps: int
    start: int
    flipped: bool

    def tiles(self, m: int) -> int:
        """Tiles of m positions, the last of which may be ragged."""
        return -(-self.extent // m)


@dataclass(frozen=True)
class Pattern:
    """The three sides of the form, and the roles of the loops."""

    window: Access
    data: Access
    weights: Access
    axes: tuple[Axis, ...]
    shared: tuple[str, ...]
    near: str
    lane: str
    gradient: bool

    @property
    def form(self) -> Form:
        """The name of the transposed form in derive.winograd."""
        return "weight_gradient" if self.gradient else "forward"


# -- the access pattern ------------------------------------------------------------------------
def pattern(n: Nest) -> Pattern | None:
    """The roles of a nest's tensors and loops; None where it is another kind of sum."""
    if len(n.reductions) != 1 or n.reductions[0].kind != "sum":
        return None
    (r,) = n.reductions
    operands = n.used(r.term)
    if r.guards or r.conditions or len(operands) != 2:
        return None
    first, second = operands
    if r.term != sp.Symbol(f"r{first}", real=True) * sp.Symbol(f"r{second}", real=True):
        return None
    for w, o in ((first, second), (second, first)):
        found = _sides(n, n.reads[w], n.reads[o])
        if found is not None:
            return found
    return None


def _sides(n: Nest, window: Access, other: Access) -> Pattern | None:
    outer = dict(n.loops)
    axes: list[Axis] = []
    for s in window.subscripts:
        if len(s.terms) > 1:
            axis = _axis(s, n.extents)
            if axis is None or (axis.tap in outer) == (axis.position in outer):
                return None
            axes.append(axis)
        elif s.terms and not s.plain:
            return None
    if not axes or len({axis.tap in outer for axis in axes}) != 1:
        return None
    gradient = axes[0].tap in outer
    data, weights = (other, n.out) if gradient else (n.out, other)
    return _roles(n, window, data, weights, tuple(axes), gradient)


def _axis(s: Affine, extents: Mapping[str, int]) -> Axis | None:
    """A window of unit coefficients, on which the longer loop counts upwards."""
    if len(s.terms) != 2 or any(abs(k) != 1 for _, k in s.terms):
        return None
    (tap, sign), (position, up) = sorted(s.terms, key=lambda term: extents[term[0]])
    taps, extent = extents[tap], extents[position]
    if up != 1 or taps == extent:
        return None
    start = s.const if sign == 1 else s.const - (taps - 1)
    return Axis(position, tap, extent, taps, start, sign == -1)


def _roles(
    n: Nest,
    window: Access,
    data: Access,
    weights: Access,
    axes: tuple[Axis, ...],
    gradient: bool,
) -> Pattern | None:
    plain = all(s.plain or not s.terms for a in (data, weights) for s in a.subscripts)
    once = all(
        len(a.loops) == sum(len(s.terms) for s in a.subscripts) for a in (window, data, weights)
    )
    positions, taps = {a.position for a in axes}, {a.tap for a in axes}
    shared = (window.loops & data.loops) - positions
    near = (window.loops & weights.loops) - taps
    lane = data.loops & weights.loops
    wanted = (
        (window, shared | near | positions | taps),
        (data, shared | lane | positions),
        (weights, near | lane | taps),
    )
    right = all(a.loops == loops for a, loops in wanted) and not shared & near
    every = shared | near | lane | positions | taps == set(n.extents)
    if not (plain and once and right and every and len(near) == len(lane) == 1):
        return None
    order = tuple(v for v in n.extents if v in shared)
    return Pattern(window, data, weights, axes, order, min(near), min(lane), gradient)
