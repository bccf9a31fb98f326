"""The seed: what it fixes, that its two streams are independent, and that they can be resumed."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

from gradproof.runtime.errors import DataError, GradproofError, RunError
from gradproof.runtime.random import (
    UINT32_END,
    generator,
    get_rng_state,
    manual_seed,
    next_dropout_key,
    set_rng_state,
)


def draws() -> tuple[list[float], tuple[int, int, int]]:
    return generator().normal(size=3).tolist(), next_dropout_key()


def test_a_seed_fixes_both_streams() -> None:
    manual_seed(3)
    first = draws()
    manual_seed(np.int64(3))  # type: ignore[arg-type]  # accepted: NumPy's integers are common
    assert draws() == first
    manual_seed(4)
    values, key = draws()
    assert values != first[0] and key[:2] != first[1][:2]


def test_dropout_calls_count_up_and_do_not_move_the_generator() -> None:
    manual_seed(0)
    values = generator().normal(size=3).tolist()
    manual_seed(0)
    keys = [next_dropout_key() for _ in range(3)]
    assert generator().normal(size=3).tolist() == values
    assert [call for _, _, call in keys] == [0, 1, 2]
    assert len({key[:2] for key in keys}) == 1
    assert all(0 <= word < UINT32_END for word in keys[0])


def test_a_state_survives_json() -> None:
    manual_seed(5)
    draws()
    text = json.dumps(get_rng_state())
    expected = [draws(), draws()]
    set_rng_state(json.loads(text))
    assert [draws(), draws()] == expected


@pytest.mark.parametrize("seed", [-1, 1.5, "1", True, None])
def test_a_wrong_seed_is_refused(seed: Any) -> None:
    with pytest.raises(GradproofError, match="expected an integer from 0"):
        manual_seed(seed)


def changed(**words: Any) -> dict[str, Any]:
    state = get_rng_state()
    return {**state, "dropout": {**state["dropout"], **words}}


@pytest.mark.parametrize(
    "state",
    [
        {},
        None,
        {"generator": {}, "dropout": {}},
        {**get_rng_state(), "generator": {"bit_generator": "MT19937"}},
        changed(call=-1),
        changed(key0=2**32),
        changed(key1="7"),
    ],
)
def test_a_wrong_state_changes_nothing(state: Any) -> None:
    manual_seed(0)
    before = get_rng_state()
    with pytest.raises(DataError, match="set_rng_state"):
        set_rng_state(state)
    assert get_rng_state() == before


def test_masks_do_not_repeat_silently() -> None:
    set_rng_state(changed(call=UINT32_END - 1))
    assert next_dropout_key()[2] == UINT32_END - 1
    with pytest.raises(RunError, match="manual_seed"):
        next_dropout_key()
    manual_seed(0)
