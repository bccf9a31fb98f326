"""How many operations the equations of a step state, whatever kernels compute them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from math import prod
from typing import Any

from gradproof.codegen.fast.graph import Graph, nodes
from gradproof.codegen.fast.nest import Nest
from gradproof.derive.language import Definition


def flops(graph: Mapping[str, Any], definition: Callable[[str], Definition]) -> int:
    """The operations of all calls of a recorded step, plain data as `Graph.of` takes it.

    An equation that has no affine nests counts none."""
    found = nodes(Graph.of(graph), definition)
    return sum(operations(nest) for node in found for nest in node.nests or ())


def operations(n: Nest) -> int:
    """Operations of a nest: one for each term that a sum adds or a maximum compares, and those
    inside of terms and of the value.

    >>> from gradproof.codegen.fast.specialise import specialise
    >>> from gradproof.derive.ops.linear import linear
    >>> (nest,) = specialise(linear, linear.equations[0], {"N": 2, "K": 8, "O": 16})
    >>> operations(nest) == 2 * 16 * (2 * 8 + 1)
    True
    """
    outputs = prod(extent for _, extent in n.loops)
    each = int(n.value.count_ops())
    for r in n.reductions:
        each += prod(extent for _, extent in r.loops) * (1 + int(r.term.count_ops()))
    return outputs * each
