"""The reverse pass as a definition: it is the gradient, and its own gradients are exact.

The oracle scatters the chain rule's contributions of the operator itself, and takes differences of
them: it shares no step with elimination or with the derivation of the reverse pass's own gradients.
"""

from __future__ import annotations

import dataclasses
from fractions import Fraction

import numpy as np
import pytest

from gradproof.cli.cases import Case, draw, expected, is_exact
from gradproof.codegen.program import build_program
from gradproof.derive.arithmetic import HIGH, Fractions, HighPrecision
from gradproof.derive.check import check
from gradproof.derive.errors import DefinitionError
from gradproof.derive.expr import Divides, IsZero, Rem
from gradproof.derive.interpret import evaluate, gradients
from gradproof.derive.language import operator
from gradproof.derive.machine import Machine
from gradproof.derive.registry import find, operators
from gradproof.derive.second import backward_definition
from gradproof.derive.system import derive
from gradproof.runtime.manifest import parse_operator
from gradproof.runtime.selftest import run_kernels

# gradients that are polynomials of degree 2 or less: a central difference with step 1 is exact
EXACT = ["conv2d", "linear", "relu", "leaky_relu", "max_pool2d", "mse", "avg_pool2d", "add"]
SMOOTH = ["sigmoid", "tanh", "silu", "gelu", "gelu_tanh", "softplus"]
ROUNDED = ["batch_norm", "softmax_cross_entropy", "avg_pool2d_valid", *SMOOTH]
STEP, SMALL = HIGH.mpf(10) ** -20, HIGH.mpf(10) ** -30  # errors of 60 digits: about STEP**2
CONV = {"N": 2, "G": 2, "CG": 1, "OG": 2, "H": 5, "W": 4, "KH": 2, "KW": 3}
CONV |= {"SH": 2, "SW": 1, "DH": 2, "DW": 1, "PT": 1, "PB": 0, "PL": -1, "PR": 2}


def integers(d, sizes, seed=0):
    """Small integers for the inputs and for the gradients of the outputs."""
    rng = np.random.default_rng(seed)
    shapes = shapes_of(d, sizes)
    values = {n: rng.integers(-4, 5, shapes[n]) for n in (*d.inputs, *d.outputs)}
    return {n: values[n] for n in d.inputs}, {n: values[n] for n in d.outputs}


def shapes_of(d, sizes):
    return Machine.sized(d, sizes).shapes


def gradient_of(d, sizes, operands, scalars):
    """The reverse pass of `d` by scattering, from the operands of its definition."""
    backward = backward_definition(d)
    cotangents = dict(zip(d.outputs, backward.inputs[-len(d.outputs) :], strict=True))
    # an operand that the gradient does not read is anything
    shapes = shapes_of(d, sizes)
    inputs = {n: operands.get(n, np.zeros(shapes[n], int)) for n in d.inputs}
    given = {n: operands[bar] for n, bar in cotangents.items()}
    found = gradients(d, sizes, inputs, given, scalars)
    return {bar: found[n] for n, bar in zip(d.differentiable, backward.outputs, strict=True)}


def inner(a, b):
    return sum((x * y for x, y in zip(np.ravel(a), np.ravel(b), strict=True)), 0)


def two_sides(d, case, numbers, step, rng):
    """<J v, u> by differences of the reverse pass, and <v, J^T u> from its derivation."""
    backward = backward_definition(d)
    real = [n for n in backward.inputs if backward.tensor(n).dtype == "real"]
    at = {n: numbers.array(a) if n in real else a for n, a in case.operands.items()}
    direction = {
        n: numbers.array(rng.integers(-3, 4, at[n].shape)) for n in backward.differentiable
    }
    scalars = {n: numbers.element(x) for n, x in case.scalars.items()}

    def moved(h):
        near = {n: a + h * direction[n] if n in direction else a for n, a in at.items()}
        return gradient_of(d, case.sizes, near, scalars)

    after, before = moved(step), moved(-step)
    u = {n: numbers.array(a) for n, a in case.cotangents.items()}
    left = sum(inner(after[n] - before[n], u[n]) for n in u) / (2 * step)
    found = gradients(backward, case.sizes, at, u, scalars)
    return left, sum(inner(direction[n], found[n]) for n in direction)


def case_of(name, rng):
    """A random case of the reverse pass that the operator itself accepts."""
    d = find(name)
    for _ in range(100):
        case = draw(backward_definition(d), rng, 4, 20000, "float64")[0]
        if name != "max_pool2d" or every_window_has_an_element(case.sizes):
            return case
    raise AssertionError(f"no case of {name}")


def every_window_has_an_element(sizes):
    d = find("max_pool2d")
    image = Fractions().zeros(shapes_of(d, sizes)["Y"])
    try:
        evaluate(d, sizes, {"Y": image})
    except DefinitionError:
        return False
    return True


@pytest.mark.parametrize("name", [*EXACT, *ROUNDED])
def test_the_definition_is_the_gradient(name):
    d, rng = find(name), np.random.default_rng(3)
    backward, numbers = backward_definition(d), Fractions() if name in EXACT else HighPrecision()
    for _ in range(5):
        case = case_of(name, rng)
        real = [n for n in backward.inputs if backward.tensor(n).dtype == "real"]
        at = {n: numbers.array(a) if n in real else a for n, a in case.operands.items()}
        scalars = {n: numbers.element(x) for n, x in case.scalars.items()}
        right = gradient_of(d, case.sizes, at, scalars)
        found = evaluate(backward, case.sizes, at, scalars)
        for n in backward.outputs:
            if name in EXACT:
                assert np.array_equal(found[n], right[n]), n
            else:
                assert all(abs(x) < SMALL for x in np.ravel(found[n] - right[n])), n


@pytest.mark.parametrize("name", EXACT)
def test_the_second_derivative_is_exact(name):
    rng = np.random.default_rng(4)
    seen = 0
    for _ in range(5):
        left, right = two_sides(find(name), case_of(name, rng), Fractions(), Fraction(1), rng)
        assert left == right
        seen += right != 0
    assert seen


@pytest.mark.parametrize("name", ROUNDED)
def test_the_second_derivative_to_thirty_digits(name):
    rng = np.random.default_rng(5)
    for _ in range(3):
        left, right = two_sides(find(name), case_of(name, rng), HighPrecision(), STEP, rng)
        assert abs(left - right) < SMALL * max(1, abs(right))


def test_a_wrong_second_derivative_is_found(monkeypatch):
    d, rng = find("linear"), np.random.default_rng(6)
    right = backward_definition(d)
    wrong = tuple(
        dataclasses.replace(e, body=2 * e.body) if e.target == "wbar" else e
        for e in right.equations
    )
    mutant = dataclasses.replace(right, equations=wrong)
    case = case_of("linear", rng)
    monkeypatch.setitem(globals(), "backward_definition", lambda d: mutant)
    one, other = two_sides(d, case, Fractions(), Fraction(1), rng)
    assert one != other


def test_the_adjoint_of_the_gradient_is_the_convolution():
    """<Ybar(zbar), u> = <zbar, conv(u)>: Ybar is linear in zbar, and its adjoint convolves."""
    d = find("conv2d")
    backward = backward_definition(d)
    operands, u = integers(backward, CONV)
    only_image = u | {n: 0 * u[n] for n in ("wbar", "bbar")}
    found = gradients(backward, CONV, operands, only_image)["zbar"]
    given = {"Y": u["Ybar"], "w": operands["w"], "b": np.zeros(4, int)}
    assert np.array_equal(found, evaluate(d, CONV, given)["z"])


def test_the_gradient_of_the_gradient_gathers():
    """Nothing is solved by divisibility there, and no equation of indices stays."""
    system = derive(backward_definition(find("conv2d")))
    for target in ("grad_zbar", "grad_w"):
        assert not system.backward.equation(target).body.atoms(Divides, IsZero, Rem)


@pytest.mark.parametrize("name", [*EXACT, *ROUNDED])
def test_the_kernels_agree_with_the_definition(name):
    rng, dtype = np.random.default_rng(8), "float32" if name in EXACT else "float64"
    backward = backward_definition(find(name))
    program = build_program(backward)
    compiled = parse_operator(program.name, program.entry, program.files)
    for variant in backward.variants():
        for _ in range(3):
            case, truth = draw(variant, rng, 4, 20000, dtype)
            assert is_exact(variant) == (name in EXACT and name not in ("mse", "avg_pool2d"))
            data = (case.operands, case.cotangents, case.sizes, case.scalars)
            run = run_kernels(compiled, compiled.variants[variant.name], *data, dtype=dtype)
            for r in run:
                assert not truth[r.target].first_difference(r.values), r.kernel


def test_the_strided_grouped_convolution_on_the_device():
    backward = backward_definition(find("conv2d"))
    program = build_program(backward)
    compiled = parse_operator(program.name, program.entry, program.files)
    operands, u = integers(backward, CONV)
    case = Case(CONV, operands, u, {})
    truth = expected(backward, case, "float32")
    for r in run_kernels(compiled, compiled.without(), operands, u, CONV):
        assert not truth[r.target].first_difference(r.values), r.kernel


@pytest.mark.parametrize("name", [n for n, d in operators().items() if d.differentiable])
def test_every_operator_can_be_derived_again(name):
    backward = check(backward_definition(find(name)))
    assert backward.differentiable
    assert len(backward.outputs) == len(find(name).differentiable)


def test_the_third_derivative():
    """The reverse pass of linear's reverse pass, by differences of its own gradients."""
    twice = backward_definition(find("linear"))
    rng = np.random.default_rng(9)
    case, _ = draw(backward_definition(twice), rng, 3, 2000, "float64")
    left, right = two_sides(twice, case, Fractions(), Fraction(1), rng)
    assert left == right != 0


# --- names, and what is refused ---


def test_piecewise_constant_operands_have_no_gradient():
    assert backward_definition(find("relu")).constant == ("Y",)
    assert backward_definition(find("max_pool2d")).constant == ("Y",)
    assert backward_definition(find("linear")).constant == ()


def test_operands_that_no_gradient_reads_are_left_out():
    assert backward_definition(find("conv2d")).inputs == ("Y", "w", "zbar")
    assert backward_definition(find("batch_norm")).optional == (("gamma", 1),)


def test_a_bar_in_the_definition_clashes_with_nothing():
    d = operator(
        "spread",
        "xbar = sum[i](x[i]) / N\ny[i] = (x[i] - xbar)**3",
        {"x": "N", "xbar": "", "y": "N"},
    )
    backward = backward_definition(d)
    assert (backward.inputs, backward.outputs) == (("x", "ybar"), ("xbar2",))
    twice = backward_definition(backward)
    assert len({t.name for t in twice.tensors}) == len(twice.tensors)
    rng = np.random.default_rng(1)
    case, _ = draw(backward, rng, 3, 500, "float64", {"N": 3})
    left, right = two_sides(d, case, HighPrecision(), STEP, rng)
    assert abs(left - right) < SMALL * abs(right)


def test_a_maximum_that_the_gradient_reads_keeps_its_position():
    """max(x)**2 needs the maximum and where it is; a next derivation makes a position anew."""
    d = operator("peak", "y[n] = max[k](x[n,k])**2", {"x": "N, K", "y": "N"})
    backward = backward_definition(d)
    x, g, u = np.array([[1, 5, 2]]), np.array([3]), np.array([[7, 11, 13]])
    sizes = {"N": 1, "K": 3}
    assert evaluate(backward, sizes, {"x": x, "ybar": g})["xbar"].tolist() == [[0, 30, 0]]
    found = gradients(backward, sizes, {"x": x, "ybar": g}, {"xbar": u})
    assert (found["x"].tolist(), found["ybar"].tolist()) == ([[0, 66, 0]], [110])


def test_an_operator_without_gradients_is_refused():
    with pytest.raises(DefinitionError, match="sgd: no operand has a gradient"):
        backward_definition(find("sgd"))


def test_an_output_that_no_gradient_depends_on_has_no_cotangent():
    d = operator(
        "count",
        "c = sum[i:N](1)\ny[i] = 2*x[i]",
        {"x": "N", "c": "", "y": "N"},
        outputs=("c", "y"),
    )
    assert backward_definition(d).inputs == ("ybar",)
