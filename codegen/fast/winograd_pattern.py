"""The access pattern of the Winograd schedule: a trilinear form with windows.

A sum of products is a trilinear form. Winograd's applies where its three tensors (the target and
two reads) share their loops like this, on one or more axes:

    window   [shared, near, S position ± tap + const]    the tensor with the window
    data     [shared, lane, position]
    weights  [lane, near, tap]

The tap is the shorter loop of the window. Where it is summed, the target is `data` (a convolution
or its input gradient); where the position is summed, the target is `weights` (a weight gradient).
With a stride S > 1 the tap counts upwards; the input gradient is then made of phases, which
`winograd_phases` puts together.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import prod

import sympy as sp

from gradproof.codegen.fast.affine import Affine
from gradproof.codegen.fast.nest import Access, Nest
from gradproof.derive.winograd_error import Form
from gradproof.derive.winograd_strided import products


@dataclass(frozen=True)
class Axis:
    """A window: place = stride * position + tap + start, or, flipped, position - tap + taps - 1 +
    start; or, with spread > 1, spread * (place - start) + tap = position + shift."""

    position: str
    tap: str
    extent: int
    taps: int
    start: int
    flipped: bool
    stride: int = 1
    spread: int = 1
    shift: int = 0

    @property
    def classes(self) -> int:
        """Residue classes of the taps: one for a unit window."""
        return self.stride * self.spread

    @property
    def longest(self) -> int:
        """The most taps of a class."""
        return -(-self.taps // self.classes)

    def step(self, m: int) -> int:
        """Positions of a tile: m of each class that positions have."""
        return m * self.spread

    def tiles(self, m: int) -> int:
        """How many, the last of which may be ragged."""
        return -(-self.extent // self.step(m))

    def places(self, m: int) -> int:
        """That a tile reads."""
        if self.spread > 1:
            return (self.step(m) - 1 + self.shift) // self.spread + 1
        return self.stride * (m - 1) + self.taps

    def products(self, m: int) -> int:
        """Of a tile."""
        return products(m, self.taps, self.classes)

    @property
    def terms(self) -> int:
        """Pairs of a position and a tap that belong to some place."""
        if self.spread == 1:
            return self.extent * self.taps
        s = self.spread
        return sum(
            len(range(e, self.taps, s)) * len(range((e - self.shift) % s, self.extent, s))
            for e in range(s)
        )


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
    nest: Nest

    @property
    def unit(self) -> bool:
        """Whether the windows have no stride."""
        return all(a.classes == 1 for a in self.axes)

    @property
    def terms(self) -> int:
        """Products of the whole sum, taken directly."""
        positions = {a.position for a in self.axes} | {a.tap for a in self.axes}
        others = prod(n for v, n in self.nest.extents.items() if v not in positions)
        return others * prod(a.terms for a in self.axes)

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
    if len({axis.stride for axis in axes}) != 1:
        return None
    gradient = axes[0].tap in outer
    data, weights = (other, n.out) if gradient else (n.out, other)
    return roles(n, window, data, weights, tuple(axes), gradient)


def _axis(s: Affine, extents: Mapping[str, int]) -> Axis | None:
    """A window, on which the position, the longer loop, counts upwards."""
    if len(s.terms) != 2:
        return None
    (tap, sign), (position, up) = sorted(s.terms, key=lambda x: (abs(x[1]), extents[x[0]]))
    taps, extent = extents[tap], extents[position]
    unit = up == 1 and abs(sign) == 1 and taps < extent
    if not unit and not (up > 1 and sign == 1 and up < taps <= extent):
        return None
    start = s.const if sign == 1 else s.const - (taps - 1)
    return Axis(position, tap, extent, taps, start, sign == -1, up)


def roles(
    n: Nest,
    window: Access,
    data: Access,
    weights: Access,
    axes: tuple[Axis, ...],
    gradient: bool,
) -> Pattern | None:
    """The pattern with these sides, where every loop has a role."""
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
    return Pattern(window, data, weights, axes, order, min(near), min(lane), gradient, n)
