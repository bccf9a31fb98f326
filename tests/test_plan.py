"""A planned step does what the eager step does, and leaves nothing behind where it cannot."""

from __future__ import annotations

import gc
import itertools
import json
import logging
import os
import random
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import gradproof as gp
from gradproof.runtime.build import CACHE_VARIABLE
from gradproof.runtime.compile import plans_folder
from gradproof.runtime.dispatch import record
from gradproof.runtime.errors import (
    ArgumentError,
    DataError,
    DTypeError,
    GradproofError,
    ShapeError,
)
from gradproof.runtime.optim import SGD, Adam, AdamW, Optimizer
from gradproof.runtime.plan import plan
from gradproof.runtime.planned_step import PlannedStep
from gradproof.runtime.schedule import schedule
from gradproof.runtime.step import TrainingStep
from gradproof.runtime.trace import active_trace

F, nn = gp.functional, gp.nn
Arrays = list[NDArray[Any]]
Step = Callable[..., Any]


@pytest.fixture(autouse=True)
def nothing_is_traced() -> Iterator[None]:
    yield
    assert active_trace() is None


class Residual(nn.Module):
    def __init__(self, body: gp.nn.Module) -> None:
        super().__init__()
        self.body = body

    def forward(self, x: gp.Tensor) -> gp.Tensor:
        return F.add(x, self.body(x))


class Tied(nn.Module):
    """A table that embeds and classifies."""

    def __init__(self, dtype: str) -> None:
        super().__init__()
        self.table = nn.Embedding(5, 6, dtype=dtype)
        self.scale = nn.Linear(18, 6, dtype=dtype)

    def forward(self, x: gp.Tensor) -> gp.Tensor:
        rows = F.linear(F.tanh(self.scale(x.reshape(x.shape[0], -1))), self.table.weight)
        return F.add(rows, F.linear(self.table(self.ids), self.table.weight))

    ids: gp.Tensor


def training(net: nn.Module, optimizer: Optimizer) -> Step:
    def step(x: gp.Tensor, y: gp.Tensor) -> tuple[gp.Tensor, gp.Tensor]:
        optimizer.zero_grad()
        logits = net(x)
        loss = F.cross_entropy(logits, y)
        loss.backward()
        optimizer.step()
        return loss, logits

    return step


def images(rng: np.random.Generator, shape: Sequence[int]) -> NDArray[np.float32]:
    return rng.normal(size=shape).astype(np.float32)


def state(net: nn.Module) -> Arrays:
    return list(net.state_dict().values())


def run_steps(
    make: Callable[[str], tuple[nn.Module, Optimizer]],
    shape: tuple[int, ...],
    dtype: str = "float64",
    planned: bool = False,
) -> Arrays:
    """What three steps of another learning rate each return, and the state after them."""
    gp.manual_seed(3)
    net, optimizer = make(dtype)
    rng = np.random.default_rng(0)
    first = images(rng, shape), np.zeros(shape[0], np.int32)
    step = training(net, optimizer)
    if isinstance(net, Tied):
        net.ids = gp.tensor(np.arange(shape[0], dtype=np.int32) % 5)
    if planned:
        step = plan(step, gp.tensor(first[0], dtype), gp.tensor(first[1]))
    found: Arrays = []
    for _ in range(3):
        x, y = images(rng, shape), rng.integers(0, 5, shape[0]).astype(np.int32)
        optimizer.lr *= 0.5
        found += [t.numpy() for t in step(gp.tensor(x, dtype), gp.tensor(y))]
    return found + state(net)


def check_against_eager(make: Any, shape: tuple[int, ...]) -> None:
    """The difference is that of another order of the same sums.

    Rounding errors are proportional to the unit of the type, 2^-24 for float32 and 2^-53 for
    float64. So the distance of the eager step in float32 from that in float64, scaled by 2^-29, is
    what float64 rounds off; another order of its sums is allowed 32 times that.
    """
    with schedule("reference"):
        exact = run_steps(make, shape)
        rough = run_steps(make, shape, "float32")
    planned = run_steps(make, shape, planned=True)
    for a, b, p in zip(exact, rough, planned, strict=True):
        error = float(np.abs(a - b).max()) + float(np.spacing(np.float32(np.abs(a).max())))
        bound = 32 * 2.0**-29 * error
        assert bound < 1e-8 * (1 + np.abs(a).max()), "a bound that everything meets"
        assert np.abs(a - p).max() <= bound


# -- the same numbers ---------------------------------------------------------------------------
def mlp(dtype: str) -> tuple[nn.Module, Optimizer]:
    net = nn.Sequential(
        nn.Flatten(), nn.Linear(21, 17, dtype=dtype), nn.Tanh(), nn.Linear(17, 5, dtype=dtype)
    )
    return net, SGD(net.parameters(), 0.1, momentum=0.9, dampening=0.25, weight_decay=0.01)


def normed(dtype: str) -> tuple[nn.Module, Optimizer]:
    net = nn.Sequential(
        nn.Conv2d(3, 10, 3, padding=1, dtype=dtype),
        nn.BatchNorm2d(10, momentum=None, dtype=dtype),
        nn.ReLU(),
        nn.Dropout(0.25),
        nn.MaxPool2d(2),
        nn.Conv2d(10, 19, 3, dtype=dtype),
        nn.Flatten(),
        nn.Linear(38, 5, dtype=dtype),
    )
    return net, SGD(net.parameters(), 0.1, momentum=0.9, nesterov=True)


def residual(dtype: str) -> tuple[nn.Module, Optimizer]:
    net = nn.Sequential(
        nn.Conv2d(4, 6, 3, stride=2, padding=1, groups=2, dtype=dtype),
        Residual(nn.Sequential(nn.Conv2d(6, 6, 1, dtype=dtype), nn.BatchNorm2d(6, dtype=dtype))),
        nn.AvgPool2d(2),
        nn.Flatten(),
        nn.Linear(24, 5, dtype=dtype),
    )
    return net, Adam(net.parameters(), 0.05, eps=1e-2)


def tied(dtype: str) -> tuple[nn.Module, Optimizer]:
    net = Tied(dtype)
    return net, AdamW(net.parameters(), 0.05, eps=1e-2)


NETS: dict[str, tuple[Any, tuple[int, ...]]] = {
    "momentum": (mlp, (1, 3, 7)),
    "nesterov, norm, dropout": (normed, (5, 3, 7, 9)),
    "adam, residual": (residual, (3, 4, 7, 9)),
    "adamw, tied": (tied, (17, 3, 6)),
}


@pytest.mark.parametrize("name", NETS)
def test_planned_training_is_eager_training(name: str) -> None:
    check_against_eager(*NETS[name])


Factory = Callable[[str], nn.Module]
POOLS: tuple[type[nn.Module], ...] = nn.MaxPool2d, nn.AvgPool2d


def random_layers(seed: int) -> tuple[list[Factory], tuple[int, ...], int]:
    """A few random layers for any dtype, the shape of a batch, and the features that they give."""
    draw = random.Random(seed)
    batch, channels = draw.choice([2, 3, 5]), draw.choice([1, 3, 10])
    h, w = shape = draw.choice([(7, 9), (5, 6)])
    layers: list[Factory] = []
    c = channels
    for kind in draw.sample(["conv", "conv", "pool", "norm", "act", "residual"], 3):
        s = draw.choice([1, 2])
        if kind == "conv":
            made, c = _random_conv(draw, c, s)
            layers.append(made)
        elif kind == "pool":
            layers.append(partial(_plain, draw.choice(POOLS), 3, s, 1))
        elif kind == "norm":
            layers.append(partial(_typed, nn.BatchNorm2d, c))
        elif kind == "residual":
            layers.append(partial(_residual, c))
        else:
            layers.append(partial(_plain, draw.choice([nn.ReLU, nn.Tanh, nn.Sigmoid])))
        if kind in ("conv", "pool"):
            h, w = (h - 1) // s + 1, (w - 1) // s + 1
    return layers, (batch, channels, *shape), c * h * w


def _random_conv(draw: random.Random, c: int, stride: int) -> tuple[Factory, int]:
    k, d, g = draw.choice([1, 3]), draw.choice([1, 2]), draw.choice([1, c])
    o = g * draw.choice([1, 3]) if g > 1 else draw.choice([3, 10, 19])
    options = {"stride": stride, "padding": d * (k // 2), "dilation": d, "groups": g}
    return partial(_typed, nn.Conv2d, c, o, k, **options), o


def _plain(kind: Any, *given: Any) -> nn.Module:
    *options, _ = given  # what has no parameters has no dtype
    return kind(*options)  # type: ignore[no-any-return]


def _typed(kind: Any, *given: Any, **options: Any) -> nn.Module:
    *sizes, dtype = given
    return kind(*sizes, dtype=dtype, **options)  # type: ignore[no-any-return]


def _residual(c: int, dtype: str) -> nn.Module:
    return Residual(nn.Conv2d(c, c, 3, padding=1, dtype=dtype))


def random_net(seed: int) -> tuple[Callable[[str], tuple[nn.Module, Optimizer]], tuple[int, ...]]:
    """How to make a network of random layers with its optimizer, and the shape of a batch."""
    layers, shape, features = random_layers(seed)

    def make(dtype: str) -> tuple[nn.Module, Optimizer]:
        end = [nn.Flatten(), nn.Linear(features, 5, dtype=dtype)]
        net = nn.Sequential(*(layer(dtype) for layer in layers), *end)
        return net, SGD(net.parameters(), 0.05, momentum=0.5)

    return make, shape


@pytest.mark.parametrize("seed", range(6))
def test_random_networks(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYOPENCL_BUILD_OPTIONS", "-cl-opt-disable")  # builds in half the time
    check_against_eager(*random_net(seed))


def integer_net() -> nn.Module:
    """Every result is a small multiple of a power of 2, so no sum rounds, in whatever order."""
    net = nn.Sequential(
        nn.Conv2d(3, 10, 3, padding=1, dtype="float64"),
        nn.ReLU(),
        nn.AvgPool2d(2),
        nn.Dropout(0.5),
        nn.Conv2d(10, 19, 3, dtype="float64"),
        nn.Flatten(),
        nn.Linear(38, 3, dtype="float64"),
    )
    rng = np.random.default_rng(0)
    for p in net.parameters():
        p.copy_(rng.integers(-2, 3, p.shape).astype(float))
    return net


def integers(n: int, seed: int = 0) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    rng = np.random.default_rng(seed)
    x, y = rng.integers(-2, 3, (n, 3, 7, 9)), rng.integers(-2, 3, (n, 3))
    return x.astype(float), y.astype(float)


def squares(net: nn.Module, optimizer: Optimizer) -> Step:
    def step(x: gp.Tensor, y: gp.Tensor) -> tuple[gp.Tensor, ...]:
        optimizer.zero_grad()
        z = net(x)
        loss = F.mse_loss(z, y, reduction="sum")
        loss.backward()
        optimizer.step()
        return loss, z, x

    return step


def equal(found: Sequence[Any], expected: Sequence[Any]) -> None:
    for a, b in zip(found, expected, strict=True):
        a, b = (t.numpy() if isinstance(t, gp.Tensor) else t for t in (a, b))
        np.testing.assert_array_equal(a, b, strict=True)


@dataclass
class Pair:
    """A network that is trained eagerly by `step`, and one equal to it with two plans, for batches
    of 5 and of 17."""

    eager: nn.Module
    step: Step
    net: nn.Module
    plans: dict[int, PlannedStep]

    def restart(self) -> None:
        """Both are as they were made."""
        for each in (self.net, self.eager):
            each.load_state_dict(integer_net().state_dict())

    def both(self, n: int, x: NDArray[Any], y: NDArray[Any]) -> None:
        """One step of both, with the same masks; results and parameters are equal to the bit."""
        gp.manual_seed(n)
        expected = self.step(gp.tensor(x), gp.tensor(y))
        gp.manual_seed(n)
        equal(self.plans[n](x, y), expected)
        equal(state(self.net), state(self.eager))


@pytest.fixture(scope="module")
def pair() -> Pair:
    eager, net = integer_net(), integer_net()
    step, own = (squares(each, SGD(each.parameters(), 2.0**-10)) for each in (eager, net))
    plans = {n: plan(own, *map(gp.tensor, integers(n))) for n in (5, 17)}
    return Pair(eager, step, net, plans)


def test_exact_sums_are_bit_equal_for_two_batches_on_shared_parameters(pair: Pair) -> None:
    for k, n in enumerate((17, 5, 17)):
        pair.restart()
        pair.both(n, *integers(n, k))
    assert any(p.storage.layout is not None for p in pair.net.parameters())


def test_eager_use_between_planned_steps(pair: Pair, tmp_path: Path) -> None:
    x, y = integers(5, 9)
    pair.plans[5](x, y)
    pair.restart()
    for each in (pair.net, pair.eager):
        each.eval()
    equal([pair.net(gp.tensor(x))], [pair.eager(gp.tensor(x))])  # moves the weights
    for each in (pair.net, pair.eager):
        each.train()
        weight = list(each.parameters())[2]
        weight.copy_(np.flip(weight.numpy()))
    gp.save(pair.net.state_dict(), tmp_path / "net.safetensors")
    pair.net.load_state_dict(gp.load(tmp_path / "net.safetensors"))
    pair.both(5, x, y)
    assert all(p.grad is None for p in pair.net.parameters())


def test_a_recorded_step_goes_on_after_a_plan_has_moved_its_parameters() -> None:
    def losses(*planned: bool) -> list[float]:
        conv = nn.Conv2d(3, 10, 3, dtype="float64")  # its sums are exact, see `integer_net`
        for p in conv.parameters():
            p.copy_(np.arange(p.size).reshape(p.shape) % 5 - 2.0)
        model = nn.Sequential(conv, nn.Flatten())
        optimizer, zero = SGD(model.parameters(), 2.0**-7), gp.tensor(np.zeros((2, 10)))

        def loss(z: gp.Tensor, y: gp.Tensor) -> gp.Tensor:
            return F.mse_loss(z, zero, reduction="sum")

        steps = [TrainingStep(model, optimizer, loss, planned=kind) for kind in planned]
        x, y = np.ones((2, 3, 3, 3)), np.zeros(2, np.int32)
        return [steps[k](x, y)[0] for k in (0, 1, 0, 1)]

    expected = losses(False, False)
    assert expected[0] > expected[1] > expected[2] > expected[3]
    assert losses(False, True) == expected


def test_an_optimizers_averages_lie_where_their_parameters_do() -> None:
    """Else each step would copy them there and back."""

    def after(planned: bool) -> tuple[list[str], nn.Linear, Any]:
        layer = nn.Linear(64, 32, dtype="float64")
        for p in layer.parameters():
            p.copy_(np.arange(p.size).reshape(p.shape) % 5 - 2.0)
        optimizer = SGD(layer.parameters(), 2.0**-7, momentum=0.5)
        zero = gp.tensor(np.zeros((32, 32)))

        def step(x: gp.Tensor) -> gp.Tensor:
            optimizer.zero_grad()
            loss = F.mse_loss(layer(x), zero, reduction="sum")
            loss.backward()
            optimizer.step()
            return loss

        x = gp.tensor(np.arange(32.0 * 64).reshape(32, 64) % 3 - 1)
        found = plan(step, x) if planned else None
        for _ in range(3):
            step(x) if found is None else found(x)
        launches = found.plan["launches"] if found else []
        return [x["what"] for x in launches], layer, optimizer.state[0]["momentum_buffer"]

    what, layer, velocity = after(planned=True)
    assert velocity.storage.layout is not None
    assert velocity.storage.layout == layer.weight.storage.layout
    assert not [x for x in what if x.startswith("copy") and "grad_w" in x]
    _, eager, expected = after(planned=False)
    assert (velocity.numpy() == expected.numpy()).all()
    assert (layer.weight.numpy() == eager.weight.numpy()).all()


def test_momentum_begins_with_whichever_plan_runs_first() -> None:
    def after(first: str) -> Arrays:
        layer = linear()
        optimizer = SGD(layer.parameters(), 0.1, momentum=0.5, dampening=0.5)

        def step(x: gp.Tensor) -> gp.Tensor:
            optimizer.zero_grad()
            loss = F.mse_loss(layer(x), gp.tensor(np.zeros((1, 3))), reduction="sum")
            loss.backward()
            optimizer.step()
            return loss

        def failing(x: gp.Tensor) -> gp.Tensor:
            step(x)
            raise KeyError("mine")

        x = gp.tensor(np.ones((1, 4)))
        if first == "eager":
            step(x)
            return state(layer)
        with pytest.raises(KeyError, match="mine"):
            plan(failing, x)
        plan(step, x)  # is never run
        plan(step, x).run()
        return state(layer)

    equal(after("planned"), after("eager"))


# -- what a step may be -------------------------------------------------------------------------
def linear(dtype: str = "float64") -> nn.Linear:
    gp.manual_seed(0)
    return nn.Linear(4, 3, dtype=dtype)


def ones(*shape: int) -> gp.Tensor:
    return gp.tensor(np.ones(shape))


def test_user_operators_of_one_name() -> None:
    triple = gp.compile(gp.operator("relu", "y[i] = 3 * x[i]", {"x": "N"}))
    square = gp.compile(gp.operator("relu", "y[i] = x[i] * x[i]", {"x": "N"}))
    w = gp.tensor(np.array([1.0, -2.0, 3.0]), requires_grad=True)
    optimizer = SGD([w], 0.5)

    def step(x: gp.Tensor) -> tuple[gp.Tensor, gp.Tensor]:
        optimizer.zero_grad()
        loss = F.mse_loss(F.relu(square(triple(F.add(x, w)))), x, reduction="sum")
        loss.backward()
        optimizer.step()
        return loss, w

    x, start = gp.tensor(np.array([0.5, 0.25, -1.0])), w.numpy()
    expected = [t.numpy() for t in step(x)]
    w.copy_(start)
    equal(plan(step, x)(x), expected)


def test_a_gradient_of_a_gradient() -> None:
    x = gp.tensor(np.array([1.0, -2.0, 3.0]), requires_grad=True)

    def slope(y: gp.Tensor) -> gp.Tensor:
        (found,) = gp.grad(y, x, gp.tensor(np.ones(3)), create_graph=True)
        assert found is not None
        return found

    def step(x: gp.Tensor) -> tuple[gp.Tensor, gp.Tensor]:
        first = slope(F.mul(F.mul(x, x), x))
        return first, slope(first)

    equal(plan(step, x)(np.array([2.0, 1.0, -1.0])), [np.array([12.0, 3, 3]), [12.0, 6, -6]])


@pytest.mark.parametrize("spoilt", [False, True])
def test_borders_in_memory_that_others_use(spoilt: bool) -> None:
    """Without the launches that zero them, a border holds what lay there before."""
    layers: list[nn.Module] = []
    for c, n in itertools.pairwise((16, 32, 64, 16)):
        layers += [nn.Conv2d(c, n, 3, padding=1, dtype="float64"), nn.AvgPool2d(2)]
    net, rng = nn.Sequential(*layers), np.random.default_rng(0)
    for p in net.parameters():
        p.copy_(rng.integers(-2, 3, p.shape).astype(float))
    x = gp.tensor(rng.integers(-2, 3, (2, 16, 16, 16)).astype(float))
    with gp.no_grad():
        expected, planned = net(x).numpy(), plan(net, x)
    zeroing = [k["what"].startswith("border") for k in planned.plan["launches"]]
    assert any(zeroing)
    if spoilt:
        pairs = zip(planned._launches, zeroing, strict=True)
        planned._launches = [launch for launch, zeroes in pairs if not zeroes]
    found = [planned(x).numpy() for _ in range(3)]
    allowed = 1e-12 * abs(expected).max()  # transforms round
    assert all(abs(f - expected).max() < allowed for f in found) is not spoilt


def test_inference_follows_the_parameters() -> None:
    layer, x = linear(), ones(2, 4)
    with gp.no_grad():
        planned = plan(lambda t: F.relu(layer(t)), x)
    before = planned(x).numpy()
    for p in layer.parameters():
        p.copy_(2 * p.numpy())
    equal([planned(x)], [2 * before])


def test_results_may_be_inputs_views_and_one_tensor_twice() -> None:
    def step(x: gp.Tensor) -> tuple[gp.Tensor, ...]:
        y = F.relu(x)
        return x, y, y.reshape(-1), y

    x = np.array([[1.0, -1.0], [-2.0, 2.0]])
    y = np.maximum(x, 0)
    equal(plan(step, ones(2, 2))(x), [x, y, y.reshape(-1), y])


def test_one_buffer_as_two_operands() -> None:
    x = np.arange(9.0).reshape(3, 3)
    step = plan(lambda t: (F.matmul(t, t.reshape(3, 3)), F.add(t, t)), ones(3, 3))
    equal(step(x.T), [x.T @ x.T, 2 * x.T])


def test_two_models_by_turns_and_from_two_threads() -> None:
    layers = [linear(), linear()]
    x = [integers(2, k)[1].repeat(2, 1)[:, :4] for k in range(2)]
    failed: list[BaseException] = []

    def stepper(layer: nn.Linear) -> Step:
        optimizer = SGD(layer.parameters(), 2.0**-4)
        own = ones(2, 4)

        def step(x: gp.Tensor) -> gp.Tensor:
            optimizer.zero_grad()
            loss = F.mse_loss(layer(x), layer(F.relu(x)), reduction="sum")
            loss.backward()
            optimizer.step()
            return loss

        return plan(step, own)

    def work(k: int) -> None:
        try:
            step = stepper(layers[k])
            for _ in range(5):
                step(x[k])
        except BaseException as error:
            failed.append(error)

    threads = [threading.Thread(target=work, args=(k,)) for k in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failed
    again = [linear(), linear()]
    steps = [stepper(layer) for layer in again]
    for _ in range(5):
        for k in (0, 1):
            steps[k](x[k])
    for a, b in zip(layers, again, strict=True):
        equal(state(a), state(b))


# -- clear errors -------------------------------------------------------------------------------
RESULTS: dict[str, tuple[Step, str]] = {
    "nothing": (lambda y: None, "the step returns None, expected a Tensor or a tuple"),
    "list": (lambda y: [y], "the step returns list"),
    "dict": (lambda y: {"y": y}, "the step returns dict"),
    "empty": (lambda y: (), r"the step returns \(\)"),
    "number": (lambda y: (y, 1.0), "result 1 of the step is float, expected a Tensor"),
}


@pytest.mark.parametrize("name", RESULTS)
def test_a_result_that_is_no_tensor(name: str) -> None:
    make, message = RESULTS[name]
    with pytest.raises(ArgumentError, match=message):
        plan(lambda x: make(F.relu(x)), ones(2))


READS: dict[str, tuple[Step, str]] = {
    "result": (lambda x: F.relu(x).item(), "relu: z: its value is not known"),
    "printed": (lambda x: repr(F.relu(x)), "relu: z: its value is not known"),
    "input": (lambda x: x.numpy(), r"tensor of shape \(1,\): a step is being planned"),
    "copied": (lambda x: x.copy_(np.zeros(1)), "copy_: a step is being planned"),
    "nested": (lambda x: plan(F.relu, x), "plans do not nest"),
}


@pytest.mark.parametrize("name", READS)
def test_what_a_step_cannot_do(name: str) -> None:
    action, message = READS[name]
    x = ones(1)
    with pytest.raises(GradproofError, match=message):
        plan(lambda t: (action(t), F.relu(t)), x)
    assert x.item() == 1


def test_a_planned_step_runs_in_no_plan_and_no_recording() -> None:
    x = ones(1)
    step = plan(F.relu, x)
    with pytest.raises(GradproofError, match="planned step: a step is being planned"):
        plan(lambda t: F.relu(step(t)), ones(1))
    with record(), pytest.raises(GradproofError, match="cannot be a part of a recording"):
        step.run()
    with pytest.raises(GradproofError, match="launches no kernel"):
        plan(lambda t: t.reshape(-1), x)


def test_examples() -> None:
    x = ones(2)
    with pytest.raises(ArgumentError, match="example 0 is ndarray, expected a Tensor"):
        plan(F.relu, np.ones(2))  # type: ignore[arg-type]
    with pytest.raises(ArgumentError, match="example 1 shares its memory with one before it"):
        plan(F.add, x, x.reshape(2))
    with pytest.raises(ArgumentError, match="precision='best'"):
        plan(F.relu, x, precision="best")


def test_inputs_are_checked_before_anything_changes() -> None:
    a, b = ones(2), ones(2)
    step = plan(F.add, a, b)
    new = np.full(2, 7.0)
    with pytest.raises(ShapeError, match="takes 2 inputs, 1 were given"):
        step(new)
    with pytest.raises(ShapeError, match=r"input 1 of the step: source has shape \(3,\)"):
        step(new, np.ones(3))
    with pytest.raises(DTypeError, match="input 1 of the step: source has dtype int64"):
        step(new, np.ones(2, np.int64))
    equal([a, b], [np.ones(2), np.ones(2)])


def test_two_types_in_one_step() -> None:
    with pytest.raises(DTypeError, match="Linear: operands are float32 in a step that began with"):
        layer = linear("float32")
        plan(lambda a, b: (F.relu(a), layer(b)), ones(2), gp.tensor(np.ones((1, 4), np.float32)))


def test_a_tensor_of_another_plan_that_has_no_memory() -> None:
    left: list[gp.Tensor] = []

    def leaving(x: gp.Tensor) -> gp.Tensor:
        left.append(F.relu(x))
        return F.tanh(x)

    plan(leaving, ones(2))
    for use in (lambda x: F.add(x, left[0]), lambda x: (F.relu(x), left[0])):
        with pytest.raises(GradproofError, match="relu: z: its value is not known"):
            plan(use, ones(2))


def test_labels_out_of_range_change_nothing() -> None:
    layer = linear()
    optimizer = SGD(layer.parameters(), 0.1)
    step = training(layer, optimizer)
    x, before = ones(2, 4), state(layer)
    with pytest.raises(DataError, match="label 3 is out of range, expected 0 to 2"):
        plan(step, x, gp.tensor(np.array([0, 3], np.int32)))
    planned = plan(step, x, gp.tensor(np.array([0, 2], np.int32)))
    with pytest.raises(DataError, match="label -1 is out of range"):
        planned(np.zeros((2, 4)), np.array([0, -1], np.int32))
    equal([*state(layer), x], [*before, np.ones((2, 4))])


def test_a_failed_plan_leaves_no_gradient_and_no_change() -> None:
    layer = linear()
    optimizer = Adam(layer.parameters())
    x, before = ones(2, 4), state(layer)
    kept = F.mse_loss(layer(x), gp.tensor(np.zeros((2, 3))))

    def step(x: gp.Tensor) -> None:
        training(layer, optimizer)(x, gp.tensor(np.array([0, 1], np.int32)))
        raise KeyError("mine")

    with pytest.raises(KeyError, match="mine"):
        plan(step, x)
    assert all(p.grad is None for p in layer.parameters())
    equal(state(layer), before)
    kept.backward()  # nothing that it needs has changed


def test_a_gradient_from_before_is_refused_and_kept() -> None:
    layer = linear()
    zero = gp.tensor(np.zeros((2, 3)))
    F.mse_loss(layer(ones(2, 4)), zero).backward()
    assert layer.weight.grad is not None
    before = layer.weight.grad.numpy()

    def step(x: gp.Tensor) -> gp.Tensor:
        loss = F.mse_loss(layer(x), zero)
        loss.backward()
        return loss

    with pytest.raises(GradproofError, match="call zero_grad"):
        plan(step, ones(2, 4))
    equal([layer.weight.grad], [before])


# -- memory and the cache -----------------------------------------------------------------------
def test_memory_is_that_of_the_plan_and_goes_with_it() -> None:
    net = integer_net()
    step = squares(net, SGD(net.parameters(), 2.0**-10))
    x, y = map(gp.tensor, integers(5))
    planned = plan(step, x, y)
    planned.run()
    gc.collect()
    in_use = x.device.pool.bytes_in_use
    nbytes = planned.bytes_planned
    del planned
    freed = in_use - x.device.pool.bytes_in_use
    assert 0 < nbytes <= freed < 1.1 * nbytes + 2**14  # and what the step returned


@pytest.fixture
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path / "cache"))
    return plans_folder()


def softplus_like(x: gp.Tensor) -> gp.Tensor:
    return F.tanh(F.add(F.relu(x), x))


def the_file(folder: Path) -> Path:
    (path,) = folder.iterdir()
    return path


DAMAGE: dict[str, Callable[[bytes], bytes]] = {
    "truncated": lambda data: data[: len(data) // 2],
    "empty": lambda data: b"",
    "tampered": lambda data: data.replace(b"tanh", b"cosh"),
    "no object": lambda data: b"[]",
    "binary": lambda data: b"\xff\x00" * 20,
}


@pytest.mark.parametrize("name", DAMAGE)
def test_a_damaged_file_is_made_again(
    name: str, own_cache: Path, caplog: pytest.LogCaptureFixture
) -> None:
    expected = plan(softplus_like, ones(3))(np.arange(3.0)).numpy()
    path = the_file(own_cache)
    good = path.read_bytes()
    path.write_bytes(DAMAGE[name](good))
    with caplog.at_level(logging.WARNING):
        equal([plan(softplus_like, ones(3))(np.arange(3.0))], [expected])
    assert "is damaged" in caplog.text
    assert path.read_bytes() == good


def test_a_cache_that_cannot_be_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").write_text("mine")
    monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path / "file"))
    with caplog.at_level(logging.WARNING):
        equal([plan(F.relu, ones(3))(np.arange(-1.0, 2))], [[0.0, 0, 1]])
    assert "cannot be kept" in caplog.text
    assert (tmp_path / "file").read_text() == "mine"


PROCESS = """
import json, numpy as np, gradproof as gp
from gradproof.codegen.fast import planner
{change}
gp.manual_seed(0)
net = gp.nn.Linear(7, 3)
x = gp.tensor(np.linspace(-1, 1, 14, dtype=np.float32).reshape(2, 7))
y = gp.tensor(np.array([0, 2], np.int32))
optimizer = gp.optim.SGD(net.parameters(), 0.1, momentum=0.9, weight_decay=0.1)
def step(x, y):
    optimizer.zero_grad()
    loss = gp.nn.CrossEntropyLoss()(gp.functional.dropout(net(x)), y)
    loss.backward()
    optimizer.step()
    return loss, net.weight
step = gp.plan(step, x, y)
step.run()
print(json.dumps([t.numpy().view("i4").tolist() for t in step(x, y)]))
"""


def test_another_process_uses_the_cache_and_gives_the_same_bits(own_cache: Path) -> None:
    def bits(change: str = "") -> Any:
        code = PROCESS.format(change=change)
        done = subprocess.run(
            [sys.executable, "-c", code], env={**os.environ}, capture_output=True, check=True
        )
        return json.loads(done.stdout)

    first = bits()
    assert the_file(own_cache).stat().st_size
    assert bits("planner.Planner.plan = None  # is not called") == first


@pytest.mark.oclgrind
def test_a_simulator_runs_plans() -> None:
    gp.use_device("oclgrind")
    try:
        layer = linear("float32")
        x = gp.tensor(np.ones((2, 4), np.float32))
        np.testing.assert_allclose(
            plan(lambda t: F.relu(layer(t)), x)(x).numpy(),
            F.relu(layer(x)).numpy(),
            rtol=8 * 2.0**-24,
        )
    finally:
        gp.use_device("cpu")
