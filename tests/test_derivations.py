"""Derivations beyond the operators: definitions whose gradients need every rule of elimination.

Each is checked four ways: eliminated against un-eliminated adjoint, against scattering, against
basis vectors where it is linear, and as a compiled kernel through autograd.
"""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest

from gradproof.cli.cases import Case, draw, expected
from gradproof.codegen.program import build_program
from gradproof.derive.adjoint import PREFIX, prepare
from gradproof.derive.arithmetic import Fractions
from gradproof.derive.interpret import evaluate, gradients, linear_gradient
from gradproof.derive.language import Definition, operator
from gradproof.derive.system import derive
from gradproof.runtime.autograd import apply
from gradproof.runtime.manifest import Operator, parse_operator
from gradproof.runtime.selftest import run_kernels
from gradproof.runtime.tensor import tensor


@cache
def compile_operator(d: Definition) -> Operator:
    """The operator as the runtime would load it, without a file in between."""
    program = build_program(d)
    return parse_operator(program.name, program.entry, program.files)


LINEAR = {
    "A[2*i + 3*j]": operator("skew", "z[i,j] = A[2*i + 3*j]", {"A": "2*I + 3*J - 4", "z": "I, J"}),
    "A[2*i + 3*j + 6*k] summed": operator(
        "skew_sum",
        "z[i] = sum[j:J, k:K](A[2*i + 3*j + 6*k])",
        {"A": "2*I + 3*J + 6*K - 10", "z": "I"},
    ),
    "A[i,i]": operator("diagonal", "z[i] = A[i,i]", {"A": "N, N", "z": "N"}),
    "trace": operator("trace", "z = sum[i](A[i,i])", {"A": "N, N"}),
    "A[i,j] + A[j,i]": operator(
        "symmetric", "z[i,j] = A[i,j] + A[j,i]", {"A": "N, N", "z": "N, N"}
    ),
    "triangle sum": operator("triangle", "z[i] = sum[j](A[i,j], j <= i)", {"A": "N, N"}),
    "triangle of a vector": operator("prefix", "z[i] = sum[j](X[j], j <= i)", {"X": "N", "z": "N"}),
    "reversed": operator("reversed", "z[i] = X[N - 1 - i]", {"X": "N", "z": "N"}),
    "transposed convolution": operator(
        "transposed",
        "z[n,o,u] = sum[c,x,i](Y[n,c,x] * w[c,o,i], S*x + i - P == u)",
        {"Y": "N, C, X", "w": "C, O, K", "z": "N, O, S*(X - 1) + K - 2*P"},
        integers="P",
        requires={"S*(X - 1) + K - 2*P - 1 >= 0": "the padding leaves nothing"},
    ),
    "1-D convolution, kernel reversed": operator(
        "flipped",
        "z[x] = sum[i:K](w[K - 1 - i] * Y[x + i])",
        {"Y": "Z + K - 1", "w": "K", "z": "Z"},
    ),
    "every third": operator("third", "z[i] = X[3*i + 1]", {"X": "3*N", "z": "N"}),
    "interleaved": operator(
        "interleaved", "z[i] = X[i//2 + N*(i % 2)]", {"X": "2*N", "z": "2*N"}, outside={"X": "zero"}
    ),
    "gather by label": operator(
        "embedding", "z[n,k] = a[t[n],k]", {"a": "C, K", "t": "N"}, labels={"t": "C"}
    ),
}
NONLINEAR = {
    "X[i]*X[9-i]": operator("mirror", "z[i] = X[i] * X[9 - i]", {"X": "10", "z": "10"}),
    "w[k]*w[K-1-k]": operator("palindrome", "z = sum[k:K](w[k] * w[K - 1 - k])", {"w": "K"}),
    "X[i]**2*X[j]": operator("cubic", "z = sum[i,j](X[i]**2 * X[j])", {"X": "N"}),
    "product of sums": operator(
        "product", "z[n] = sum[k](Y[n,k]) * sum[k](Y[n,k] * w[k])", {"Y": "N, K", "w": "K"}
    ),
    "sum scaled by a read": operator(
        "scaled", "z[n,o] = g[o] * sum[k](Y[n,k] * w[o,k])", {"Y": "N, K", "w": "O, K", "g": "O"}
    ),
    "two equations": operator(
        "chain",
        """
        h[i] = sum[j](A[i,j] * X[j])
        z[i] = h[i] * X[i] + h[i]**2
        """,
        {"A": "N, N", "X": "N"},
    ),
    "maximum of products": operator(
        "maxprod", "z[n] = max[k](Y[n,k] * w[k])", {"Y": "N, K", "w": "K"}
    ),
}
DEFINITIONS = LINEAR | NONLINEAR


def cases(d: Definition, count: int = 8):
    rng = np.random.default_rng(11)
    return [draw(d, rng, 6, 3000, "float32")[0] for _ in range(count)]


def as_numbers(d: Definition, case: Case, numbers: Fractions):
    operands = {
        n: numbers.array(a) if d.tensor(n).dtype == "real" else a for n, a in case.operands.items()
    }
    return operands, {n: numbers.array(g) for n, g in case.cotangents.items()}


@pytest.mark.parametrize("name", DEFINITIONS)
def test_elimination_changes_no_value(name):
    d = DEFINITIONS[name]
    system = derive(d)
    for case in cases(d):
        operands, g = as_numbers(d, case, Fractions())
        known = operands | evaluate(prepare(d), case.sizes, operands)
        known |= {PREFIX + n: a for n, a in g.items()}
        raw, solved = (evaluate(x, case.sizes, known) for x in (system.raw, system.backward))
        for n, direct in gradients(d, case.sizes, operands, g).items():
            assert (raw[PREFIX + n] == direct).all(), (n, case.sizes)
            assert (solved[PREFIX + n] == direct).all(), (n, case.sizes)


@pytest.mark.parametrize("name", LINEAR)
def test_the_derivative_is_that_of_the_definition(name):
    d = LINEAR[name]
    for case in cases(d, 4):
        operands, g = as_numbers(d, case, Fractions())
        direct = gradients(d, case.sizes, operands, g)
        for operand in d.differentiable:
            basis = linear_gradient(d, operand, case.sizes, operands, g)
            assert (basis == direct[operand]).all(), (operand, case.sizes)


@pytest.mark.parametrize("form", ["reference", "tiled"])
@pytest.mark.parametrize("name", DEFINITIONS)
def test_the_kernels_are_exact(name, form):
    d = DEFINITIONS[name]
    compiled = compile_operator(d)
    if form == "tiled" and not any(k.tiled for k in compiled.kernels.values()):
        pytest.skip("no tiled kernel")
    for case in cases(d, 8 if form == "reference" else 1):
        truth = expected(d, case, "float32")
        data = (case.operands, case.cotangents, case.sizes, case.scalars)
        for r in run_kernels(compiled, compiled.without(), *data, form=form):
            wrong = truth[r.target].first_difference(r.values)
            assert not wrong, f"{r.kernel}: {wrong} with {dict(case.sizes)}"


@pytest.mark.parametrize("name", DEFINITIONS)
def test_autograd_runs_a_definition_that_was_just_compiled(name):
    d = DEFINITIONS[name]
    (case,) = cases(d, 1)
    operands = {
        n: tensor(a, "float32", requires_grad=True)
        if d.tensor(n).dtype == "real"
        else tensor(a, "int32")
        for n, a in case.operands.items()
    }
    (z,) = d.outputs
    out = apply(compile_operator(d), operands, case.sizes, label=d.name)[z]
    out.backward(tensor(case.cotangents[z], "float32"))
    for n, gradient in gradients(d, case.sizes, case.operands, case.cotangents).items():
        assert np.array_equal(operands[n].grad.numpy(), gradient), n


def test_gelu_brings_in_pi() -> None:
    """erf's derivative is 2 exp(-x^2)/sqrt(pi): the kernel and the oracle both know pi."""
    gelu = operator("gelu", "z[i] = Y[i] * (1 + erf(Y[i]/sqrt(2))) / 2", {"Y": "T", "z": "T"})
    program = build_program(gelu)
    op = parse_operator(program.name, program.entry, program.files)
    values = np.array([-1.0, 0.5, 2.0])
    y = tensor(values, requires_grad=True)
    apply(op, {"Y": y}, label="gelu")["z"].backward(tensor(np.ones(3)))
    expected = gradients(gelu, {"T": 3}, {"Y": values}, {"z": np.ones(3)})["Y"]
    assert np.abs(y.grad.numpy() - expected).max() < 4 * np.finfo(float).eps
