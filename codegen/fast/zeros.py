"""Zeros again, before a step's first use of a place that other buffers use too."""

from __future__ import annotations

from gradproof.codegen.fast.kernel import FastKernel

ELEMENTS = 1024  # of one work-group; every place with a border has a multiple of it
_ITEMS = 64  # work-items of a group on a GPU

_VECTORS = """\
__attribute__((reqd_work_group_size(1, 1, 1)))
__kernel void {name}(__global REAL *restrict t0)
{{
    for (int k = 0; k < {elements}; k += 16)
        STORED(t0, get_group_id(0) * {elements} + k) = 0;
}}"""
_ITEMWISE = """\
__attribute__((reqd_work_group_size({items}, 1, 1)))
__kernel void {name}(__global REAL *restrict t0)
{{
    for (int k = get_local_id(0); k < {elements}; k += {items})
        t0[get_group_id(0) * {elements} + k] = 0;
}}"""


def zero_kernel(name: str, elements: int, vectors: bool, items: int = _ITEMS) -> FastKernel:
    """A kernel that zeroes `elements`, rounded up, of t0; its text is the same for all of them.
    items: work-items that a group may have.

    >>> zero_kernel("k", 3000, vectors=True).groups
    3
    """
    local = 1 if vectors else min(items, _ITEMS)
    text = (_VECTORS if vectors else _ITEMWISE).format(name=name, elements=ELEMENTS, items=local)
    return FastKernel(name, text, (("t0", True),), -(-elements // ELEMENTS), local=local)
