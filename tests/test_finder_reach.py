"""How far the proofs reach: exponentials, roots of numbers, cases, extents that are sums.

What the checker takes as one expression is small, and each wrong neighbour of it is refused.
"""

from __future__ import annotations

from typing import Any

import pytest

from gradproof.codegen.certify import statement
from gradproof.codegen.program import build_program
from gradproof.derive import checker
from gradproof.derive.checker import (
    Certificates,
    Operator,
    Poly,
    Refused,
    Source,
    Tensor,
    Text,
    add,
    at_least_one,
    canonical,
    const,
    exponential,
    freeze,
    mul,
    positive,
    scale,
    show,
    sub,
    var,
)
from gradproof.derive.claims.named import NAMED
from gradproof.derive.language import Definition, operator
from gradproof.derive.prove.conditions import simplified
from gradproof.derive.prove.finder import Finder
from gradproof.derive.prove.lemmas import prove_with_lemmas
from gradproof.derive.prove.record import definition_record
from gradproof.derive.prove.relations import combination
from gradproof.derive.registry import find
from gradproof.derive.second import backward_definition

N = var("N")
EMPTY: dict[str, Any] = {
    "tensors": {"t": {"shape": ["N"]}, "k": {"shape": ["N"], "dtype": "int"}},
    "lower": {"N": 1},
    "derived": {},
    "sizes": ["N", "P"],
    "scalars": {"r": "real"},
}
SIZES = [(">=", sub(N, const(1)))]


def text() -> Text:
    return Text({n: Tensor(n, [N], t) for n, t in EMPTY["tensors"].items()}, (), (), ["r"])


def value(expression: str) -> Poly:
    return canonical(text().value(expression))


def finder() -> Finder:
    return Finder({"definition": EMPTY, "proofs": {}, "maps": {}, "cofactors": {}})


def facts(*conditions: str) -> list[checker.Fact]:
    return SIZES + checker.thaw(g for c in conditions for g in text().guards(c))


def equal(left: str, right: str, *conditions: str) -> Certificates:
    """Search for a proof of an equality, check it again without the search."""
    one, other, given = text().value(left), text().value(right), facts(*conditions)
    c = finder()
    c.equations = lambda relation: []  # type: ignore[method-assign]
    Certificates.equal(c, "here", given, one, other, relation)
    again = Certificates(c.record)
    again.equal("here", given, one, other, relation)
    return again


def relation(spec: list[str]) -> Poly:
    """The relations between functions, without a system."""
    system = checker.System(
        {**EMPTY, "name": "x", "equations": [], "inputs": [], "requires": [], "constant": []}
    )
    base = object.__new__(checker.Base)
    base.system, base.values = system, {}
    return base.relation(spec)


# -- exponentials -------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("left", "right"),
    [
        ("exp(r)*exp(r)", "exp(2*r)"),
        ("exp(r)*exp(-r)", "1"),
        ("inv(exp(r))", "exp(-r)"),
        ("inv(exp(r))*exp(3*r)", "exp(2*r)"),
        ("exp(t[0] - r)", "exp(t[0])*inv(exp(r))"),
        ("sum[i:N](exp(t[i] - r))", "exp(-r)*sum[i:N](exp(t[i]))"),
        ("exp(3*r*inv(2))", "exp(r*inv(2))**3"),
        ("exp(0)", "1"),
        ("exp(r*(t[0] + 1))", "exp(r*t[0])*exp(r)"),
        ("exp(100*r)", "inv(exp(-100*r))"),
    ],
)
def test_exponentials_of_one_value_are_one_expression(left: str, right: str) -> None:
    assert value(left) == value(right)


@pytest.mark.parametrize(
    ("left", "right"),
    [
        ("exp(2*r)", "exp(3*r)"),
        ("exp(r)*exp(r)", "exp(r)"),
        ("exp(r)*exp(r)", "exp(r*r)"),
        ("exp(r)*exp(-r)", "0"),
        ("exp(-r)", "-exp(r)"),
        ("exp(r)**3", "exp(2*r)"),
        ("inv(exp(r))", "exp(r)"),
        ("sum[i:N](exp(t[i] - r))", "sum[i:N](exp(t[i]))"),
        ("sum[i:N](exp(t[i] - r))", "exp(-N*r)*sum[i:N](exp(t[i]))"),
        ("exp(r + 1)", "exp(r) + exp(1)"),
        ("exp(100*r)", "exp(101*r)"),
        ("tanh(r)*tanh(r)", "tanh(2*r)"),
    ],
)
def test_a_wrong_identity_of_exponentials_is_refused(left: str, right: str) -> None:
    assert value(left) != value(right)
    with pytest.raises(Refused):
        equal(left, right)


def test_every_exponential_is_known_to_be_positive() -> None:
    for expression in ("exp(r)", "exp(-3*r + t[0])", "inv(exp(2*r*t[0]))"):
        (monomial,) = value(expression)
        assert all(exponential(a, set()) for a in monomial), expression


def test_a_fraction_of_an_exponent_is_a_relation() -> None:
    assert relation(["exp", "r*inv(2)", "r*inv(2)"]) == sub(
        value("exp(r)"), value("exp(r*inv(2))**2")
    )
    assert relation(["exp", "r", "r"]) == {}
    equal("exp(r*inv(2))*exp(r*inv(2))*t[0]", "exp(r)*t[0]")
    with pytest.raises(Refused):
        equal("exp(r*inv(2))*exp(r*inv(3))", "exp(r)")


# -- roots of numbers ---------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("left", "right"),
    [
        ("sqrt(2)*sqrt(2)", "2"),
        ("inv(sqrt(2))", "sqrt(2)*inv(2)"),
        ("sqrt(8)", "2*sqrt(2)"),
        ("sqrt(6)", "sqrt(2)*sqrt(3)"),
        ("sqrt(inv(2))", "inv(sqrt(2))"),
        ("sqrt(9*inv(4))", "3*inv(2)"),
        ("sqrt(1)", "1"),
        ("exp(-r*r*sqrt(2)*sqrt(2)*inv(4))", "exp(-r*r*inv(2))"),
        ("sqrt(1000003)*sqrt(1000003)", "1000003"),
    ],
)
def test_roots_of_positive_numbers(left: str, right: str) -> None:
    assert value(left) == value(right)


@pytest.mark.parametrize(
    ("left", "right"),
    [
        ("sqrt(2)*sqrt(2)", "3"),
        ("sqrt(2)*sqrt(2)", "sqrt(2)"),
        ("sqrt(2)*sqrt(3)", "sqrt(5)"),
        ("inv(sqrt(2))", "sqrt(2)"),
        ("sqrt(8)", "4*sqrt(2)"),
        ("sqrt(-2)*sqrt(-2)", "2"),
    ],
)
def test_a_wrong_identity_of_roots_is_refused(left: str, right: str) -> None:
    assert value(left) != value(right)
    with pytest.raises(Refused):
        equal(left, right)


@pytest.mark.parametrize("under", ["-2", "0", "-r*r", "r", "t[0] + 1", "r*r"])
def test_a_root_of_what_may_be_negative_is_left_alone(under: str) -> None:
    root = value(f"sqrt({under})")
    assert mul(root, root) == {(*next(iter(root)), *next(iter(root))): 1}
    assert value(f"sqrt({under})*sqrt({under})") != value(under)


def test_roots_of_numbers_in_cofactors() -> None:
    difference = value("sqrt(2)*inv(1 + sqrt(2)*r) + 2*r*inv(1 + sqrt(2)*r) - sqrt(2)")
    found = combination(difference, relation, [])
    assert found is not None
    for spec, cofactor in found:
        difference = sub(difference, canonical(mul(value(cofactor), relation(spec))))
    assert not difference


# -- conditions ---------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("left", "right"),
    [
        ("sum[i:N](t[i], P >= 2)", "sum[()](1, P >= 2)*sum[i:N](t[i])"),
        ("sum[()](r, P >= 2, N >= 3)", "sum[()](1, P >= 2)*sum[()](r, N >= 3)"),
        ("sum[()](1, P >= 2)*sum[()](1, P >= 2)", "sum[()](1, P >= 2)"),
        ("sum[i:N](t[i], k[i] == P)", "sum[i:N](t[i], P == k[i])"),
        ("where(P == 1, 0, r)", "where(1 == P, 0, r)"),
    ],
)
def test_conditions_are_factors(left: str, right: str) -> None:
    assert value(left) == value(right)


@pytest.mark.parametrize(
    ("left", "right"),
    [
        ("sum[i:N](t[i], P >= 2)", "sum[i:N](t[i])"),
        ("sum[()](r, P >= 2)", "sum[()](r, P >= 3)"),
        ("sum[()](r, P >= 2)", "sum[()](r, -P + 2 >= 0)"),
        ("sum[()](2, P >= 2)*sum[()](2, P >= 2)", "sum[()](2, P >= 2)"),
        ("sum[i:N](1, k[i] == P)*sum[i:N](1, k[i] == P)", "sum[i:N](1, k[i] == P)"),
    ],
)
def test_wrong_identities_of_conditions_are_refused(left: str, right: str) -> None:
    assert value(left) != value(right)
    with pytest.raises(Refused):
        equal(left, right)


def test_what_follows_from_a_condition() -> None:
    equal("where(P >= 3, where(P >= 2, r, t[0]), 0)", "where(P >= 3, r, 0)")
    equal("where(P >= 3, where(P <= 1, r, t[0]), 0)", "where(P >= 3, t[0], 0)")
    equal("where(P >= N, where(P >= 1, r, t[0]), 0)", "where(P >= N, r, 0)")
    equal("where(P < N, r, 0) + where(P >= N, 0, 0)", "where(P < N, r, 0)", "P >= 0")
    for wrong in ("where(P >= 3, where(P >= 4, r, t[0]), 0)", "where(P >= 1, r, 0)"):
        with pytest.raises(Refused):
            equal(wrong, "where(P >= 3, r, 0)")


def test_a_condition_that_does_not_follow_is_no_relation() -> None:
    certificates = Certificates({"definition": EMPTY, "proofs": {}, "maps": {}, "cofactors": {}})
    for spec in (["implied", "P >= 2", "P >= 1"], ["implied", "-1 >= 0", "P >= 1"]):
        with pytest.raises(Refused, match="no certificate"):
            certificates.zero("here", facts(), spec, relation)
        with pytest.raises(Refused, match="does not follow"):
            finder().zero("here", facts(), spec, relation)


def test_a_real_condition_is_not_rounded() -> None:
    with pytest.raises(Refused):  # r > 1/2 does not say r >= 1
        equal("where(r > inv(2), where(r >= 1, r, 0), 0)", "where(r > inv(2), r, 0)")
    with pytest.raises(Refused):
        finder().zero("here", facts(), ["implied", "t[0] >= 1", "2*t[0] >= 1"], relation)


def test_a_sum_without_terms_is_zero() -> None:
    done = equal("sum[i:N](t[i], i >= N)", "0")
    assert done.record["maps"]["here"] == [{"sum": 0, "empty": True}]
    equal("sum[i:N](t[i], i >= P) + r", "r", "P >= N")
    with pytest.raises(Refused):
        equal("sum[i:N](t[i], i + 1 >= N)", "0")


def test_a_sum_is_not_empty_because_the_record_says_so() -> None:
    source = text().value("sum[i:N](t[i], i + 1 >= N)")
    record = {"definition": EMPTY, "proofs": {}, "cofactors": {}}
    record["maps"] = {"here": [{"sum": 0, "empty": True}]}
    with pytest.raises(Refused, match="here, sum 0, empty: no certificate"):
        Certificates(record).equal("here", facts(), source, {}, relation)
    biggest = text().value("max[i:N](t[i], i >= N)")
    with pytest.raises(Refused, match="a max over nothing has no value"):
        Certificates(record).equal("here", facts(), biggest, {}, relation)


def test_conditions_are_simplified_one_by_one() -> None:
    difference = value("sum[()](r, P >= 2, P >= 1) - sum[()](r, P >= 2)")
    rows, rest = simplified(difference, facts(), finder()._follows)
    assert rows == [[["implied", "P - 1 >= 0", "P - 2 >= 0"], "-r"]]
    assert rest == {}


# -- extents ------------------------------------------------------------------------------------
def test_a_sum_of_positive_sizes_is_positive() -> None:
    known = at_least_one([(">=", sub(var(s), const(1))) for s in "HK"])
    for expression in ("H + K", "2*H*K + K + 3", "H", "5"):
        assert positive(text().value(expression), known), expression
    for expression in ("H - K", "H + P", "H - 1", "0", "H + K*inv(2)", "H*P + K", "-1"):
        assert not positive(text().value(expression), known), expression


def test_equal_numerators_have_equal_quotients() -> None:
    given = facts("P == N + 1")
    quotients = [checker.divide(var(s), N)[0] for s in ("P", "Q")]
    known = [*given, ("==", sub(var("Q"), var("P")))]
    goal = "==", sub(*quotients)
    assert not prove_with_lemmas(finder().complete(known, [goal]), [goal])[1]
    other = [*given, ("==", add(var("Q"), scale(var("P"), -1), const(-1)))]
    assert prove_with_lemmas(finder().complete(other, [goal]), [goal])[1]


# -- operators ----------------------------------------------------------------------------------
PADDED = operator(
    "padded",
    "z[i,x,j] = where(x < PT, value, where(x >= H + PT, value, Y[i,x - PT,j]))",
    {"Y": "A, H, B", "z": "A, OH, B"},
    sizes={"OH": "H + PT + PB"},
    integers="PT PB",
    requires={"H + PT + PB >= 1": "nothing is left"},
    outside={"Y": "zero"},
    scalars={"value": "real"},
)
JOINED = operator(
    "joined",
    "z[i,x,j] = Y[i,x,j] + R[i,x - H,j]",
    {"Y": "A, H, B", "R": "A, K, B", "z": "A, H + K, B"},
    outside={"Y": "zero", "R": "zero"},
)
GAUSS = operator("gauss", "z[i] = exp(-Y[i]*Y[i]/2)*Y[i]", {"Y": "T", "z": "T"})


HALF = operator(
    "half_of_it",
    "z[i] = where(philox(key, 0, i, 0) < 2147483648, Y[i]*philox(1, key, i, 0)/4294967296, key)",
    {"Y": "T", "z": "T"},
    scalars={"key": "uint"},
)
FAR = operator("far", "z[i] = 123456789012345678901.5*Y[i] - 1e-20", {"Y": "T", "z": "T"})


def proved(d: Definition) -> dict[str, Any]:
    """The record of an operator of which everything is proved, checked again."""
    program = build_program(d)
    source = program.files[program.entry["file"]]
    record = {**statement(d, program, source), "proofs": {}, "maps": {}, "cofactors": {}}
    for certificates in (Finder(record), Certificates(record)):
        kernels = Source(program.entry["file"], source)
        ledger = Operator(record, program.entry, kernels, certificates).check(NAMED)
        assert {row["status"] for row in ledger} == {"proved"}
    return record


@pytest.mark.parametrize("d", [PADDED, JOINED, GAUSS, HALF, FAR], ids=lambda d: d.name)
def test_definitions_of_a_user_are_proved(d: Definition) -> None:
    proved(d)


@pytest.mark.parametrize("name", ["sigmoid", "silu", "gelu", "cross_entropy"])
def test_operators_are_proved(name: str) -> None:
    proved(find(name))


@pytest.mark.parametrize(
    "name",
    ["relu", "sigmoid", "gelu_tanh", "softplus", pytest.param("conv1d", marks=pytest.mark.slow)],
)
def test_reverse_passes_are_proved_as_operators(name: str) -> None:
    proved(backward_definition(find(name)))


def test_a_wrong_gradient_of_the_padding_is_refused() -> None:
    program = build_program(PADDED)
    source = program.files[program.entry["file"]]
    wrong = source.replace("PT > x ? value", "PT > x + 1 ? value")
    assert wrong != source
    record = {**statement(PADDED, program, wrong), "proofs": {}, "maps": {}, "cofactors": {}}
    with pytest.raises(Refused, match="padded_z"):
        Operator(record, program.entry, Source("padded.cl", wrong), Finder(record)).check(NAMED)


@pytest.mark.parametrize(
    ("d", "old", "new"),
    [
        (HALF, "< 2147483648", "< 2147483647"),
        (HALF, "< 2147483648", "<= 2147483648"),
        (HALF, "< 2147483648", "< -2147483648"),
        (HALF, "< 2147483648", "< 2147483648 * 2147483648"),
        (HALF, "< 2147483648", "< 6442450944"),
        (HALF, "(REAL)4294967296", "(REAL)4294967295"),
        (HALF, "(REAL)key", "(REAL)(key - 1)"),
        (HALF, "(REAL)key", "(REAL)(-key)"),
        (FAR, "(REAL)1000000000000000000)", "(REAL)100000000000000000)"),
        (FAR, "(REAL)100 * (REAL)1000000000000000000", "(REAL)100000000000000000000"),
    ],
)
def test_a_wrong_number_is_refused(d: Definition, old: str, new: str) -> None:
    program = build_program(d)
    source = program.files[program.entry["file"]]
    wrong = source.replace(old, new)
    assert wrong != source, source
    record = {**statement(d, program, wrong), "proofs": {}, "maps": {}, "cofactors": {}}
    with pytest.raises(Refused):
        Operator(record, program.entry, Source("far.cl", wrong), Finder(record)).check(NAMED)


def test_a_power_of_a_quotient_is_recorded_factor_by_factor() -> None:
    d = operator("quotients", "z[i] = (1 + Y[i]*Y[i])**(-2)", {"Y": "T", "z": "T"})
    (equation,) = definition_record(d)["equations"]
    (monomial,) = Text({"Y": Tensor("Y", [var("T")], {})}).value(equation.split(" = ")[1])
    assert len(monomial) == 2 and len({freeze(var(a)) for a in monomial}) == 1, show({monomial: 1})
