"""Everything on a GPU that is no product of matrices: a work-item for each element of the target.

Neighbouring work-items take neighbouring elements, so that what they read and write is fetched
together. Short sums run inside a work-item. Long ones are a tree: a work-group for each element,
whose work-items take every n-th term and then add up in pairs; no sum is a chain of more than 256
terms, so the error grows like the sum of the stages, not like the number of terms.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import prod

from gradproof.codegen.fast.gpu_elements import Elements
from gradproof.codegen.fast.gpu_reduction import (
    Joined,
    MomentPieces,
    Moments,
    MomentsJoined,
    Pieces,
    Tree,
)
from gradproof.codegen.fast.gpu_tiles import BUSY, ITEMS, LOCAL
from gradproof.codegen.fast.kernel import FastKernel
from gradproof.codegen.fast.layout import Layout
from gradproof.codegen.fast.moments import are_moments
from gradproof.codegen.fast.nest import Nest
from gradproof.codegen.fast.strided import Strided, strided
from gradproof.codegen.fast.vector_group import Group, grouped

LONG = 128  # terms from which a work-group shares a sum,
MANY = 32768  # unless there are so many elements and the sums are shorter than
LONGER = 2048
SHORTEST, MOST = 2048, 64  # terms of a piece of a sum; pieces
Kernels = tuple[FastKernel, ...]


def gpu_vector_kernel(
    name: str,
    nests: Sequence[Nest],
    layouts: Mapping[str, Layout],
    whole: frozenset[str] = frozenset(),
    items: int = ITEMS,
    local: int = LOCAL,
) -> FastKernel:
    """One kernel for nests with equal loops. A nest may read the element that an earlier one
    computes; `whole`: tensors of integers; items, local: work-items that a group may have, and
    elements of its local memory. Where a tree of sums does not fit, sums run inside a work-item.

    Errors: those of `vector_kernel`.

    >>> from gradproof.derive.ops.relu import relu
    >>> from gradproof.codegen.fast.specialise import specialise
    >>> nests = specialise(relu, relu.equations[0], {"T": 1000})
    >>> flat = Layout.row_major((1000,))
    >>> kernel = gpu_vector_kernel("relu", nests, {"Y": flat, "z": flat})
    >>> kernel.groups, kernel.local
    (4, 256)
    """
    group, s = _on(name, nests, layouts)
    sharing = 0 if _short(s) else _sharing(s, items, local)
    made = (Tree if sharing else Elements)(name, group, s, layouts, whole)
    made.local = sharing or items
    return made.kernel()


def gpu_vector_kernels(
    name: str,
    nests: Sequence[Nest],
    layouts: Mapping[str, Layout],
    whole: frozenset[str] = frozenset(),
    items: int = ITEMS,
    local: int = LOCAL,
) -> Kernels:
    """The same; two kernels where sums are cut in pieces. Errors: those of `vector_kernel`."""
    group, s = _on(name, nests, layouts)
    sharing = _sharing(s, items, local)
    pieces = 1 if _short(s) or not sharing or not _sums(group) else _pieces(s)
    if pieces == 1:
        return (gpu_vector_kernel(name, nests, layouts, whole, items, local),)
    arguments = (group, s, layouts, whole)
    return _in_pieces(
        Pieces(f"{name}0", *arguments), Joined(f"{name}1", *arguments), pieces, sharing, name
    )


def gpu_moments_kernels(
    name: str,
    mean: Nest,
    var: Nest,
    layouts: Mapping[str, Layout],
    items: int = ITEMS,
    local: int = LOCAL,
) -> Kernels | None:
    """Mean and variance together, see `moments_kernel`: the mean relative to the first term, then
    the squared deviations from it; None where the nests are nothing like that, or do not fit.

    >>> from gradproof.derive.ops.batch_norm import batch_norm
    >>> from gradproof.codegen.fast.specialise import specialise
    >>> sizes = {"N": 4, "C": 32, "L": 64}
    >>> pair = [specialise(batch_norm, e, sizes)[0] for e in batch_norm.equations[:2]]
    >>> layouts = {"X": Layout.row_major((4, 32, 64)),
    ...            "mean": Layout.row_major((32,)), "var": Layout.row_major((32,))}
    >>> [k.groups for k in gpu_moments_kernels("moments", *pair, layouts)]
    [32]
    """
    if mean.loops != var.loops:
        return None
    try:
        group, s = _on(name, (mean, var), layouts)
    except ValueError:
        return None
    items = _sharing(s, items, local)
    if not items or not are_moments(group):
        return None
    pieces, arguments = _pieces(s), (group, s, layouts, frozenset[str]())
    if pieces == 1:
        made = Moments(name, *arguments)
        made.local = items
        return (made.kernel(),)
    first = MomentPieces(f"{name}0", *arguments)
    return _in_pieces(first, MomentsJoined(f"{name}1", *arguments), pieces, items, name)


def _on(name: str, nests: Sequence[Nest], layouts: Mapping[str, Layout]) -> tuple[Group, Strided]:
    """The nests as one, on their layouts."""
    group = grouped(name, nests)
    s = strided(group.whole, layouts, masked=True)
    if s is None:
        used = ", ".join(map(str, (group.whole.out, *group.whole.reads)))
        raise ValueError(f"{name}: no affine addresses on these layouts: {used}")
    return group, s


def _elements(s: Strided) -> int:
    return prod(e for _, e in s.loops)


def _terms(s: Strided) -> int:
    return max((prod(e for _, e in r.loops) for r in s.reductions), default=1)


def _short(s: Strided) -> bool:
    """Whether sums run inside a work-item."""
    terms = _terms(s)
    return terms < LONG or (_elements(s) >= MANY and terms < LONGER)


def _sharing(s: Strided, items: int, local: int) -> int:
    """Work-items of a tree, at most `items`, whose arrays fit `local`; 0 where none do."""
    arrays = sum(1 + (r.kind == "argmax") for r in s.reductions)
    while items * arrays > local:
        items //= 2
    return items


def _sums(group: Group) -> bool:
    """Whether all reductions are sums over equal loops, none of which needs a target."""
    rs = group.whole.reductions
    return (
        all(r.kind == "sum" and r.loops == rs[0].loops for r in rs)
        and not any(group.stages)
        and not any(p.stage for p in group.parts)
    )


def _pieces(s: Strided) -> int:
    """Into how many pieces each sum is cut; 1 where there are enough of them, or they are short."""
    terms, elements = _terms(s), _elements(s)
    if 2 * elements > BUSY:
        return 1
    wanted = max(1, min(MOST, -(-2 * BUSY // elements), terms // SHORTEST))
    return -(-terms // -(-terms // wanted))


def _in_pieces(first: Pieces, last: Joined, pieces: int, items: int, name: str) -> Kernels:
    first.local = last.local = items
    first.pieces = last.count = pieces
    last.length = first.length
    sums = len(first.s.reductions)
    first.scratch = last.scratch = (f"{name}pieces", sums * pieces * first.elements)
    return first.kernel(), last.kernel()
