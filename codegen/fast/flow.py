"""What a list of launches needs: which of them belong together, where a step turns around, and
where its forward pass can be cut."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate, pairwise

from gradproof.codegen.fast.again import LEAST, OPERATIONS, in_use
from gradproof.codegen.fast.emission import Launch


@dataclass(frozen=True)
class Unit:
    """Launches that write the same temporaries; they can be repeated together, in this order, up to
    launch `until`, which changes what they read; that is after all who use what they write."""

    launches: tuple[int, ...]
    writes: frozenset[str]
    sources: frozenset[str]
    until: int
    cost: int


class Flow:
    """A list of launches. sizes: elements of the temporaries; size: of any buffer.

    cost: of each launch, its operations and `OPERATIONS` for each element it touches; turn: the
    first launch of the backward pass; units: those before the turn that may be repeated, by each
    buffer that they write.
    """

    def __init__(
        self, launches: Sequence[Launch], sizes: Mapping[str, int], size: Callable[[str], int]
    ) -> None:
        self.launches, self.sizes = launches, sizes
        self.cost = [x.flops + OPERATIONS * sum(map(size, x.buffers)) for x in launches]
        self.total = sum(self.cost)
        self.uses: dict[str, list[int]] = {}
        self.writers: dict[str, list[int]] = {}
        for k, x in enumerate(launches):
            for b in dict.fromkeys(x.buffers):
                self.uses.setdefault(b, []).append(k)
            for b in dict.fromkeys(x.writes):
                self.writers.setdefault(b, []).append(k)
        self.turn = self._turn()
        self.units = self._units()

    def _turn(self) -> int:
        """Where most elements wait between two reads, counted for as long as they wait. What the
        forward pass leaves is read in both passes, and in between most of the work is done;
        gradients that wait for an update were not read before."""
        elapsed = [0, *accumulate(self.cost)]
        waits = []
        for b, n in self.sizes.items():
            reads = [k for k in self.uses[b] if b not in self.launches[k].writes]
            waits += [(i + 1, j, n * (elapsed[j] - elapsed[i + 1])) for i, j in pairwise(reads)]
        weight = in_use(waits, len(self.launches))
        return max(range(len(weight)), key=weight.__getitem__)

    def _units(self) -> dict[str, Unit]:
        found: dict[str, Unit] = {}
        for members in self._groups():
            writes = frozenset(b for k in members for b in self.launches[k].writes)
            buffers = frozenset(b for k in members for b in self.launches[k].buffers)
            first, last = members[0], members[-1]
            inside = {k for b in writes for k in self.uses[b] if first < k < last}
            later = (k for b in buffers - writes for k in self.writers.get(b, ()) if k > first)
            until = min(later, default=len(self.launches))
            asked = max(self.uses[b][-1] for b in writes)
            if last >= self.turn or until < asked or not writes <= self.sizes.keys():
                continue
            if inside <= set(members):
                cost = sum(self.cost[k] for k in members)
                unit = Unit(tuple(members), writes, buffers - writes, until, cost)
                found |= dict.fromkeys(writes, unit)
        return found

    def _groups(self) -> list[list[int]]:
        """The launches, those that write a common temporary together."""
        group = list(range(len(self.launches)))
        for b in self.sizes.keys() & self.writers.keys():
            joined = {group[k] for k in self.writers[b]}
            if len(joined) > 1:
                group = [min(joined) if g in joined else g for g in group]
        found: dict[int, list[int]] = {}
        for k, g in enumerate(group):
            found.setdefault(g, []).append(k)
        return list(found.values())

    @cached_property
    def left(self) -> list[str]:
        """What the forward pass leaves for the backward pass."""
        return [b for b in self.sizes if self.uses[b][0] < self.turn <= self.uses[b][-1]]

    @cached_property
    def droppable(self) -> list[str]:
        """Of these, what can be computed again and is large, in the order in which it is made."""
        found = [b for b in self.left if b in self.units and self.sizes[b] >= LEAST]
        return sorted(found, key=lambda b: (self.uses[b][0], b))

    @cached_property
    def cuts(self) -> list[frozenset[str]]:
        """Before each launch of the forward pass, the temporaries that it goes on with."""
        found: list[set[str]] = [set() for _ in range(self.turn + 1)]
        for b in self.sizes:
            forward = [k for k in self.uses[b] if k < self.turn]
            for c in range(forward[0] + 1, forward[-1] + 1) if forward else ():
                found[c].add(b)
        return [frozenset(x) for x in found]

    def boundaries(self, most: float) -> tuple[int, ...]:
        """Where to cut the forward pass into segments that leave at most so many elements, so that
        it goes on with the fewest at the cuts together."""
        width = [sum(self.sizes[b] for b in cut) for cut in self.cuts]
        made = [0] * (self.turn + 1)
        for b in self.droppable:
            made[self.uses[b][0] + 1] += self.sizes[b]
        before = list(accumulate(made))
        inner = range(1, self.turn)
        narrow = [c for c in inner if width[c] <= min(width[c - 1], width[c + 1])]
        places = [0, *narrow, self.turn]
        best, came = [0.0], [0]
        for j, end in enumerate(places[1:], 1):
            choices = []
            for i in range(j - 1, -1, -1):
                if i < j - 1 and before[end] - before[places[i]] > most:
                    break
                choices.append((best[i] + (width[end] if end < self.turn else 0), i))
            value, i = min(choices)
            best.append(value)
            came.append(i)
        found, j = [], came[-1]
        while j:
            found.append(places[j])
            j = came[j]
        return tuple(found[::-1])
