"""Gradients read out of a step that does not keep them: the right ones, and at no other result."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import gradproof as gp
from gradproof.runtime.data import Dataset
from gradproof.runtime.models import build_model
from gradproof.runtime.progress import GradientNorms
from gradproof.runtime.reading import active_reading, reading
from gradproof.runtime.step import TrainingStep
from gradproof.runtime.trainer import Trainer
from gradproof.runtime.training_state import capture, restore

Arrays = dict[str, NDArray[Any]]


def data(count: int = 12) -> tuple[NDArray[np.float32], NDArray[np.int32]]:
    digits = gp.data.load_digits()
    return digits.x_train[:count], digits.y_train[:count]


def made(name: str = "demo") -> Any:
    gp.manual_seed(3)
    model = build_model(name, (1, 8, 8), 10)
    return model.to("float64")


def expected(name: str = "demo") -> Arrays:
    """The gradients of the first step, by autograd and the operators' own kernels."""
    model, (x, y) = made(name), data()
    gp.nn.CrossEntropyLoss()(model(gp.tensor(x, "float64")), gp.tensor(y)).backward()
    return {n: p.grad.numpy() for n, p in model.named_parameters()}


def step_of(model: Any, **options: Any) -> TrainingStep:
    optimizer = gp.optim.SGD(model.parameters(), lr=0.1, momentum=0.9, weight_decay=1e-3)
    return TrainingStep(model, optimizer, gp.nn.CrossEntropyLoss(), **options)


def close(found: Arrays, wanted: Arrays) -> None:
    """Both sum at most a few thousand products in float64, each in its order."""
    assert list(found) == list(wanted)
    for name, g in wanted.items():
        assert found[name].shape == g.shape
        bound = 1e-12 * np.abs(g).max() + 1e-15
        np.testing.assert_allclose(found[name], g, rtol=0, atol=bound, err_msg=name)


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"planned": False},
        {"clip_grad_norm": 0.01},
        {"checkpoint": True},
        {"planned": False, "clip_grad_norm": 0.01},
    ],
    ids=str,
)
def test_a_step_gives_its_gradients(options: dict[str, Any]) -> None:
    step = step_of(made(), **options)
    with reading() as first:
        step(*data())
    close(first, expected())
    with reading() as second:  # a plan that is bound, a recording that is replayed
        step(*data())
    assert all(not np.array_equal(second[n], first[n]) for n in first)


def test_the_parts_of_a_batch_give_the_gradient_of_all_of_it() -> None:
    model = made("lenet")  # without batch norm, which would see the parts
    with reading() as found:
        step_of(model, accumulate=3)(*data())
    close(found, expected("lenet"))


@pytest.mark.parametrize("momentum", [0.0, 0.9])
def test_a_gradient_that_is_never_stored_is_there_too(momentum: float) -> None:
    """A plan may update a weight in the kernel that sums its gradient."""
    model = made("lenet")
    optimizer = gp.optim.SGD(model.parameters(), lr=0.1, momentum=momentum)
    step = TrainingStep(model, optimizer, gp.nn.CrossEntropyLoss())
    with reading() as found:
        step(*data())
    close(found, expected("lenet"))
    (recording,) = step._whole._known.values()
    marks, planned = recording.tape.trace.marks, recording.tape
    stored = {b for x in planned.plan["launches"] for b in x["writes"]}
    assert planned.graph.name(marks["7.weight"]) not in stored  # else this test tests nothing


def test_watched_steps_give_the_same_bits() -> None:
    found: list[Arrays] = []
    for watched in (False, True):
        with gp.autograd.set_detect_anomaly(watched), reading() as values:
            step_of(made())(*data())
        found.append(values)
    assert all(np.array_equal(found[0][n], found[1][n]) for n in found[0])


def test_reading_changes_nothing() -> None:
    states = []
    for read in (False, True):
        model = made()
        step = step_of(model)
        for k in range(4):
            if read and k % 2:
                with reading():
                    step(*data())
            else:
                step(*data())
        states.append(model.state_dict())
    assert all(np.array_equal(states[0][n], states[1][n]) for n in states[0])


def test_nothing_is_read_outside() -> None:
    with reading():
        assert active_reading() == {}
    assert active_reading() is None


# -- in a training ---------------------------------------------------------------------------------
def trainer(**options: Any) -> Trainer:
    model = made("lenet")
    x, y = data(20)
    few = Dataset("few", x, y, x[:9], y[:9], tuple("0123456789"))
    optimizer = gp.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    return Trainer(model, optimizer, gp.nn.CrossEntropyLoss(), few, batch_size=8, **options)


def test_norms_are_those_of_each_epochs_first_step() -> None:
    t = trainer(gradient_norms=True)
    images, labels = next(t.loader.epoch(1))
    model = made("lenet")
    gp.nn.CrossEntropyLoss()(model(gp.tensor(images, "float64")), gp.tensor(labels)).backward()
    t.fit(2)
    assert [(n.epoch, n.step) for n in t.norms] == [(1, 1), (2, 4)]
    for name, p in model.named_parameters():
        norm = np.sqrt(np.square(p.grad.numpy()).sum())
        assert t.norms[0].norms[name] == pytest.approx(norm, rel=1e-12)


def test_norms_are_taken_only_where_they_are_wanted() -> None:
    t = trainer()
    t.fit(1)
    assert t.norms == []


def test_a_training_that_goes_on_has_the_norms_from_before() -> None:
    whole = trainer(gradient_norms=True)
    whole.fit(3)
    begun = trainer(gradient_norms=True)
    begun.on_batch = lambda result: begun.stop() if result.epoch == 2 else None
    begun.fit(3)
    on = trainer(gradient_norms=True)
    restore(on, capture(begun))
    on.fit(2)
    assert on.norms == whole.norms


def test_a_norm_is_that_of_all_elements() -> None:
    g = np.float32([[3.0, 0.0], [0.0, 4.0]])
    assert GradientNorms.of(1, 1, {"w": g}).norms == {"w": 5.0}
