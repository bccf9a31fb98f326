"""Batch norm where the mean is 3000 and the deviation 1: eager and planned, alone and fused, in
training and evaluation, against float64 within derived bounds; and beside PyTorch."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pytest
from numpy.typing import NDArray

import gradproof as gp

nn = gp.nn
Array = NDArray[np.float64]

U = 2.0**-24
LEVEL, SHAPE = 3000.0, (8, 16, 8, 8)
EPS = 1e-5
AXES = (0, 2, 3)
COUNT = SHAPE[0] * SHAPE[2] * SHAPE[3]


@dataclass(frozen=True)
class Data:
    """z: what batch norm sees, exact in float32; x: the images; g: the cotangent."""

    z: Array
    x: Array
    g: Array
    gamma: Array
    beta: Array


def data(level: float = LEVEL) -> Data:
    rng = np.random.default_rng(3)
    x = np.round(rng.normal(size=SHAPE) * 2**10) / 2**10  # 3000 + x has 22 bits
    g = np.round(rng.normal(size=SHAPE) * 2**8) / 2**8
    gamma, beta = (np.float64(np.float32(rng.normal(size=SHAPE[1]))) for _ in range(2))
    return Data(x + level, x, g, gamma, beta)


def network(kind: str, d: Data, training: bool) -> tuple[gp.nn.Sequential, gp.nn.Module, Array]:
    """The network, its batch norm and what goes in, such that batch norm sees d.z."""
    norm = nn.BatchNorm2d(SHAPE[1])
    norm.load_state_dict({"weight": np.float32(d.gamma), "bias": np.float32(d.beta)}, strict=False)
    if not training:
        mean, var = np.float32(d.z.mean(AXES)), np.float32(d.z.var(AXES))
        norm.load_state_dict({"running_mean": mean, "running_var": var}, strict=False)
    layers: list[gp.nn.Module] = [norm]
    given = d.z
    if kind == "behind a convolution":  # of the unit matrix: each sum is exact
        conv = nn.Conv2d(SHAPE[1], SHAPE[1], 1)
        eye = np.eye(SHAPE[1], dtype=np.float32).reshape(SHAPE[1], SHAPE[1], 1, 1)
        level = np.full(SHAPE[1], d.z.flat[0] - d.x.flat[0], np.float32)
        conv.load_state_dict({"weight": eye, "bias": level})
        layers, given = [conv, norm], d.x
    if kind == "with ReLU":
        layers.append(nn.ReLU())
    return nn.Sequential(*layers).train(training), norm, given


def computed(kind: str, d: Data, training: bool, planned: bool) -> tuple[Array, Array, Array]:
    """Output, the input's gradient and the weight's, as float64."""
    net, norm, given = network(kind, d, training)
    x = gp.tensor(given.astype(np.float32), requires_grad=True)
    g = gp.tensor(d.g.astype(np.float32))

    def step(x: gp.Tensor, g: gp.Tensor) -> tuple[gp.Tensor, ...]:
        net.zero_grad()
        y = net(x)
        grads = gp.grad(y, (x, norm.weight), g)  # type: ignore[arg-type]
        return (y, *grads)

    run: Callable[..., tuple[gp.Tensor, ...]] = gp.plan(step, x, g) if planned else step
    y, grad_x, grad_gamma = (t.numpy().astype(np.float64) for t in run(x, g))
    return y, grad_x, grad_gamma


@dataclass(frozen=True)
class Expected:
    """Float64 values, each with the bound on the error."""

    y: Array
    grad_x: Array
    grad_gamma: Array
    y_off: Array
    grad_x_off: Array
    grad_gamma_off: Array


def expected(kind: str, d: Data, training: bool, planned: bool) -> Expected:
    """The mean m is off by e: where terms are summed as they are, in N chains of L and one of N,
    by (N + L + 2)*u*max|z|; a planned kernel sums z - z0, |z - z0| <= D, in chains c <= n/4 + 80,
    and rounds m twice. z - m is exact but for one rounding, so the variance is off by
    e^2 + (c + 4)*u*(var + e^2), whatever the level is, and r = 1/sqrt(var + eps) by half of that,
    relatively, and 3u. With h = (z - m)*r, off by H = e*r + |h|*(rel(r) + 2u):

        y = gamma*h + beta                       off by |gamma|*H + 3u*(|gamma*h| + |beta|)
        dgamma = sum g*h                         off by sum |g|*H + n*u*sum |g*h|
        dx = gamma*r*(g - mean g - h*mean(g*h))  by H in h, and each sum by n*u of its terms.

    In evaluation m and var are given, so that e = 0, and the last two terms of dx are none.
    """
    per = (1, SHAPE[1], 1, 1)
    gamma, beta = d.gamma.reshape(per), d.beta.reshape(per)
    top = np.abs(d.z).max()
    wide = np.ptp(d.z, AXES).max()
    if training:
        mean, var = d.z.mean(AXES, keepdims=True), d.z.var(AXES, keepdims=True)
        plain = (SHAPE[0] + SHAPE[2] * SHAPE[3] + 2) * U * top
        e = ((COUNT / 4 + 80) * wide + 2 * top) * U if planned else plain
        var_off = (e**2 + (COUNT + 4) * U * (var + e**2)) / var
    else:
        mean = np.float64(np.float32(d.z.mean(AXES, keepdims=True)))
        var = np.float64(np.float32(d.z.var(AXES, keepdims=True)))
        e, var_off = 0.0, np.zeros_like(var)
    r, r_off = 1 / np.sqrt(var + EPS), var_off / 2 + 3 * U
    h = (d.z - mean) * r
    h_off = 1.01 * (e * r + np.abs(h) * (r_off + 2 * U))  # 1.01: products of errors
    y, y_off = gamma * h + beta, np.abs(gamma) * h_off + 3 * U * (np.abs(gamma * h) + np.abs(beta))
    g = d.g
    if kind == "with ReLU":
        assert not training or (np.abs(y) > y_off).mean() > 0.99
        sure = np.abs(y) > y_off
        g, y = np.where(sure & (y > 0), d.g, 0.0), np.maximum(y, 0.0)
        doubt = np.where(sure, 0.0, np.abs(d.g))  # the mask may be either
    else:
        doubt = np.zeros_like(g)
    size = np.abs(g)
    parts = 1.0 if training else 0.0  # whether mean and variance depend on z
    mean_g, mean_gh = (parts * t.mean(AXES, keepdims=True) for t in (g, g * h))
    abs_g, abs_gh = (parts * t.mean(AXES, keepdims=True) for t in (size, np.abs(g * h)))
    grad_x = gamma * r * (g - mean_g - h * mean_gh)
    terms = size + abs_g + np.abs(h) * abs_gh
    moved = parts * (np.abs(h) * (size * h_off).mean(AXES, keepdims=True)) + h_off * np.abs(mean_gh)
    unsure = doubt + parts * (1 + np.abs(h)) * (doubt * (1 + np.abs(h))).mean(AXES, keepdims=True)
    off = terms * ((COUNT + 12) * U + 3 * r_off) + moved + unsure
    grad_x_off = np.abs(gamma) * r * off
    grad_gamma = (g * h).sum(AXES)
    gamma_off = (size * h_off + doubt * (np.abs(h) + h_off)).sum(AXES)
    gamma_off += (COUNT + 4) * U * (np.abs(g * h)).sum(AXES)
    return Expected(y, grad_x, grad_gamma, y_off, 1.01 * grad_x_off, 1.01 * gamma_off)


KINDS = ("alone", "with ReLU", "behind a convolution")


@pytest.mark.parametrize("training", [True, False], ids=["training", "evaluation"])
@pytest.mark.parametrize("planned", [False, True], ids=["eager", "planned"])
@pytest.mark.parametrize("kind", KINDS)
def test_within_the_derived_bound_of_float64(kind: str, planned: bool, training: bool) -> None:
    d = data()
    y, grad_x, grad_gamma = computed(kind, d, training, planned)
    want = expected(kind, d, training, planned)
    assert (np.abs(y - want.y) <= want.y_off).all()
    assert (np.abs(grad_x - want.grad_x) <= want.grad_x_off).all()
    assert (np.abs(grad_gamma - want.grad_gamma) <= want.grad_gamma_off).all()
    assert want.y_off.max() < (0.06 if training and not planned else 0.004)  # it says something


@pytest.mark.parametrize("planned", [False, True], ids=["eager", "planned"])
def test_a_variance_in_one_pass_would_be_found(planned: bool) -> None:
    """The mean of z^2 less the mean's square, in float32: the bounds do not hold."""
    d = data()
    z = d.z.astype(np.float32)
    mean = z.mean(AXES, keepdims=True)
    var = np.maximum((z * z).mean(AXES, keepdims=True) - mean * mean, 0)
    per = (1, SHAPE[1], 1, 1)
    h = (z - mean) / np.sqrt(var + np.float32(EPS))
    y = d.gamma.reshape(per) * h + d.beta.reshape(per)
    want = expected("alone", d, True, planned)
    assert not (np.abs(y - want.y) <= want.y_off).all()


@pytest.mark.parametrize("training", [True, False], ids=["training", "evaluation"])
@pytest.mark.parametrize("planned", [False, True], ids=["eager", "planned"])
@pytest.mark.parametrize("kind", KINDS)
def test_as_in_pytorch(kind: str, planned: bool, training: bool) -> None:
    """Both are within a bound of what float64 gives, so their difference within the sum. PyTorch
    computes a*z + (beta - a*m), a = gamma*r, which is off by 4u*|a|*max|z| besides."""
    torch = pytest.importorskip("torch")
    d = data()
    net, _, given = network(kind, d, training)
    layers = []
    for layer in net:
        name = type(layer).__name__
        arguments = {"Conv2d": (16, 16, 1), "BatchNorm2d": (16,)}.get(name, ())
        twin = getattr(torch.nn, name)(*arguments)
        state = {n: torch.from_numpy(np.asarray(v)) for n, v in layer.state_dict().items()}
        twin.load_state_dict(state)
        layers.append(twin)
    twins = torch.nn.Sequential(*layers).train(training)
    x = torch.tensor(given, dtype=torch.float32, requires_grad=True)
    out = twins(x)
    out.backward(torch.tensor(d.g, dtype=torch.float32))
    norm = next(t for t in twins if isinstance(t, torch.nn.BatchNorm2d))
    want = expected(kind, d, training, False)
    ours = computed(kind, d, training, planned)
    theirs = (out.detach(), x.grad, norm.weight.grad)
    r = 1 / np.sqrt(d.z.var(AXES, keepdims=True))
    linear = 4 * U * np.abs(d.gamma.reshape(1, -1, 1, 1)) * r * np.abs(d.z).max()
    bounds = (want.y_off + linear, want.grad_x_off, want.grad_gamma_off)
    for own, other, off in zip(ours, theirs, bounds, strict=True):
        assert (np.abs(own - other.numpy().astype(np.float64)) <= 2 * off).all()
