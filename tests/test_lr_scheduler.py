"""Schedules of the learning rate: against PyTorch's, and by their formulas."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from typing import Any

import pytest

import gradproof as gp
from gradproof.runtime.errors import ArgumentError, DataError, ShapeError
from gradproof.runtime.optim import lr_scheduler

Make = Callable[[Any, Any], Any]  # of a module of schedules and an optimizer

SCHEDULES: dict[str, Make] = {
    "step": lambda m, o: m.StepLR(o, 3, 0.5),
    "multi-step": lambda m, o: m.MultiStepLR(o, [2, 5, 5, 9], 0.3),
    "exponential": lambda m, o: m.ExponentialLR(o, 0.9),
    "cosine": lambda m, o: m.CosineAnnealingLR(o, 12, 0.01),
    "linear": lambda m, o: m.LinearLR(o, 0.25, 0.75, 6),
    "warm-up, then cosine": lambda m, o: m.SequentialLR(
        o, [m.LinearLR(o, 0.1, total_iters=4), m.CosineAnnealingLR(o, 8)], [4]
    ),
    "three in turn": lambda m, o: m.SequentialLR(
        o, [m.LinearLR(o, 0.5, total_iters=2), m.StepLR(o, 2), m.ExponentialLR(o, 0.5)], [3, 7]
    ),
}
METRICS = [3.0, 2.0, 2.0, 1.9999, 2.1, 2.2, 1.0, 1.5, 1.5, 1.5, 1.5, 1.5, 1.5, 1.5, 1.5]


def optimizer() -> gp.optim.SGD:
    weight, bias = gp.nn.Linear(2, 1).parameters()
    return gp.optim.SGD([{"params": [weight], "lr": 0.2}, {"params": [bias]}], lr=0.8)


def rates(scheduler: Any, steps: int) -> list[list[float]]:
    found = [[g["lr"] for g in scheduler.optimizer.param_groups]]
    for _ in range(steps):
        scheduler.step()
        found.append(scheduler.get_last_lr())
    return found


@pytest.mark.parametrize("name", SCHEDULES)
def test_rates_are_pytorchs(name: str) -> None:
    torch = pytest.importorskip("torch")
    weight, bias = torch.nn.Linear(2, 1).parameters()
    groups = [{"params": [weight], "lr": 0.2}, {"params": [bias]}]
    theirs = torch.optim.SGD(groups, lr=0.8)
    expected = rates(SCHEDULES[name](torch.optim.lr_scheduler, theirs), 12)
    found = rates(SCHEDULES[name](lr_scheduler, optimizer()), 12)
    for t, (a, b) in enumerate(zip(found, expected, strict=True)):
        assert a == pytest.approx(b, rel=1e-12, abs=1e-15), t


@pytest.mark.parametrize("mode", ["min", "max"])
@pytest.mark.parametrize("threshold_mode", ["rel", "abs"])
@pytest.mark.parametrize("options", [{}, {"cooldown": 2}, {"min_lr": 0.05}, {"threshold": 0.4}])
def test_a_plateau_is_pytorchs(mode: str, threshold_mode: str, options: dict[str, Any]) -> None:
    torch = pytest.importorskip("torch")
    options = {"factor": 0.5, "patience": 1, "threshold_mode": threshold_mode} | options
    theirs = torch.optim.SGD(torch.nn.Linear(2, 1).parameters(), lr=0.8)
    expected = torch.optim.lr_scheduler.ReduceLROnPlateau(theirs, mode, **options)
    found = lr_scheduler.ReduceLROnPlateau(optimizer(), mode, **options)
    found.rates = [0.8, 0.8]
    for metric in METRICS:
        expected.step(metric)
        found.step(metric)
        assert found.get_last_lr()[0] == theirs.param_groups[0]["lr"], metric


@pytest.mark.parametrize("name", [*SCHEDULES, "plateau"])
def test_a_schedule_goes_on_from_its_state(name: str) -> None:
    make = SCHEDULES.get(name, lambda m, o: m.ReduceLROnPlateau(o, factor=0.5, patience=0))
    whole, first, second = (make(lr_scheduler, optimizer()) for _ in range(3))
    arguments = [(m,) if name == "plateau" else () for m in METRICS]
    for given in arguments[:5]:
        whole.step(*given)
        first.step(*given)
    second.load_state_dict(json.loads(json.dumps(first.state_dict(), allow_nan=False)))
    assert second.get_last_lr() == whole.get_last_lr()
    for given in arguments[5:]:
        whole.step(*given)
        second.step(*given)
        assert second.get_last_lr() == whole.get_last_lr()


def test_a_planned_step_asks_for_the_rate() -> None:
    p = gp.tensor([1.0], requires_grad=True)
    optimizer = gp.optim.SGD([p], lr=1.0)
    scheduler = lr_scheduler.StepLR(optimizer, 1, gamma=0.5)

    def step() -> gp.Tensor:
        optimizer.zero_grad()
        loss = gp.functional.sum(p * 1.0)  # its gradient is 1
        loss.backward()
        optimizer.step()
        return loss

    planned = gp.plan(step)
    for _ in range(3):
        planned.run()
        scheduler.step()
    assert p.numpy().tolist() == [1 - 1 - 0.5 - 0.25]


def test_no_gamma_changes_nothing_but_a_mutant_would() -> None:
    found = rates(lr_scheduler.StepLR(optimizer(), 2, gamma=1.0), 4)
    assert found == [[0.2, 0.8]] * 5
    assert rates(lr_scheduler.StepLR(optimizer(), 2, gamma=0.5), 2)[-1] == [0.1, 0.4]


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda o: lr_scheduler.StepLR(o, 0), ShapeError, "step_size=0"),
        (lambda o: lr_scheduler.CosineAnnealingLR(o, 0), ShapeError, "T_max=0"),
        (lambda o: lr_scheduler.LinearLR(o, 0.0), ArgumentError, "start_factor=0.0"),
        (lambda o: lr_scheduler.SequentialLR(o, [], []), ArgumentError, "one milestone less"),
        (
            lambda o: lr_scheduler.SequentialLR(
                o, [lr_scheduler.StepLR(optimizer(), 1), lr_scheduler.StepLR(o, 1)], [2]
            ),
            ArgumentError,
            "scheduler 0 is of another optimizer",
        ),
        (
            lambda o: lr_scheduler.SequentialLR(
                o, [lr_scheduler.StepLR(o, 1), lr_scheduler.ReduceLROnPlateau(o)], [2]
            ),
            ArgumentError,
            "scheduler 1 depends on a metric",
        ),
        (lambda o: lr_scheduler.ReduceLROnPlateau(o, "best"), ArgumentError, "mode='best'"),
        (lambda o: lr_scheduler.ReduceLROnPlateau(o, factor=1.0), ArgumentError, "factor=1.0"),
        (lambda o: lr_scheduler.ReduceLROnPlateau(o).step(), ArgumentError, "metric is missing"),
    ],
)
def test_a_wrong_schedule_is_an_error(
    make: Callable[[Any], Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        make(optimizer())


def test_a_state_of_other_groups_is_an_error() -> None:
    scheduler = lr_scheduler.StepLR(optimizer(), 1)
    with pytest.raises(DataError, match="base_lrs missing"):
        scheduler.load_state_dict({"last_epoch": 3})
    with pytest.raises(DataError, match="1 groups of parameters, expected 2"):
        scheduler.load_state_dict({"last_epoch": 3, "base_lrs": [0.1]})
    assert scheduler.last_epoch == 0


def test_a_metric_that_is_not_a_number_is_no_improvement() -> None:
    scheduler = lr_scheduler.ReduceLROnPlateau(optimizer(), patience=0, factor=0.5)
    scheduler.step(math.nan)
    assert scheduler.get_last_lr() == [0.1, 0.4]
