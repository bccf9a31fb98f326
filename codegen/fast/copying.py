"""Which operands of a sum of products are worth a copy in another layout."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from itertools import combinations
from math import prod

from gradproof.codegen.fast.contraction import contraction_cost
from gradproof.codegen.fast.layout import Axis, Layout
from gradproof.codegen.fast.machine import Machine
from gradproof.codegen.fast.nest import Nest
from gradproof.codegen.fast.placement import order
from gradproof.codegen.fast.program import LANES

COPY = 2.0  # what a copied element costs, in multiply-adds of a vector


def on_best_copies(
    nests: tuple[Nest, ...], home: Mapping[str, Layout], asked: Mapping[str, Layout], m: Machine
) -> dict[str, Layout]:
    """The layouts at home, with those of `asked` in their place that save more than their copies
    cost, by the model; all of `asked` where no other choice has a kernel.

    >>> from gradproof.codegen.fast.specialise import specialise
    >>> from gradproof.codegen.fast.machine import AVX2
    >>> from gradproof.derive.ops.linear import linear
    >>> shapes = {"z": (256, 512), "Y": (256, 512), "w": (512, 512), "b": (512,)}
    >>> nests = specialise(linear, linear.equations[0], {"N": 256, "K": 512, "O": 512})
    >>> home = {t: Layout.row_major(shape) for t, shape in shapes.items()}
    >>> found = on_best_copies(nests, home, {"w": Layout.blocked((512, 512), 0)}, AVX2)
    >>> found["w"].axes
    ((0, 16, 32), (1, 1, 512), (0, 1, 16))
    """
    others = [b for b in asked if not serves(home[b], asked[b])]
    products = sum(prod(n.extents.values()) for n in nests) / LANES
    best: tuple[float, dict[str, Layout]] | None = None
    for count in range(len(others) + 1):
        for copied in combinations(others, count):
            layouts = dict(home) | {b: asked[b] for b in copied}
            each = contraction_cost(nests, layouts, m)
            if each is None:
                continue
            cost = each * products + COPY * sum(prod(home[b].shape) for b in copied)
            if best is None or cost < best[0]:
                best = cost, layouts
    return best[1] if best else dict(home) | dict(asked)


def serves(home: Layout, asked: Layout) -> bool:
    """Whether the elements lie as asked, with a border at least as wide.

    >>> serves(Layout.row_major((4, 32)), Layout.blocked((4, 32), 1))
    True
    """
    wide = all(
        h >= a
        for have, want in ((home.low, asked.low), (home.high, asked.high))
        for h, a in zip(have, want, strict=True)
    )
    return wide and order(_merged(home)) == order(_merged(asked))


def _merged(layout: Layout) -> Layout:
    """Neighbouring digits of a dimension as one."""
    axes: list[Axis] = []
    for d, div, n in layout.axes:
        if axes and axes[-1][0] == d and axes[-1][1] == div * n:
            axes[-1] = (d, div, axes[-1][2] * n)
        else:
            axes.append((d, div, n))
    return replace(layout, axes=tuple(axes))
