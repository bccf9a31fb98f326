"""Everything on a GPU that is no product of matrices: a work-item for each element of the target.

Neighbouring work-items take neighbouring elements, so that what they read and write is fetched
together. Short sums run inside a work-item. Long ones are a tree: a work-group for each element,
whose work-items take every n-th term and then add up in pairs; no sum is a chain of more than 256
terms, so the error grows like the sum of the stages, not like the number of terms.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import prod

import sympy as sp

from gradproof.codegen.fast.gpu_elements import Elements
from gradproof.codegen.fast.gpu_reduction import (
    Joined,
    Moments,
    MomentPieces,
    MomentsJoined,
    Pieces,
    Tree,
)
from gradproof.codegen.fast.gpu_tiles import BUSY, ITEMS
from gradproof.codegen.fast.kernel import FastKernel
from gradproof.codegen.fast.layout import Layout
from gradproof.codegen.fast.moments import are_moments
from gradproof.codegen.fast.nest import Nest, Reduction
from gradproof.codegen.fast.strided import strided
from gradproof.codegen.fast.vector import Schedule
from gradproof.codegen.fast.vector_group import grouped
from gradproof.codegen.fast.vector_sums import PIECE, Set, Sums, reduce_set

GROUPS = 4096  # at most so many work-groups; each goes on with the next elements
LONG = 128  # terms from which a work-group shares a sum,
MANY = 32768  # unless there are so many elements and the sums are shorter than
LONGER = 2048


def gpu_vector_kernel(
    name: str,
    nests: Sequence[Nest],
    layouts: Mapping[str, Layout],
    whole: frozenset[str] = frozenset(),
    items: int = ITEMS,
) -> FastKernel:
    """One kernel for nests with equal loops. A nest may read the element that an earlier one
    computes; `whole`: tensors of integers; items: work-items that a group may have.

    Errors: those of `vector_kernel`.

    >>> from gradproof.derive.ops.relu import relu
    >>> from gradproof.codegen.fast.specialise import specialise
    >>> nests = specialise(relu, relu.equations[0], {"T": 1000})
    >>> flat = Layout.row_major((1000,))
    >>> kernel = gpu_vector_kernel("relu", nests, {"Y": flat, "z": flat})
    >>> kernel.groups, kernel.local
    (4, 256)
    """
    group = grouped(name, nests)
    s = strided(group.whole, layouts, masked=True)
    if s is None:
        used = ", ".join(map(str, (group.whole.out, *group.whole.reads)))
        raise ValueError(f"{name}: no affine addresses on these layouts: {used}")
    terms = max((prod(e for _, e in r.loops) for r in s.reductions), default=1)
    elements = prod(e for _, e in s.loops)
    short = terms < LONG or (elements >= MANY and terms < LONGER)
    made = (_Elements if short else _Tree)(name, group, s, layouts, whole)
    made.local = items
    return made.kernel()


def gpu_moments_kernel(
    name: str, mean: Nest, var: Nest, layouts: Mapping[str, Layout], items: int = ITEMS
) -> FastKernel | None:
    """Mean and variance as one kernel, see `moments_kernel`: the mean relative to the first term,
    then the squared deviations from it; None where the nests are nothing like that.

    >>> from gradproof.derive.ops.batch_norm import batch_norm
    >>> from gradproof.codegen.fast.specialise import specialise
    >>> sizes = {"N": 4, "C": 32, "L": 64}
    >>> pair = [specialise(batch_norm, e, sizes)[0] for e in batch_norm.equations[:2]]
    >>> layouts = {"X": Layout.row_major((4, 32, 64)),
    ...            "mean": Layout.row_major((32,)), "var": Layout.row_major((32,))}
    >>> gpu_moments_kernel("moments", *pair, layouts).groups
    32
    """
    if mean.loops != var.loops:
        return None
    try:
        group = grouped(name, (mean, var))
    except ValueError:
        return None
    s = strided(group.whole, layouts, masked=True) if are_moments(group) else None
    if s is None:
        return None
    made = _Moments(name, group, s, layouts, frozenset())
    made.local = items
    return made.kernel()


