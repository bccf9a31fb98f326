"""Gradients of gradients on the device: a step with a gradient penalty, and `gp.grad` itself.

The penalty is the squared norm of the loss's gradient by the input, as in WGAN-GP (Gulrajani et
al., 2017): its own gradient goes through every layer's reverse pass.
"""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest

import gradproof as gp
from gradproof.derive.arithmetic import Fractions
from gradproof.derive.interpret import evaluate, gradients
from gradproof.derive.registry import find
from gradproof.runtime.errors import DTypeError, GradproofError, ShapeError

SHAPES = {"x": (2, 2, 5, 5), "w": (4, 1, 2, 2), "b": (4,), "l": (3, 16), "c": (3,), "t": (2, 3)}
STRIDE, DILATION, GROUPS, WEIGHT = 2, 2, 2, 3
CONV = {"N": 2, "G": 2, "CG": 1, "OG": 2, "H": 5, "W": 5, "KH": 2, "KW": 2}
CONV |= {"SH": 2, "SW": 2, "DH": 2, "DW": 2, "PT": 0, "PB": 0, "PL": 0, "PR": 0}
PARAMETERS = ("w", "b", "l", "c")


def data(seed):
    """Small integers at which no pre-activation is 0."""
    for attempt in range(100):
        rng = np.random.default_rng((seed, attempt))
        values = {n: rng.integers(-2, 3, s).astype(float) for n, s in SHAPES.items()}
        whole = {n: values[n].astype(int) for n in values}
        hidden = evaluate(
            find("conv2d"), CONV, {"Y": whole["x"], "w": whole["w"], "b": whole["b"]}
        )["z"]
        if (hidden != 0).all():
            return values
    raise AssertionError("no such data")


def squared_norm(t):
    zeros = gp.tensor(np.zeros(t.shape), t.dtype)
    return gp.functional.mse_loss(t, zeros, reduction="sum")


def network(x, w, b, l, c, activation="relu"):  # noqa: E741
    h = gp.functional.conv2d(x, w, b, stride=STRIDE, dilation=DILATION, groups=GROUPS)
    return gp.functional.linear(getattr(gp.functional, activation)(h).flatten(1), l, c)


def penalised(tensors, activation="relu"):
    """Gradients of loss + WEIGHT * |d loss / d x|^2 in every parameter's `.grad`; the penalty."""
    x, w, b, l, c, t = (tensors[n] for n in SHAPES)  # noqa: E741
    loss = gp.functional.mse_loss(network(x, w, b, l, c, activation), t, reduction="sum")
    (g,) = gp.grad(loss, x, create_graph=True)
    penalty = squared_norm(g)
    loss.backward()
    penalty.backward(gp.tensor(np.array(float(WEIGHT)), penalty.dtype))
    return penalty


def leaves(values, dtype="float64"):
    return {n: gp.tensor(a, dtype, requires_grad=n != "t") for n, a in values.items()}


def objective(v):
    """The same in exact rationals, the inner gradient by scattering."""
    n, o = 2, 3
    conv = {"Y": v["x"], "w": v["w"], "b": v["b"]}
    z = evaluate(find("conv2d"), CONV, conv)["z"]
    flat = {"Y": np.ravel(z)}
    h = evaluate(find("relu"), {"T": z.size}, flat)["z"].reshape(n, -1)
    linear = {"Y": h, "w": v["l"], "b": v["c"]}
    sizes = {"N": n, "K": h.shape[1], "O": o}
    y = evaluate(find("linear"), sizes, linear)["z"]
    error = np.ravel(y) - np.ravel(v["t"])
    back = (2 * error).reshape(n, o)
    back = gradients(find("linear"), sizes, linear, {"z": back})["Y"]
    back = gradients(find("relu"), {"T": z.size}, flat, {"z": np.ravel(back)})["Y"]
    g = gradients(find("conv2d"), CONV, conv, {"z": back.reshape(z.shape)})["Y"]
    return sum(error**2) + WEIGHT * sum(np.ravel(g) ** 2)


def exact_slope(values, name, at, step=Fraction(1, 1000)):
    """d objective / d parameter: it has degree 4 in one parameter, where five points are exact."""
    numbers = Fractions()

    def moved(k):
        v = {n: numbers.array(a.astype(int)) for n, a in values.items()}
        v[name][at] = v[name][at] + k * step
        return objective(v)

    return (moved(-2) - 8 * moved(-1) + 8 * moved(1) - moved(2)) / (12 * step)


@pytest.mark.parametrize("seed", range(2))
def test_the_penalised_step_is_exact(seed):
    values = data(seed)
    tensors = leaves(values)
    penalised(tensors)
    rng = np.random.default_rng(seed)
    for name in PARAMETERS:
        found = tensors[name].grad.numpy()
        for _ in range(4):
            at = tuple(int(rng.integers(n)) for n in found.shape)
            assert found[at] == exact_slope(values, name, at), (name, at)


def test_the_penalty_changes_the_step():
    values = data(0)
    tensors = leaves(values)
    penalised(tensors)
    plain = leaves(values)
    x, w, b, l, c, t = (plain[n] for n in SHAPES)  # noqa: E741
    gp.functional.mse_loss(network(x, w, b, l, c), t, reduction="sum").backward()
    assert not np.array_equal(tensors["w"].grad.numpy(), plain["w"].grad.numpy())


@pytest.mark.parametrize(
    "activation", ["relu", "leaky_relu", "tanh", "sigmoid", "silu", "gelu", "softplus"]
)
def test_against_pytorch(activation):
    torch = pytest.importorskip("torch", reason="PyTorch is not installed")
    rng = np.random.default_rng(5)
    values = {n: rng.normal(size=s) for n, s in SHAPES.items()}
    tensors = leaves(values)
    penalty = penalised(tensors, activation)
    theirs = {n: torch.tensor(a, requires_grad=n != "t") for n, a in values.items()}
    x, w, b, l, c, t = (theirs[n] for n in SHAPES)  # noqa: E741
    F = torch.nn.functional
    h = F.conv2d(x, w, b, stride=STRIDE, dilation=DILATION, groups=GROUPS)
    y = F.linear(getattr(F, activation)(h).flatten(1), l, c)
    loss = F.mse_loss(y, t, reduction="sum")
    (g,) = torch.autograd.grad(loss, x, create_graph=True)
    total = loss + WEIGHT * (g**2).sum()
    total.backward()
    assert np.isclose(penalty.item(), (g**2).sum().item(), rtol=1e-12)
    for name in PARAMETERS:
        ours, other = tensors[name].grad.numpy(), theirs[name].grad.numpy()
        # sums of fewer than 1,000 products in float64, of numbers near the largest one
        assert np.abs(ours - other).max() <= 1e-11 * np.abs(other).max(), name


def test_a_recorded_step_replays_on_new_data():
    first, second = data(0), data(1)
    tensors = leaves(first)
    with gp.record() as tape:
        for name in ("x", *PARAMETERS):
            tensors[name].grad = None
        penalised(tensors)
    for name, a in second.items():
        tensors[name].copy_(a)
    tape.replay()
    fresh = leaves(second)
    penalised(fresh)
    for name in PARAMETERS:
        assert np.array_equal(tensors[name].grad.numpy(), fresh[name].grad.numpy()), name


# --- every reverse pass through its operator equals the operator's own backward kernels ---


def layers():
    rng = np.random.default_rng(2)

    def real(*shape):
        return gp.tensor(rng.integers(-4, 5, shape) / 4.0, requires_grad=True)

    F = gp.functional
    image, rows = real(2, 2, 4, 4), real(3, 4)
    yield "conv2d", lambda: F.conv2d(image, w, padding=1), [image, w := real(2, 2, 3, 3)]
    yield "linear", lambda: F.linear(rows, v, b), [rows, v := real(2, 4), b := real(2)]
    yield "relu", lambda: F.relu(rows), [rows]
    yield "max_pool2d", lambda: F.max_pool2d(image, 2), [image]
    yield "avg_pool2d", lambda: F.avg_pool2d(image, 3, 2, 1), [image]
    yield "avg_pool2d_valid", lambda: F.avg_pool2d(image, 3, 2, 1, False), [image]
    yield "adaptive", lambda: F.adaptive_avg_pool2d(image, 3), [image]
    yield "batch_norm", lambda: F.batch_norm(image, None, None, training=True), [image]
    g, s = real(2), real(2)
    yield "batch_norm affine", lambda: F.batch_norm(image, None, None, g, s, True), [image, g, s]
    labels = gp.tensor(np.array([0, 3, 1]))
    yield "cross_entropy", lambda: F.cross_entropy(rows, labels), [rows]


@pytest.mark.parametrize("k", range(10))
def test_both_ways_back_agree(k):
    name, forward, inputs = list(layers())[k]
    out = forward()
    seed = gp.tensor(np.random.default_rng(3).integers(-3, 4, out.shape).astype(float))
    plain = gp.grad(out, inputs, seed)
    graph = gp.grad(out, inputs, seed, create_graph=True)
    for a, b in zip(plain, graph, strict=True):
        assert a.node is None
        # the two kernels are rendered from one equation, so not a bit differs
        assert np.array_equal(a.numpy(), b.numpy()), name


def test_dropout_goes_back_under_its_own_mask():
    gp.manual_seed(4)
    x = gp.tensor(np.ones(64), requires_grad=True)
    y = gp.functional.dropout(x, 0.5)
    gp.functional.dropout(x, 0.5)  # another call, another mask
    (g,) = gp.grad(y, x, gp.tensor(np.ones(64)), create_graph=True)
    assert np.array_equal(g.numpy(), y.numpy())
    assert 0 < np.count_nonzero(g.numpy()) < 64


# --- user's operators, and higher derivatives ---


def test_a_user_operator_three_times():
    cube = gp.compile(gp.operator("cube", "y[i] = x[i]**3", {"x": "N"}))
    x = gp.tensor([2.0, -3.0], requires_grad=True)
    ones = gp.tensor([1.0, 1.0])
    value, found = cube(x), []
    for _ in range(3):
        (value,) = gp.grad(value, x, ones, create_graph=True)
        found.append(value.numpy().tolist())
    assert found == [[12.0, 27.0], [12.0, -18.0], [6.0, 6.0]]


def test_an_output_that_nothing_was_made_of():
    both = gp.compile(
        gp.operator(
            "both", "a[i] = x[i]**2\nb[i] = x[i]**3", {"x": "N", "a": "N"}, outputs=("a", "b")
        )
    )
    x = gp.tensor([5.0], requires_grad=True)
    (g,) = gp.grad(both(x).a, x, create_graph=True)
    assert (g.item(), gp.grad(g, x)[0].item()) == (10.0, 2.0)


def test_backward_with_a_graph():
    x = gp.tensor([3.0], requires_grad=True)
    squared_norm(x).backward(create_graph=True)
    assert x.grad.item() == 6.0
    assert gp.grad(x.grad, x)[0].item() == 2.0


# --- what gp.grad takes, and what it refuses ---


def test_grad_leaves_no_trace_and_takes_results():
    x = gp.tensor([3.0], requires_grad=True)
    h = gp.functional.relu(x)
    g, to_h = gp.grad(squared_norm(h), [x, h])
    assert (g.item(), to_h.item(), x.grad, g.node) == (6.0, 6.0, None, None)
    assert gp.grad(x, x)[0].item() == 1.0


def test_several_outputs_add():
    x = gp.tensor([3.0], requires_grad=True)
    one = gp.tensor(np.array(10.0, np.float32))
    (g,) = gp.grad([squared_norm(x), squared_norm(x)], x, [None, one])
    assert g.item() == 66.0


def test_nothing_unneeded_is_computed():
    tensors = leaves(data(0))
    x, w, b, l, c, t = (tensors[n] for n in SHAPES)  # noqa: E741
    loss = gp.functional.mse_loss(network(x, w, b, l, c), t)
    with gp.record() as one:
        gp.grad(loss, c)
    with gp.record() as graph:
        gp.grad(loss, c, create_graph=True)
    assert len(one) == len(graph) == 2  # of the loss, and of the last bias


def test_no_grad_does_not_matter_to_create_graph():
    x = gp.tensor([3.0], requires_grad=True)
    loss = squared_norm(x)
    with gp.no_grad():
        (g,) = gp.grad(loss, x, create_graph=True)
    assert g.node is not None


def test_what_changed_in_place_is_refused():
    x = gp.tensor([[3.0]], requires_grad=True)
    w = gp.tensor([[2.0]], requires_grad=True)
    y = gp.functional.linear(x, w)
    w.copy_(np.array([[5.0]]))
    for create_graph in (False, True):
        with pytest.raises(GradproofError, match="linear: weight was changed in place"):
            gp.grad(y, x, create_graph=create_graph)
    (g,) = gp.grad(y, w)  # reads x alone
    assert g.item() == 3.0


def test_refusals():
    x = gp.tensor([3.0, 4.0], requires_grad=True)
    other = gp.tensor([1.0], requires_grad=True)
    y = gp.functional.relu(x)
    with pytest.raises(GradproofError, match=r"input 1, of shape .1,., requires no gradient"):
        gp.grad(squared_norm(y), [x, gp.tensor([1.0])])
    with pytest.raises(GradproofError, match=r"do not depend on input 1, of shape .1,."):
        gp.grad(squared_norm(y), [x, other])
    assert gp.grad(squared_norm(y), [x, other], allow_unused=True)[1] is None
    with pytest.raises(ShapeError, match=r"output 0: a tensor of shape .2,. needs a grad_outputs"):
        gp.grad(y, x)
    with pytest.raises(ShapeError, match=r"grad_outputs has shape .1,., expected .2,."):
        gp.grad(y, x, gp.tensor([1.0]))
    with pytest.raises(ShapeError, match="1 outputs, but 2 grad_outputs"):
        gp.grad(y, x, [None, None])
    with pytest.raises(GradproofError, match="no operand of output 0 requires a gradient"):
        gp.grad(gp.tensor([1.0]), x)
    with pytest.raises(DTypeError, match=r"inputs\[0\] is float, expected a Tensor"):
        gp.grad(squared_norm(y), [1.0])


def test_relu_has_no_second_derivative_to_pass_on():
    """Its slope is constant almost everywhere: the gradient does not depend on the input."""
    x = gp.tensor([3.0], requires_grad=True)
    (g,) = gp.grad(gp.functional.relu(x), x, create_graph=True)
    with pytest.raises(GradproofError, match="no operand of output 0 requires a gradient"):
        gp.grad(g, x)
