"""Gradients made shorter: exact where it can be, beside PyTorch, and inside of a plan."""

from __future__ import annotations

import math

import numpy as np
import pytest

import gradproof as gp
from gradproof.runtime.errors import ArgumentError, GradproofError, ShapeError
from gradproof.runtime.nn.utils import clip_grad_norm_, clip_grad_value_

SHAPES = [(3, 5), (17,), (), (2, 3, 4)]


def parameters(seed: int, dtype: str = "float32") -> list[gp.Tensor]:
    rng = np.random.default_rng(seed)
    made = [gp.tensor(np.zeros(s), dtype, requires_grad=True) for s in SHAPES]
    for p in made:
        p.grad = gp.tensor(rng.normal(size=p.shape), dtype)
    return made


def gradients(params: list[gp.Tensor]) -> list[np.ndarray]:
    return [p.grad.numpy() for p in params if p.grad is not None]


def test_a_norm_of_integers_is_exact() -> None:
    made = [gp.tensor(np.zeros(2), requires_grad=True) for _ in range(2)]
    for p, g in zip(made, ([2.0, 4.0], [5.0, 6.0]), strict=True):
        p.grad = gp.tensor(g)
    norm = clip_grad_norm_(made, max_norm=9.5)
    assert norm.shape == () and norm.item() == 9.0  # 4 + 16 + 25 + 36 = 81
    assert [g.tolist() for g in gradients(made)] == [[2.0, 4.0], [5.0, 6.0]]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("max_norm", [0.1, 2.0, 1e9])
def test_a_norm_is_pytorchs(dtype: str, max_norm: float) -> None:
    torch = pytest.importorskip("torch")
    ours = parameters(1, dtype)
    theirs = [torch.zeros(s, dtype=getattr(torch, dtype), requires_grad=True) for s in SHAPES]
    for p, g in zip(theirs, gradients(ours), strict=True):
        p.grad = torch.tensor(g)
    # 41 squares, a root, a product and a quotient
    bound = 50 * (2.0**-24 if dtype == "float32" else 2.0**-53)
    expected = torch.nn.utils.clip_grad_norm_(theirs, max_norm)
    assert clip_grad_norm_(ours, max_norm).item() == pytest.approx(expected.item(), rel=bound)
    for g, p in zip(gradients(ours), theirs, strict=True):
        assert g == pytest.approx(p.grad.numpy(), rel=bound, abs=0)


def test_values_are_limited() -> None:
    p = gp.tensor(np.zeros(5), requires_grad=True)
    p.grad = gp.tensor([-3.0, -2.0, 0.5, 2.0, math.inf])
    clip_grad_value_(p, 2.0)
    assert gradients([p])[0].tolist() == [-2.0, -2.0, 0.5, 2.0, 2.0]


def test_what_is_not_a_number_is_not_hidden() -> None:
    p, q = (gp.tensor(np.zeros(2), requires_grad=True) for _ in range(2))
    p.grad, q.grad = gp.tensor([math.nan, 1.0]), gp.tensor([1.0, 1.0])
    clip_grad_value_(p, 2.0)
    assert np.isnan(gradients([p])[0]).tolist() == [True, False]
    assert math.isnan(clip_grad_norm_([p, q], 1.0).item())
    assert np.isnan(gradients([q])[0]).all()


def test_a_parameter_without_a_gradient_is_left_out() -> None:
    p, q = (gp.tensor([1.0], requires_grad=True) for _ in range(2))
    p.grad = gp.tensor([3.0])
    assert clip_grad_norm_([q, p], 1.0).item() == 3.0
    assert q.grad is None


@pytest.mark.parametrize("max_norm", [0.5, 100.0])
def test_a_planned_step_clips(max_norm: float) -> None:
    """As eager steps: rows of a gradient of a product, once longer and once shorter."""
    made = []
    for planned in (False, True):
        gp.manual_seed(3)
        layer = gp.nn.Linear(4, 3)
        optimizer = gp.optim.SGD(layer.parameters(), lr=0.5)
        x, y = gp.tensor(np.eye(4)[:2], "float32"), gp.tensor(np.ones((2, 3)), "float32")

        def step(
            x: gp.Tensor,
            y: gp.Tensor,
            layer: gp.nn.Linear = layer,
            optimizer: gp.optim.SGD = optimizer,
        ) -> gp.Tensor:
            optimizer.zero_grad()
            gp.functional.mse_loss(layer(x), y).backward()
            norm = clip_grad_norm_(layer.parameters(), max_norm)
            optimizer.step()
            return norm

        run = gp.plan(step, x, y) if planned else step
        norms = [run(x, y).item() for _ in range(3)]
        made.append((norms, layer.weight.numpy()))
    (norms, weight), (planned_norms, planned_weight) = made
    assert planned_norms == pytest.approx(norms, rel=1e-5)
    assert planned_weight == pytest.approx(weight, rel=1e-4, abs=1e-6)
    assert (norms[0] > max_norm) == (max_norm < 1)


@pytest.mark.parametrize("limit", [0.0, -1.0])
def test_a_limit_is_above_zero(limit: float) -> None:
    with pytest.raises(ArgumentError, match=f"max_norm={limit}, expected a number above 0"):
        clip_grad_norm_(parameters(0), limit)
    with pytest.raises(ArgumentError, match=f"clip_value={limit}"):
        clip_grad_value_(parameters(0), limit)


def test_other_norms_and_no_gradients_are_errors() -> None:
    with pytest.raises(ArgumentError, match="norm_type=inf, expected 2"):
        clip_grad_norm_(parameters(0), 1.0, math.inf)
    with pytest.raises(GradproofError, match="none of 1 parameters has a gradient"):
        clip_grad_norm_([gp.tensor([1.0], requires_grad=True)], 1.0)
    with pytest.raises(ShapeError, match="max_norm=nan"):
        clip_grad_norm_(parameters(0), math.nan)
