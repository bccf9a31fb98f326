"""The checker's algebra: what is equal has one form, and what is not keeps another."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import mpmath
import pytest

from gradproof.derive import checker
from gradproof.derive.checker import (
    Refused,
    Tensor,
    Text,
    add,
    call,
    canonical,
    condition,
    const,
    divide,
    freeze,
    mul,
    scale,
    show,
    sub,
    substitute,
    var,
)

X, Y, N = var("x"), var("y"), var("N")
HALF = Fraction(1, 2)


def text(**tensors: Any) -> Text:
    shapes = {"a": ["N", "N"], "t": ["N"], **tensors}
    made = {n: Tensor(n, map(Text({}).value, s), {}) for n, s in shapes.items()}
    made["k"] = Tensor("k", [N], {"dtype": "int"})
    return Text(made, (), (), ["lr"])


def read(source: str) -> Any:
    return text().value(source)


def same(left: str, right: str) -> bool:
    return bool(canonical(read(left)) == canonical(read(right)))


# -- functions of numbers -------------------------------------------------------------------------
def number_of(p: Any, at: Any) -> Any:
    """A polynomial over functions of x, with 50 digits."""
    functions = {
        "inv": lambda v: 1 / v, "abs": abs, "sign": mpmath.sign, "sqrt": mpmath.sqrt,
        "exp": mpmath.exp, "log": mpmath.log, "tanh": mpmath.tanh, "erf": mpmath.erf,
    }  # fmt: skip
    total = mpmath.mpf(0)
    for m, c in p.items():
        term = mpmath.mpf(c.numerator) / c.denominator
        for a in m:
            if isinstance(a, str):
                term *= mpmath.pi if a == "pi" else at
            else:
                term *= functions[a[1]](*(number_of(dict(q), at) for q in a[2]))
        total += term
    return total


@pytest.mark.parametrize("function", ["exp", "log", "sqrt", "inv", "tanh", "abs", "erf"])
@pytest.mark.parametrize("at", ["0.75", "1.25"])
def test_a_slope_is_that_of_the_function(function: str, at: str) -> None:
    f = call(function, X)
    ((atom,),) = f
    with mpmath.workdps(50):
        place = mpmath.mpf(at)
        slope = mpmath.diff(lambda x: number_of(f, x), place)
        # a difference of 50 digits at a step that keeps 20 of them
        assert abs(number_of(checker.derivative(atom, X), place) - slope) < mpmath.mpf(10) ** -15


def test_what_has_no_slope_is_refused() -> None:
    with pytest.raises(Refused, match="no derivative of sign"):
        checker.derivative(("call", "sign", (freeze(X),)), X)


ROOTS = [2, 8, 9, 12, 994009, 1018081, 1022117, HALF, Fraction(8, 9), Fraction(3, 50), 1]


@pytest.mark.parametrize("c", ROOTS)
def test_a_root_of_a_number_squares_to_it(c: Any) -> None:
    root = call("sqrt", const(c))
    assert mul(root, root) == const(c)
    with mpmath.workdps(50):
        exact = mpmath.sqrt(mpmath.mpf(Fraction(c).numerator) / Fraction(c).denominator)
        assert abs(number_of(root, 0) - exact) < mpmath.mpf(10) ** -40
        assert abs(number_of(call("inv", root), 0) - 1 / exact) < mpmath.mpf(10) ** -40
    assert mul(root, call("inv", root)) == const(1)


def test_roots_of_small_factors_are_taken_apart_and_others_are_not() -> None:
    assert call("sqrt", const(6)) == mul(call("sqrt", const(2)), call("sqrt", const(3)))
    assert call("sqrt", const(997 * 997)) == const(997)  # a prime below 1000
    assert set(call("sqrt", const(1009 * 1009)).values()) == {1}  # stays under one root
    assert call("sqrt", const(1)) == const(1)


@pytest.mark.parametrize("p", [X, const(-2), {}, add(X, const(2)), scale(X, 4)])
def test_only_the_root_of_a_positive_number_squares_to_it(p: Any) -> None:
    root = call("sqrt", p)
    assert len(root) == 1 and mul(root, root) != p
    assert checker.radicand(next(iter(root))[0]) == 0
    assert len(next(iter(mul(root, root)))) == 2


def test_a_function_of_two_numbers_is_no_root_and_no_power() -> None:
    for function in ("sqrt", "exp", "inv"):
        atom = (function, (freeze(const(2)), freeze(const(3))))
        if function != "inv":
            assert call(function, const(2), const(3)) == var(("call", *atom))
    assert checker.radicand(("call", "sqrt", (freeze(const(2)), freeze(const(3))))) == 0


def test_one_over() -> None:
    one_over = call("inv", X)
    assert mul(X, one_over) == const(1) and mul(X, X, one_over) == X
    assert mul(one_over, one_over) != one_over
    assert call("inv", one_over) == X
    assert call("inv", scale(mul(X, Y), 3)) == scale(mul(one_over, call("inv", Y)), Fraction(1, 3))
    assert call("inv", mul(X, X)) == mul(one_over, one_over)
    both = call("inv", add(X, Y))
    assert len(both) == 1 and mul(both, add(X, Y)) != const(1)  # only by a relation
    assert call("inv", both) == var(("call", "inv", (freeze(both),)))
    assert call("inv", call("inv", add(X, const(1)))) != call("inv", add(X, const(1)))
    with pytest.raises(Refused, match="division by zero"):
        call("inv", {})


def test_powers_of_e() -> None:
    e = call("exp", X)
    assert call("exp", scale(X, 3)) == mul(e, e, e)
    assert call("exp", add(X, Y)) == mul(e, call("exp", Y))
    assert mul(e, call("exp", scale(X, -1))) == const(1)
    assert call("exp", scale(X, -2)) == mul(call("inv", e), call("inv", e))
    assert call("exp", scale(X, 16)) == mul(*[e] * 16)
    assert call("exp", scale(X, 17)) == var(("call", "exp", (freeze(scale(X, 17)),)))
    half = call("exp", scale(X, HALF))
    assert len(next(iter(half))) == 1 and call("exp", scale(X, 3 * HALF)) == mul(half, half, half)
    assert call("exp", {}) == const(1)
    assert e != call("exp", const(1)) and call("exp", const(1)) != const(1)


# -- conditions -----------------------------------------------------------------------------------
def test_a_condition_counts_once_and_nothing_else_does() -> None:
    for source in ("where(t[i] > 0, 1, 0)", "where(t[i] == 0, 1, 0)", "where(i >= j, 1, 0)"):
        p = read(source)
        assert mul(p, p) == p, source
    for source in ("t[i]", "i", "sum[j:N](t[j])", "sum[j:N](1, j >= i)", "where(i >= j, t[i], 0)"):
        p = read(source)
        assert mul(p, p) != p, source


@pytest.mark.parametrize(
    ("kind", "value", "truth"),
    [
        ("==", 0, 1), ("==", 1, 0), ("==", -1, 0), (">=", 0, 1), (">=", -1, 0), (">=", HALF, 1),
        (">", 0, 0), (">", HALF, 1), (">", 1, 1), (">", -1, 0),
    ],
)  # fmt: skip
def test_a_condition_on_a_number_is_decided(kind: str, value: Any, truth: int) -> None:
    guard = kind, freeze(const(value))
    assert checker.certain(guard) == bool(truth) == checker.certain_fact((kind, const(value)))
    assert condition(guard) == const(truth)
    if kind != ">":
        assert checker.reduction("sum", (), [guard], X) == (X if truth else {})
    assert not checker.certain((kind, freeze(X)))
    assert not checker.certain((kind, freeze(add(X, const(value)))))


def test_greater_is_not_at_least() -> None:
    assert condition((">", freeze(X))) == sub(const(1), condition((">=", freeze(scale(X, -1)))))
    assert condition((">=", freeze(X))) == var(("if", (">=", freeze(X))))
    assert same("where(t[i] > 0, 1, 0)", "1 - where(t[i] <= 0, 1, 0)")
    assert same("where(t[i] < t[j], 1, 0)", "1 - where(t[j] <= t[i], 1, 0)")
    for other in ("t[i] < 0", "t[i] <= 0", "t[i] == 0", "t[i] >= 1"):
        assert not same("where(t[i] > 0, 1, 0)", f"where({other}, 1, 0)")


INTEGERS = [
    ("i < j", "i <= j - 1"), ("i > j", "i >= j + 1"), ("i <= j", "j >= i"), ("i == j", "j == i"),
    ("i < j", "i + 1 <= j"), ("i <= j < N", "i <= j and j <= N - 1"),
]  # fmt: skip


@pytest.mark.parametrize(("left", "right"), INTEGERS)
def test_conditions_on_integers(left: str, right: str) -> None:
    assert same(f"where({left}, t[0], t[1])", f"where({right}, t[0], t[1])")
    first, second = text().guards(left), text().guards(right)
    assert len(first) == len(second) == (2 if "N" in left else 1)


@pytest.mark.parametrize("op", ["NotEq", "Is", "In", ""])
def test_there_are_five_comparisons(op: str) -> None:
    for f in (checker.compare, checker.real_compare):
        with pytest.raises(Refused, match="there is no condition"):
            f(op, X, Y)


REAL = ["t[i]", "lr", "exp(i)", "inv(N)", "sum[j:N](t[j])", "max[j:N](t[j])", "i + t[i]", "i*lr"]
WHOLE = ["i", "k[i]", "i//2", "k[i]%N", "sum[j:N](j)", "max[j:N](k[j])", "3", "philox(i, j, i, j)"]
WHOLE += ["argmax[j:N](t[j])", "where(i >= j, 1, 0)"]


@pytest.mark.parametrize("source", REAL + WHOLE)
def test_which_numbers_are_real(source: str) -> None:
    t = text()
    assert checker.is_real(t.value(source), t.tensors, {"lr"}) == (source in REAL)
    assert checker.is_real({(): HALF}, t.tensors, set())
    rest = {(("%", freeze(t.value("k[0]")), freeze(t.value("t[0]"))),): 1}
    assert checker.is_real(rest, t.tensors, set())


@pytest.mark.parametrize(
    "source",
    ["t[i]//2", "i//t[i]", "lr%2", "i%lr", "exp(i)//2", "sum[j:N](t[j])//2", "max[j:N](t[j])//2"],
)
def test_only_integers_are_rounded(source: str) -> None:
    with pytest.raises(Refused, match="a quotient of integers rounds"):
        read(source)


# -- sums -----------------------------------------------------------------------------------------
EQUAL = [
    ("sum[i:N](t[i])", "sum[j:N](t[j])"),
    ("sum[i:N](t[i] + 1)", "sum[i:N](t[i]) + N"),
    ("sum[i:N](lr*t[i])", "lr*sum[i:N](t[i])"),
    ("sum[i:N](sum[j:N](a[i, j]))", "sum[i:N, j:N](a[i, j])"),
    ("sum[i:N, j:N](t[i]*t[j])", "sum[i:N, j:N](t[j]*t[i])"),
    ("sum[i:N](t[n])", "N*t[n]"),
    ("sum[i:N](t[i], n >= 1)", "where(n >= 1, sum[i:N](t[i]), 0)"),
    ("sum[i:N](t[i], i == n)", "sum[i:N](t[i], n == i)"),
    ("sum[i:N](t[i], 1 >= 0)", "sum[i:N](t[i])"),
    ("sum[i:N](t[i], 1 == 0)", "0"),
    ("sum[i:N](0)", "0"),
    ("max[i:N](t[i])", "max[j:N](t[j])"),
    ("(N*i + j)//N - i", "j//N"),
    ("(N*i + j)%N", "j%N"),
    ("(2*N*i + 3)//(2*N) - i", "3//(2*N)"),
    ("7//2", "3"),
    ("7%2", "1"),
    ("-7//2", "-4"),
    ("i//1", "i"),
    ("i%1", "0"),
    ("exp(t[i] + t[j])", "exp(t[j])*exp(t[i])"),
    ("sum[i:N](inv(sqrt(t[i]))*inv(sqrt(t[i])))", "sum[i:N](inv(t[i]))"),
]


@pytest.mark.parametrize(("left", "right"), EQUAL)
def test_equal_expressions_have_one_form(left: str, right: str) -> None:
    assert same(left, right)


DIFFERENT = [
    ("sum[i:N](t[i])", "sum[i:N](t[i], i >= 1)"),
    ("sum[i:N](t[i], i == n)", "sum[i:N](t[i], i >= n)"),
    ("sum[i:N](t[i], i <= n)", "sum[i:N](t[i], i >= n)"),
    ("sum[i:N](t[i])", "sum[i:N + 1](t[i])"),
    ("sum[i:N](t[n])", "t[n]"),
    ("sum[i:N](t[i])*sum[i:N](t[i])", "sum[i:N](t[i]*t[i])"),
    ("sum[i:N, j:N](a[i, j])", "sum[i:N, j:N](a[i, i])"),
    ("max[i:N](t[i], i >= n)", "max[i:N](t[i])"),
    ("max[i:N](t[n])", "N*t[n]"),
    ("max[i:N](t[n])", "t[n]"),
    ("max[i:N](2*t[i])", "2*max[i:N](t[i])"),  # true, but a sign would not be
    ("max[i:N](t[i])", "argmax[i:N](t[i])"),
    ("max[i:N](t[i] + 1)", "max[i:N](t[i]) + N"),
    ("max[i:N](t[i], n >= 1)", "where(n >= 1, max[i:N](t[i]), 0)"),
    ("where(i >= j, t[0], t[1])", "where(i >= j, t[1], t[0])"),
    ("where(t[i] >= 0, t[0], t[1])", "where(t[i] >= 0, t[1], t[0])"),
    ("where(i >= j, t[0], t[1])", "t[0]"),
    ("where(i >= j and i >= 1, t[0], t[1])", "where(i >= j, t[0], t[1])"),
    ("where(t[i] >= 0 and t[j] >= 0, t[0], t[1])", "where(t[i] >= 0, t[0], t[1])"),
    ("i//N", "i%N"),
    ("(N*i + j)//N", "i"),
    ("(3*i)//2", "i + i//2 + 1"),
    ("inv(sqrt(t[i]))*inv(sqrt(t[i]))", "inv(t[i])"),  # not under a sum: a relation says so
    ("sum[i:N](inv(sqrt(t[i]))*inv(sqrt(t[i]))*inv(sqrt(t[i])))", "sum[i:N](inv(t[i]))"),
    ("sum[i:N](inv(t[i])*inv(t[i]))", "sum[i:N](inv(t[i]))"),
    ("t[i]*t[i]", "t[i]"),
    ("t[i] - t[j]", "t[j] - t[i]"),
    ("t[i]/2", "2*t[i]"),
    ("i**2", "2*i"),
    ("-i", "i"),
]


@pytest.mark.parametrize(("left", "right"), DIFFERENT)
def test_other_expressions_have_another_form(left: str, right: str) -> None:
    assert not same(left, right)


def test_indices_of_a_sum_are_renamed_where_a_name_is_taken() -> None:
    p = read("sum[i:N](t[i]*t[j])")
    assert substitute(p, {"j": var("i")}) == read("sum[i_:N](t[i_]*t[i])")
    assert substitute(p, {"i": Y}) == p  # bound
    assert substitute(read("sum[i:N](t[i])"), {"N": add(N, const(1))}) == read("sum[i:N + 1](t[i])")
    nested = read("sum[i:N](t[i]*max[i_:N](a[i, i_])*t[j])")
    found = substitute(nested, {"j": var("i")})
    assert canonical(found) == canonical(read("sum[p:N](t[p]*max[q:N](a[p, q])*t[i])"))
    product = mul(read("sum[i:N](t[i])"), read("sum[i:N](t[i])"))
    once = checker.reduction("sum", [("j", freeze(N))], [], mul(product, read("t[j]")))
    assert same(show(once), "sum[j:N](t[j])*sum[i:N](t[i])*sum[i:N](t[i])")


def test_a_sum_takes_over_the_guards_and_loops_of_the_sum_in_it() -> None:
    inner = read("sum[i:N](t[i], i >= j)")
    outer = checker.reduction("sum", [("i", freeze(N))], [(">=", freeze(var("i")))], inner)
    ((found,),) = outer
    assert found[0] == "sum" and len(found[1]) == 2 and len({i for i, _ in found[1]}) == 2
    assert len(found[2]) == 2
    assert canonical(outer) == canonical(read("sum[p:N](sum[q:N](t[q], q >= j), p >= 0)"))


@pytest.mark.parametrize("source", ["sum[i:N, i:N](t[i])", "max[i:N, i:N](t[i])", "sum[i:i](1)"])
def test_an_index_stands_once_and_in_no_extent(source: str) -> None:
    with pytest.raises(Refused, match="an index twice, or an extent"):
        read(source)


def test_a_maximum_of_nothing_or_of_one_keeps_its_form() -> None:
    for kind in ("max", "argmax"):
        for body in ({}, X):
            ((atom,),) = checker.reduction(kind, [], [], body)
            assert atom == (kind, (), (), freeze(body))
        ((atom,),) = checker.reduction(kind, [("i", freeze(N))], [(">=", freeze(const(-1)))], X)
        assert len(atom[2]) == 1  # a maximum over nothing is not 0


def test_text_is_read_as_it_is_shown() -> None:
    sources = [side for pair in EQUAL + DIFFERENT for side in pair if "where(t" not in side]
    for source in [*sources, "loss[()]", "-x - 1", "3*x*y - 2", "inv(x + 1)", "0", "1", "-1"]:
        p = text(loss=[]).value(source)
        again = text(loss=[]).value(show(p))
        assert show(canonical(again)) == show(canonical(p)), source
    assert show(scale(X, HALF)) == "(1/2)*x"
    assert show(add(scale(mul(X, Y), -2), const(3))) in ("3 - 2*x*y", "-2*x*y + 3")
    assert show({}) == "0" and show(scale(X, -1)) == "-x" and show(const(-1)) == "-1"
    assert (
        show(read("sum[i:N](t[i], i >= 1)")) == "sum[i:N](t[i], i - 1 >= 0)"
        or show(read("sum[i:N](t[i], i >= 1)")) == "sum[i:N](t[i], -1 + i >= 0)"
    )
    assert show(read("where(t[i] >= 0, 1, 0)")) == "(t[i] >= 0)"
    assert show(read("i//2 + N%i")) in ("((N)%(i)) + ((i)//(2))", "((i)//(2)) + ((N)%(i))")


# -- what is known of sizes --------------------------------------------------------------------
def facts(source: str) -> Any:
    return checker.thaw(g for part in source.split(";") if part for g in text().guards(part))


def test_what_has_a_lower_bound_of_1() -> None:
    known = checker.at_least_one(facts("N >= 1; x >= 0; y >= 3; 2*z >= 4; p + q >= 1; w == 5"))
    assert {a for a in known if isinstance(a, str)} == {"N", "y"}
    assert checker.positive(add(var("p"), var("q")), known)
    assert checker.positive(N, known) and checker.positive(const(2), known)
    assert checker.positive(add(mul(N, var("y")), N), known)
    no = [{}, X, const(-1), scale(N, -1), sub(N, const(1)), add(N, X), const(HALF), var("w")]
    assert not any(checker.positive(p, known) for p in no)


def test_quotients_are_what_they_are() -> None:
    q, r = divide(X, N)
    found = list(checker.divisions([*facts("N >= 1"), (">=", add(q, scale(r, 2)))]))
    assert found == [
        ("==", sub(X, add(mul(N, q), r))), (">=", r), (">=", add(N, scale(r, -1), const(-1)))
    ]  # fmt: skip
    for known in ("N >= 0", "N == 1", "x >= 1", "2*N >= 1"):
        with pytest.raises(Refused, match="may be 0 or less"):
            list(checker.divisions([*facts(known), (">=", q)]))


EXTENTS = [  # (facts, sum, whether its extent may be negative and matters)
    ("", "sum[i:N](1)", True),
    ("N >= 0", "sum[i:N](1)", False),
    ("N >= 1", "sum[i:N](t[n])", False),
    ("N >= 1", "sum[i:N - 1](t[n])", False),
    ("N >= 1", "sum[i:N - 2](t[n])", True),
    ("N >= 0", "sum[i:N - 1](t[n])", True),
    ("N >= 3; N >= 1", "sum[i:N - 3](t[n])", False),
    ("N >= 1; N >= 3", "sum[i:N - 3](t[n])", False),
    ("2*N >= 3", "sum[i:N - 1](t[n])", True),
    ("-N >= 0", "sum[i:N](t[n])", True),
    ("N*M >= 2", "sum[i:N - 1](t[n])", True),
    ("N >= 1", "sum[i:N - 2](t[i])", False),  # an empty sum is 0
    ("N >= 1", "sum[i:N - 2](t[n], i >= 1)", False),
    ("N >= 1", "sum[i:N - 2](t[i] + t[n])", True),
    ("N >= 1", "sum[i:N*M](t[n])", True),
    ("N >= 1; M >= 0", "sum[i:N*M](t[n])", False),
    ("N == 5", "sum[i:N](t[n])", True),
    ("N >= -2", "sum[i:N](t[n])", True),
    ("N >= -2", "sum[i:N + 2](t[n])", True),  # only symbols that are at least 0 are looked at
    ("", "sum[i:0 - 1](t[n])", True),
    ("", "sum[i:2](t[n])", False),
    ("N >= 1", "sum[i:N, j:N - 5](t[i])", True),
]


@pytest.mark.parametrize(("known", "source", "bad"), EXTENTS)
def test_where_an_extent_may_be_negative(known: str, source: str, bad: bool) -> None:
    sums = checker.sums_in(read(source))
    assert len(sums) == 1
    if not bad:
        checker.extents("here", facts(known), *sums)
        return
    with pytest.raises(Refused, match=r"here: the extent .* may be negative"):
        checker.extents("here", facts(known), *sums)


def test_every_sum_is_looked_at() -> None:
    good, bad = (checker.sums_in(read(s))[0] for s in ("sum[i:N](t[i])", "sum[i:N - 5](t[n])"))
    with pytest.raises(Refused):
        checker.extents("here", facts("N >= 1"), good, bad)


def test_what_is_a_power_of_e_is_positive() -> None:
    known = checker.at_least_one(facts("N >= 1"))
    yes = ["exp(t[i])", "inv(exp(t[i]))", "sum[i:N](exp(t[i]))", "inv(sum[i:N](2*exp(t[i])))"]
    no = ["t[i]", "sum[i:N](t[i])", "sum[i:M](exp(t[i]))", "sum[i:N](exp(t[i]), i >= 1)"]
    no += ["inv(t[i])", "sum[i:N](exp(t[i]) - 1)", "sum[i:N](-exp(t[i]))", "sqrt(exp(t[i]))"]
    no += ["sum[i:N](exp(t[i])*t[i])", "max[i:N](exp(t[i]))", "inv(exp(t[i]) - 2)", "log(t[i])"]
    for source in yes + no:
        ((atom,),) = read(source) if read(source) else [[("x",)]]
        assert checker.exponential(atom, known) == (source in yes), source


def test_which_inverses_stand_in_an_expression() -> None:
    def found(source: str) -> set[str]:
        return {checker.show_atom(a) for a in checker.inverses(read(source))}

    assert found("t[i]") == set()
    assert found("inv(t[i]) + inv(t[i] + 1)*t[j]") == {"inv(t[i])", "inv(t[i] + 1)"} or found(
        "inv(t[i]) + inv(t[i] + 1)*t[j]"
    ) == {"inv(t[i])", "inv(1 + t[i])"}
    assert found("sum[i:N](inv(t[i]))") == {"inv(t[i])"}
    assert found("inv(sqrt(t[i]))") == {"inv(sqrt(t[i]))", "inv(t[i])"}
    assert found("inv(exp(t[i]))") == {"inv(exp(t[i]))"}
    twice = var(("call", "inv", (freeze(call("inv", X)),)))  # as no reader makes it
    assert {checker.show_atom(a) for a in checker.inverses(twice)} == {"inv(x)"}


def test_values_of_integer_expressions() -> None:
    at = {"x": 7, "N": 2, "k[3]": 5, "philox(1, 2, 3, 4)": 9}
    for source, value in [
        ("x//N", 3), ("x%N", 1), ("-x//N", -4), ("2*x - 3*N*N", 2), ("k[3] + x", 12), ("0", 0),
        ("philox(1, 2, 3, 4)*2", 18),
    ]:  # fmt: skip
        assert checker.evaluate(read(source), at) == value
    assert checker.holds((">=", {}), {}) and checker.holds(("==", {}), {})
    assert not checker.holds((">=", const(-1)), {}) and not checker.holds(("==", const(1)), {})
    assert checker.holds((">=", X), at) and not checker.holds(("==", X), at)
    for open_fact in ((">=", var("z")), (">=", divide(X, var("z0"))[0])):
        with pytest.raises(Refused, match=r"leave .* open"):
            checker.holds(open_fact, {**at, "z0": 0})


@pytest.mark.parametrize(
    ("source", "empty"),
    [
        ("sum[i:N](t[i], i >= N)", True), ("sum[i:N](t[i], i >= N - 1)", False),
        ("sum[i:N - 4](t[i])", True), ("sum[i:N - 3](t[i])", False),
        ("sum[i:N, j:N](t[i], i - j == N - 1)", False), ("sum[i:N, j:N](t[i], i - j == N)", True),
        ("sum[i:N, j:N - 4](t[i])", True), ("sum[i:N](t[i], i >= 2, i <= 1)", True),
    ],
)  # fmt: skip
def test_whether_a_sum_has_a_term(source: str, empty: bool) -> None:
    (atom,) = checker.sums_in(read(source))
    assert checker.is_empty(atom, {"N": 4}) == empty
