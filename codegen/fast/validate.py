"""What holds of every planned step, checked before its kernels are made.

1. *One writer*: the nests of an equation write every element of its target exactly once.
2. *Inside*: a read that nothing guards lies in its tensor.
3. *Places*: a layout gives different elements different addresses (`Layout` refuses others).

1 is decided by a mixed radix: with the terms of an address in ascending order, each coefficient
exceeds what all smaller terms can reach together, so different loops give different addresses; two
phases have no address in common; and there are as many loop values as elements.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import combinations
from math import gcd, prod

from gradproof.codegen.fast.affine import Affine
from gradproof.codegen.fast.graph import Shape
from gradproof.codegen.fast.nest import Access, Nest


class Unsound(ValueError):
    """A planned step that would compute something else; a defect of the planner."""


def check_nests(nests: Sequence[Nest], shapes: Mapping[str, Shape]) -> None:
    """1 and 2 for the phases of one equation. Errors: Unsound says what does not hold.

    >>> from gradproof.codegen.fast.specialise import specialise
    >>> from gradproof.derive.ops.relu import relu
    >>> nests = specialise(relu, relu.equations[0], {"T": 4})
    >>> check_nests(nests, {"Y": (4,), "z": (4,)})
    >>> try:
    ...     check_nests(nests, {"Y": (4,), "z": (5,)})
    ... except Unsound as error:
    ...     print(error)
    z[i]: 4 of 5 elements are written
    """
    if not nests:
        return
    target = nests[0].out
    for n in nests:
        _check_inside(n, n.out, shapes)
        if not distinct(_flat(n.out, shapes[n.out.tensor]), dict(n.loops)):
            raise Unsound(f"{n.out}: some element is written twice")
        guarded = any(r.guards or r.conditions for r in n.reductions)
        for a in n.reads:
            if a.outside == "never" and not guarded:
                _check_inside(n, a, shapes)
    for one, other in combinations(nests, 2):
        if not _disjoint(one, other, shapes[target.tensor]):
            raise Unsound(f"{one.out} and {other.out} write the same element")
    written = sum(prod(e for _, e in n.loops) for n in nests)
    if written != prod(shapes[target.tensor]):
        raise Unsound(f"{target}: {written} of {prod(shapes[target.tensor])} elements are written")


def distinct(address: Affine, extents: Mapping[str, int]) -> bool:
    """Whether different loop values give different addresses, by mixed radix.

    >>> distinct(Affine.make(0, {"i": 3, "j": 1}), {"i": 2, "j": 3})
    True
    >>> distinct(Affine.make(0, {"i": 2, "j": 1}), {"i": 2, "j": 3})
    False
    """
    reach = 0
    for k, extent in sorted((abs(k), extents[v]) for v, k in address.terms):
        if k <= reach:
            return False
        reach += k * (extent - 1)
    return all(address.coefficient(v) for v, e in extents.items() if e > 1)


def _flat(a: Access, shape: Shape) -> Affine:
    """The row-major address."""
    out = Affine()
    for s, n in zip(a.subscripts, shape, strict=True):
        out = out * n + s
    return out


def _check_inside(n: Nest, a: Access, shapes: Mapping[str, Shape]) -> None:
    for s, e in zip(a.subscripts, shapes[a.tensor], strict=True):
        low, high = s.limits(n.extents)
        if low < 0 or high >= e:
            raise Unsound(f"{a}: {s} runs from {low} to {high}, the extent is {e}")


def _disjoint(a: Nest, b: Nest, shape: Shape) -> bool:
    """Whether two phases never write the same element."""
    reach: dict[int, tuple[int, int]] = {}  # step -> the least and the most that it is taken
    total = 0
    for sign, n in ((1, a), (-1, b)):
        address = _flat(n.out, shape)
        total -= sign * address.const
        for v, k in address.terms:
            last = n.extents[v] - 1
            low, high = reach.get(abs(k), (0, 0))
            forth = sign * k > 0
            reach[abs(k)] = (low, high + last) if forth else (low - last, high)
    return not reachable(total, tuple((k, *reach[k]) for k in sorted(reach, reverse=True)))


def reachable(total: int, steps: tuple[tuple[int, int, int], ...]) -> bool:
    """Whether some multiples of steps, (step, least, most) and the largest first, sum to `total`.

    >>> reachable(6, ((12, -2, 2), (2, -2, 2))), reachable(8, ((12, -2, 2), (2, -2, 2)))
    (False, True)
    """
    if not steps:
        return total == 0
    if total % gcd(*(k for k, _, _ in steps)):
        return False
    (step, least, most), smaller = steps[0], steps[1:]
    low = sum(k * first for k, first, _ in smaller)
    high = sum(k * last for k, _, last in smaller)
    first, last = max(least, -((high - total) // step)), min(most, (total - low) // step)
    return any(reachable(total - step * x, smaller) for x in range(first, last + 1))
