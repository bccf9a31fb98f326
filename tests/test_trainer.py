"""The training loop: what it measures, what it repeats exactly, and when it stops."""

from __future__ import annotations

import math
from dataclasses import astuple

import numpy as np
import pytest

import gradproof as gp
from gradproof.runtime import nn
from gradproof.runtime.data import Dataset, load_digits
from gradproof.runtime.errors import RunError, ShapeError
from gradproof.runtime.evaluation import (
    PLANNED_FROM,
    Inference,
    evaluate,
    model_dtype,
    probabilities,
)
from gradproof.runtime.models import build_model
from gradproof.runtime.trainer import BatchResult, Trainer


def few(train: int = 50, test: int = 23) -> Dataset:
    d = load_digits()
    return Dataset(
        "few", d.x_train[:train], d.y_train[:train], d.x_test[:test], d.y_test[:test], d.classes
    )


def linear(dataset: Dataset, dtype: str = "float32", seed: int = 0) -> nn.Sequential:
    gp.manual_seed(seed)
    size = math.prod(dataset.image_shape)
    return nn.Sequential(nn.Flatten(), nn.Linear(size, len(dataset.classes))).to(dtype)


def trainer(dataset: Dataset, lr: float = 0.1, **options: object) -> Trainer:
    model = linear(dataset)
    optimizer = gp.optim.SGD(model.parameters(), lr=lr)
    return Trainer(model, optimizer, nn.CrossEntropyLoss(), dataset, **options)  # type: ignore[arg-type]


def logits_by_hand(model: nn.Sequential, x: np.ndarray) -> np.ndarray:
    state = model.state_dict()
    rows = x.reshape(len(x), -1).astype(np.float64)
    return rows @ state["1.weight"].T.astype(np.float64) + state["1.bias"]


def loss_by_hand(model: nn.Sequential, x: np.ndarray, y: np.ndarray) -> float:
    z = logits_by_hand(model, x)
    z = z - z.max(axis=1, keepdims=True)
    return float(np.mean(np.log(np.exp(z).sum(axis=1)) - z[np.arange(len(y)), y]))


@pytest.mark.parametrize("batch_size", [1, 7, 22, 23, 100])
def test_means_do_not_depend_on_the_batch_size(batch_size: int) -> None:
    data = few()
    model = linear(data)
    result = evaluate(model, nn.CrossEntropyLoss(), data.x_test, data.y_test, batch_size)
    assert result.loss == pytest.approx(loss_by_hand(model, data.x_test, data.y_test), rel=1e-5)
    expected = logits_by_hand(model, data.x_test).argmax(axis=1)
    assert result.predicted.tolist() == expected.tolist()
    assert result.accuracy == pytest.approx(np.mean(expected == data.y_test))


def test_training_means_weigh_the_last_batch_by_its_size() -> None:
    """With a learning rate of 0 the parameters stay, so the means can be computed at once."""
    data = few()
    fixed = trainer(data, lr=0.0, batch_size=32)
    (result,) = fixed.fit(1)
    expected = loss_by_hand(fixed.model, data.x_train, data.y_train)  # type: ignore[arg-type]
    assert result.train_loss == pytest.approx(expected, rel=1e-5)
    right = logits_by_hand(fixed.model, data.x_train).argmax(axis=1) == data.y_train  # type: ignore[arg-type]
    assert result.train_accuracy == pytest.approx(right.mean())


def test_training_learns_and_counts_epochs_on() -> None:
    learning = trainer(few(), batch_size=16)
    first = list(learning.fit(3))
    assert [result.epoch for result in first] == [1, 2, 3]
    assert first[-1].train_loss < first[0].train_loss
    assert [result.epoch for result in learning.fit(2)] == [1, 2, 3, 4, 5]


def test_a_seed_repeats_a_run_exactly() -> None:
    runs = []
    for seed in (3, 3, 4):
        run = trainer(few(), batch_size=16, seed=seed)
        run.fit(2)
        runs.append(run.model.state_dict()["1.weight"])
    assert np.array_equal(runs[0], runs[1])
    assert not np.array_equal(runs[0], runs[2])


def test_callbacks_see_each_batch_and_epoch() -> None:
    seen: list[BatchResult] = []
    epochs = []
    run = trainer(few(), batch_size=20, on_batch=seen.append, on_epoch=epochs.append)
    history = run.fit(2)
    assert [(b.epoch, b.batch, b.batches) for b in seen] == [
        (e, b, 3) for e in (1, 2) for b in (1, 2, 3)
    ]
    assert epochs == history
    assert history[0].train_loss == seen[2].loss
    assert seen[0].images_per_second == 0.0 < seen[1].images_per_second


def test_evaluation_uses_running_averages_and_changes_no_state() -> None:
    data = few()
    model = build_model("demo", data.image_shape, 10)
    before = model.state_dict()
    evaluate(model, nn.CrossEntropyLoss(), data.x_test, data.y_test, 8)
    after = model.state_dict()
    assert not model.training
    assert all(np.array_equal(before[name], after[name]) for name in before)
    one = probabilities(model, data.x_test[:1], 1)
    assert np.allclose(one, probabilities(model, data.x_test, 8)[:1], atol=1e-6)


def test_training_puts_the_model_back_into_training_mode() -> None:
    run = trainer(few(), batch_size=20)
    modes = []
    run.on_batch = lambda _: modes.append(run.model.training)
    run.fit(2)
    assert all(modes)


def test_a_loss_that_is_not_finite_stops_the_training() -> None:
    run = trainer(few(), lr=1e38, batch_size=8)
    told = r"the loss is (nan|inf) .*lower learning rate than 1e\+38"
    with pytest.raises(gp.errors.DivergenceError, match=told):
        run.fit(5)
    assert all(math.isfinite(value) for result in run.history for value in astuple(result))


def test_a_summed_loss_is_refused() -> None:
    data = few()
    model = linear(data)
    optimizer = gp.optim.SGD(model.parameters(), lr=0.1)
    with pytest.raises(RunError, match="expected a mean"):
        Trainer(model, optimizer, nn.CrossEntropyLoss(reduction="sum"), data)


def test_images_take_the_element_type_of_the_model() -> None:
    data = few()
    model = linear(data, "float64")
    assert model_dtype(model) == np.float64
    result = evaluate(model, nn.CrossEntropyLoss(), data.x_test, data.y_test, 23)
    assert result.loss == pytest.approx(loss_by_hand(model, data.x_test, data.y_test), rel=1e-12)


def test_a_model_without_parameters_is_an_error() -> None:
    with pytest.raises(RunError, match="no parameters"):
        model_dtype(nn.ReLU())


def test_a_model_that_gives_no_logits_is_an_error() -> None:
    data = few()
    convolution = nn.Sequential(nn.Conv2d(1, 2, 3))
    with pytest.raises(ShapeError, match=r"gives \(23, 2, 6, 6\) .* expected \(23, classes\)"):
        evaluate(convolution, nn.CrossEntropyLoss(), data.x_test, data.y_test)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(3))
def test_the_demo_network_learns_the_digits(seed: int) -> None:
    data = load_digits()
    gp.manual_seed(seed)
    model = build_model("demo", data.image_shape, 10)
    optimizer = gp.optim.SGD(model.parameters(), lr=0.01, momentum=0.9)
    run = Trainer(model, optimizer, nn.CrossEntropyLoss(), data, batch_size=32, seed=seed)
    assert run.fit(10)[-1].test_accuracy >= 0.98


def test_many_batches_are_planned_and_follow_the_parameters() -> None:
    data = few(50, 2 * PLANNED_FROM + 1)
    model = linear(data)
    planned, eager = Inference(model), Inference(linear(data))
    for scale in (1.0, 0.5):
        for own, other in zip(model.parameters(), eager.model.parameters(), strict=True):
            own.copy_(scale * own.numpy())
            other.copy_(own.numpy())
        found = evaluate(planned, gp.nn.CrossEntropyLoss(), data.x_test, data.y_test, 2)
        expected = evaluate(eager, gp.nn.CrossEntropyLoss(), data.x_test, data.y_test, 17)
        assert found.loss == pytest.approx(expected.loss, rel=1e-6)
        np.testing.assert_array_equal(found.predicted, expected.predicted)
    assert list(planned._plans) == [(2, *data.image_shape)]  # not for the last, smaller batch
    assert not eager._plans
