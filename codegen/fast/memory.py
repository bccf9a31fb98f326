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
    """Greedy, the largest first, so that a small buffer never holds the memory of a large one: the
    smallest slot that is free meanwhile, of equal ones the one used last, else a new one.

    >>> needs = {"a": Need(8, "real", 0, 1), "b": Need(8, "real", 2, 3), "c": Need(4, "real", 1, 2)}
    >>> share(needs)
    Memory(slots=((8, 'real'), (4, 'real')), slot={'a': 0, 'b': 0, 'c': 1})
    """
    sizes: list[tuple[int, str]] = []
    users: list[list[Need]] = []
    slot: dict[str, int] = {}
    for name, need in sorted(needs.items(), key=lambda x: (-x[1].elements, x[1].first, x[0])):
        free = [k for k, used in enumerate(users) if all(_apart(need, u) for u in used)]
        if free:
            k = min(free, key=lambda k: (sizes[k][0], -_latest(users[k], need)))
        else:
            k = len(sizes)
            sizes.append((need.elements, need.dtype))
            users.append([])
        users[k].append(need)
        slot[name] = k
    return Memory(tuple(sizes), slot)


def _apart(a: Need, b: Need) -> bool:
    """Whether two buffers may have the same memory."""
    return (a.dtype, a.key) == (b.dtype, b.key) and (a.last < b.first or b.last < a.first)


def _latest(used: Sequence[Need], need: Need) -> int:
    """When a slot was used last before a need; -1: never."""
    return max((u.last for u in used if u.last < need.first), default=-1)
