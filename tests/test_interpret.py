"""The oracle against values worked out by hand, and all derivations against the oracle."""

from fractions import Fraction

import numpy as np
import pytest
import sympy as sp

from gradproof.cli.cases import draw
from gradproof.derive.adjoint import PREFIX, prepare
from gradproof.derive.arithmetic import HIGH, Fractions, HighPrecision, Integers
from gradproof.derive.errors import DefinitionError
from gradproof.derive.interpret import evaluate, gradients, linear_gradient
from gradproof.derive.language import operator
from gradproof.derive.machine import first_maximum
from gradproof.derive.philox import philox4x32
from gradproof.derive.registry import find, operators
from gradproof.derive.rounding import DOUBLE, SINGLE, Bounded, Bounds
from gradproof.derive.system import derive

VARIANTS = {v.name: v for d in operators().values() for v in d.variants()}
DIFFERENTIABLE = {n: v for n, v in VARIANTS.items() if v.differentiable}
# linear or affine in each of these operands while the others are fixed
LINEAR = {
    "adaptive_avg_pool2d": "Y",
    "add": "Y R",
    "avg_pool2d": "Y",
    "avg_pool2d_valid": "Y",
    "batch_norm": "gamma beta",
    "batch_norm_inference": "X gamma beta",
    "conv2d": "Y w b",
    "conv2d_without_b": "Y w",
    "dropout": "Y",
    "linear": "Y w b",
    "conv1d": "Y w b",
    "conv_transpose2d": "Y w b",
    "bmm": "A B",
    "layer_norm": "gamma beta",
    "upsample_linear": "Y",
    "nll": "a",
}


# --- values by hand ---


def test_philox_gives_the_published_words():
    # kat_vectors of Random123 1.14, philox4x32 with 10 rounds
    ones, pi = 0xFFFFFFFF, (0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344)
    cases = {
        ((0, 0, 0, 0), (0, 0)): "6627e8d5 e169c58d bc57ac4c 9b00dbd8",
        ((ones,) * 4, (ones,) * 2): "408f276d 41c83b0e a20bc7c6 6d5451fd",
        (pi, (0xA4093822, 0x299F31D0)): "d16cfe09 94fdcceb 5001e420 24126ea1",
    }
    for (counter, key), words in cases.items():
        assert " ".join(f"{w:08x}" for w in philox4x32(counter, key)) == words


def row_convolution(y, w, stride=1, dilation=1, left=0, right=0):
    sizes = {"N": 1, "G": 1, "CG": 1, "OG": 1, "H": 1, "KH": 1, "SH": 1, "DH": 1, "PT": 0, "PB": 0}
    sizes |= {"W": len(y), "KW": len(w), "SW": stride, "DW": dilation, "PL": left, "PR": right}
    out = evaluate(VARIANTS["conv2d_without_b"], sizes, {"Y": [[[y]]], "w": [[[w]]]})
    return out["z"][0, 0, 0].tolist()


def test_a_convolution_of_one_row():
    assert row_convolution([1, 2, 3, 4], [10, 1]) == [12, 23, 34]
    assert row_convolution([1, 2, 3, 4], [10, 1], stride=2) == [12, 34]
    assert row_convolution([1, 2, 3, 4], [10, 1], dilation=2, left=1) == [2, 13, 24]
    assert row_convolution([1, 2, 3, 4], [10, 1], left=-1, right=1) == [23, 34, 40]


def test_quotients_and_remainders_round_down():
    d = operator(
        "q",
        "z[i] = X[(i - 5)//3 + 2] + 10*((i - 5) % 3)",
        {"X": "3", "z": "6"},
        outside={"X": "zero"},
    )
    assert evaluate(d, {}, {"X": [0, 100, 200]})["z"].tolist() == [10, 20, 100, 110, 120, 200]


def test_guards_labels_and_cases():
    triangle = operator("t", "z[i] = sum[j](A[i,j], j <= i)", {"A": "N, N"})
    assert evaluate(triangle, {"N": 2}, {"A": [[1, 2], [3, 4]]})["z"].tolist() == [1, 7]
    divides = operator("e", "z[i] = sum[j](X[j], (j - i) % 2 == 0)", {"X": "N", "z": "N"})
    assert evaluate(divides, {"N": 3}, {"X": [1, 2, 4]})["z"].tolist() == [5, 2, 5]
    label = operator("l", "z[n] = a[n,t[n]]", {"a": "N, C", "t": "N"}, labels={"t": "C"})
    out = evaluate(label, {"N": 2, "C": 2}, {"a": [[1, 2], [3, 4]], "t": [1, 0]})
    assert out["z"].tolist() == [2, 3]


def test_the_first_maximum_wins_and_nan_is_one():
    nan, inf = np.nan, np.inf
    rows = {(1, 5, 5): 1, (nan, 9, nan): 0, (1, nan, nan): 1, (-inf, -inf, -inf): 0}
    for row, first in rows.items():
        best, place = first_maximum(1, np.zeros(3, int), np.arange(3), np.array(row))
        assert place.tolist() == [first]
        assert np.array_equal(best[0], row[first], equal_nan=True)


def test_a_gradient_by_hand():
    # conv of [y0 y1 y2] with [w0 w1]: dz/dw0 = (y0, y1), dz/dy1 = (w1, w0)
    out = gradients(
        VARIANTS["linear_without_b"],
        {"N": 1, "K": 2, "O": 2},
        {"Y": [[3, 4]], "w": [[1, 2], [5, 6]]},
        {"z": [[10, 1]]},
    )
    assert out["Y"].tolist() == [[15, 26]]
    assert out["w"].tolist() == [[30, 40], [3, 4]]


# --- every operator: raw adjoint = eliminated adjoint = scattering = basis vectors ---


@pytest.mark.parametrize("name", DIFFERENTIABLE)
def test_elimination_and_simplification_change_no_value(name):
    d, rng = DIFFERENTIABLE[name], np.random.default_rng(5)
    system = derive(d)
    numbers = numbers_for(d)
    for _ in range(4):
        case, _ = draw(d, rng, 3, 200, "float64")
        operands = {
            n: numbers.array(a) if d.tensor(n).dtype == "real" else a
            for n, a in case.operands.items()
        }
        g = {n: numbers.array(a) for n, a in case.cotangents.items()}
        forward = evaluate(prepare(d), case.sizes, operands, case.scalars)
        known = operands | forward | {PREFIX + n: a for n, a in g.items()}
        raw = evaluate(system.raw, case.sizes, known, case.scalars)
        solved = evaluate(system.backward, case.sizes, known, case.scalars)
        direct = gradients(d, case.sizes, operands, g, case.scalars)
        for operand, gradient in direct.items():
            for other in (raw[PREFIX + operand], solved[PREFIX + operand]):
                assert close(other, gradient, numbers), (operand, case.sizes)


@pytest.mark.parametrize("name", LINEAR)
def test_the_derivative_is_that_of_the_definition(name):
    """No derivative is taken on one side: the operator is linear in the operand."""
    d, rng = VARIANTS[name], np.random.default_rng(6)
    numbers = numbers_for(d)
    for _ in range(2):
        case, _ = draw(d, rng, 3, 120, "float64")
        operands = {n: numbers.array(a) for n, a in case.operands.items()}
        g = {n: numbers.array(a) for n, a in case.cotangents.items()}
        data = (case.sizes, operands, g, case.scalars)
        direct = gradients(d, *data)
        for operand in LINEAR[name].split():
            assert close(linear_gradient(d, operand, *data), direct[operand], numbers), operand


def numbers_for(d):
    """Fractions, where nothing rounds; mpmath where a root or a function leaves the rationals."""
    system = derive(d)
    bodies = [e.body for part in (system.forward, system.backward) if part for e in part.equations]
    functions = any(b.has(sp.exp, sp.log, sp.tanh, sp.erf) for b in bodies)
    roots = any(not p.exp.is_Integer for b in bodies for p in b.atoms(sp.Pow))
    return HighPrecision() if functions or roots else Fractions()


def test_divisions_alone_are_compared_exactly():
    kinds = {n: type(numbers_for(VARIANTS[n])) for n in ("mse", "conv2d", "softmax", "layer_norm")}
    assert [*kinds.values()] == [Fractions, Fractions, HighPrecision, HighPrecision]


def close(a, b, numbers):
    """Equal; in 60 digits, to 40."""
    if isinstance(numbers, Fractions):
        return bool((a == b).all())
    return all(
        abs(x - y) <= HIGH.mpf(10) ** -40 * (1 + abs(y))
        for x, y in zip(a.flat, b.flat, strict=True)
    )


def test_a_wrong_elimination_is_noticed():
    """A guard lost, as a faulty elimination would lose it: the values differ."""
    from dataclasses import replace

    from gradproof.derive.expr import Divides, Reduce, reduces

    d = VARIANTS["conv2d_without_b"]
    backward = derive(d).backward
    e = backward.equation("grad_Y")
    (r,) = reduces(e.body)
    fewer = Reduce("sum", r.indices, [g for g in r.guards if not isinstance(g, Divides)], r.body)
    broken = replace(e, body=e.body.xreplace({r: fewer}))
    wrong = replace(backward, equations=(broken,), outputs=("grad_Y",))
    sizes = dict.fromkeys(map(str, d.sizes), 1) | {"H": 3, "SH": 2, "PT": 0, "PB": 0}
    sizes |= {"PL": 0, "PR": 0}
    known = {"Y": np.ones((1, 1, 3, 1), int), "w": np.ones((1, 1, 1, 1), int)}
    known["grad_z"] = np.ones((1, 1, 2, 1), int)
    right = evaluate(backward, sizes, known)["grad_Y"]
    assert right.ravel().tolist() == [1, 0, 1]
    assert evaluate(wrong, sizes, known)["grad_Y"].ravel().tolist() == [1, 1, 1]


# --- rounding bounds ---


def test_a_sum_is_bounded_in_any_order():
    rng = np.random.default_rng(0)
    x = rng.normal(size=200).astype(np.float32)
    total = Bounds(SINGLE).total([Bounded(HIGH.mpf(float(v)), 0.0, SINGLE) for v in x])
    for _ in range(20):
        computed = np.float32(0)
        for v in rng.permutation(x):
            computed = np.float32(computed + v)
        assert abs(HIGH.mpf(float(computed)) - total.value) <= total.error
    assert total.error < 200 * 2.0**-24 * float(np.abs(x).sum()) * 1.001


def test_bounds_hold_for_float32_arithmetic_and_are_not_idle():
    rng, worst = np.random.default_rng(1), 0.0
    numbers = Bounds(SINGLE)
    for _ in range(200):
        a, b = (np.float32(v) for v in rng.uniform(0.5, 2, 2))
        bounded = numbers.array([float(a)]), numbers.array([float(b)])
        (product,) = numbers.multiply(bounded)
        (quotient,) = numbers.multiply([bounded[0], numbers.power(bounded[1], Fraction(-1))])
        for exact, computed in ((product, a * b), (quotient, a / b)):
            error = float(abs(HIGH.mpf(float(computed)) - exact.value))
            assert error <= exact.error
            worst = max(worst, error / exact.error)
    assert worst > 0.5


@pytest.mark.parametrize("p", [1, -1, -7, 10**15 + 1, -(2**40 + 1), 3 * 10**21 + 7, 2**32 - 1])
@pytest.mark.parametrize("q", [1, 3, 10**20, 2**30, 10**25 + 1])
def test_the_bound_of_a_number_holds_for_what_a_kernel_makes_of_it(p, q):
    def converted(n):
        """As the kernels write it: 18 digits at a time."""
        if n < 2**63:
            return np.float32(n)
        high, low = divmod(n, 10**18)
        return converted(high) * np.float32(10**18) + np.float32(low)

    computed = np.sign(p) * (converted(abs(p)) / converted(q))
    bounded = Bounds(SINGLE).element(Fraction(p, q))
    assert 0 <= abs(HIGH.mpf(float(computed)) - bounded.value) <= bounded.error
    assert bounded.error <= 40 * 2.0**-24 * abs(p / q) + 2 * SINGLE.tiny


def test_small_integers_and_dyadic_fractions_have_no_error():
    for x in (0, -3, 2**24, Fraction(-3, 4), 0.5, -(2**24), 2**40):
        bound = Bounds(SINGLE).element(x).error
        assert bound == 0 or x == 2**40


def test_an_undecidable_comparison_is_an_error():
    third = Bounds(DOUBLE).constant(1, 3)[0]
    with pytest.raises(DefinitionError, match="closer than their rounding errors"):
        third > third  # noqa: B015


# --- errors ---


def test_errors_name_what_is_wrong():
    linear, sizes = VARIANTS["linear_without_b"], {"N": 1, "K": 2, "O": 1}
    data = {"Y": [[1, 2]], "w": [[3, 4]]}
    with pytest.raises(DefinitionError, match="no value for w"):
        evaluate(linear, sizes, {"Y": [[1, 2]]})
    with pytest.raises(DefinitionError, match="no value for O"):
        evaluate(linear, {"N": 1, "K": 2}, data)
    with pytest.raises(DefinitionError, match=r"Y has shape \(1, 1\), expected \(1, 2\)"):
        evaluate(linear, sizes, data | {"Y": [[1]]})
    with pytest.raises(DefinitionError, match="K is 0, at least 1"):
        evaluate(linear, sizes | {"K": 0}, data)
    with pytest.raises(DefinitionError, match="might overflow"):
        evaluate(linear, sizes, {"Y": [[2**40, 1]], "w": [[2**40, 1]]})
    with pytest.raises(DefinitionError, match="give the operands as fractions"):
        evaluate(find("mse"), {"T": 1}, {"a": [1], "t": [2]}, {"divisor": 2})
    with pytest.raises(DefinitionError, match="the kernel is wider"):
        row_convolution([1], [1, 1])


@pytest.mark.parametrize(
    ("equation", "x", "message"),
    [
        ("z[i] = exp(x[i])", [1, 2], "exp of integers: give the operands as mpmath numbers"),
        ("z[i] = tanh(x[i])", [Fraction(1, 2)], "tanh of fractions: give the operands as mpmath"),
        ("z[i] = sqrt(x[i])", [Fraction(1, 2)], "the square root of 1/2 is not rational"),
        ("z[i] = x[i]**(1/3)", [Fraction(1, 8)], "power 1/3 of fractions"),
    ],
)
def test_numbers_that_are_not_exact_need_another_kind(equation, x, message):
    d = operator("f", equation, {"x": "N"})
    with pytest.raises(DefinitionError, match=message):
        evaluate(d, {"N": len(x)}, {"x": x})


@pytest.mark.parametrize("numbers", [Integers(), Fractions(), HighPrecision(), Bounds(SINGLE)])
def test_the_sign_of_a_number_is_taken_off_exactly(numbers):
    given = [-3, 2, 0]
    found = numbers.function("fabs", numbers.array(given))
    assert [getattr(v, "value", v) for v in found] == [3, 2, 0]
    assert all(getattr(v, "error", 0) == 0 for v in found)


def test_what_no_number_of_a_kind_can_be_is_named():
    with pytest.raises(
        DefinitionError, match=r"0\.5 is no integer; give the operands as fractions"
    ):
        Integers().element(0.5)
    with pytest.raises(DefinitionError, match="no rounding bound for power 1/3"):
        Bounds(SINGLE).power(Bounds(SINGLE).array([8]), sp.Rational(1, 3))


def test_brute_force_has_a_limit(monkeypatch):
    monkeypatch.setattr("gradproof.derive.machine.LIMIT", 10)
    with pytest.raises(DefinitionError, match="brute force takes at most 10"):
        row_convolution([1] * 7, [1] * 2)


def test_a_read_outside_is_an_error_where_it_is_forbidden():
    label = operator("l", "z[n] = a[n,t[n]]", {"a": "N, C", "t": "N"}, labels={"t": "C"})
    with pytest.raises(DefinitionError, match="leaves the shape"):
        evaluate(label, {"N": 1, "C": 2}, {"a": [[1, 2]], "t": [2]})


def test_a_maximum_over_nothing_is_an_error_in_integers():
    d = find("max_pool2d")
    sizes = dict.fromkeys(map(str, d.sizes), 1) | {"PT": 1, "PB": 0, "PL": 0, "PR": 0}
    with pytest.raises(DefinitionError, match="maximum over nothing"):
        evaluate(d, sizes, {"Y": np.ones((1, 1, 1, 1), int)})
