"""`gp.utils.checkpoint`: a part of a network runs again in the backward pass, and nothing else."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import gradproof as gp
from gradproof.runtime.errors import ArgumentError, GradproofError
from gradproof.runtime.random import generator, get_rng_state
from gradproof.runtime.utils.checkpoint import checkpoint, checkpoint_sequential

nn = gp.nn
Found = dict[str, NDArray[Any]]
DROPOUT = sys.modules["gradproof.runtime.functional.dropout"]  # its function has the same name


def network(dtype: str = "float64") -> nn.Sequential:
    gp.manual_seed(1)
    layers = [nn.Conv2d(3, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU(), nn.Dropout(0.3)]
    layers += [nn.Conv2d(8, 8, 3, padding=1), nn.BatchNorm2d(8, momentum=None), nn.ReLU()]
    layers += [nn.MaxPool2d(2), nn.Flatten(), nn.Dropout(0.5), nn.Linear(8 * 16, 4)]
    return nn.Sequential(*layers).to(dtype)


RNG = np.random.default_rng(0)
IMAGES = RNG.standard_normal((4, 3, 8, 8))
LABELS = np.arange(4, dtype=np.int32)


def whole(model: nn.Sequential, x: gp.Tensor) -> gp.Tensor:
    return model(x)


def parts(model: nn.Sequential, x: gp.Tensor) -> gp.Tensor:
    return checkpoint_sequential(model, 3, x)


def all_of_it(model: nn.Sequential, x: gp.Tensor) -> gp.Tensor:
    return checkpoint(model, x, use_reentrant=False)


def nested(model: nn.Sequential, x: gp.Tensor) -> gp.Tensor:
    layers = list(model.children())

    def first(t: gp.Tensor, *, until: int) -> gp.Tensor:
        for layer in layers[:until]:
            t = layer(t)
        return t

    def outer(t: gp.Tensor) -> gp.Tensor:
        t = checkpoint(first, t, until=6)
        for layer in layers[6:]:
            t = layer(t)
        return t

    return checkpoint(outer, x)


WAYS = {"parts": parts, "all of it": all_of_it, "nested": nested}


def trained(
    forward: Callable[[nn.Sequential, gp.Tensor], gp.Tensor],
    dtype: str = "float64",
    how: str = "eager",
) -> Found:
    """Gradients and the state after three steps, and where the generators are."""
    model = network(dtype)
    x, y = gp.tensor(IMAGES, dtype), gp.tensor(LABELS)
    x.requires_grad = True

    def step(x: gp.Tensor, y: gp.Tensor) -> tuple[gp.Tensor, ...]:
        model.zero_grad()
        x.grad = None
        loss = nn.CrossEntropyLoss()(forward(model, x), y)
        loss.backward()
        return (loss, x.grad, *(p.grad for p in model.parameters()))

    gp.manual_seed(5)
    if how == "planned":
        planned = gp.plan(step, x, y)
        results = [[t.numpy() for t in planned(x, y)] for _ in range(3)]
    elif how == "recorded":
        with gp.record() as tape:
            found = step(x, y)
        results = [[t.numpy() for t in found]]
        for _ in range(2):
            tape.replay()
            results.append([t.numpy() for t in found])
    else:
        results = [[t.numpy() for t in step(x, y)] for _ in range(3)]
    named = {f"step {s}, {k}": v for s, r in enumerate(results) for k, v in enumerate(r)}
    state = {n: np.array(v) for n, v in model.state_dict().items()}
    return named | state | {"draws": np.array(get_rng_state()["dropout"]["call"])}


def different(a: Found, b: Found) -> list[str]:
    assert a.keys() == b.keys()
    return [n for n in a if not np.array_equal(a[n], b[n])]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("way", WAYS)
def test_everything_is_as_without_to_the_bit(way: str, dtype: str) -> None:
    assert different(trained(WAYS[way], dtype), trained(whole, dtype)) == []


@pytest.mark.parametrize("way", WAYS)
def test_a_recorded_step_draws_once_and_updates_once(way: str) -> None:
    assert different(trained(WAYS[way], how="recorded"), trained(whole)) == []


def test_a_planned_step_draws_once_and_updates_once() -> None:
    found, expected = trained(parts, how="planned"), trained(whole)
    for name, value in expected.items():
        np.testing.assert_allclose(found[name], value, rtol=1e-9, atol=1e-12, err_msg=name)
    assert np.array_equal(found["draws"], expected["draws"])


def redrawn_masks(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(DROPOUT, "drawn", dict)
    patch.setattr("gradproof.runtime.utils.checkpoint.set_rng_state", lambda state: None)
    patch.setattr("gradproof.runtime.dispatch.is_repeat", lambda: False)


def second_update(patch: pytest.MonkeyPatch) -> None:
    patch.setattr("gradproof.runtime.functional.norm.is_repeat", lambda: False)


def second_count(patch: pytest.MonkeyPatch) -> None:
    patch.setattr("gradproof.runtime.dispatch.is_repeat", lambda: False)


@pytest.mark.parametrize(
    ("mistake", "seen"),
    [
        (redrawn_masks, "step 0, 1"),
        (second_update, "1.running_mean"),
        (second_count, "1.num_batches_tracked"),
    ],
)
def test_planted_mistakes_are_seen(
    mistake: Callable[[pytest.MonkeyPatch], None], seen: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = trained(whole)
    mistake(monkeypatch)
    assert seen in different(trained(parts), expected)


def test_activations_are_not_kept() -> None:
    layers = [nn.ReLU() if k % 2 else nn.Linear(256, 256) for k in range(16)]
    model = nn.Sequential(*layers)
    x = gp.tensor(np.ones((512, 256), np.float32))
    pool = x.device.pool

    def kept(forward: Callable[[nn.Sequential, gp.Tensor], gp.Tensor]) -> int:
        before = pool.bytes_in_use
        y = forward(model, x)
        held = pool.bytes_in_use - before
        assert y.shape == (512, 256)
        return held // (512 * 256 * 4)

    assert kept(whole) >= 8
    assert kept(all_of_it) <= 2


def test_what_is_computed_again_is_let_go() -> None:
    """Each activation lives until its own gradients are computed, not until the graph goes."""
    model = nn.Sequential(*(nn.ReLU() if k % 2 else nn.Linear(256, 256) for k in range(16)))
    x = gp.tensor(np.ones((512, 256), np.float32))
    pool = x.device.pool
    y = all_of_it(model, x)
    loss = nn.MSELoss()(y, x)
    before = pool.bytes_in_use
    loss.backward()
    gradients = sum(p.size for p in model.parameters()) * 4
    assert pool.bytes_in_use - before - gradients < 4 * 512 * 256 * 4


def test_gradients_of_gradients() -> None:
    layer = nn.Linear(3, 3, dtype="float64")
    x = gp.tensor(np.arange(6.0).reshape(2, 3), requires_grad=True)

    def penalty(forward: Callable[[gp.Tensor], gp.Tensor]) -> NDArray[Any]:
        layer.zero_grad()
        y = nn.MSELoss()(forward(x), gp.tensor(np.zeros((2, 3))))
        (g,) = gp.grad(y, x, create_graph=True)
        nn.MSELoss(reduction="sum")(g, gp.tensor(np.zeros((2, 3)))).backward()
        return layer.weight.grad.numpy()

    assert np.array_equal(penalty(lambda t: checkpoint(layer, t)), penalty(layer))


def test_a_graph_is_used_twice() -> None:
    layer = nn.Linear(3, 3)
    x = gp.tensor(np.ones((2, 3), np.float32))
    y = nn.MSELoss()(checkpoint(lambda t: gp.functional.relu(layer(t)), x), x)
    first, second = (gp.grad(y, layer.weight)[0].numpy() for _ in range(2))
    assert np.array_equal(first, second)


def test_initial_values_that_are_drawn_inside() -> None:
    """The generator of the host goes back for the second run, unless that is not wanted."""
    layer = nn.Linear(3, 3)
    x = gp.tensor(np.ones((2, 3), np.float32))

    def noisy(t: gp.Tensor) -> gp.Tensor:
        return layer(t + gp.tensor(generator().standard_normal((2, 3)).astype(np.float32)))

    def gradient(forward: Callable[[gp.Tensor], gp.Tensor]) -> tuple[NDArray[Any], float]:
        gp.manual_seed(4)
        (g,) = gp.grad(nn.MSELoss()(forward(x), x), layer.weight)
        return g.numpy(), generator().uniform()

    expected, after = gradient(noisy)
    found, then = gradient(lambda t: checkpoint(noisy, t))
    assert np.array_equal(found, expected) and then == after
    other, _ = gradient(lambda t: checkpoint(noisy, t, preserve_rng_state=False))
    assert not np.array_equal(other, expected)


def test_without_gradients_it_is_the_function() -> None:
    layer = nn.Linear(3, 3)
    x = gp.tensor(np.ones((2, 3), np.float32))
    with gp.no_grad():
        assert np.array_equal(checkpoint(layer, x).numpy(), layer(x).numpy())
    assert checkpoint(lambda a, b: (a, b), 1, b=2) == (1, 2)


# -- errors -------------------------------------------------------------------------------------
def test_an_operand_that_was_changed() -> None:
    layer = nn.Linear(3, 3)
    x = gp.tensor(np.ones((2, 3), np.float32))
    loss = nn.MSELoss()(checkpoint(layer, x), x)
    layer.weight.copy_(np.zeros((3, 3), np.float32))
    with pytest.raises(GradproofError, match=r"Linear.*shape \(3, 3\), was changed in place"):
        loss.backward()


def test_a_function_that_does_other_things() -> None:
    layer, runs = nn.Linear(3, 3), [0]
    x = gp.tensor(np.ones((2, 3), np.float32))

    def moody(t: gp.Tensor) -> gp.Tensor:
        runs[0] += 1
        return gp.functional.relu(layer(t)) if runs[0] == 1 else layer(t)

    loss = nn.MSELoss()(checkpoint(moody, x), x)
    with pytest.raises(GradproofError, match="did other things when it ran again"):
        loss.backward()


def test_arguments() -> None:
    x = gp.tensor(np.ones((2, 3), np.float32))
    with pytest.raises(ArgumentError, match="use_reentrant=True, expected False"):
        checkpoint(nn.Linear(3, 3), x, use_reentrant=True)
    model = nn.Sequential(nn.Linear(3, 3))
    with pytest.raises(ArgumentError, match="segments=2, expected at most 1"):
        checkpoint_sequential(model, 2, x)
    with pytest.raises(GradproofError, match="segments"):
        checkpoint_sequential(model, 0, x)
