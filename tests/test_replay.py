"""A recorded training step, replayed on new data, is the eager step to the last bit."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import gradproof as gp
from gradproof.runtime.dispatch import Tape
from gradproof.runtime.errors import DataError, DTypeError, GradproofError, ShapeError

State = dict[str, np.ndarray]


class Training:
    """A network with every layer whose step has state on the host, and one optimizer."""

    def __init__(self, sgd: dict[str, Any], dropout: float = 0.3) -> None:
        gp.manual_seed(3)
        self.model = gp.nn.Sequential(
            gp.nn.Conv2d(2, 3, 3, padding=1),
            gp.nn.BatchNorm2d(3),
            gp.nn.ReLU(),
            gp.nn.Conv2d(3, 4, 3, stride=2),
            gp.nn.BatchNorm2d(4, momentum=None),  # the average of all batches: its weight changes
            gp.nn.MaxPool2d(2),
            gp.nn.Flatten(),
            gp.nn.Dropout(dropout),
            gp.nn.Linear(4, 3),
        )
        self.optimizer = gp.optim.SGD(self.model.parameters(), **sgd)
        self.x = gp.tensor(np.zeros((5, 2, 6, 6), np.float32))
        self.y = gp.tensor(np.zeros(5, np.int32))

    def step(self) -> gp.Tensor:
        self.optimizer.zero_grad()
        loss = gp.nn.CrossEntropyLoss()(self.model(self.x), self.y)
        loss.backward()
        self.optimizer.step()
        return loss

    def state(self, loss: gp.Tensor) -> State:
        kept = self.optimizer.state_dict()["state"]
        averages = {f"{n} of {k}": v for k, entry in kept.items() for n, v in entry.items()}
        gradients = {f"grad {n}": p.grad.numpy() for n, p in self.model.named_parameters()}
        state = {n: np.array(v) for n, v in self.model.state_dict().items()}
        return {"loss": loss.numpy(), **gradients, **averages, **state}


def batch(k: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(k)
    return rng.normal(0, 1, (5, 2, 6, 6)).astype(np.float32), rng.integers(0, 3, 5)


def train(training: Training, steps: int, record: bool, lr: Callable[[int], float]) -> list[State]:
    """Steps on new data; the first is recorded, and the others are its replays, if `record`."""
    tape, loss, states = Tape(), None, []
    for k in range(steps):
        images, labels = batch(k)
        training.x.copy_(images)
        training.y.copy_(labels)
        training.optimizer.lr = lr(k)
        if not record:
            loss = training.step()
        elif loss is None:
            with gp.record() as tape:
                loss = training.step()
        else:
            tape.replay()
        states.append(training.state(loss))
    return states


OPTIMIZERS = [
    {"lr": 0.1},
    {"lr": 0.1, "momentum": 0.9},
    {"lr": 0.1, "momentum": 0.9, "dampening": 0.5, "weight_decay": 0.01},
    {"lr": 0.1, "momentum": 0.9, "nesterov": True, "weight_decay": 0.01},
]


@pytest.mark.parametrize("sgd", OPTIMIZERS, ids=["plain", "momentum", "dampening", "nesterov"])
def test_replays_equal_eager_steps(sgd: dict[str, Any]) -> None:
    eager = train(Training(sgd), 4, False, lambda k: 0.1 / (k + 1))
    replayed = train(Training(sgd), 4, True, lambda k: 0.1 / (k + 1))
    for k, (a, b) in enumerate(zip(eager, replayed, strict=True)):
        assert a.keys() == b.keys()
        for name in a:
            np.testing.assert_array_equal(a[name], b[name], err_msg=f"step {k}: {name}")
        assert a["1.num_batches_tracked"] == k + 1


def test_what_changes_between_steps_does_change() -> None:
    """The comparison above would not see masks or rates that stay as they were recorded."""
    sgd = {"lr": 0.1, "momentum": 0.9, "dampening": 0.5}
    usual = train(Training(sgd), 2, True, lambda k: 0.1)
    other_rate = train(Training(sgd), 2, True, lambda k: 0.1 / (k + 1))
    no_dropout = train(Training(sgd, dropout=0.0), 2, True, lambda k: 0.1)
    assert usual[0]["8.weight"].tolist() == other_rate[0]["8.weight"].tolist()
    assert usual[1]["8.weight"].tolist() != other_rate[1]["8.weight"].tolist()
    assert usual[0]["loss"] != no_dropout[0]["loss"]


def test_dropout_draws_a_new_mask_at_each_replay() -> None:
    gp.manual_seed(5)
    x = gp.tensor(np.ones(64, np.float32))
    with gp.record() as tape:
        out = gp.functional.dropout(x, 0.5)
    masks = [out.numpy()]
    for _ in range(2):
        tape.replay()
        masks.append(out.numpy())
    gp.manual_seed(5)
    eager = [gp.functional.dropout(x, 0.5).numpy() for _ in range(3)]
    np.testing.assert_array_equal(masks, eager)
    assert len({m.tobytes() for m in masks}) == 3


def test_nothing_is_recorded_outside_the_block() -> None:
    x = gp.tensor([1.0, -1.0])
    with gp.record() as tape:
        y = gp.functional.relu(x)
    before = len(tape)
    gp.functional.relu(x)
    assert before == len(tape) > 0
    x.copy_(np.array([-3.0, 4.0], np.float32))
    tape.replay()
    assert y.numpy().tolist() == [0.0, 4.0]


def test_an_error_ends_the_recording() -> None:
    x = gp.tensor([1.0])
    with pytest.raises(ShapeError), gp.record() as tape:
        gp.functional.add(x, gp.tensor([1.0, 2.0]))
    gp.functional.relu(x)
    assert len(tape) == 0


@pytest.mark.parametrize(
    ("labels", "error"),
    [
        (np.array([0, 1, 3]), DataError),
        (np.array([0, -1, 2]), DataError),
        (np.array([0, 1]), ShapeError),
        (np.array([0.0, 1.0, 2.0]), DTypeError),
        (np.array([0j, 1j, 2j]), DTypeError),
        (np.array([0, 1, 2**32]), DTypeError),
    ],
    ids=["beyond", "negative", "short", "reals", "complex", "64 bits"],
)
def test_wrong_labels_are_refused_and_the_old_ones_stay(
    labels: np.ndarray, error: type[Exception]
) -> None:
    y = gp.tensor([0, 1, 2])
    logits = gp.tensor(np.eye(3, dtype=np.float32))
    with gp.record() as tape:
        loss = gp.functional.cross_entropy(logits, y.reshape(3))  # a view of what is copied to
    before = loss.item()
    with pytest.raises(error):
        y.copy_(labels)
    assert y.numpy().tolist() == [0, 1, 2]
    tape.replay()
    assert loss.item() == before == gp.functional.cross_entropy(logits, y).item()


def test_a_gradient_from_before_the_recording_is_refused() -> None:
    """Every replay would add the same old gradient; eager accumulation would not."""
    p = gp.tensor([1.0], requires_grad=True)
    gp.functional.mse_loss(p, gp.tensor([0.0])).backward()
    with pytest.raises(GradproofError, match="zero_grad"), gp.record():
        gp.functional.mse_loss(p, gp.tensor([0.0])).backward()


def test_an_optimizer_restored_after_the_recording_goes_on_from_there() -> None:
    p = gp.tensor([1.0], requires_grad=True)
    optimizer = gp.optim.SGD([p], lr=0.5, momentum=0.5)
    with gp.record() as tape:
        optimizer.zero_grad()
        gp.functional.mse_loss(p, gp.tensor([0.0])).backward()
        optimizer.step()  # v = 2, p = 0
    state = optimizer.state_dict()
    state["state"][0]["momentum_buffer"] = np.array([4.0], np.float32)
    optimizer.load_state_dict(state)
    tape.replay()  # g = 0, v = 0.5 * 4, p = 0 - 0.5 * 2
    assert p.item() == -1.0
