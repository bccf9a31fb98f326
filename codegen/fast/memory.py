"""Where the buffers of a planned step lie in one piece of memory for each kind of element.

Two buffers that are never needed at the same time may lie in the same place. A buffer with a border
needs the border's zeros. They are there from the beginning, and stay where the place is used only
by buffers of the very same layout, whose elements cover the same places; elsewhere the place is
zeroed again before each step's first use.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from gradproof.codegen.fast.zeros import ELEMENTS

# Of elements: 512 bytes of float32, to which every device can address a part of a buffer.
ALIGNMENT = 128


@dataclass(frozen=True)
class Need:
    """A buffer of `elements` of `dtype`, used from one launch to another; `key`: the layout whose
    border must be zero, or ""."""

    elements: int
    dtype: str
    first: int
    last: int
    key: str = ""

    def meets(self, other: Need) -> bool:
        """Whether both are needed at some time."""
        return self.first <= other.last and other.first <= self.last


@dataclass(frozen=True)
class Memory:
    """sizes: elements of each dtype's memory; places: the first element and the room of each
    buffer; zeroed: buffers whose place must be zeroed before their first use in each step."""

    sizes: Mapping[str, int]
    places: Mapping[str, tuple[int, int]]
    zeroed: frozenset[str]


def share(needs: Mapping[str, Need], tight: bool = False, piece: int = 0) -> Memory:
    """A place for every buffer. tight: borders keep no place where less memory does without; piece:
    elements of one allocation, a multiple of which no place crosses; 0: all is one.

    Borders first: where most memory is needed, every buffer has a place of its own anyway, so those
    with a border that are needed there keep theirs for themselves and for later buffers of the same
    layout. All others follow, large ones first, each at the lowest place that is free for as long
    as it is needed.

    >>> needs = {"a": Need(256, "real", 0, 1), "b": Need(256, "real", 2, 3)}
    >>> found = share(needs | {"c": Need(128, "real", 1, 2)})
    >>> found.sizes, found.places
    ({'real': 384}, {'a': (0, 256), 'b': (0, 256), 'c': (256, 128)})
    >>> share(needs | {"c": Need(256, "real", 1, 2)}, piece=384).places["c"]
    (384, 256)
    """
    sizes: dict[str, int] = {}
    places: dict[str, int] = {}
    zeroed: set[str] = set()
    for dtype in sorted({n.dtype for n in needs.values()}):
        own = {b: n for b, n in needs.items() if n.dtype == dtype}
        kept, found, sizes[dtype] = _places(own, *_with_borders(own, piece), piece)
        if tight and (other := _places(own, {}, 0, piece))[2] < sizes[dtype]:
            kept, found, sizes[dtype] = other
        places |= kept | found
        zeroed |= {b for b in found if own[b].key}
    rooms = {b: (places[b], room(needs[b])) for b in sorted(places)}
    return Memory(sizes, rooms, frozenset(zeroed))


def _places(
    needs: Mapping[str, Need], kept: dict[str, int], end: int, piece: int
) -> tuple[dict[str, int], dict[str, int], int]:
    """The places that are `kept` up to `end`, those of all others, and the end of all."""
    found, top = _packed({b: n for b, n in needs.items() if b not in kept}, end, piece)
    return kept, found, top


def _in_piece(at: int, size: int, piece: int) -> int:
    """The first place from `at` on where `size` elements lie in one allocation."""
    return at if not piece or at % piece + size <= piece else (at // piece + 1) * piece


def _with_borders(needs: Mapping[str, Need], piece: int) -> tuple[dict[str, int], int]:
    """Places that only buffers of one layout use, and the first element behind them."""
    peak = _peak(needs)
    bordered = sorted(
        (b for b in needs if needs[b].key), key=lambda b: (needs[b].first, needs[b].last, b)
    )
    users: dict[str, list[str]] = {}  # by the first of them, which is needed at the peak
    for b in bordered:
        if needs[b].first <= peak <= needs[b].last:
            users[b] = [b]
    for b in (b for b in bordered if b not in users):
        for others in users.values():
            alike = needs[others[0]].key == needs[b].key
            if alike and not any(needs[b].meets(needs[o]) for o in others):
                others.append(b)
                break
    places: dict[str, int] = {}
    end = 0
    for others in users.values():
        size = room(needs[others[0]])
        at = _in_piece(end, size, piece)
        places |= dict.fromkeys(others, at)
        end = at + size
    return places, end


def _packed(needs: Mapping[str, Need], start: int, piece: int) -> tuple[dict[str, int], int]:
    """Places from `start` on, and the end of all: the better of two orders, by size and by size
    times duration."""
    found = []
    for long in (False, True):
        weights = {b: n.elements * (1 + (n.last - n.first) * long) for b, n in needs.items()}
        found.append(_in_order(needs, weights, start, piece))
    return min(found, key=lambda x: x[1])


def _in_order(
    needs: Mapping[str, Need], weights: Mapping[str, int], start: int, piece: int
) -> tuple[dict[str, int], int]:
    """Places from `start` on, the heaviest buffer first, and the end of all."""
    places: dict[str, int] = {}
    done: list[tuple[int, int, Need]] = []  # place, end, need
    top = start
    for b in sorted(needs, key=lambda b: (-weights[b], needs[b].first, b)):
        need, size = needs[b], room(needs[b])
        at = _in_piece(start, size, piece)
        for place, end, other in sorted(done, key=lambda x: x[:2]):
            if other.meets(need) and place < at + size:
                at = _in_piece(max(at, end), size, piece)
        places[b] = at
        done.append((at, at + size, need))
        top = max(top, at + size)
    return places, top


def _peak(needs: Mapping[str, Need]) -> int:
    """The launch at which most elements are needed."""
    times = sorted({n.first for n in needs.values()})
    return max(
        times,
        key=lambda t: sum(n.elements for n in needs.values() if n.first <= t <= n.last),
        default=0,
    )


def room(need: Need) -> int:
    """Elements of a buffer's place: with a border, whole work-groups of the kernel of zeros."""
    unit = ELEMENTS if need.key else ALIGNMENT
    return max(1, -(-need.elements // unit)) * unit
