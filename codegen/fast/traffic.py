"""How many elements the nests of a kernel read and write, each once: the least traffic that
its equations need, whatever cache or copy a schedule adds."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from math import prod

from gradproof.codegen.fast.affine import Affine
from gradproof.codegen.fast.layout import Layout
from gradproof.codegen.fast.nest import Access, Nest

Moved = tuple[int, int]  # elements of real tensors, and of integer ones


def moved(
    nests: Sequence[Nest],
    layouts: Mapping[str, Layout],
    stored: Collection[str],
    whole: Collection[str] = frozenset(),
) -> Moved:
    """The elements that nests, which one kernel runs in order, read from memory and write there.

    stored: the targets that are written; what a nest before has computed is read from no memory.
    whole: the tensors of integers.

    >>> from gradproof.codegen.fast.specialise import specialise
    >>> from gradproof.derive.ops.linear import linear
    >>> (nest,) = specialise(linear, linear.equations[0], {"N": 2, "K": 8, "O": 16})
    >>> shapes = {"Y": (2, 8), "w": (16, 8), "b": (16,), "z": (2, 16)}
    >>> layouts = {t: Layout.row_major(s) for t, s in shapes.items()}
    >>> moved([nest], layouts, ["z"]) == (2 * 8 + 16 * 8 + 16 + 2 * 16, 0)
    True
    """
    reads: dict[str, dict[tuple[Affine, ...], int]] = {}
    writes: dict[str, dict[tuple[Affine, ...], int]] = {}
    for n in nests:
        for a in n.reads:
            if a.tensor not in writes:
                reads.setdefault(a.tensor, {})[a.subscripts] = _elements(a, n, layouts)
        writes.setdefault(n.out.tensor, {})[n.out.subscripts] = _elements(n.out, n, layouts)
    found = [0, 0]
    for accesses in (reads, {t: x for t, x in writes.items() if t in stored}):
        for tensor, each in accesses.items():
            found[tensor in whole] += min(sum(each.values()), prod(layouts[tensor].shape))
    return found[0], found[1]


def _elements(a: Access, n: Nest, layouts: Mapping[str, Layout]) -> int:
    """The elements of a tensor that an access reaches, at most."""
    extents, shape = n.extents, layouts[a.tensor].shape
    pairs = zip(a.subscripts, shape, strict=True)
    return prod(places(s, extents, extent) for s, extent in pairs)


def places(s: Affine, extents: Mapping[str, int], extent: int) -> int:
    """How many values from 0 to extent - 1 a subscript takes, exactly where each loop, from the
    smallest coefficient on, fills the steps of the next; else at most.

    >>> x, i = Affine.of("x"), Affine.of("i")
    >>> [places(e, {"x": 4, "i": 3}, 100) for e in (x, x * 2, x + i, x * 2 + i, x * 8 + i)]
    [4, 4, 6, 9, 12]
    >>> places(x + i + Affine(-1), {"x": 4, "i": 3}, 4)  # a border of one place on both sides
    4
    """
    low, high = s.limits(extents)
    step, count = 1, 1
    for coefficient, loop in sorted((abs(k), v) for v, k in s.terms):
        if count == 1:
            step, count = coefficient, extents[loop]
        elif coefficient % step == 0 and coefficient <= step * count:
            count += coefficient // step * (extents[loop] - 1)
        else:
            values = prod(extents[v] for v, _ in s.terms)
            return min(values, high - low + 1, extent)
    first = max(0, -(low // step))  # the values before are below 0
    last = min(count - 1, (extent - 1 - low) // step)
    return max(0, last - first + 1)
