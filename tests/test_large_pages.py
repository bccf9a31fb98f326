"""Large tensors of a planned step lie in memory of large pages, with what they held."""

from __future__ import annotations

import numpy as np
import pytest

import gradproof as gp
from gradproof.runtime.pool import LARGE_PAGE, LastingBuffer
from gradproof.runtime.tensor import OVERHANG, Tensor


def planned(rows: int) -> tuple[Tensor, Tensor, np.ndarray]:
    """An operand of so many rows of 1 KiB, the result of a planned step on it, and its numbers."""
    numbers = np.random.default_rng(0).integers(-9, 9, (rows, 256)).astype(np.float32)
    x = gp.tensor(numbers)
    step = gp.plan(lambda x: gp.functional.relu(x), x)
    return x, step(x), numbers


def test_a_large_tensor_moves_once_and_keeps_its_elements() -> None:
    x, y, numbers = planned(LARGE_PAGE // 1024)
    if x.storage.device.info.kind != "cpu":
        pytest.skip("memory of the host")
    first = x.storage.buffer
    assert isinstance(first, LastingBuffer)
    assert isinstance(y.storage.buffer, LastingBuffer)
    assert first.size == LARGE_PAGE + OVERHANG  # vectors may read behind the last element
    again = gp.plan(lambda x: gp.functional.relu(x), x)
    assert (again(x).numpy() == np.maximum(numbers, 0)).all()
    assert x.storage.buffer is first
    assert (x.numpy() == numbers).all()
    assert (y.numpy() == np.maximum(numbers, 0)).all()
    assert (gp.functional.relu(x).numpy() == y.numpy()).all()


def test_a_small_tensor_stays_in_the_pool() -> None:
    x, y, numbers = planned(LARGE_PAGE // 1024 - 1)
    assert not isinstance(x.storage.buffer, LastingBuffer)
    assert not isinstance(y.storage.buffer, LastingBuffer)
    assert (y.numpy() == np.maximum(numbers, 0)).all()


def test_memory_that_is_dropped_goes_back() -> None:
    x, y, _ = planned(LARGE_PAGE // 1024)
    pool = x.storage.device.pool
    before = pool.bytes_in_use
    del x, y
    assert before - pool.bytes_in_use >= 2 * LARGE_PAGE
