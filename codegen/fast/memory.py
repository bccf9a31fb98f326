"""Which buffers of a planned step share memory: two that are never needed at the same time.

A buffer with a border needs the border's zeros, which are written once, before the first step; so
it shares only with buffers of the very same layout, whose elements cover the same places.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Need:
    """A buffer of `elements` of `dtype`, used from one launch to another; `key`: with what it may
    share (equal keys)."""

    elements: int
    dtype: str
    first: int
    last: int
    key: str = ""


@dataclass(frozen=True)
class Memory:
    """slots: elements and dtype of each piece of memory; `slot`: of each buffer."""

    slots: tuple[tuple[int, str], ...]
    slot: Mapping[str, int]


def share(needs: Mapping[str, Need]) -> Memory:
    """Greedy, in the order of first use: the free slot that fits best, else a new one.

    >>> needs = {"a": Need(8, "real", 0, 1), "b": Need(8, "real", 2, 3), "c": Need(4, "real", 1, 2)}
    >>> share(needs)
    Memory(slots=((8, 'real'), (4, 'real')), slot={'a': 0, 'c': 1, 'b': 0})
    """
    sizes: list[int] = []
    kinds: list[tuple[str, str]] = []
    free_from: list[int] = []
    slot: dict[str, int] = {}
    for name, need in sorted(needs.items(), key=lambda x: (x[1].first, -x[1].elements, x[0])):
        kind = (need.dtype, need.key)
        free = [k for k, f in enumerate(free_from) if f <= need.first and kinds[k] == kind]
        k = _best(free, sizes, need)
        if k is None:
            k = len(sizes)
            sizes.append(0)
            kinds.append(kind)
            free_from.append(0)
        sizes[k] = max(sizes[k], need.elements)
        free_from[k] = need.last + 1
        slot[name] = k
    return Memory(tuple(zip(sizes, (d for d, _ in kinds), strict=True)), slot)


def _best(free: Sequence[int], sizes: Sequence[int], need: Need) -> int | None:
    """The smallest that is large enough; else the largest, which then grows."""
    fitting = [k for k in free if sizes[k] >= need.elements]
    if fitting:
        return min(fitting, key=lambda k: sizes[k])
    if need.key:
        return None
    return max(free, key=lambda k: sizes[k], default=None)
