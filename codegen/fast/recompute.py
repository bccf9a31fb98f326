"""Activations that the backward pass computes again, where memory matters more than time.

The forward pass is cut into segments. What it goes on with at the cuts is kept, and what a segment
leaves besides is computed again when the backward pass first asks for it, by the same kernels on
the same values: the bits are the same. (Chen et al., Training Deep Nets with Sublinear Memory Cost,
2016.)

From the best of some divisions, as the schedules of all launches tell, three moves follow: what is
idle at the fullest moment is dropped there and computed once more; what fits below the
fullest moment after all is kept; and a repeat may be repeated, all within `BUDGET`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from gradproof.codegen.fast.again import LEAST, in_use
from gradproof.codegen.fast.emission import Launch
from gradproof.codegen.fast.flow import Flow, Unit

BUDGET = 0.35  # of a step's cost, see `Flow`
STARTS = 3  # divisions from which moves are tried
TRIED = 12  # moves, the largest buffers first, at one fullest moment
SEGMENTS = [0.8**k for k in range(24)]  # parts of what the forward pass leaves, see `boundaries`

Kept = frozenset[str]
Splits = frozenset[tuple[str, int]]


@dataclass(frozen=True)
class Schedule:
    """Launches in their order, repeats included.

    entries: a launch, the launch that asked for it (itself, or one of the backward pass), and which
    repeat of each buffer it is on; kept: buffers of the forward pass that stay; splits: a buffer is
    computed once more for a launch. needed: elements at each entry; extra: cost of all repeats.
    """

    kept: Kept
    splits: Splits
    entries: list[tuple[int, int, tuple[int, ...]]]
    needed: list[int]
    extra: int

    @property
    def rank(self) -> tuple[int, int, int]:
        """Less is better: the fullest moment, how many there are, the cost."""
        peak = max(self.needed)
        return peak, self.needed.count(peak), self.extra


def recomputed(
    launches: Sequence[Launch], sizes: Mapping[str, int], size: Callable[[str], int]
) -> tuple[list[Launch], dict[str, str]]:
    """The launches with repeats, and what each new buffer is a copy of; see `again`.

    sizes: elements of the temporaries; size: of any buffer.

    >>> def launch(kernel, writes, *reads):
    ...     return Launch(kernel, (writes, *reads), writes=(writes,), flops=10**9)
    >>> sizes = dict.fromkeys("abcdwvut", 2**20)
    >>> steps = [launch(f"f{x}", x, y) for x, y in zip("abcd", "xabc")]
    >>> steps += [launch(f"g{w}", w, y, x) for w, y, x in zip("wvut", "dwvu", "cbax")]
    >>> found, copies = recomputed(steps, sizes, lambda b: sizes.get(b, 1))
    >>> [x.kernel for x in found], copies
    (['fa', 'fb', 'fc', 'fd', 'gw', 'gv', 'fa', 'gu', 'gt'], {'a^1': 'a'})
    """
    flow = Flow(launches, sizes, size)
    plain = _scheduled(flow, frozenset(flow.sizes), frozenset())
    assert plain is not None, "nothing is repeated"
    starts = _starts(flow)[:STARTS] or [plain]
    best = min((_improved(flow, x) for x in starts), key=lambda x: x.rank)
    return _written(flow, _with_less_work(flow, best))


def _starts(flow: Flow) -> list[Schedule]:
    """Divisions within the budget, the best first."""
    fixed = frozenset(b for b in flow.left if b not in set(flow.droppable))
    whole = sum(flow.sizes[b] for b in flow.droppable)
    divisions = dict.fromkeys(flow.boundaries(part * whole) for part in SEGMENTS)
    found = []
    for cuts in divisions:
        kept = fixed.union(*(flow.cuts[c] for c in cuts))
        found.append(_scheduled(flow, kept, frozenset()))
    return sorted((x for x in found if x is not None), key=lambda x: x.rank)


def _scheduled(flow: Flow, kept: Kept, splits: Splits) -> Schedule | None:
    """The launches where only `kept` stays after the forward pass; None where a repeat would read
    something else than the first time, or all of them cost too much."""
    held = dict.fromkeys((b for b in flow.sizes if b in kept or b not in flow.units), 0)
    made: dict[str, int] = {}  # repeats of each buffer
    entries = [(k, k, (0,) * len(flow.launches[k].buffers)) for k in range(flow.turn)]
    extra = 0
    for k in range(flow.turn, len(flow.launches)):
        buffers = flow.launches[k].buffers
        for unit in _missing(flow, k, held, splits):
            if unit.until < k:
                return None
            extra += unit.cost
            for b in unit.writes:
                made[b] = made.get(b, 0) + 1
            now = held | {b: made[b] for b in unit.writes}
            for q in unit.launches:
                entries.append((q, k, tuple(now.get(b, 0) for b in flow.launches[q].buffers)))
            for b in unit.writes:
                held.setdefault(b, made[b])
        entries.append((k, k, tuple(held.get(b, 0) for b in buffers)))
    if extra > BUDGET * flow.total:
        return None
    return Schedule(kept, splits, entries, _needed(flow, entries), extra)


def _missing(flow: Flow, k: int, held: dict[str, int], splits: Splits) -> list[Unit]:
    """What must be repeated before launch k, in order. What is computed once more for it is no
    longer held."""
    found: dict[tuple[int, ...], Unit] = {}
    waiting = list(flow.launches[k].buffers)
    while waiting:
        b = waiting.pop()
        unit = flow.units.get(b)
        if unit is None or unit.launches in found:
            continue
        if (b, k) in splits:
            held.pop(b, None)
        if b not in held:
            found[unit.launches] = unit
            waiting += unit.sources
    return sorted(found.values(), key=lambda u: u.launches[-1])  # those that others read first


def _spans(flow: Flow, schedule: Schedule) -> dict[tuple[str, int], list[int]]:
    """The entries that use each repeat of each temporary."""
    found: dict[tuple[str, int], list[int]] = {}
    for p, (k, _, repeats) in enumerate(schedule.entries):
        for key in dict.fromkeys(zip(flow.launches[k].buffers, repeats, strict=True)):
            if key[0] in flow.sizes:
                found.setdefault(key, []).append(p)
    return found


def _needed(flow: Flow, entries: Sequence[tuple[int, int, tuple[int, ...]]]) -> list[int]:
    """Elements of temporaries that are needed at each entry."""
    first: dict[tuple[str, int], int] = {}
    last: dict[tuple[str, int], int] = {}
    for p, (k, _, repeats) in enumerate(entries):
        for key in zip(flow.launches[k].buffers, repeats, strict=True):
            first.setdefault(key, p)
            last[key] = p
    spans = ((p, last[key], flow.sizes.get(key[0], 0)) for key, p in first.items())
    return in_use(spans, len(entries))


def _improved(flow: Flow, schedule: Schedule) -> Schedule:
    """With moves at the fullest moment, as long as they help."""
    while True:
        tried = (_scheduled(flow, *move) for move in _moves(flow, schedule))
        better = [x for x in tried if x is not None and x.rank[:2] < schedule.rank[:2]]
        if not better:
            return schedule
        schedule = min(better, key=lambda x: x.rank)


def _moves(flow: Flow, schedule: Schedule) -> Iterator[tuple[Kept, Splits]]:
    """Without what is idle at the fullest moment."""
    peak = max(range(len(schedule.needed)), key=schedule.needed.__getitem__)
    idle = [
        (b, next(p for p in places if p > peak))
        for (b, _), places in _spans(flow, schedule).items()
        if b in flow.units and flow.sizes[b] >= LEAST
        if places[0] < peak < places[-1] and peak not in places
    ]
    for b, then in sorted(idle, key=lambda x: (-flow.sizes[x[0]], x))[:TRIED]:
        asked = schedule.entries[then][1]
        if asked >= flow.turn:
            yield schedule.kept, schedule.splits | {(b, asked)}
        if b in schedule.kept:
            yield schedule.kept - {b}, schedule.splits


def _with_less_work(flow: Flow, schedule: Schedule) -> Schedule:
    """Without repeats that the fullest moment does not need, those that save least first."""

    def worth(b: str) -> float:
        return flow.sizes[b] / flow.units[b].cost

    moves: list[tuple[float, Kept, Splits]] = [
        (worth(b), frozenset({b}), frozenset()) for b in flow.droppable if b not in schedule.kept
    ]
    moves += [(worth(b), frozenset(), frozenset({(b, k)})) for b, k in schedule.splits]
    for _, more, fewer in sorted(moves, key=lambda x: (x[0], sorted(x[1]), sorted(x[2]))):
        found = _scheduled(flow, schedule.kept | more, schedule.splits - fewer)
        if found is None or max(found.needed) > max(schedule.needed):
            continue
        if found.extra < schedule.extra:
            schedule = found
    return schedule


def _written(flow: Flow, schedule: Schedule) -> tuple[list[Launch], dict[str, str]]:
    """The launches of a schedule, each repeat of a buffer under a name of its own."""
    names: dict[tuple[str, int], str] = {}
    copies: dict[str, str] = {}
    found = []
    done: set[int] = set()
    for k, _, repeats in schedule.entries:
        launch = flow.launches[k]
        for key in zip(launch.buffers, repeats, strict=True):
            if key not in names:
                names[key] = f"{key[0]}^{len(copies) + 1}" if key[1] else key[0]
                if key[1]:
                    copies[names[key]] = key[0]
        to = {b: names[b, r] for b, r in zip(launch.buffers, repeats, strict=True)}
        found.append(
            replace(
                launch,
                buffers=tuple(to[b] for b in launch.buffers),
                writes=tuple(to[b] for b in launch.writes),
                what=f"{launch.what}, again" if k in done else launch.what,
            )
        )
        done.add(k)
    return found, copies
