"""Buffers that are alive together have memory of their own; every buffer of a step has a place."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import pytest

from gradproof.codegen.fast.layout import Layout
from gradproof.codegen.fast.memory import ALIGNMENT, Memory, Need, share
from gradproof.codegen.fast.placement import Wish, order, place
from gradproof.codegen.fast.tasks import Step, Task
from gradproof.codegen.fast.zeros import ELEMENTS, zero_kernel
from tests.fast_device import Job


def verify(needs: Mapping[str, Need], memory: Memory) -> None:
    """What `share` promises."""
    assert memory.places.keys() == needs.keys()
    for name, need in needs.items():
        place, room = memory.places[name]
        assert room >= need.elements, f"{name} does not fit"
        assert place % ALIGNMENT == 0 and place + room <= memory.sizes[need.dtype], name
    for a, b in itertools.combinations(sorted(needs), 2):
        if needs[a].dtype == needs[b].dtype and meet(memory.places[a], memory.places[b]):
            assert not needs[a].meets(needs[b]), f"{a} and {b} are alive together"
            same = needs[a].key == needs[b].key and memory.places[a] == memory.places[b]
            for name in (a, b):
                known = same or not needs[name].key or name in memory.zeroed
                assert known, f"the border of {name} is overwritten"


def meet(a: tuple[int, int], b: tuple[int, int]) -> bool:
    return a[0] < b[0] + b[1] and b[0] < a[0] + a[1]


def drawn(seed: int) -> dict[str, Need]:
    rng = np.random.default_rng(seed)
    found = {}
    for k in range(int(rng.integers(1, 40))):
        first = int(rng.integers(0, 30))
        key = str(rng.choice(["", "", "x", "y"]))
        size = {"x": 12, "y": 20}.get(key, int(rng.integers(0, 50)))
        kind = "int" if not key and rng.random() < 0.2 else "real"
        found[f"b{k}"] = Need(size, kind, first, first + int(rng.integers(0, 8)), key)
    return found


@pytest.mark.parametrize("seed", range(200))
def test_nobody_overwrites_what_is_still_needed(seed: int) -> None:
    needs = drawn(seed)
    memory = share(needs)
    verify(needs, memory)
    assert share(dict(reversed(needs.items()))) == memory  # whatever the order of the mapping


def test_little_more_than_what_is_needed_at_once() -> None:
    """No packing is perfect for all; over many draws little is lost."""
    taken = needed = 0
    for seed in range(50):
        draw = drawn(seed).values()
        needs = {f"b{k}": replace(n, elements=n.elements * 1000) for k, n in enumerate(draw)}
        for dtype, size in share(needs).sizes.items():
            own = [n for n in needs.values() if n.dtype == dtype]
            taken += size
            needed += max(sum(n.elements for n in own if n.first <= t <= n.last) for t in range(40))
    assert needed <= taken <= 1.15 * needed


def test_a_chain_needs_two_places() -> None:
    chain = {f"b{k}": Need(ALIGNMENT, "real", k, k + 1) for k in range(20)}
    assert share(chain).sizes == {"real": 2 * ALIGNMENT}


def test_a_border_is_kept_where_most_is_needed_and_made_again_elsewhere() -> None:
    needs = {
        "kept": Need(4096, "real", 0, 9, "x"),
        "alike": Need(4096, "real", 10, 11, "x"),
        "early": Need(2048, "real", 1, 2, "y"),
        "most": Need(8192, "real", 4, 6),
    }
    found = share(needs)
    assert found.places["kept"] == found.places["alike"]
    assert found.zeroed == {"early"}
    assert found.sizes == {"real": 4096 + 8192}


def test_mistakes_are_caught() -> None:
    needs = {"a": Need(8, "real", 0, 2), "b": Need(8, "real", 2, 3)}
    good = share(needs)
    verify(needs, good)
    with pytest.raises(AssertionError, match="alive together"):
        verify(needs, replace(good, places=dict.fromkeys("ab", (0, 128))))
    with pytest.raises(AssertionError, match="does not fit"):
        verify(needs, replace(good, places={"a": (0, 7), "b": (128, 128)}))
    bordered = {"a": Need(8, "real", 0, 1, "x"), "b": Need(8, "real", 2, 3, "y")}
    with pytest.raises(AssertionError, match="border"):
        verify(bordered, Memory({"real": 1024}, dict.fromkeys("ab", (0, 1024)), frozenset()))


@pytest.mark.parametrize("vectors", [True, False])
def test_zeros_are_written_and_nothing_else(vectors: bool) -> None:
    kernel = zero_kernel("z", 3000, vectors)
    job = Job([kernel], {"t0": Layout.row_major((5 * ELEMENTS,))})
    job.put("t0", np.full(5 * ELEMENTS, 7.0))
    job.run()
    found = job.get("t0")
    assert (found[: 3 * ELEMENTS] == 0).all() and (found[3 * ELEMENTS :] == 7).all()


# -- places -------------------------------------------------------------------------------------
SHAPE = (2, 32, 6, 6)


def opaque(call: int, out: str, *reads: str) -> Task:
    return Task("opaque", call, out, opaque_reads=frozenset(reads))


def vector(call: int, out: str, *reads: str) -> Task:
    """A task of which placement sees only what it reads and writes."""
    return Task("vector", call, out, opaque_reads=frozenset(reads))


def wider(low: int, high: int, block: bool = True) -> Layout:
    borders = {"low": (0, 0, low, low), "high": (0, 0, high, high)}
    return Layout.blocked(SHAPE, 1, **borders) if block else Layout.row_major(SHAPE, **borders)


def test_wishes_of_one_order_are_widened() -> None:
    step = Step(
        (vector(0, "a", "x"), vector(1, "y", "a")),
        dict.fromkeys("xay", SHAPE),
        frozenset("xy"),
        {"x": None, "y": None},
    )
    first, second = step.tasks
    wishes = [Wish(first, {"a": wider(0, 2)}, 5), Wish(second, {"a": wider(1, 1)}, 5)]
    found = place(step, wishes)
    assert found["a"] == wider(1, 2)
    assert found["x"] == found["y"] == Layout.row_major(SHAPE)


def test_most_of_the_work_decides() -> None:
    step = Step(
        (vector(0, "a", "x"), vector(1, "y", "a")),
        dict.fromkeys("xay", SHAPE),
        frozenset("xy"),
        {"x": None, "y": None},
    )
    first, second = step.tasks
    for weight, blocked in ((9, True), (3, False)):
        wishes = [
            Wish(first, {"a": wider(1, 1)}, weight),
            Wish(second, {"a": wider(2, 2, block=False)}, 5),
        ]
        assert place(step, wishes)["a"] == (wider(1, 1) if blocked else wider(2, 2, block=False))


def test_outside_tensors_stay_and_neighbours_follow() -> None:
    names = ("x", "a", "b", "c", "y")
    step = Step(
        (vector(0, "a", "x"), vector(1, "b", "a"), vector(2, "c", "b"), vector(3, "y", "c")),
        dict.fromkeys(names, SHAPE),
        frozenset("xy"),
        {"x": None, "y": None},
    )
    wishes = [Wish(step.tasks[0], {"a": wider(1, 1), "x": wider(1, 1)}, 9)]
    found = place(step, wishes)
    assert found["x"] == Layout.row_major(SHAPE)
    assert found["b"] == found["c"] == wider(0, 0)  # without the border
    assert found["a"] == wider(1, 1)


@pytest.mark.parametrize("seed", range(50))
def test_every_buffer_has_a_layout_of_its_shape(seed: int) -> None:
    rng = np.random.default_rng(seed)
    count = int(rng.integers(2, 15))
    shapes = {
        f"b{k}": (SHAPE, (2, 32, 3, 3), (32,), (5, 7), ())[int(rng.integers(5))]
        for k in range(count)
    }
    tasks = []
    for k in range(1, count):
        reads = [f"b{int(rng.integers(0, k))}" for _ in range(int(rng.integers(1, 3)))]
        tasks.append((opaque if rng.random() < 0.2 else vector)(k, f"b{k}", *reads))
    outside = frozenset({"b0", f"b{count - 1}"})
    fixed = {b: None for b in outside if rng.random() < 0.7}
    step = Step(tuple(tasks), shapes, outside, fixed)
    wishes = []
    for t in tasks:
        images = [b for b in sorted({*t.reads, t.out}) if shapes[b] == SHAPE]
        if images and t.kind != "opaque":
            low, high = map(int, rng.integers(0, 3, 2))
            layout = wider(low, high, bool(rng.random() < 0.7))
            wishes.append(Wish(t, dict.fromkeys(images, layout), int(rng.integers(1, 9))))
    found = place(step, wishes)
    for b in {b for t in tasks for b in (*t.reads, *t.writes)} | outside:
        if b in found or any(b in (*t.reads, *t.writes) for t in tasks):
            layout = found[b]
            assert layout.shape == shapes[b], b
            places = layout.indices()
            assert len(set(places.tolist())) == places.size, b
            assert places.size == 0 or places.max() < layout.size, b
    for b in fixed:
        assert found[b] == Layout.row_major(shapes[b])
    for w in wishes:
        for b, asked in w.layouts.items():
            alike = b not in fixed and order(found[b]) == order(asked)
            if alike:
                assert all(x >= y for x, y in zip(found[b].low, asked.low, strict=True))
                assert all(x >= y for x, y in zip(found[b].high, asked.high, strict=True))
            elif b not in fixed:
                chosen = sum(
                    v.weight
                    for v in wishes
                    if b in v.layouts and order(v.layouts[b]) == order(found[b])
                )
                own = sum(
                    v.weight
                    for v in wishes
                    if b in v.layouts and order(v.layouts[b]) == order(asked)
                )
                assert chosen >= own, b
