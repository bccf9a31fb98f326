"""Which layout each buffer of a step lives in.

A buffer outside the step stays where it lies, unless it may be moved. All others take the layout
for which most of the work asks, with a border wide enough for all who ask for that layout;
elementwise tasks follow their neighbours. Whoever needs another layout works on a copy.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from gradproof.codegen.fast.graph import Shape
from gradproof.codegen.fast.layout import Axis, Layout
from gradproof.codegen.fast.tasks import Step, Task


@dataclass(frozen=True)
class Wish:
    """A task asks for its buffers in these layouts; `weight`: operations that depend on it."""

    task: Task
    layouts: Mapping[str, Layout]
    weight: int


def place(step: Step, wishes: Iterable[Wish]) -> dict[str, Layout]:
    """A layout for every buffer."""
    votes: dict[str, dict[tuple[Axis, ...], int]] = defaultdict(lambda: defaultdict(int))
    borders: dict[tuple[str, tuple[Axis, ...]], list[Layout]] = defaultdict(list)
    for wish in wishes:
        for buffer, layout in wish.layouts.items():
            kind = order(layout)
            if buffer not in step.external:
                kind = natural(kind)  # one order for all who block the same dimensions
            votes[buffer][kind] += wish.weight
            borders[buffer, kind].append(layout)
    found = {
        b: layout if layout is not None else Layout.row_major(step.shapes[b])
        for b, layout in step.fixed.items()
    }
    for buffer, kinds in votes.items():
        if buffer not in found:
            best = max(kinds, key=lambda k: (kinds[k], k == natural(k), k))
            found[buffer] = _widest(borders[buffer, best], best)
    for buffer in _opaque(step):
        found.setdefault(buffer, Layout.row_major(step.shapes[buffer]))
    _follow(step, found)
    return found


BATCH = 0  # the dimension of samples, in every framework and every operator here
ENOUGH = 0.3  # of the work


def batch_lanes(step: Step, wishes: Iterable[Wish]) -> dict[str, int]:
    """The dimension to block instead, for all temporaries, where much of the work is blocked by its
    samples: few channels ask for that, and the others had better agree."""
    total = along = 0
    samples = 0
    for wish in wishes:
        total += wish.weight
        images = [
            layout
            for b, layout in wish.layouts.items()
            if b not in step.external and len(layout.shape) > 2 and layout.block(BATCH) > 1
        ]
        if images:
            along += wish.weight
            samples = images[0].shape[BATCH]
    if not total or along < ENOUGH * total:
        return {}
    return {
        b: BATCH
        for b, shape in step.shapes.items()
        if b not in step.external and len(shape) > 1 and shape[BATCH] == samples
    }


def order(layout: Layout) -> tuple[Axis, ...]:
    """The order of a layout's axes, whatever its border: (dimension, divisor, count of an inner
    digit)."""
    tops = {d: max(div for e, div, _ in layout.axes if e == d) for d, _, _ in layout.axes}
    return tuple((d, div, 0 if div == tops[d] else n) for d, div, n in layout.axes)


def bordered(layout: Layout, low: tuple[int, ...], high: tuple[int, ...]) -> Layout:
    """The same order of axes with another border.

    >>> bordered(Layout.row_major((2, 4)), (0, 1), (0, 2)).axes
    ((0, 1, 2), (1, 1, 7))
    """
    return reordered(order(layout), layout.shape, low, high)


def reordered(
    axes: tuple[Axis, ...], shape: Shape, low: tuple[int, ...] = (), high: tuple[int, ...] = ()
) -> Layout:
    """A layout of a shape with an order of axes, see `order`."""
    low, high = low or (0,) * len(shape), high or (0,) * len(shape)
    padded = [a + n + b for a, n, b in zip(low, shape, high, strict=True)]
    full = tuple((d, div, n or -(-padded[d] // div)) for d, div, n in axes)
    return Layout(shape, full, low, high)


def natural(axes: tuple[Axis, ...]) -> tuple[Axis, ...]:
    """The outer digits in the order of their dimensions, the inner ones as they are.

    >>> natural(((1, 16, 0), (0, 1, 0), (1, 1, 16)))
    ((0, 1, 0), (1, 16, 0), (1, 1, 16))
    """
    outer = sorted(a for a in axes if a[2] == 0)
    return (*outer, *(a for a in axes if a[2]))


def _widest(layouts: list[Layout], axes: tuple[Axis, ...]) -> Layout:
    """The border that all of these ask for."""
    low = tuple(max(x.low[d] for x in layouts) for d in range(len(layouts[0].shape)))
    high = tuple(max(x.high[d] for x in layouts) for d in range(len(layouts[0].shape)))
    return reordered(axes, layouts[0].shape, low, high)


def _opaque(step: Step) -> Iterable[str]:
    for t in step.tasks:
        if t.kind == "opaque":
            yield from sorted({t.out, *t.reads})


def _follow(step: Step, found: dict[str, Layout]) -> None:
    """Buffers nobody asked for: like a neighbour of the same shape, without its border."""
    progress = True
    while progress:
        progress = False
        for t in step.tasks:
            buffers = sorted({*t.reads, *t.writes, t.out})
            for b in buffers:
                if b in found:
                    continue
                like = [
                    found[c]
                    for c in buffers
                    if c in found and c not in step.external and step.shapes[c] == step.shapes[b]
                ]
                like = like or _related(step, t, b, found)
                if like:
                    found[b] = replace_border(like[0])
                    progress = True
    for t in step.tasks:
        for b in {*t.reads, *t.writes}:
            found.setdefault(b, Layout.row_major(step.shapes[b]))


def _related(step: Step, t: Task, b: str, found: Mapping[str, Layout]) -> list[Layout]:
    """A neighbour of the same rank whose blocked dimension has the same extent (pooling)."""
    out = []
    # first the result of the equation: what else it stores lies like that
    for c in sorted({*t.reads, *t.writes, t.out}, key=lambda c: (c != t.out, c)):
        if c not in found or c in step.fixed or len(step.shapes[c]) != len(step.shapes[b]):
            continue
        blocked = [d for d in range(len(step.shapes[c])) if found[c].block(d) > 1]
        if all(step.shapes[c][d] == step.shapes[b][d] for d in blocked):
            out.append(reordered(order(found[c]), step.shapes[b]))
    return out


def replace_border(layout: Layout) -> Layout:
    """The layout without its border."""
    none = (0,) * len(layout.shape)
    return replace(bordered(layout, none, none))
