"""`gp.check_gradients` passes right gradients, names wrong ones, says what cannot be checked."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest

import gradproof as gp
from gradproof.runtime import check
from gradproof.runtime.check import check_gradients
from gradproof.runtime.differences import measure_noise, slope
from gradproof.runtime.errors import DeviceError, DTypeError, GradientError

F = gp.functional


def data(*shape, seed=0, dtype=np.float64):
    return gp.tensor(np.random.default_rng(seed).normal(size=shape).astype(dtype))


def network(x, w, v):
    """conv -> relu -> max_pool -> linear."""
    z = F.max_pool2d(F.relu(F.conv2d(x, w, padding=1)), 2)
    return F.linear(z.flatten(1), v)


def with_wrong_gradient(x, factors):
    """x itself, in the place of factors * x in the graph: the gradient has the factors."""
    scale = gp.operator("scale", "z[i] = c[i] * x[i]", {"c": "N", "x": "N"}, constant=("c",))
    flat = x.reshape(-1)
    graph = gp.compile(scale)(gp.tensor(np.broadcast_to(factors, flat.shape)), flat)
    out = flat.detach()
    out.node, out.output = graph.node, graph.output
    return out.reshape(x.shape)


# --- right gradients ---


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("seed", range(3))
def test_a_network_passes(seed, dtype):
    x, w = data(1, 1, 4, 4, seed=seed, dtype=dtype), data(2, 1, 3, 3, seed=seed + 9, dtype=dtype)
    report = check_gradients(network, x, w, data(2, 8, seed=seed + 5, dtype=dtype), seed=seed)
    assert report.inputs == (0, 1, 2)
    assert report.elements == 16 + 18 + 16
    assert 0 < report.share <= 1


def test_losses_and_integer_inputs_pass():
    labels = gp.tensor([0, 2, 1])
    report = check_gradients(F.cross_entropy, data(3, 4), labels)
    assert (report.inputs, report.elements) == ((0,), 12)


def test_several_outputs_count():
    check_gradients(lambda a, b: (F.add(a, b), F.relu(a), a), data(3), data(3, seed=1))
    with pytest.raises(GradientError, match=r"input 0, element \[0\]"):
        check_gradients(lambda a: (F.relu(a), F.relu(a.detach())), gp.tensor([1.0, 2.0]))


def test_linear_functions_of_integers_pass_though_nothing_rounds():
    report = check_gradients(lambda a: a.reshape(2, 2), gp.tensor([1.0, 2.0, 3.0, 0.0]))
    assert report.share <= 1


def test_large_and_small_numbers_pass():
    for size in (1e-12, 1e9):
        a = gp.tensor(size * np.random.default_rng(0).normal(size=(3, 4)))
        check_gradients(F.linear, a, data(2, 4, seed=1))


def test_only_inputs_that_require_a_gradient_are_checked():
    w = data(2, 3)
    w.requires_grad = True
    assert check_gradients(F.linear, data(4, 3), w).inputs == (1,)


def test_inputs_stay_as_they_are():
    x, w = data(2, 3, dtype=np.float32), gp.nn.Parameter(data(4, 3, dtype=np.float32))
    F.linear(x, w).flatten(0)
    before = x.numpy(), w.numpy()
    check_gradients(F.linear, x, w)
    assert (x.numpy() == before[0]).all()
    assert (w.numpy() == before[1]).all()
    assert (x.grad, w.grad, w.dtype, w.node) == (None, None, np.float32, None)


def test_the_report_says_what_was_found():
    report = repr(check_gradients(F.linear, data(4, 3), data(2, 3)))
    assert report.startswith("<gradients agree: inputs 0, 1; 4 directions, 18 elements; largest")
    assert report.endswith("% of its bound>")


def test_the_report_is_frozen():
    report = check_gradients(F.relu, gp.tensor([1.0, -2.0]))
    with pytest.raises(dataclasses.FrozenInstanceError):
        report.directions = 0


# --- wrong gradients ---


def test_a_detached_part_is_caught_with_input_element_and_numbers():
    def half(x, w):
        return F.add(F.linear(x, w), F.linear(x, w).detach())

    with pytest.raises(GradientError) as caught:
        check_gradients(half, gp.tensor([[3.0]]), gp.tensor([[2.0]]))
    for text in ("input 0, element [0, 0]", "backward gives", "forward pass", "allowed difference"):
        assert text in str(caught.value)


@pytest.mark.parametrize("elements", [0, 100])
def test_one_wrong_element_is_named(elements):
    factors = np.ones(12)
    factors[6] += 1e-6
    x = gp.tensor(np.abs(np.random.default_rng(0).normal(size=(3, 4))))
    with pytest.raises(GradientError, match=r"input 0, element \[1, 2\]: backward gives"):
        check_gradients(lambda x: with_wrong_gradient(x, factors), x, elements=elements)


def test_an_output_without_a_graph_is_a_wrong_gradient():
    words = r"input 0 has no gradient \(declared constant\? detached\?\), but element \[0\] matters"
    with pytest.raises(GradientError, match=words):
        check_gradients(lambda x: x.detach(), gp.tensor([1.0]))


def test_a_constant_operand_is_checked_only_where_no_input_asks_for_a_gradient():
    text, operands = "z[i] = c[i] * x[i]", {"c": "N", "x": "N"}
    scale = gp.compile(gp.operator("scale", text, operands, constant=("c",)))
    x = data(3)
    with pytest.raises(GradientError, match=r"input 0 has no gradient \(declared constant"):
        check_gradients(scale, data(3), x)
    x.requires_grad = True
    assert check_gradients(scale, data(3), x).inputs == (1,)


def test_fn_may_differentiate_itself():
    def penalty(x, w):
        norm = F.mse_loss(F.linear(x, w), gp.tensor(np.zeros((2, 4))), reduction="sum")
        (g,) = gp.grad(norm, x, create_graph=True)
        return F.mse_loss(g, gp.tensor(np.zeros(g.shape)))

    assert check_gradients(penalty, data(2, 3), data(4, 3)).share <= 1


def test_outputs_without_a_gradient_are_no_mistake():
    text = "loss = sum[n](x[n]**2)\nhits = sum[n](where(x[n] > 0, 1, 0))\nbest = argmax[n](x[n])"
    count = gp.operator("count", text, {"x": "N"}, outputs=("loss", "hits", "best"))
    assert check_gradients(gp.compile(count), data(3)).share <= 1


@pytest.mark.parametrize("size", [1e-9, 1.0, 1e9])
def test_a_relative_error_of_a_millionth_is_caught_at_any_size(size):
    x = gp.tensor(size * (1 + np.abs(np.random.default_rng(0).normal(size=5))))
    with pytest.raises(GradientError, match="input 0, element"):
        check_gradients(lambda x: with_wrong_gradient(F.relu(x), 1 + 1e-6), x)


# --- what cannot be checked ---


def test_a_kink_is_named_as_one():
    with pytest.raises(GradientError, match=r"not differentiable here: its slope is .* move the"):
        check_gradients(F.relu, gp.tensor([0.0]))
    with pytest.raises(GradientError, match="not differentiable"):
        check_gradients(lambda x: F.max_pool2d(x, 2), gp.tensor(np.ones((1, 1, 2, 2))))


def test_a_kink_beside_the_inputs_is_no_kink_at_them():
    check_gradients(F.relu, gp.tensor([1e-3, -1e-4, 5.0]))


def test_random_numbers_are_refused():
    with pytest.raises(GradientError, match=r"other values when it is called again.*dropout"):
        check_gradients(lambda x: F.dropout(x, 0.5, training=True), data(50))


def test_values_that_are_not_finite_are_refused():
    with pytest.raises(GradientError, match="not finite"):
        check_gradients(F.relu, gp.tensor([1.0, math.nan]))


def test_an_overwritten_input_is_refused():
    def overwrites(x):
        z = F.relu(x)
        x.copy_(np.zeros(x.shape))
        return z

    with pytest.raises(GradientError, match="overwrites input 0"):
        check_gradients(overwrites, data(3))


@pytest.mark.parametrize("inputs", [(), (gp.tensor([1, 2]),), (3.0,), ([1.0],)])
def test_inputs_without_a_real_tensor_are_refused(inputs):
    with pytest.raises(DTypeError, match="expected at least one Tensor"):
        check_gradients(F.relu, *inputs)


def test_what_fn_returns_is_checked():
    with pytest.raises(DTypeError, match="returned float, expected a Tensor"):
        check_gradients(lambda x: 1.0, data(2))
    with pytest.raises(DTypeError, match="no real tensor"):
        check_gradients(lambda x: gp.tensor([1]), data(2))


def test_a_float32_parameter_inside_fn_is_explained():
    layer = gp.nn.Linear(3, 2)
    with pytest.raises(DTypeError, match="pass every parameter that fn uses as an input"):
        check_gradients(layer, data(4, 3))


def test_a_device_without_float64_is_refused(monkeypatch):
    x = data(2)
    monkeypatch.setattr(x.device, "info", dataclasses.replace(x.device.info, fp64=False))
    with pytest.raises(DeviceError, match="has no float64"):
        check_gradients(F.relu, x)


# --- the numbers underneath ---

SMOOTH = {
    "exp": (math.exp, 1.0),
    "a pole nearby": (lambda t: 1 / (t + 1e-3), -1e6),
    "fast": (lambda t: math.sin(1000 * t), 1000.0),
    "flat": (lambda t: t**4, 0.0),
    "constant": (lambda t: 5.0, 0.0),
    "large": (lambda t: 1e8 + math.tanh(t), 1.0),
}


@pytest.mark.parametrize("name", SMOOTH)
def test_the_estimated_error_holds(name):
    phi, truth = SMOOTH[name]
    noise = measure_noise(phi) + 2**-52 * abs(phi(0))
    found = slope(phi, noise)
    assert abs(found.value - truth) <= found.error
    assert found.error <= 1e-4 * max(1, abs(truth))
    assert not found.kink


def test_noise_is_measured():
    rng = np.random.default_rng(0)
    noise = measure_noise(lambda t: 1 + t + 1e-9 * rng.normal())
    assert 1e-9 < noise < 1e-7


def test_a_jump_in_slope_is_a_kink_however_small():
    assert slope(lambda t: t + 1e-6 * abs(t), 1e-16).kink
    assert not slope(lambda t: t + abs(t - 1e-3), 1e-16).kink


def test_too_few_finite_values_give_no_slope():
    assert slope(lambda t: math.nan if t < 0 else t, 0.0) is None


def test_it_is_public():
    assert gp.check_gradients is check.check_gradients


# --- magnitudes: what is shown, and what is refused ---


def wrong(text):
    """fn(x, x) of an operator whose y is constant: half of its gradient is missing."""
    fn = gp.compile(gp.operator("wrong", text, {"x": "N", "y": "N"}, constant=("y",)))
    return lambda x: fn(x, x)


def right(text):
    return gp.compile(gp.operator("right", text, {"x": "N"}))


NEAR_ONE = [1.25, -0.75, 1.5]


@pytest.mark.parametrize(
    ("text", "size"),
    [("x[i] + y[i]", 1e150), ("x[i] + y[i]", 1e200), ("x[i] * y[i]", 1e100),
     ("x[i] * y[i]", 1e-100), ("x[i] + y[i]", 1e-290)],
)  # fmt: skip
def test_a_wrong_gradient_is_caught_at_any_magnitude(text, size):
    x = gp.tensor(size * np.array(NEAR_ONE))
    with pytest.raises(GradientError, match=r"element \[0\]: backward gives"):
        check_gradients(wrong(f"z[i] = {text}"), x)


def test_right_gradients_pass_at_large_magnitude():
    for size in (1e100, 1e150):
        check_gradients(right("z[i] = x[i]**2"), gp.tensor(size * np.array(NEAR_ONE)))


def test_an_allowance_that_overflows_shows_nothing():
    with pytest.raises(GradientError, match="nothing can be shown at this magnitude"):
        check_gradients(wrong("z[i] = x[i] + y[i]"), gp.tensor(np.full(4, 4.4e307)))


@pytest.mark.parametrize(
    ("offset", "slope"), [(6, "1e-8"), (6, "1e-10"), (6, "1e-13"), (12, "1e-3"), (12, "1e-9")]
)
def test_a_slope_that_drowns_is_not_passed(offset, slope):
    with pytest.raises(GradientError, match=r"drowns in rounding|backward gives"):
        check_gradients(wrong(f"z[i] = 1e{offset} + {slope} * x[i] * y[i]"), gp.tensor(NEAR_ONE))
    with pytest.raises(GradientError, match="drowns in rounding"):
        check_gradients(right(f"z[i] = 1e{offset} + {slope}*1e-3 * x[i]"), gp.tensor(NEAR_ONE))


def test_slopes_that_are_exactly_zero_do_not_drown():
    assert (
        check_gradients(right("z[i] = 1e12 + where(x[i] > 9, x[i], 0)"), gp.tensor(NEAR_ONE)).share
        == 0
    )


@pytest.mark.parametrize("size", [5e-324, 1e-310, 1e-300])
def test_inputs_too_small_for_steps_count_as_zero(size):
    x = gp.tensor(np.full(2, size))
    check_gradients(right("z[i] = x[i]**2"), x)
    check_gradients(right("z[i] = 3 * x[i]"), x)
    with pytest.raises(
        GradientError, match=r"not finite beside|backward gives inf|backward gives -inf"
    ):
        check_gradients(right("z[i] = log(x[i])"), x)


def test_values_too_small_to_be_seen_drown():
    with pytest.raises(GradientError, match="drowns in rounding"):
        check_gradients(right("z[i] = x[i]**2"), gp.tensor(np.array([1e-200, -1e-200])))


@pytest.mark.parametrize("power", [2, 3, 4])
def test_a_slope_of_zero_between_others_passes(power):
    assert check_gradients(right(f"z[i] = x[i]**{power}"), gp.tensor(np.zeros(3))).share <= 1


@pytest.mark.parametrize("text", ["log(x[i])", "sqrt(x[i])", "x[i]**2", "3 * x[i]"])
def test_inputs_of_mixed_scale_pass(text):
    x = gp.tensor([1e-8, 1.0, 1e8])
    assert check_gradients(right(f"z[i] = {text}"), x).share <= 1


def test_a_wrong_gradient_is_caught_at_mixed_scale():
    x = gp.tensor([1e-8, 1.0, 1e8])
    with pytest.raises(GradientError, match=r"input 0, element \[\d\]: backward gives"):
        check_gradients(wrong("z[i] = log(x[i] * y[i])"), x)


def test_a_small_element_beside_large_ones_does_not_drown():
    x = gp.tensor([[1e-17, 1.0, 3.0]])
    x.requires_grad = True
    assert check_gradients(F.linear, x, data(2, 3)).elements == 3


def test_a_gradient_that_is_not_finite_is_named():
    x = gp.tensor([4.0, 1.0])
    with pytest.raises(GradientError, match=r"element \[1\]: backward gives -?inf"):
        check_gradients(lambda x: with_wrong_gradient(x, [1.0, math.inf]), x)


def test_a_bias_that_batch_norm_takes_away_is_seen_beside_the_other_inputs():
    """Its slope is 0 but for rounding: small beside the weight's, which is checked too."""
    rng = np.random.default_rng(0)
    x, w, b = (gp.tensor(rng.normal(size=s)) for s in ((2, 2, 4, 4), (3, 2, 3, 3), (3,)))

    def block(x, w, b):
        return gp.functional.batch_norm(gp.functional.conv2d(x, w, b), None, None, training=True)

    assert check_gradients(block, x, w, b).share <= 1
