"""What the check of subscripts sees, and what it must not: derived sizes, quotients, remainders."""

from __future__ import annotations

import numpy as np
import pytest

import gradproof as gp
from gradproof.derive.errors import DefinitionError

VALID = {"W - K >= 0": "the filter is longer than the signal"}
ACCEPTED = {
    "a difference": ("z[t] = x[t+1] - x[t]", {"x": "W", "z": "L"}, {"L": "W - 1"}, {}),
    "a valid convolution": (
        "z[x] = sum[i](Y[x+i] * w[i])",
        {"Y": "W", "w": "K", "z": "L"},
        {"L": "W - K + 1"},
        VALID,
    ),
    "with a stride": (
        "z[x] = sum[i](Y[S*x+i] * w[i])",
        {"Y": "W", "w": "K", "z": "L"},
        {"L": "(W - K)//S + 1"},
        VALID,
    ),
    "with a stride, written out": (
        "z[x] = sum[i](Y[S*x+i] * w[i])",
        {"Y": "W", "w": "K", "z": "(W - K)//S + 1"},
        {},
        VALID,
    ),
    "every second": ("z[t] = x[2*t+1]", {"x": "W", "z": "L"}, {"L": "W//2"}, {}),
    "from the first on": ("z[t] = x[2*t]", {"x": "W", "z": "L"}, {"L": "(W + 1)//2"}, {}),
    "a remainder of a quotient": ("z[q] = Y[q//R%R]", {"Y": "R", "z": "Q"}, {}, {}),
}
REFUSED = {
    "one too far, at even W": ("z[t] = x[2*t+2]", {"x": "W", "z": "L"}, {"L": "W//2"}, {}),
    "one element too many": ("z[t] = x[2*t]", {"x": "W", "z": "L"}, {"L": "W//2 + 1"}, {}),
    "shifted by one": (
        "z[x] = sum[i](Y[S*x+i+1] * w[i])",
        {"Y": "W", "w": "K", "z": "L"},
        {"L": "(W - K)//S + 1"},
        VALID,
    ),
    "a remainder by one more": ("z[q] = Y[q//R%(R + 1)]", {"Y": "R", "z": "Q"}, {}, {}),
}


@pytest.mark.parametrize("name", ACCEPTED)
def test_a_range_that_always_holds_is_seen(name: str) -> None:
    equations, tensors, sizes, requires = ACCEPTED[name]
    gp.operator("op", equations, tensors, sizes=sizes, requires=requires)


@pytest.mark.parametrize("name", REFUSED)
def test_a_range_that_can_be_left_is_refused(name: str) -> None:
    equations, tensors, sizes, requires = REFUSED[name]
    with pytest.raises(DefinitionError, match=r"may fall beyond .* \(it does at .*=.*\)"):
        gp.operator("op", equations, tensors, sizes=sizes, requires=requires)


def test_a_strided_valid_convolution_computes() -> None:
    equations, tensors, sizes, requires = ACCEPTED["with a stride"]
    fn = gp.compile(gp.operator("op", equations, tensors, sizes=sizes, requires=requires))
    y, w = np.arange(8.0), np.array([1.0, 10.0, 100.0])
    z = fn(gp.tensor(y, "float32"), gp.tensor(w, "float32"), S=2)
    assert z.numpy().tolist() == [float(w @ y[2 * x : 2 * x + 3]) for x in range(3)]


def test_cases_of_cases_are_derived() -> None:
    huber = gp.operator(
        "huber",
        "a[n] = where(x[n] < 0, -x[n], x[n])\nz[n] = where(a[n] < 1, a[n]**2 / 2, a[n] - 1/2)",
        {"x": "N"},
    )
    x = gp.tensor([-3.0, -0.5, 0.5, 2.0], requires_grad=True)
    gp.compile(huber)(x).sum().backward()
    assert x.grad.numpy().tolist() == [-1.0, -0.5, 0.5, 1.0]


def test_a_decimal_is_the_number_that_is_written() -> None:
    d = gp.operator("tenth", "z[n] = 0.1 * x[n] + 1e-3", {"x": "N"})
    assert str(d.equations[0].body) == "x[n]/10 + 1/1000"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"tensors": {"x": ("N",)}}, r"tensors\['x'\] is \('N',\), expected a text"),
        ({"outputs": "z"}, "outputs is 'z', expected a tuple of names"),
        ({"constant": "x"}, "constant is 'x', expected a tuple of names"),
        ({"equations": 3}, "equations is 3, expected a text"),
        (
            {"equations": "z[n] = max(x[n], 0)"},
            r"the larger of two numbers is where\(a < b, b, a\)",
        ),
        ({"equations": "z[n] = sigmoid(x[n])"}, "no such function as sigmoid; it has erf, exp"),
        ({"equations": "z[n] = x[n]*1e400"}, "no such expression"),
    ],
)
def test_a_wrong_argument_is_named(arguments: dict, message: str) -> None:
    given = {"name": "op", "equations": "z[n] = x[n]", "tensors": {"x": "N"}} | arguments
    with pytest.raises(DefinitionError, match=message):
        gp.operator(**given)


def test_only_a_definition_is_compiled() -> None:
    with pytest.raises(TypeError, match="'relu' is no definition"):
        gp.compile("relu")


@pytest.mark.parametrize(
    ("equations", "tensors", "integers", "message"),
    [
        ("z[j] = sum[i:P](y[j])", {"y": "N", "z": "N"}, "P", r"i runs to P, .* at P = -1\)"),
        ("z[j] = sum[i:K-M](y[j])", {"y": "N", "z": "N"}, "", "i runs to K - M"),
    ],
)
def test_an_extent_that_may_be_negative_is_refused(
    equations: str, tensors: dict, integers: str, message: str
) -> None:
    with pytest.raises(DefinitionError, match=message):
        gp.operator("op", equations, tensors, integers=integers)


def test_a_window_keeps_the_guard_that_it_needs() -> None:
    """(2*x + 1)//3 == u: x = 1 gives 1, and not also 0."""
    d = gp.operator("op", "z[u] = sum[x:N](Y[x], (2*x + 1)//3 == u)", {"Y": "N", "z": "M"})
    y = np.arange(1.0, 6.0, dtype=np.float32)
    z = gp.compile(d)(gp.tensor(y), M=4).numpy()
    assert z.tolist() == [sum(y[x] for x in range(5) if (2 * x + 1) // 3 == u) for u in range(4)]


def test_every_second_term_by_a_guard() -> None:
    d = gp.operator(
        "op",
        "b[y] = sum[i](a[i], (y - i) % 2 == 0)",
        {"a": "N", "b": "M"},
        outside={"a": "zero"},
    )
    a = gp.tensor([1.0, 10.0, 100.0, 1000.0, 10000.0])
    assert gp.compile(d)(a, M=3).numpy().tolist() == [10101.0, 1010.0, 10101.0]


def test_zero_outside_where_nothing_is_outside() -> None:
    d = gp.operator(
        "op",
        "z[x] = max[i:2](v[x] + w[i,x])",
        {"w": "2, N", "v": "N", "z": "N"},
        outside={"v": "zero"},
    )
    v, w = gp.tensor([1.0, 2.0]), gp.tensor([[0.0, 5.0], [3.0, 1.0]])
    assert gp.compile(d)(w, v).numpy().tolist() == [4.0, 7.0]


def test_an_output_that_another_output_reads_is_refused_at_once() -> None:
    with pytest.raises(DefinitionError, match="b reads a, which is an output too"):
        gp.operator("op", "a[i] = x[i]**2\nb[i] = a[i]*x[i]", {"x": "N"}, outputs=("a", "b"))
