"""Certificates, claims and definitions that are wrong in one respect each are refused."""

from __future__ import annotations

import copy
import json
import re
from fractions import Fraction
from typing import Any

import pytest

from gradproof.derive import checker
from gradproof.derive.checker import (
    Certificates,
    Refused,
    System,
    Tensor,
    Text,
    add,
    canonical,
    const,
    digest,
    mul,
    scale,
    show,
    sub,
    var,
    verify_step,
)
from tests.test_checker_folder import entry_of, named, operator_of, record_of
from tests.test_checker_kernels import DEFINITION

X, Y, N, HALF = var("x"), var("y"), var("N"), Fraction(1, 2)
TENSORS = {"t": Tensor("t", [N], {}), "k": Tensor("k", [N], {"dtype": "int"})}


def p(text: str) -> Any:
    return Text(TENSORS, (), (), ["lr"]).value(text)


def facts(text: str) -> Any:
    return checker.thaw(g for c in text.split(";") if c for g in Text(TENSORS).guards(c))


def certificates(**sections: Any) -> Certificates:
    definition = {
        "tensors": {"t": {"shape": ["N"]}, "k": {"shape": ["N"], "dtype": "int", "values": "C"}},
        "lower": {"N": 1}, "derived": {"L": "N"}, "sizes": ["N", "P"], "scalars": {"lr": "real"},
    }  # fmt: skip
    empty = {"proofs": {}, "maps": {}, "cofactors": {}}
    return Certificates({"definition": definition, **empty, **sections})


# -- one step -------------------------------------------------------------------------------------
KNOWN = facts("x >= 0; y == 3; 3 - x >= 0; x - 3 >= 0; N >= 1; y - N == 0")


@pytest.mark.parametrize(
    ("step", "right"),
    [
        ((">=", p("x + 1"), [(HALF, [0]), (HALF, [-1])], []), True),
        ((">=", p("x + 1"), [(HALF, [-1]), (HALF, [0])], []), True),
        ((">=", p("x + 1"), [(1, [0]), (1, [-1])], []), False),
        ((">=", p("x*x"), [(1, [0, 0]), (1, [-1])], []), True),
        ((">=", p("2*x"), [(2, [0]), (1, [-1])], []), True),
        ((">=", p("x*(3 - x)"), [(1, [0, 2]), (1, [-1])], []), True),
        ((">=", p("x - 1"), [(1, [0]), (1, [-1])], []), False),
        ((">=", p("x"), [(1, [0, 0]), (1, [-1])], []), False),
        ((">=", p("0 - 1"), [], []), False),
        ((">=", p("0"), [(1, [-1])], []), True),
        (("==", p("x - 3"), [(1, [3, 2])], []), True),
        (("==", p("3 - x"), [(1, [2, 3])], []), True),
        (("==", p("x - 3"), [(1, [2, 3])], []), False),
        (("==", p("x - 3"), [(2, [3, 2])], []), False),
        (("==", p("x - 3"), [(1, [3, 2])], [(1, {})]), False),
        (("==", p("x - 3"), [(1, [3, 2]), (1, [3, 2])], []), False),
        (("==", p("x - 3"), [(1, [3])], []), False),
        (("==", p("x - 3"), [(1, [3, 2, 2])], []), False),
        (("==", p("x - 3"), [(1, [3, 99])], []), False),
        (("==", p("x"), [(1, [0, 0])], []), False),
        (("==", p("2*y - 6"), [], [(1, const(2))]), True),
        (("==", p("N - 3"), [], [(1, const(1)), (5, const(-1))]), True),
        (("==", p("x*y - 3*x"), [], [(1, X)]), True),
        (("==", p("y - 3"), [], []), False),
        (("==", p("y - 3"), [(1, [0])], [(1, const(1))]), False),
        (("==", {}, [], []), True),
        ((">=", p("3 - y"), [(1, [-1])], [(1, const(-1))]), True),
        ((">=", p("2 - y"), [(1, [-1])], [(1, const(-1))]), False),
        ((">=", p("y - 3"), [(1, [-1])], [(1, const(1))]), True),
        (("=>", p("x"), [(1, [0]), (1, [-1])], []), False),
        ((">", p("x"), [(1, [0]), (1, [-1])], []), False),
    ],
)  # fmt: skip
def test_a_step_shows_what_it_says(step: Any, right: bool) -> None:
    assert verify_step(KNOWN, step) is right


@pytest.mark.parametrize(
    ("step", "message"),
    [
        ((">=", scale(X, Fraction(1, 2)), [(1, [0])], []), "need not be an integer"),
        (("==", X, [], [(0, X)]), "fact 0 is no equation"),
        (("==", X, [], [(6, X)]), "fact 6 is no equation"),
        (("==", X, [], [(-1, X)]), "fact -1 is no equation"),
        ((">=", X, [(1, [1])], []), "fact 1 is no inequality"),
        ((">=", X, [(1, [6])], []), "fact 6 is no inequality"),
        ((">=", X, [(1, [-2])], []), "fact -2 is no inequality"),
        ((">=", X, [(-1, [0])], []), "multiplier -1 is negative"),
        ((">=", X, [(1, [0]), (-1, [])], []), "multiplier -1 is negative"),
    ],
)
def test_a_step_that_is_none_is_named(step: Any, message: str) -> None:
    with pytest.raises(Refused, match=message):
        verify_step(KNOWN, step)


EQUALS = facts("x == y; N == x; x - P >= 0; P - x >= 0")


@pytest.mark.parametrize(
    ("text", "right"),
    [
        ("k[x] - k[y]", True), ("k[y] - k[x]", True), ("k[N] - k[x]", True), ("exp(x) - exp(y)",
        True),
        ("philox(x, 1, N, 2) - philox(y, 1, x, 2)", True), ("k[x] - k[P]", False),
        ("philox(x, 1, N, 2) - philox(y, 2, x, 2)", False), ("k[N] - k[y]", False),
        ("philox(x, 1, P, 2) - philox(y, 1, x, 2)", False), ("k[x] + k[y]", False),
        ("2*k[x] - 2*k[y]", False), ("2*k[x] - k[y]", False), ("k[x] - t[y]", False),
        ("exp(x) - log(y)", False), ("k[x]*k[x] - k[y]*k[y]", False), ("k[x] - k[y] + 1", False),
        ("k[x]", False), ("x - y", False), ("N//x - N//y", False), ("k[x] - 1", False),
        ("where(x >= 1, 1, 0) - where(y >= 1, 1, 0)", False),
    ],
)  # fmt: skip
def test_an_element_at_places_that_are_equal(text: str, right: bool) -> None:
    if text == "exp(x) - exp(y)":  # single atoms
        assert checker.same_element(EQUALS, sub(checker.call("tanh", X), checker.call("tanh", Y)))
    assert checker.same_element(EQUALS, p(text)) is right
    if right:
        assert verify_step(EQUALS, ("==", p(text), [], []))
        assert not verify_step(EQUALS, ("==", p(text), [], [(0, const(0))]))


# -- a certificate -----------------------------------------------------------------------------
def settled(known: str, goals: str, steps: Any) -> Certificates:
    c = certificates()
    fs, gs = facts(known), facts(goals)
    left = [g for g in gs if not checker.certain_fact(g) and g not in fs]
    c.record["proofs"][digest(c.complete(fs, left), left)] = steps
    c.settle("here", fs, gs)
    return c


def test_a_certificate_shows_all_its_goals() -> None:
    step = [">=", "x + 1", [["1/2", [0]], ["1/2", [-1]]], []]
    c = settled("x >= 0", "x + 1 >= 0; x >= 0; 3 >= 0", [step])
    assert (c.steps, c.degree, c.size) == (1, 1, len(json.dumps([step])))
    assert len(c.used) == 1
    square = [">=", "x*x", [["1", [0, 0]], [1, [-1]]], []]
    c = settled("x >= 0", "x + 1 >= 0; x*x >= 0", [step, square])
    assert (c.steps, c.degree) == (2, 2)
    with pytest.raises(Refused, match=r"^here: certificate \w{16} does not show x\*x >= 0$"):
        settled("x >= 0", "x + 1 >= 0; x*x >= 0", [step])
    with pytest.raises(Refused, match=r"^here: certificate \w{16} does not show x \+ 1 == 0$"):
        settled("x >= 0", "x + 1 == 0", [step])
    with pytest.raises(Refused, match=r"^here: step 1 of certificate \w{16} does not add up$"):
        settled("x >= 0", "x + 1 >= 0", [step, [">=", "x + 2", [["1", [0]], [1, [-1]]], []]])
    with pytest.raises(Refused, match=r"^here: step 0 of certificate \w{16}: fact 7 is no ineq"):
        settled("x >= 0", "x + 1 >= 0", [[">=", "x + 1", [["1", [7]]], []]])
    with pytest.raises(Refused, match=r"^here: no certificate shows x \+ 1 >= 0$"):
        certificates().settle("here", facts("x >= 0"), facts("x >= 0; x + 1 >= 0"))
    certificates().settle("here", facts("x >= 0"), facts("x >= 0; 1 == 1"))
    with pytest.raises(Refused, match="no certificate"):
        certificates().settle("here", facts("x == 0"), facts("x >= 0"))
    with pytest.raises(Refused, match="no certificate"):
        certificates().settle("here", facts("x >= 0"), facts("0 == 1"))


def test_a_step_may_use_the_ones_before_and_no_later_one() -> None:
    one = [">=", "x + 1", [["1/2", [0]], ["1/2", [-1]]], []]
    two = [">=", "x + 2", [["1/2", [1]], ["1/2", [-1]]], []]
    settled("x >= 0", "x + 2 >= 0", [one, two])
    with pytest.raises(Refused):
        settled("x >= 0", "x + 2 >= 0", [two, one])


def test_labels_lie_in_their_range() -> None:
    c = certificates()
    found = c.complete(facts("k[x] >= 1"), facts("t[x]*k[y] >= 0"))
    assert [checker.show_fact(f) for f in found] == [
        "k[x] - 1 >= 0", "k[x] >= 0", "C - k[x] - 1 >= 0", "k[y] >= 0", "C - k[y] - 1 >= 0"
    ]  # fmt: skip
    found = c.complete(facts("N >= 1"), facts("x//N >= 0"))
    assert len(found) == 4


@pytest.mark.parametrize("text", ["k[0]", "x//2", "x%N", "philox(1, 2, 3, x)", "2*x*k[x] - 1"])
def test_integers_of_a_certificate(text: str) -> None:
    assert certificates().whole(text) == certificates().integer(text)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("t[0]", "need not be an integer"), ("lr", "need not be an integer"),
        ("x*lr", "need not be an integer"), ("grad_t[0]", "need not be an integer"),
        ("exp(x)", "is no integer of a certificate"),
        ("sum[i:N](i)", "is no integer of a certificate"), ("(x >= 1)", "is no integer"),
        ("max[i:N](k[i])", "is no integer"), ("argmax[i:N](t[i])", "is no integer"),
    ],
)  # fmt: skip
def test_numbers_that_are_no_integers_of_a_certificate(text: str, message: str) -> None:
    for step in ([">=", text, [], []], [">=", "x", [], [[0, text]]]):
        with pytest.raises(Refused, match=message):
            certificates().step(step)


# -- equalities ---------------------------------------------------------------------------------
def equal(
    left: str, right: str, known: str = "N >= 1", relation: Any = None, **sections: Any
) -> None:
    c = certificates(**{k: {"here": v} for k, v in sections.items()})
    c.record["proofs"] = c.proofs = Anything()
    c.equal("here", facts(known), p(left), p(right), relation or (lambda s: p(s[1])))


class Anything(dict[str, Any]):
    """No certificate: only what needs none is shown."""


J = {"map": {"i": "j"}, "back": {"j": "i"}, "loops": [["j", "N"]]}
AT = {"N": 4, "P": 3, "L": 4, "i": 1, "j": 1, "x": 1}


def test_sums_are_counted_from_0() -> None:
    m = {"sum": 0, **J, "witness": AT}
    equal("sum[i:N](t[i]) + 0*x", "sum[j:N](t[j])", maps=[m])
    for k in (1, -2, "0", None):
        with pytest.raises((Refused, TypeError), match=r"there is no sum|indices"):
            equal("sum[i:N](t[i])*t[0]", "sum[j:N](t[j])", maps=[{**m, "sum": k}])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"like": 1}, "there is no sum 1 on the other side"),
        ({"like": -1}, "there is no sum -1 on the other side"),
        ({"map": {}}, "does not name the indices"), ({"back": {}}, "does not name the indices"),
        ({"map": {"i": "j", "x": "j"}}, "does not name"), ({"back": {"j": "i", "x": "i"}},
        "does not"),
        ({"loops": [["j", "N"], ["j", "N"]]}, "has the name of something else|does not name"),
        ({"loops": [["x", "N"]], "map": {"i": "x"}, "back": {"x": "i"}}, "the name of something"),
        ({"map": {"i": "i"}}, "is an index of the other sum"),
        ({"back": {"j": "j"}}, "is an index of the other sum"),
        ({"loops": [["j", "i + 1"]]}, "has the name of something else"),
        ({"guards": [[">=", "i"]]}, "has the name of something else"),
        ({"guards": [[">=", "j"], [">=", "j - 1"]]},
        "here, sum 0, back: no certificate shows j - 1|i - 1"),
        ({"map": {"i": "N - 1 - j"}}, "here, sum 0, there: no certificate"),
        ({"map": {"i": "2*j"}}, "here, sum 0, there: no certificate"),
        ({"loops": [["j", "N + 1"]]}, "here, sum 0, there: no certificate"),
        ({"loops": [["j", "N - 1"]]}, "here, sum 0, there: no certificate"),
        ({"rewrite": [["t", "j", "j + 1"]]}, "there: no certificate"),
        ({"rewrite": [["t", "j", "0"]]}, "there: no certificate"),
        ({"witness": {**AT, "N": 1, "j": 0}}, "shows too little|the witness has N = 1"),
        ({"witness": {**AT, "P": 0}}, "the witness has P = 0"),
        ({"witness": {**AT, "L": 1}}, "the witness has L = 1"),
        ({"witness": {**AT, "j": 4}}, "the witness breaks"),
        ({"witness": {**AT, "j": -1}}, "the witness breaks"),
        ({"witness": {**AT, "j": 1.0}}, "a witness has integers"),
        ({"witness": {**AT, "N": True}}, "a witness has integers"),
    ],
)  # fmt: skip
def test_a_bijection_that_is_none_is_refused(change: Any, message: str) -> None:
    m = {"sum": 0, **J, "witness": AT, **change}
    with pytest.raises(Refused, match=message):
        equal("sum[i:N](t[i]*t[x])", "t[x]*sum[j:N](t[j]) + x", "N >= 1; x >= 0", maps=[m])


def test_a_witness_may_have_a_negative_padding() -> None:
    m = {"sum": 0, **J, "witness": {**AT, "P": -1}}
    equal("sum[i:N](t[i])", "sum[j:N](t[j])", maps=[m])
    c = certificates(maps={"here: witness": [{"witness": {"N": 3, "x": 2}}]})
    c.satisfied("here", facts("N >= 1; x == 2"))
    for bad in ("x == 3", "x == 1", "x >= 3", "N >= 4"):
        with pytest.raises(Refused, match="the witness breaks"):
            c.satisfied("here", facts(bad))
    with pytest.raises(Refused, match="there: no values show that its hypotheses hold together"):
        c.satisfied("there", [])


def test_an_empty_sum_is_0_and_an_empty_maximum_is_nothing() -> None:
    m = [{"sum": 0, "empty": True}]
    with pytest.raises(Refused, match="here, sum 0, empty: no certificate shows -1 >= 0"):
        equal("sum[i:N](t[i], i <= x)", "0", maps=m)
    for kind in ("max", "argmax"):
        with pytest.raises(Refused, match=f"a {kind} over nothing has no value"):
            equal(f"{kind}[i:N](t[i])", "0", maps=m)
    c = certificates()
    known = facts("N >= 1")
    source = checker.sums_in(p("sum[i:N](t[i], i <= 0 - 1)"))[0]
    inside = [*known, *facts("i >= 0"), *facts("N - 1 - i >= 0"), *checker.thaw(source[2])]
    c.proofs[digest(inside, [checker.NEVER])] = [[">=", "-1", [["1", [1]], ["1", [3]]], []]]
    assert c.empty("here", known, source) == {}


@pytest.mark.parametrize(
    ("left", "right", "spec", "factor", "fine"),
    [
        ("t[0]*t[1]", "t[0]*t[2]", "t[0]*t[1] - t[0]*t[2]", "1", True),
        ("t[1]", "t[2]", "t[0]*t[1] - t[0]*t[2]", "inv(t[0])", False),
        ("t[1]*inv(t[0])", "t[2]*inv(t[0])", "t[1] - t[2]", "inv(t[0])", True),
        ("t[1]*exp(x)", "t[2]*exp(x)", "t[1] - t[2]", "exp(x)", True),
        ("t[1]", "t[2]", "exp(x)*t[1] - exp(x)*t[2]", "inv(exp(x))", True),
        ("t[0]*t[1]", "t[0]*t[2]", "t[0]*t[1] - t[0]*t[2]", "2", False),
        ("t[0]*t[1]", "t[0]*t[2]", "t[0]*t[1] - t[0]*t[2]", "-1", False),
    ],
)
def test_a_relation_times_a_cofactor(
    left: str, right: str, spec: str, factor: str, fine: bool
) -> None:
    if fine:
        equal(left, right, cofactors=[[["", spec], factor]])
        return
    with pytest.raises(Refused, match=r"is of neither side|the two sides differ by"):
        equal(left, right, cofactors=[[["", spec], factor]])


def test_a_relation_whose_extent_may_be_negative_is_refused() -> None:
    with pytest.raises(Refused, match="may be negative"):
        equal("t[0]", "t[1]", cofactors=[[["", "sum[i:N - 5](t[0] - t[1])"], "1"]])
    with pytest.raises(Refused, match="may be negative"):
        equal("sum[i:N - 5](t[0])", "sum[j:N - 5](t[1])")
    with pytest.raises(Refused, match="may be negative"):
        equal("t[0]", "sum[j:N - 5](t[1])")


def test_what_is_implied_holds() -> None:
    c = certificates()
    for goal, condition in (("x >= 2", "x >= 1"), ("-1 >= 0", "x >= 1")):
        with pytest.raises(Refused, match=r"here, .*: no certificate shows"):
            c.zero("here", [], ["implied", goal, condition], None)
    found = c.zero("here", facts("y >= 1"), ["implied", "y >= 1", "x >= 1"], None)
    assert canonical(found) == canonical(p("(x >= 1)*(1 - (y >= 1))")) or show(found) == show(
        mul(checker.reduction("sum", (), Text({}).guards("x >= 1"), const(1)),
            sub(const(1), checker.reduction("sum", (), Text({}).guards("y >= 1"), const(1))))
    )  # fmt: skip
    assert c.zero("here", [], ["", "x - x"], lambda s: p(s[1])) == {}


def test_subscripts_are_rewritten_only_where_the_names_mean_the_same() -> None:
    rows = [("t", var("i"), var("j"))]
    rewritten = checker.rewrite_subscripts
    assert rewritten(p("t[i]*k[i] + i"), rows) == p("t[j]*k[i] + i")
    assert rewritten(p("sum[i:N](t[i])"), rows) == p("sum[i:N](t[i])")
    assert rewritten(p("sum[j:N](t[i]*t[j])"), rows) == p("sum[j:N](t[i]*t[j])")
    assert rewritten(p("sum[h:N](t[i]*t[h])"), rows) == p("sum[h:N](t[j]*t[h])")
    assert rewritten(p("exp(t[i] + 1)*max[h:N](t[i])"), rows) == p("exp(t[j] + 1)*max[h:N](t[j])")
    assert rewritten(p("t[i]"), []) == p("t[i]")


# -- definitions --------------------------------------------------------------------------------
def definition(**changes: Any) -> Any:
    return {**copy.deepcopy(DEFINITION), **changes}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"sizes": ["N", "M", "P", "N"]}, "a name stands for two things, or is reserved"),
        ({"sizes": ["N", "M", "P", "lr"]}, "a name stands for two things, or is reserved"),
        ({"sizes": ["N", "M", "P", "L"]}, "a name stands for two things, or is reserved"),
        ({"sizes": ["N", "M", "P", "id"]}, "a name stands for two things, or is reserved"),
        ({"sizes": ["N", "M", "P", "_x"]}, "a name stands for two things, or is reserved"),
        ({"sizes": ["N", "M", "P", "INT_MAX"]}, "a name stands for two things, or is reserved"),
        ({"equations": ["z[N] = Y[N]"]}, "z.N. = Y.N.: a name stands for two things"),
        ({"equations": ["z[lr] = Y[0]"]}, "a name stands for two things"),
        ({"equations": ["z[n] = Y[n]", "z[n] = Y[n]"]}, "a name stands for two things"),
        ({"equations": ["z[n] = Y[n, n]"]}, "Y has 1 subscripts, not 2"),
        ({"equations": ["z[n] = Y[lr//2]"]}, "a quotient of integers rounds"),
    ],
)
def test_a_definition_with_two_meanings_is_refused(changes: Any, message: str) -> None:
    with pytest.raises(Refused, match=message):
        System(definition(**changes))


@pytest.mark.parametrize("text", ["n", "n + 1", "not n >= 1", "n >= 1 or n == 0"])
def test_a_condition_is_a_comparison_or_several(text: str) -> None:
    assert len(Text({}).guards("n >= 1 and 0 <= n < 5")) == 3
    with pytest.raises(Refused, match="is no condition"):
        Text({}).guards(text)


def test_only_the_values_of_an_input_are_known() -> None:
    d = definition()
    d["tensors"]["q"]["values"] = "N"
    with pytest.raises(
        Refused, match=r"only an input's values are known beforehand, not \{'q'\}'s"
    ):
        System(d)
    d["inputs"] = [*d["inputs"], "q"]
    System(d)


def test_what_a_definition_says_of_its_sizes() -> None:
    s = System(definition(requires=["N - M >= 0 and P == 2"]))
    assert [checker.show_fact(f) for f in s.sizes()] == [
        "N - 1 >= 0", "M - 2 >= 0", "-M + N >= 0", "P - 2 == 0", "L - M - N == 0"
    ]  # fmt: skip
    assert s.active() == {"Y", "A", "c", "z"}
    assert s.rhs("z", [const(3)]) == {(("read", "Y", (checker.freeze(const(3)),)),): 1}


def test_an_operand_that_is_left_out_has_its_value_everywhere() -> None:
    d = definition(optional={"c": 7}, equations=["z[n] = Y[n]*c[()] + A[n, n]"])
    s = System(d, ["c"])
    assert s.inputs == ["Y", "A", "t"] and s.active() == {"Y", "A", "z"}
    assert canonical(s.rhs("z", [var("n")])) == canonical(System(d).text.value("7*Y[n] + A[n, n]"))
    assert System({**d, "constant": ["Y", "A", "c"]}).active() == set()


def test_an_adjoint_adds_over_every_occurrence() -> None:
    def adjoint(equation: str, operand: str = "Y", place: Any = ("p",)) -> Any:
        s = System(definition(equations=[equation]))
        grads = {f"grad_{n}": Tensor(f"grad_{n}", t.shape, {}) for n, t in s.tensors.items()}
        text = Text({**s.tensors, **grads})
        return canonical(s.adjoint(operand, [*place])), lambda t: canonical(text.value(t))

    for equation, text in {
        "z[n] = Y[n]": "sum[n:N](grad_z[n], n == p)",
        "z[n] = 3*Y[n]*Y[0]": (
            "sum[n:N](3*grad_z[n]*Y[0], n == p) + sum[n:N](3*grad_z[n]*Y[n], p == 0)"
        ),
        "z[n] = exp(Y[n])": "sum[n:N](grad_z[n]*exp(Y[n]), n == p)",
        "z[n] = where(Y[n] >= 0, Y[n], 2)": "sum[n:N](grad_z[n]*where(Y[n] >= 0, 1, 0), n == p)",
        "z[p] = sum[n:M](A[p, n]*Y[n])": "sum[q:N, n:M](grad_z[q]*A[q, n], n == p)",
        "z[n] = A[n, n]": "0",
    }.items():
        found, meant = adjoint(equation)
        assert found == meant(text), equation
    for equation in ("z[n] = pow(Y[n], 2)", "z[n] = argmax[i:N](Y[i])", "z[n] = max[i:N](Y[i])"):
        with pytest.raises(Refused, match=r"no derivative of|no equation names the position"):
            adjoint(equation)


# -- closed forms -------------------------------------------------------------------------------
OPERATORS = {
    "twice": {"arguments": {"a": ["H", "H*G"]}, "parameters": ["s"], "outside": {"a": "zero"},
              "lower": {"G": 2}, "shape": ["H"], "indices": ["i"], "value": "s*a[i + 1, G]"},
    "first": {"arguments": {"a": ["H"]}, "parameters": [], "outside": {}, "integer": ["a"],
              "lower": {}, "shape": [], "indices": [], "value": "a[0]"},
    "odd": {"arguments": {"a": ["H + 1"]}, "parameters": [], "outside": {}, "lower": {},
            "shape": [], "indices": [], "value": "a[0]"},
}  # fmt: skip


def named_text() -> Text:
    shapes = {"a": "N, P*N", "b": "N, M", "u": "N", "x2": "N, N"}
    tensors = {n: Tensor(n, [p(e) for e in s.split(",")], {}) for n, s in shapes.items()}
    return Text({**tensors, **TENSORS}, (), OPERATORS, ["lr"])


def test_a_named_operator_is_its_equation() -> None:
    text = named_text()
    found = text.value("twice(a, 3)[n]")
    guard = "n + 1 >= 0 and N - n - 2 >= 0 and P >= 0 and P*N - P - 1 >= 0"
    assert canonical(found) == canonical(text.value(f"3*where({guard}, a[n + 1, P], 0)"))
    assert [checker.show_fact(f) for f in text.needs] == ["P - 2 >= 0"]
    assert named_text().value("first(k)[()]") == p("k[0]")
    text = named_text()
    t = text.tensor(checker.ast.parse("twice(x2, 1)", mode="eval").body)
    assert t.shape == [N] and [checker.show_fact(f) for f in text.needs] == ["-1 >= 0"]


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("twice(a)[n]", "twice takes"), ("twice(a, 3, 4)[n]", "twice takes"),
        ("twice(3)[n]", "is no tensor"), ("twice(u, 3)[n]", "a has 2 dimensions, not 1"),
        ("twice(b, 3)[n]", r"twice: H\*G is M"), ("first(u)[()]", "are int, not real"),
        ("odd(u)[()]", "is no size or product of sizes"), ("other(a)[n]", "is no tensor"),
        ("sum[n:N](twice(a, n)[n])", ""), ("twice(a, 3)[n, n]", "twice has 1 subscripts, not 2"),
        ("twice(k, 3)[n]", "a has 2 dimensions, not 1"),
    ],
)  # fmt: skip
def test_a_named_operator_that_does_not_fit_is_refused(source: str, message: str) -> None:
    if not message:
        named_text().value(source)
        return
    with pytest.raises(Refused, match=message):
        named_text().value(source)


def test_a_size_of_a_named_operator_is_not_of_an_index() -> None:
    operators = {"g": {**OPERATORS["first"], "integer": [], "parameters": ["s"], "lower": {"s": 1}}}
    text = Text({"u": Tensor("u", [N], {})}, (), operators)
    text.value("g(u, N)[()]")
    with pytest.raises(Refused, match="a size of a named operator depends on the sum's index"):
        text.value("sum[n:N](g(u, n)[()])")


def test_a_maximum_skips_what_is_outside_and_a_sum_does_not() -> None:
    t = Tensor("Y", [N], {"outside": "skip"})
    text = Text({"Y": t, "t": TENSORS["t"]})
    inside = "x + i >= 0 and N - x - i - 1 >= 0"
    ((atom,),) = text.value("max[i:P](Y[x + i])")
    assert {*atom[2]} == {*Text({}).guards(inside)} and atom[3] == checker.freeze(
        t.plain([p("x + i")])
    )
    ((atom,),) = text.value("max[i:P](Y[x + i]*2, i >= 1)")
    assert {*atom[2]} == {*Text({}).guards(inside + " and i >= 1")}
    for source in ("sum[i:P](Y[x + i])", "max[i:P](sum[j:P](Y[i + j]))"):
        with pytest.raises(Refused, match="only a maximum skips what is outside"):
            text.value(source)
    zero = Tensor("Y", [N], {"outside": "zero"})
    assert zero.at([X]) == checker.reduction("sum", (), zero.ranges([X]), zero.plain([X]))
    assert text.value("Y[x]") == zero.at([X])  # outside of both it is 0


# -- claims ---------------------------------------------------------------------------------------
def claimed(**claim: Any) -> None:
    record = copy.deepcopy(record_of("linear"))
    witness = {"K": 5, "N": 5, "O": 2, "n": 1, "o": 1, "k": 1, "q": 2, "Q": 3}
    record["maps"]["X1: witness"] = [{"witness": witness}]
    claims = [{"claim": "X1", "statement": "", **claim}]
    c = operator_of("linear", claims=claims, maps=record["maps"])
    c.certificates.settle = lenient(c.certificates.settle)  # type: ignore[method-assign]
    try:
        c.check(named())
    except Refused as error:
        if "show nothing that is asked" not in str(error):
            raise


def lenient(settle: Any) -> Any:
    def work(where: str, facts: Any, goals: Any) -> None:
        settle(where, facts, goals)

    return work


PLACE = [["n", "N"], ["o", "O"]]
PRODUCT = {"text": "b[o] + sum[k:K](Y[n, k]*w[o, k])"}


def test_a_true_claim_is_shown() -> None:
    claimed(free=PLACE, left={"value": "z"}, right=PRODUCT)
    claimed(goals=["N >= 1"])
    claimed(goals=["Q >= 2 and N >= 1"], sizes={"Q": 2})
    claimed(goals=["N >= 3"], facts=["N >= 3"])
    claimed(goals=["N >= q", "q >= 0"], facts=["N - q >= 0"], free=[["q", "N + 1"]])
    claimed(goals=["R >= 1"], where={"R": "N"})


@pytest.mark.parametrize(
    ("claim", "message"),
    [
        ({"free": PLACE, "left": {"value": "z"}, "right": {"text": "b[o]"}},
        "X1: the two sides differ"),
        ({"free": PLACE, "left": {"value": "w"}, "right": PRODUCT}, ""),
        ({"free": PLACE, "left": {"value": 1}, "right": PRODUCT}, "is no side of an equality"),
        ({"free": PLACE, "left": {"partial": ["z"]}, "right": PRODUCT}, "index out of range"),
        ({"free": PLACE, "left": {"tensor": "b"}, "right": PRODUCT}, "X1: b has 1 dimensions"),
        ({"free": PLACE, "left": {"tensor": "w"}, "right": {"tensor": "w"}},
        "X1: size: no certificate"),
        ({"free": [["n", "O"], ["o", "K"]], "left": {"tensor": "w"}, "right": {"text": "b[n]"}},
         "X1: the two sides differ"),
        ({"free": PLACE, "left": {"text": "n//(N - 2)"}, "right": {"text": "0"}},
        "may be 0 or less"),
        ({"goals": []}, "X1: nothing is claimed"),
        ({"goals": ["N >= 2"]}, "X1: no certificate shows N - 2 >= 0"),
        ({"goals": ["N >= 2"], "facts": ["0 >= 1"]}, "X1: it assumes -1 >= 0"),
        ({"goals": ["N >= 2"], "facts": ["N >= 2", "0 == 1"]}, "X1: it assumes -1 == 0"),
        ({"goals": ["N >= 0"], "fixed": {"N": 0}}, "X1: it assumes -1 >= 0"),
        ({"goals": ["N >= 9"], "facts": ["N >= 9"]}, "X1: witness|the witness breaks"),
        ({"goals": ["N >= 1"], "free": [["N", "K"]]}, "a name stands for two things"),
        ({"goals": ["N >= 1"], "free": [["n", "K"], ["n", "K"]]}, "a name stands for two things"),
        ({"goals": ["N >= 1"], "free": [["id", "K"]]}, "a name stands for two things"),
        ({"goals": ["N >= 1"], "sizes": {"Q": 1}, "free": [["Q", "K"]]}, "a name stands for two"),
        ({"goals": ["N >= 1"], "sizes": {"pi": 1}}, "a name stands for two things"),
        ({"goals": ["N >= 1"], "variant": "other"}, "X1: the definition is not read"),
        ({"goals": ["N >= 1"], "claim": "linear_z.range"}, "the claim stands twice"),
        ({"goals": ["N >= 1"], "lets": {"Y": {}}}, "Y is a tensor already"),
        ({"goals": ["N >= 1"], "lets": {"v": {"shape": ["N"], "indices": ["i"],
        "value": "w[i, q]"}}},
         r"\['q'\] in the value of v"),
        ({"free": [["n", "N"]], "left": {"text": "v[n]"}, "right": {"text": "b[n]"},
          "lets": {"v": {"shape": ["O"], "indices": ["i"], "value": "b[i]"}}},
         "X1: inside: no certificate shows|X1: the two"),
        ({"free": PLACE[::-1], "left": {"value": "z"}, "right": {"text": "v[n, o]"},
          "lets": {"v": {"shape": ["N", "O"], "indices": ["i", "j"], "value": "b[j]"}}},
         "X1: shape: no certificate shows"),
        ({"left": {"text": "b[0]"}, "example": {"N": 1, "K": 1, "O": 1}}, "there is a term in"),
        ({"left": {"text": "sum[i:N](b[i])"}, "example": {"N": 1, "K": 1, "O": 1}},
        "there is a term"),
        ({"left": {"text": "0"}, "example": {"N": 1, "K": 1, "O": True}}, "is not of integers"),
        ({"left": {"text": "0"}, "example": {"N": 0, "K": 1, "O": 1}},
        "the example breaks N - 1 >= 0"),
        ({"left": {"text": "0"}, "example": {"N": 1, "K": 1}}, "leave .* open"),
        ({"left": {"text": "sum[i:N](b[i], i >= N) + b[0]"}, "example": {"N": 1, "K": 1, "O": 1}},
         "there is a term in b"),
    ],
)  # fmt: skip
def test_a_false_claim_is_refused(claim: Any, message: str) -> None:
    with pytest.raises((Refused, LookupError), match=message):
        claimed(**claim)


def test_an_example_without_a_term() -> None:
    left = {"text": "sum[i:N](b[i], i >= N)*b[0]"}
    claimed(left=left, example={"N": 1, "K": 1, "O": 1})


def test_the_slope_of_a_place_by_another() -> None:
    free = [["n", "N"], ["o", "O"], ["k", "O"]]
    for right, fine in {
        "where(o == k, 1, 0)": True, "where(n == k, 1, 0)": False, "1": False, "0": False,
    }.items():  # fmt: skip
        claim = {"free": free, "left": {"partial": ["z", "b"]}, "right": {"text": right}}
        if fine:
            claimed(**claim)
        else:
            with pytest.raises(Refused, match="the two sides differ"):
                claimed(**claim)


# -- what is open ---------------------------------------------------------------------------------
def opened(name: str, *claims: str, **changes: Any) -> list[Any]:
    """The ledger where some claims are open; certificates that are no longer needed are gone."""
    record = {**record_of(name), **changes}
    for _ in range(2):
        o = operator_of(
            name, open=dict.fromkeys(claims, "why"), **{**changes, "proofs": record["proofs"]}
        )
        try:
            return o.check(named())
        except Refused as error:
            if "show nothing that is asked" not in str(error):
                raise
            record["proofs"] = {
                k: v for k, v in record["proofs"].items() if k in o.certificates.used
            }
    raise AssertionError


def test_what_is_open_is_a_row_of_its_own() -> None:
    rows = {r["claim"]: r for r in opened("transpose", "transpose_z.int32")}
    row = rows["transpose_z.int32"]
    assert row == {
        "claim": "transpose_z.int32", "operator": "transpose", "status": "tested", "why": "why",
        "statement": "every integer fits 32 bits under the limits", "degree": 0, "steps": 0,
        "bytes": 0, "seconds": 0.0,
    }  # fmt: skip
    assert {c for c, r in rows.items() if r["status"] != "proved"} == {"transpose_z.int32"}


@pytest.mark.parametrize(
    ("claims", "message"),
    [
        (["relu_z.once"], "relu_z.range: it rests on relu_z.once, which is not proved"),
        (["relu_z.once", "relu_z.range"], "relu_z.int32: it rests on relu_z.once"),
        (["relu_z.range"], "relu_z.int32: it rests on relu_z.range"),
        (["relu_z.range", "relu_z.int32"], "relu_z.equation: it rests on relu_z.range"),
        (["relu.inhabited"], "relu_z.once: it rests on relu.inhabited"),
        (["relu.definition"], "relu_z.once: it rests on relu.definition|is not read"),
        (["relu_z.other"], "is no claim that may be open"),
        (["L1 relu"], "is no claim that may be open"),
        (["relu_z.equation"], "L1 relu: no kernel is proved to store z"),
    ],
)
def test_nothing_rests_on_what_is_open(claims: Any, message: str) -> None:
    with pytest.raises(Refused, match=message):
        opened("relu", *claims)


@pytest.mark.parametrize("why", ["", 1, None, "a\nb"])
def test_what_is_open_has_a_reason(why: Any) -> None:
    with pytest.raises(Refused, match="has a reason each, in one line"):
        operator_of("relu", open={"relu_z.int32": why})


def test_a_definition_that_cannot_be_read_has_rows_that_are_all_open() -> None:
    kernels = [f"{k}.{w}" for k in entry_of("relu_backward")["kernels"]
               for w in ("once", "range", "int32", "equation")]  # fmt: skip
    rows = opened("relu_backward", "relu_backward.definition", *kernels)
    assert {r["claim"] for r in rows} == {"relu_backward.definition", *kernels}
    assert all(r["status"] == "tested" for r in rows)


# -- every certificate -----------------------------------------------------------------------------
PLACES = (
    r"linear\.cl:\d+: linear_\w+: (one work-item for every element of \w+|\w+ is read inside"
    r"|/ rounds down|32 bits|partial address|fits)|[LS]1 [\w -]+?(: (size|shape|inside)"
    r"|, (back|there))?"
    r"|[LS]1 [^:]+, sum \d+, (there|back)|linear\.cl:\d+: [^:]+, sum \d+, (there|back)"
)


@pytest.mark.parametrize("part", range(2))
def test_a_certificate_that_is_gone_is_named_with_its_place(part: int) -> None:
    record = record_of("linear")
    for key in sorted(record["proofs"])[part::4]:
        rest = {k: v for k, v in record["proofs"].items() if k != key}
        with pytest.raises(Refused) as caught:
            operator_of("linear", proofs=rest).check(named())
        assert re.fullmatch(rf"({PLACES}): no certificate shows .*", str(caught.value))


def test_a_certificate_for_nothing_is_refused() -> None:
    extra = {**record_of("relu")["proofs"], "0": []}
    with pytest.raises(Refused, match=r"relu: certificates \['0'\] show nothing that is asked"):
        operator_of("relu", proofs=extra).check(named())


def test_sums_of_reads_are_looked_at_under_their_guards() -> None:
    tensors = {"t": TENSORS["t"], "k": TENSORS["k"]}
    found = list(
        checker.reads_inside(facts("n >= 5"), p("sum[n:N](t[n + 1]*k[k[n]], n >= 1)"), tensors)
    )
    assert len(found) == 6  # t, and k twice; the index is not the n of the facts
    for inner, _ in found:
        shown = {checker.show_fact(f) for f in inner}
        assert "n - 5 >= 0" in shown and len(shown) == 4
    goals = {checker.show_fact(g) for _, g in found}
    assert any("n_" in g for g in goals)
    zero = {**tensors, "t": Tensor("t", [N], {"outside": "zero"})}
    assert len(list(checker.reads_inside([], p("t[n] + exp(k[n])"), zero))) == 2
    guarded = p("where(k[n + 1] >= 0, t[n], 0)")
    assert len(list(checker.reads_inside([], guarded, tensors))) >= 4


def test_a_sum_of_products_adds_up() -> None:
    assert add(X, scale(X, -1)) == {} and scale(X, 0) == {} and mul(X, {}) == {}
    assert const(0) == {} and const(Fraction(4, 2)) == {(): 2}
    assert mul() == const(1) and add() == {}
    assert type(checker.number(Fraction(4, 2))) is int
