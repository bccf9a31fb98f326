"""The one seed: parameters are initialised and dropout masks are drawn from it.

The seed gives two independent streams (NumPy's SeedSequence): a generator on the host for initial
values, and a 64-bit key for the counter-based dropout kernels, whose masks depend only on the key,
the number of the call and the element: not on the device or its number of work-items.
Without `manual_seed` the seed comes from the operating system, as in PyTorch.

The streams are the process's, and all threads draw from them. Inside `fork_rng` a thread has
streams of its own, so that what it draws does not depend on what other threads do.
"""

from __future__ import annotations

import operator
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import numpy as np

from gradproof.runtime.errors import DataError, GradproofError, RunError

UINT32_END = 2**32


class _State:
    """The two streams of a seed, and how many dropout calls there were."""

    def __init__(self, seed: int | None) -> None:
        for_values, for_dropout = np.random.SeedSequence(seed).spawn(2)
        self.generator = np.random.Generator(np.random.PCG64(for_values))
        key0, key1 = for_dropout.generate_state(2, np.uint32).tolist()
        self.key: tuple[int, int] = (key0, key1)
        self.call = 0
        self.lock = threading.Lock()  # no two threads get the same call


_process = [_State(None)]  # one: a list, since `manual_seed` puts another in its place
_own: ContextVar[list[_State]] = ContextVar("this thread's streams, in place of the process's")


def _place() -> list[_State]:
    """Where the state is that counts here."""
    return _own.get(_process)


@contextmanager
def fork_rng() -> Iterator[None]:
    """Streams of this thread alone inside the block, which begin where the others are; after it
    those are as before. PyTorch: torch.random.fork_rng.

    So models that are trained in several threads draw the same values as each would alone.

    >>> manual_seed(1)
    >>> with fork_rng():
    ...     manual_seed(2)
    ...     inside = next_dropout_key()
    >>> manual_seed(2)
    >>> next_dropout_key() == inside
    True
    """
    token = _own.set([_restored(get_rng_state())])
    try:
        yield
    finally:
        _own.reset(token)


def manual_seed(seed: int) -> None:
    """Seed the initialisation of parameters and dropout; `seed` is an integer from 0.

    For the whole process, as in PyTorch, or, inside `fork_rng`, for this thread.

    Raises:
        GradproofError: `seed` is negative or not an integer.

    >>> manual_seed(7)
    >>> first = generator().uniform(size=2)
    >>> manual_seed(7)
    >>> bool((generator().uniform(size=2) == first).all())
    True
    """
    if not isinstance(seed, int | np.integer) or isinstance(seed, bool) or seed < 0:
        raise GradproofError(f"manual_seed: seed {seed!r}, expected an integer from 0")
    _place()[0] = _State(int(seed))


def generator() -> np.random.Generator:
    """The generator that initial parameter values are drawn from.

    >>> manual_seed(0)
    >>> generator().uniform(-1, 1, size=(2, 3)).shape
    (2, 3)
    """
    return _place()[0].generator


def next_dropout_key() -> tuple[int, int, int]:
    """``(key0, key1, call)`` for one dropout: three 32-bit words; `call` counts up from 0.

    Raises:
        RunError: 2³² masks were drawn from this seed; the next would repeat the first.

    >>> manual_seed(0)
    >>> key0, key1, call = next_dropout_key()
    >>> next_dropout_key() == (key0, key1, call + 1)
    True
    """
    state = _place()[0]
    with state.lock:
        if state.call >= UINT32_END:
            raise RunError("dropout: 2**32 masks drawn from one seed; call manual_seed for more")
        call = state.call
        state.call += 1
    return (*state.key, call)


def get_rng_state() -> dict[str, Any]:
    """Where both streams are, in strings, integers and dicts only: JSON can hold it.

    >>> manual_seed(0)
    >>> state = get_rng_state()
    >>> key, draw = next_dropout_key(), generator().uniform()
    >>> set_rng_state(state)
    >>> (next_dropout_key(), generator().uniform()) == (key, draw)
    True
    """
    state = _place()[0]
    return {
        "generator": state.generator.bit_generator.state,
        "dropout": {"key0": state.key[0], "key1": state.key[1], "call": state.call},
    }


def set_rng_state(state: dict[str, Any]) -> None:
    """Continue from a state that `get_rng_state` returned.

    Raises:
        DataError: `state` is not such a state; the present one is kept.
    """
    _place()[0] = _restored(state)


def _restored(state: dict[str, Any]) -> _State:
    """The streams that a state says. Errors: DataError."""
    restored = _State(0)
    try:
        restored.generator.bit_generator.state = state["generator"]
        words = state["dropout"]
        key0, key1, call = (operator.index(words[name]) for name in ("key0", "key1", "call"))
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        raise DataError(f"set_rng_state: not a state of get_rng_state: {error!r}") from error
    if not (0 <= key0 < UINT32_END and 0 <= key1 < UINT32_END and 0 <= call <= UINT32_END):
        raise DataError(
            f"set_rng_state: dropout words {(key0, key1, call)}, expected 0 to 2**32 - 1 each"
        )
    restored.key, restored.call = (key0, key1), call
    return restored
