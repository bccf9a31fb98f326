"""Numbers that the kernels of a planned step count to: they are ints of 32 bits.

Every place in a tensor's memory, every loop over elements and every sum over terms is counted in
one int, and a loop may step beyond its end by at most the work-items of a launch. So all of them
stay below 2**31 by more than that; a step that does not is refused before anything is made.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import prod

from gradproof.codegen.fast.layout import Layout
from gradproof.codegen.fast.nest import Access, Nest

MOST = 2**31 - 2**22  # the work-items of the largest launch are 2**20


class TooLarge(ValueError):
    """An equation with more elements or terms than 32 bits count; `call`: of the recorded step."""

    def __init__(self, call: int, message: str) -> None:
        super().__init__(message)
        self.call = call


def check_counts(call: int, nests: Sequence[Nest], layouts: Mapping[str, Layout]) -> None:
    """Errors: TooLarge for nests on these layouts that count to more than MOST.

    >>> from gradproof.codegen.fast.specialise import specialise
    >>> from gradproof.derive.ops.relu import relu
    >>> wide = Layout.row_major((2**31 - 1,))
    >>> try:
    ...     check_counts(7, specialise(relu, relu.equations[0], {"T": 4}), {"Y": wide, "z": wide})
    ... except TooLarge as error:
    ...     print(error.call, error)
    7 z counts to 2147483647 places in memory; the kernels of a planned step count to 2143289344
    """
    for n in nests:
        sums = [prod(e for _, e in r.loops) for r in n.reductions]
        _check(call, n.out.tensor, prod(e for _, e in n.loops), "elements")
        _check(call, n.out.tensor, max(sums, default=1), "terms of a sum")
        for a in (n.out, *n.reads):
            _check(call, a.tensor, _reach(a, n, layouts[a.tensor]), "places in memory")


def _reach(a: Access, n: Nest, layout: Layout) -> int:
    """More than any address that an access computes, before a guard or a border decides on it."""
    found = 1
    for d, s in enumerate(a.subscripts):
        low, high = s.limits(n.extents)
        places = prod(count for dim, _, count in layout.axes if dim == d)
        found *= max(places, 1 + max(abs(low), abs(high)) + layout.low[d])
    return found


def _check(call: int, tensor: str, count: int, what: str) -> None:
    if count > MOST:
        raise TooLarge(
            call,
            f"{tensor} counts to {count} {what}; the kernels of a planned step count to {MOST}",
        )
