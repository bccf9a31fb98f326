"""Buffers that are computed again, rather than kept, where a step needs most memory.

A step is fullest between its forward and its backward pass, which reads again what the forward pass
left. What a cheap launch computes from buffers that are kept anyway need not be kept: the launch is
repeated just before the next use. It is the same kernel on the same values, so the bits are the
same. What this adds to the traffic of a step is bounded by `SHARE`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate

from gradproof.codegen.fast.emission import Launch

SHARE = 0.025  # of the elements that all launches of a step touch
OPERATIONS = 16  # for each element that a launch touches; with more it is no pass over memory
LEAST = 2**15  # elements of a buffer that is worth a launch


@dataclass(frozen=True)
class Repeat:
    """Launch `made`, which gives `buffer`, once more before launch `before`, its next use; cost:
    elements that it touches."""

    buffer: str
    made: int
    before: int
    cost: int


def computed_again(
    launches: Sequence[Launch], sizes: Mapping[str, int], size: Callable[[str], int]
) -> tuple[list[Launch], dict[str, str]]:
    """The launches with repeats, and what each new buffer is a copy of.

    sizes: elements of the temporaries; size: of any buffer. At each step the fullest moment is
    found, and of what may be repeated there the buffer that saves most for its cost.

    >>> def launch(kernel, writes, *reads):
    ...     return Launch(kernel, (writes, *reads), writes=(writes,))
    >>> small, big = 2**15, 2**20
    >>> sizes = {"a": small, "b": small, "c": big, "d": small}
    >>> steps = [launch("k0", "a", "x"), launch("k1", "b", "a"), launch("k2", "c", "b")]
    >>> steps += [launch("k3", "d", "c"), launch("k4", "y", "a", "b", "d")]
    >>> found, copies = computed_again(steps, sizes, lambda b: sizes.get(b, big))
    >>> [x.kernel for x in found], copies
    (['k0', 'k1', 'k2', 'k3', 'k1', 'k4'], {'b^1': 'b'})
    """
    found, copies = list(launches), dict[str, str]()
    left = SHARE * sum(size(b) for x in launches for b in x.buffers)
    sizes = dict(sizes)

    def elements(b: str) -> int:  # a copy may be repeated itself, or be read by a repeat
        return sizes[b] if b in sizes else size(b)

    while (best := _best(found, sizes, elements, left)) is not None:
        left -= best.cost
        copy = f"{best.buffer}^{len(copies) + 1}"
        copies[copy] = best.buffer
        sizes[copy] = sizes[best.buffer]
        repeated = _renamed(found[best.made], best.buffer, copy)
        repeated = replace(repeated, what=f"{repeated.what}, again")
        rest = [_renamed(x, best.buffer, copy) for x in found[best.before :]]
        found = [*found[: best.before], repeated, *rest]
    return found, copies


def in_use(spans: Iterable[tuple[int, int, int]], count: int) -> list[int]:
    """How much is in use at each of `count` launches; spans: the first and the last, how much.

    >>> in_use([(0, 1, 5), (1, 2, 3)], 4)
    [5, 8, 3, 0]
    """
    change = [0] * (count + 1)
    for first, last, much in spans:
        change[first] += much
        change[last + 1] -= much
    return list(accumulate(change))[:-1]


def _best(
    launches: Sequence[Launch], sizes: Mapping[str, int], size: Callable[[str], int], left: float
) -> Repeat | None:
    uses: dict[str, list[int]] = {}
    for k, launch in enumerate(launches):
        for b in dict.fromkeys(launch.buffers):
            uses.setdefault(b, []).append(k)
    spans = ((uses[b][0], uses[b][-1], sizes[b]) for b in uses.keys() & sizes.keys())
    needed = in_use(spans, len(launches))
    peak = max(range(len(launches)), key=needed.__getitem__)
    written = {b: [k for k in uses[b] if b in launches[k].writes] for b in uses}
    found = []
    for b in sorted(uses.keys() & sizes.keys()):
        r = _repeat(b, peak, launches, uses, written, sizes, size)
        if r is not None and r.cost <= left and sizes[b] >= LEAST:
            found.append(r)
    return max(found, key=lambda r: (sizes[r.buffer] / r.cost, -r.made), default=None)


def _repeat(
    b: str,
    peak: int,
    launches: Sequence[Launch],
    uses: Mapping[str, Sequence[int]],
    written: Mapping[str, Sequence[int]],
    sizes: Mapping[str, int],
    size: Callable[[str], int],
) -> Repeat | None:
    """How to do without a buffer at the peak; None where it cannot be computed again there."""
    before = [k for k in uses[b] if k <= peak]
    after = [k for k in uses[b] if k > peak]
    if not before or not after or before[-1] == peak or written[b] != [uses[b][0]]:
        return None
    made, then = uses[b][0], after[0]
    launch = launches[made]
    cost = sum(map(size, launch.buffers))
    if launch.writes != (b,) or launch.buffers.count(b) != 1:
        return None
    if not launch.kernel or launch.flops > OPERATIONS * cost:
        return None
    for source in set(launch.buffers) - {b}:
        if any(made <= k < then for k in written[source]):
            return None
        if source in sizes and uses[source][-1] < then:
            return None
    return Repeat(b, made, then, cost)


def _renamed(launch: Launch, old: str, new: str) -> Launch:
    if old not in launch.buffers:
        return launch
    buffers, writes = (
        tuple(new if b == old else b for b in names) for names in (launch.buffers, launch.writes)
    )
    return replace(launch, buffers=buffers, writes=writes)
