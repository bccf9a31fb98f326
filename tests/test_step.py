"""A training step: in parts, with a limit on its gradients, planned and recorded."""

from __future__ import annotations

import numpy as np
import pytest

import gradproof as gp
from gradproof.runtime import nn
from gradproof.runtime.errors import RunError, ShapeError
from gradproof.runtime.step import TrainingStep

PLANNED = [False, True]


def squares(logits: gp.Tensor, labels: gp.Tensor) -> gp.Tensor:
    """A loss whose gradient is exact on integers: the mean over N samples of one square each."""
    return gp.functional.mse_loss(logits, labels)


def linear(planned: bool, accumulate: int, **options: object) -> TrainingStep:
    model = nn.Sequential(nn.Linear(4, 1))
    model.load_state_dict({"0.weight": np.array([[1, -2, 3, 0]], "f4"), "0.bias": np.ones(1, "f4")})
    optimizer = gp.optim.SGD(model.parameters(), lr=0.5, momentum=0.5)
    return TrainingStep(
        model, optimizer, squares, planned=planned, accumulate=accumulate, **options
    )  # type: ignore[arg-type]


def weights(step: TrainingStep) -> list[list[float]]:
    return [p.numpy().ravel().tolist() for p in step.model.parameters()]


def integers(count: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    x, y = rng.integers(-2, 3, (count, 4)), rng.integers(-2, 3, (count, 1))
    return x.astype(np.float32), y.astype(np.float32)


@pytest.mark.parametrize("planned", PLANNED)
@pytest.mark.parametrize("parts", [2, 4, 8])
def test_parts_together_are_the_whole_batch_exactly(planned: bool, parts: int) -> None:
    """8 samples: shares and means are powers of two, and the first step rounds nothing."""
    whole, inside = linear(planned, 1), linear(planned, parts)
    x, y = integers(8, 0)
    (loss, logits), (same, rows) = whole(x, y), inside(x, y)
    assert same == loss and np.array_equal(rows, logits)
    assert weights(inside) == weights(whole)


@pytest.mark.parametrize("planned", PLANNED)
@pytest.mark.parametrize("count", [5, 7, 3, 1])
def test_uneven_parts_count_by_their_size(planned: bool, count: int) -> None:
    whole, inside = linear(planned, 1), linear(planned, 3)
    for k in range(3):  # what an earlier batch left in the sums does not count
        x, y = integers(count + k, k)
        loss, same = whole(x, y)[0], inside(x, y)[0]
        assert same == pytest.approx(loss, rel=1e-5)
        for a, b in zip(weights(inside), weights(whole), strict=True):
            assert a == pytest.approx(b, rel=1e-4, abs=1e-5)


@pytest.mark.parametrize("planned", PLANNED)
@pytest.mark.parametrize("accumulate", [1, 2])
def test_the_gradients_norm_is_limited(planned: bool, accumulate: int) -> None:
    """Without momentum a first step is lr times a gradient of norm clip_grad_norm."""
    step = linear(planned, accumulate, clip_grad_norm=0.25)
    before = np.concatenate(weights(step))
    step(*integers(8, 1))
    length = float(np.linalg.norm(np.concatenate(weights(step)) - before))
    assert length == pytest.approx(0.5 * 0.25, rel=1e-5)


@pytest.mark.parametrize("planned", PLANNED)
def test_a_parameter_that_is_not_used_stays(planned: bool) -> None:
    class Half(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.used, self.idle = nn.Linear(4, 1), nn.Linear(4, 1)

        def forward(self, x: gp.Tensor) -> gp.Tensor:
            return self.used(x)  # type: ignore[no-any-return]

    model = Half()
    before = model.idle.weight.numpy()
    optimizer = gp.optim.SGD(model.parameters(), lr=0.5, weight_decay=0.1)
    step = TrainingStep(model, optimizer, squares, planned=planned, accumulate=2)
    step(*integers(8, 2))
    assert np.array_equal(model.idle.weight.numpy(), before)


def test_parts_are_a_number_from_1() -> None:
    with pytest.raises(ShapeError, match="TrainingStep: accumulate=0"):
        linear(True, 0)


@pytest.mark.parametrize("weighted", [False, True])
def test_parts_count_by_what_the_loss_counts(weighted: bool) -> None:
    """Ignored labels and weights of classes: the mean is that over the whole batch."""
    x = np.random.default_rng(0).normal(size=(7, 4)).astype(np.float32)
    y = np.array([0, 1, -100, 2, -100, -100, 1], np.int32)
    weight = gp.tensor([0.5, 2.0, 3.0]) if weighted else None
    found = []
    for parts in (1, 3):
        gp.manual_seed(0)
        model = nn.Linear(4, 3)
        optimizer = gp.optim.SGD(model.parameters(), lr=0.5)
        loss = nn.CrossEntropyLoss(weight=weight)
        step = TrainingStep(model, optimizer, loss, accumulate=parts)
        found.append((step(x, y)[0], model.state_dict()))
    (a, whole), (b, inside) = found
    assert a == pytest.approx(b, rel=1e-5)
    for name in whole:
        assert whole[name] == pytest.approx(inside[name], rel=1e-4, abs=1e-6)


def test_a_part_without_a_label_is_an_error() -> None:
    model = nn.Linear(4, 3)
    optimizer = gp.optim.SGD(model.parameters(), lr=0.5)
    step = TrainingStep(model, optimizer, nn.CrossEntropyLoss(), accumulate=2)
    with pytest.raises(RunError, match="accumulate=2: every label of a part of 1 is ignored"):
        step(np.ones((2, 4), np.float32), np.array([1, -100], np.int32))
