"""Threads do not disturb each other: what is set for a while, what is shared, what is made once."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import pytest

import gradproof as gp
from gradproof.runtime import build, compile, random
from gradproof.runtime.build import ProgramCache
from gradproof.runtime.device import Device, choose, current_device
from gradproof.runtime.dispatch import record
from gradproof.runtime.manifest import operators
from gradproof.runtime.once import Once, once_property
from gradproof.runtime.schedule import schedule
from gradproof.runtime.tensor import is_grad_enabled
from gradproof.runtime.utils.checkpoint import checkpoint

T = TypeVar("T")
THREADS = 4


@pytest.fixture(autouse=True)
def switch_often() -> Iterator[None]:
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    yield
    sys.setswitchinterval(before)


def elsewhere(function: Callable[[], T]) -> T:
    """What a function gives in another thread, while this one waits."""
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(function).result()


def at_once(function: Callable[[int], T], threads: int = THREADS) -> list[T]:
    """What a function gives for each number, all in threads that begin together."""
    begin = threading.Barrier(threads)

    def run(k: int) -> T:
        begin.wait()
        return function(k)

    with ThreadPoolExecutor(threads) as pool:
        return list(pool.map(run, range(threads)))


# --- what holds in a block ---


def test_no_grad_holds_in_its_thread() -> None:
    """PyTorch: the same."""
    w = gp.tensor([2.0], requires_grad=True)
    with gp.no_grad():
        assert elsewhere(is_grad_enabled) and not is_grad_enabled()
        assert elsewhere(lambda: (w * w).node) is not None
        assert (w * w).node is None


def test_a_tape_records_its_thread() -> None:
    x = gp.tensor([1.0, -1.0])
    with record() as tape:
        elsewhere(lambda: gp.functional.relu(x).numpy())
        assert len(tape) == 0
        gp.functional.relu(x)
    assert len(tape) == 1


def test_a_schedule_holds_in_its_thread() -> None:
    x, w = gp.tensor(np.ones((8, 64), np.float32)), gp.tensor(np.ones((64, 64), np.float32))

    def names() -> list[str]:
        with record() as tape:
            gp.functional.linear(x, w, None)
        return [a.kernel.function_name for a in tape.actions]  # type: ignore[attr-defined]

    usual = names()
    with schedule("reference"):
        assert names() == ["linear_without_b_z"] != usual
        assert elsewhere(names) == usual


# --- random numbers ---


def test_no_two_threads_draw_the_same_mask() -> None:
    gp.manual_seed(3)
    drawn = at_once(lambda k: [random.next_dropout_key()[2] for _ in range(3000)])
    assert sorted(n for one in drawn for n in one) == list(range(3000 * THREADS))


def test_a_fork_draws_what_it_would_alone() -> None:
    def draw(seed: int) -> tuple[float, list[Any]]:
        with random.fork_rng():
            gp.manual_seed(seed)
            values = float(random.generator().uniform())
            return values, [random.next_dropout_key() for _ in range(200)]

    alone = [draw(k) for k in range(THREADS)]
    assert len({repr(a) for a in alone}) == THREADS
    assert at_once(draw) == alone


def test_a_fork_begins_where_the_others_are_and_leaves_them() -> None:
    gp.manual_seed(5)
    before = random.get_rng_state()
    with random.fork_rng():
        assert random.get_rng_state() == before
        inside = random.next_dropout_key(), random.generator().uniform()
        assert elsewhere(random.get_rng_state) == before
        with random.fork_rng():
            gp.manual_seed(6)
        assert random.next_dropout_key() == (*inside[0][:2], inside[0][2] + 1)
    assert random.get_rng_state() == before
    assert (random.next_dropout_key(), random.generator().uniform()) == inside


def test_a_fork_ends_with_an_error_too() -> None:
    gp.manual_seed(5)
    before = random.get_rng_state()
    with pytest.raises(gp.errors.GradproofError), random.fork_rng():
        random.next_dropout_key()
        gp.manual_seed(-1)
    assert random.get_rng_state() == before


def test_a_pass_that_is_repeated_does_not_take_draws_back() -> None:
    """What another thread draws meanwhile is drawn: it would come a second time."""
    gp.manual_seed(1)
    drawn: list[Any] = []

    def function(x: gp.Tensor) -> gp.Tensor:
        drawn.append(elsewhere(random.next_dropout_key))
        return x * x

    checkpoint(function, gp.tensor([1.0], requires_grad=True)).sum().backward()
    first, second = drawn
    assert first != second
    assert random.next_dropout_key() not in drawn


# --- what threads share ---


def test_threads_share_kernels() -> None:
    """Each sets the arguments of the same kernel objects: every result is its own."""
    n = 300

    def run(k: int) -> bool:
        right = True
        for s in range(60):
            value = 1000 * k + s
            x = gp.tensor(np.full(n, value, np.float32))
            right &= bool(((x + x).numpy() == 2 * value).all())
        return right

    run(0)
    assert all(at_once(run))


def test_a_program_is_built_once(monkeypatch: pytest.MonkeyPatch) -> None:
    cache, built = ProgramCache(current_device().context, None), list[str]()
    compile_one = ProgramCache._compile

    def slowly(self: ProgramCache, source: str, options: Any, label: str) -> Any:
        built.append(label)
        time.sleep(0.05)
        return compile_one(self, source, options, label)

    monkeypatch.setattr(ProgramCache, "_compile", slowly)
    source = "kernel void k(global float *x) { x[0] = 1; }"
    found = at_once(lambda k: cache.program(source, (), f"program {k}"))
    assert len(built) == 1 and all(p is found[0] for p in found)


def test_a_definition_is_compiled_once(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv(build.CACHE_VARIABLE, str(tmp_path))
    monkeypatch.setattr(compile, "_compiled", {})
    derived, derive = list[str](), compile._derive

    def slowly(path: Path, key: str, definition: gp.Definition) -> dict[str, Any]:
        derived.append(key)
        time.sleep(0.05)
        return derive(path, key, definition)

    monkeypatch.setattr(compile, "_derive", slowly)
    cube = gp.operator("cube_of_threads", "y[i] = x[i]*x[i]*x[i]", {"x": "N"})
    found = at_once(lambda k: compile.compile_definition(cube))
    assert len(derived) == 1 and all(op is found[0] for op in found)


def test_buffers_are_counted_however_they_go() -> None:
    pool = current_device().pool
    before = pool.bytes_in_use, pool.buffers_in_use

    def churn(k: int) -> None:
        for _ in range(200):
            buffer = pool.zeros(512 + k, "churn")
            buffer.release()
            buffer.release()
            del buffer

    at_once(churn)
    kept = pool.zeros(600, "kept"), pool.allocate(600, "kept")
    assert (pool.bytes_in_use, pool.buffers_in_use) == (before[0] + 1200, before[1] + 2)
    del kept
    assert (pool.bytes_in_use, pool.buffers_in_use) == before


# --- made once ---


def test_who_asks_while_a_value_is_made_waits_for_it() -> None:
    made = []

    @Once
    def slow(name: str) -> list[str]:
        """What is made."""
        time.sleep(0.05)
        made.append(name)
        return [name]

    assert slow.__doc__ == "What is made."
    found = at_once(lambda k: slow("a"))
    assert made == ["a"] and all(f is found[0] for f in found)
    assert slow("b") == ["b"]
    slow.cache_clear()
    assert slow("a") is not found[0]


def test_an_error_is_not_kept() -> None:
    tries = []

    @Once
    def fails_first() -> int:
        tries.append(1)
        if len(tries) == 1:
            raise OSError("not yet")
        return 7

    with pytest.raises(OSError, match="not yet"):
        fails_first()
    assert fails_first() == 7


def test_a_property_is_made_once() -> None:
    made = []

    class Owner:
        @once_property
        def value(self) -> object:
            time.sleep(0.05)
            made.append(self)
            return object()

    owner = Owner()
    found = at_once(lambda k: owner.value)
    assert len(made) == 1 and all(f is found[0] for f in found)
    assert isinstance(Owner.value, once_property) and Owner().value is not found[0]


def test_a_device_has_one_context() -> None:
    device = Device(choose("cpu"))
    found = at_once(lambda k: (device.context, device.queue, device.pool))
    assert all(a is b for other in found for a, b in zip(found[0], other, strict=True))


def test_operators_are_one_object_each() -> None:
    """Who sees another object takes the operator for a user's, whose definition is not known."""
    assert isinstance(operators, Once)
