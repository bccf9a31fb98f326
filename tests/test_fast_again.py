"""A step that computes some buffers again needs less memory and computes the very same."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

import gradproof as gp
from gradproof.codegen.fast import again
from gradproof.codegen.fast.again import LEAST, OPERATIONS, computed_again
from gradproof.codegen.fast.emission import Launch

BIG = 64 * LEAST


def launch(kernel: str, writes: str, *reads: str, flops: int = 0) -> Launch:
    return Launch(kernel, (writes, *reads), writes=(writes,), flops=flops)


def step(**changes: Launch) -> list[Launch]:
    """b is computed from a, which is kept; c is the fullest moment; then b is used again."""
    launches = {
        "a": launch("k0", "a", "x", flops=LEAST * BIG),
        "b": launch("k1", "b", "a"),
        "use": launch("k2", "u", "b"),
        "c": launch("k3", "c", "u"),
        "d": launch("k4", "d", "c"),
        "y": launch("k5", "y", "a", "b", "d"),
    }
    return list((launches | changes).values())


def repeats(launches: Sequence[Launch], sizes: dict[str, int] | None = None) -> dict[str, str]:
    own = dict.fromkeys("abud", LEAST) | {"c": BIG} | (sizes or {})
    return computed_again(launches, own, lambda b: own.get(b, LEAST))[1]


def test_a_cheap_buffer_is_computed_again_from_what_is_kept() -> None:
    own = dict.fromkeys("abud", LEAST) | {"c": BIG}
    found, copies = computed_again(step(), own, lambda b: own.get(b, LEAST))
    assert copies == {"b^1": "b"}
    assert [x.kernel for x in found] == ["k0", "k1", "k2", "k3", "k4", "k1", "k5"]
    assert found[5].buffers == ("b^1", "a") and found[5].writes == ("b^1",)
    assert found[6].buffers == ("y", "a", "b^1", "d")


@pytest.mark.parametrize(
    "changed",
    [
        step(y=launch("k5", "y", "b", "d")),  # a is not kept
        step(d=launch("k4", "a", "c")),  # a is another by then
        step(d=launch("k4", "b", "c")),  # b is
        step(b=launch("k1", "b", "a", "b")),  # b is made from itself
        step(b=Launch("k1", ("b", "a", "v"), writes=("b", "v"))),  # two results
        step(b=launch("", "b", "a")),  # a reference kernel
        step(b=launch("k1", "b", "a", flops=(2 * OPERATIONS + 1) * LEAST)),  # no cheap one
        step(c=launch("k3", "c", "u", "b")),  # b is in use at the fullest moment
    ],
)
def test_what_is_not_computed_again(changed: list[Launch]) -> None:
    assert repeats(changed) == {}


def test_a_launch_that_costs_too_much_is_not_repeated() -> None:
    assert repeats(step(), {"b": LEAST - 1}) == {}  # saves too little
    assert repeats(step(), {"c": 8 * LEAST}) == {}  # too large a part of the step


def test_a_copy_is_computed_again_where_a_step_has_two_full_moments() -> None:
    """The sizes of copies are not known to whoever asks for this."""
    more = [launch("k6", "e", "y"), launch("k7", "f", "e"), launch("k8", "z", "a", "b", "f")]
    own = dict.fromkeys("abudfy", LEAST) | {"c": BIG, "e": BIG}
    known = own | dict.fromkeys("xz", LEAST)
    found, copies = computed_again([*step(), *more], own, known.__getitem__)
    assert list(copies.values()) in (["b", "b^1"], ["b", "b"])
    assert [x.kernel for x in found].count("k1") == 3


def losses(share: float, monkeypatch: pytest.MonkeyPatch) -> tuple[list[float], int, int]:
    monkeypatch.setattr(again, "SHARE", share)
    monkeypatch.setattr("gradproof.runtime.compile._load", lambda *given: None)
    gp.manual_seed(3)
    nn = gp.nn
    layers = [nn.Conv2d(3, 16, 3, padding=1)]
    for _ in range(4):
        layers += [nn.BatchNorm2d(16), nn.ReLU(), nn.Conv2d(16, 16, 3, padding=1)]
    model = nn.Sequential(*layers, nn.Flatten(), nn.Linear(16 * 16 * 16, 4))
    optimizer = gp.optim.SGD(model.parameters(), lr=0.01)
    rng = np.random.default_rng(3)
    x = gp.tensor(rng.standard_normal((8, 3, 16, 16)).astype(np.float32))
    y = gp.tensor(np.arange(8, dtype=np.int32) % 4)

    def train(x: gp.Tensor, y: gp.Tensor) -> gp.Tensor:
        optimizer.zero_grad()
        loss = nn.CrossEntropyLoss()(model(x), y)
        loss.backward()
        optimizer.step()
        return loss

    planned = gp.plan(train, x, y)
    found = [planned(x, y).item() for _ in range(4)]
    return found, planned.launches, planned.bytes_planned


def test_a_step_with_repeats_gives_the_same_bits(monkeypatch: pytest.MonkeyPatch) -> None:
    plain, few, large = losses(0.0, monkeypatch)
    found, more, small = losses(1.0, monkeypatch)
    assert found == plain and more > few and small < large
