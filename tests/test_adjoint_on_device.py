"""The adjoint identity on a device: it holds for every kind of operator, and faults break it."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest

from gradproof.cli.cases import draw
from gradproof.cli.exactness import degree, fits, has_branches, is_exact, span_of
from gradproof.cli.identity import Kernels, check, compare
from gradproof.cli.lines import central_weights
from gradproof.derive.language import operator
from gradproof.derive.machine import Machine
from gradproof.derive.registry import find
from gradproof.runtime.compile import compile_definition
from gradproof.runtime.device import current_device
from gradproof.runtime.errors import DeviceError
from gradproof.runtime.manifest import operators

NAMES = ["batch_norm", "conv2d", "dropout", "linear", "max_pool2d", "relu", "softmax_cross_entropy"]
# operator, what the program says, what the broken one says
FAULTS = {
    "a sign in the backward text": ("conv2d", "grad_w[id] = sum0;", "grad_w[id] = -sum0;"),
    "a tap in the forward text": ("conv2d", "DH * i + SH * x - PT", "DH * i + SH * x - PT + 1"),
    "a bias left out": ("linear", "sum0 + b[o]", "sum0"),
    "an element left out": ("relu", "grad_Y[id] = ", "if (id > 0) grad_Y[id] = "),
    "another maximum": ("max_pool2d", "term > argmax0_value", "term < argmax0_value"),
    "eps in the backward text": ("batch_norm", "(eps + var[c]) * sqrt", "(var[c]) * sqrt"),
    "a factor": ("batch_norm", "((REAL)2 * (eps", "((REAL)3 * (eps"),
    "the digits of a constant": ("mse", "sum0 / divisor", "sum0 * (REAL)1.000001 / divisor"),
    "a label's gradient": ("softmax_cross_entropy", "= -grad_loss[0]", "= grad_loss[0]"),
    "a missing term": ("softmax_cross_entropy", "= sum0 + exp(", "= exp("),
}


def kernels_of(name, dtype, op=None):
    op = op or operators()[name]
    return Kernels(op, op.variants[name], current_device(), dtype, "reference")


def sides(name, dtype, op=None, seed=0):
    d, rng = find(name), np.random.default_rng(seed)
    case, _ = draw(d, rng, 5, 500, dtype)
    return check(d, kernels_of(name, dtype, op), Machine.sized(d, case.sizes), rng)


def broken(name, old, new):
    op = operators()[name]
    assert old in op.source
    return replace(op, source=op.source.replace(old, new))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", NAMES)
def test_the_identity_holds(name, dtype):
    for seed in range(3):
        _, found = sides(name, dtype, seed=seed)
        assert found.agree, found
        assert (found.allowed == 0) == is_exact(find(name))


@pytest.mark.parametrize("fault", FAULTS)
def test_a_planted_fault_breaks_it(fault):
    name, old, new = FAULTS[fault]
    wrong = broken(name, old, new)
    found = [check_or_nan(name, wrong, seed) for seed in range(4)]
    assert not all(found), fault


def check_or_nan(name, op, seed):
    try:
        return sides(name, "float64", op, seed)[1].agree
    except DeviceError as error:
        assert "computed nan" in str(error)
        return False


def test_the_operand_whose_gradient_is_wrong_is_named_by_its_own_line():
    wrong = broken("conv2d", "grad_w[id] = sum0;", "grad_w[id] = -sum0;")
    drawn = (sides("conv2d", "float32", wrong, seed) for seed in range(9))
    line = next(line for line, found in drawn if not found.agree)
    kernels = kernels_of("conv2d", "float32", wrong)
    agree = {n: compare(find("conv2d"), kernels, line.only(n)).agree for n in "Ywb"}
    assert agree == {"Y": True, "w": False, "b": True}


def test_the_bound_of_a_rounded_identity_is_small():
    """In float64 a relative error of 1e-9 in one kernel shows."""
    name, old = "softmax_cross_entropy", "sum0 += log(s[n])"
    _, found = sides(name, "float64")
    assert found.allowed < 1e-11
    scaled = broken(name, old, "sum0 += (REAL)1.000000001 * log(s[n])")
    assert not sides(name, "float64", scaled)[1].agree
    shifted = broken(name, old, "sum0 += log((REAL)1.000000001 * s[n])")
    assert sides(name, "float64", shifted)[1].agree  # what is constant has no derivative


@pytest.mark.parametrize("order", range(1, 8))
def test_weights_differentiate_polynomials_exactly(order):
    weights = central_weights(order)
    for power in range(order + 1):
        slope = sum(c * Fraction(t) ** power for t, c in weights.items())
        assert slope == (1 if power == 1 else 0)


# --- what is exact ---


def power(n):
    return operator("power", f"z[i] = x[i]**{n}", {"x": "N"})


def test_degree_and_branches_follow_from_the_definition():
    assert [degree(power(n)) for n in (1, 2, 5)] == [1, 2, 5]
    assert [has_branches(find(n)) for n in ("conv2d", "relu", "max_pool2d", "dropout")] == [
        False,
        True,
        True,
        False,
    ]


def test_a_third_is_not_exact_and_a_half_is():
    third = operator("third", "z[i] = x[i] / 3", {"x": "N"})
    half = operator("halved", "z[i] = x[i] / 2", {"x": "N"})
    assert (is_exact(third), is_exact(half)) == (False, True)


def test_sums_that_do_not_fit_a_significand_are_not_called_exact():
    spans = {"x": span_of([4]), "grad_z": span_of([4])}
    assert fits(power(5), {"N": 3}, spans, {}, "float32")
    assert not fits(power(13), {"N": 3}, spans, {}, "float32")
    assert fits(power(13), {"N": 3}, spans, {}, "float64")


@pytest.mark.parametrize("text", ["x[n,i]**6)**2", "x[n,i]*y[n,i])**9"])
def test_sums_that_might_round_are_checked_within_a_bound(text):
    tensors = {name: "N, I" for name in "xy" if name in text}
    d = operator("high", f"z[n] = sum[i]({text}", tensors)
    op = compile_definition(d)
    kernels = Kernels(op, op.without(), current_device(), "float32", "reference")
    machine = Machine.sized(d, {"N": 2, "I": 5})
    line, found = check(d, kernels, machine, np.random.default_rng(0))
    assert is_exact(d)
    assert not line.exact
    assert found.agree
    assert found.allowed > 0
