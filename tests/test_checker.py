"""The checker's algebra keeps values, and no forged certificate is accepted."""

from __future__ import annotations

import ast
import contextlib
import copy
import itertools
import json
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gradproof.codegen.certify import statement
from gradproof.codegen.generate import generated_folder
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
    canonical,
    check_folder,
    const,
    divide,
    freeze,
    mul,
    rename,
    scale,
    show,
    substitute,
    var,
    verify_step,
)
from gradproof.derive.prove.finder import Finder
from gradproof.derive.registry import find
from tests.test_checker_text import check, record_of

FILE = Path(checker.__file__)


# -- a small evaluator ---------------------------------------------------------------------------
def element(name: str, at: tuple[int, ...]) -> Fraction:
    """Some function of a place, so that two places rarely agree."""
    return Fraction(
        sum((7 + 3 * k) * (i + 11) ** 2 for k, i in enumerate(at)) % 13 - 6 + ord(name[0]) % 5
    )


def holds(kind: str, v: Fraction) -> bool:
    return {"==": v == 0, ">=": v >= 0, ">": v > 0}[kind]


def value(p: Poly, at: dict[str, int]) -> Fraction:
    """p with numbers for its symbols."""
    total = Fraction(0)
    for m, c in p.items():
        for atom in m:
            c *= atom_value(atom, at)
        total += c
    return total


def atom_value(a: Any, at: dict[str, int]) -> Fraction:
    if isinstance(a, str):
        return Fraction(at[a])
    if a[0] in ("//", "%"):
        x, y = (value(dict(q), at) for q in a[1:])
        return Fraction(x // y) if a[0] == "//" else x % y
    if a[0] == "read":
        return element(a[1], tuple(int(value(dict(s), at)) for s in a[2]))
    if a[0] == "if":
        return Fraction(holds(a[1][0], value(dict(a[1][1]), at)))
    assert a[0] == "sum", a
    total = Fraction(0)
    for places in itertools.product(*(range(int(value(dict(e), at))) for _, e in a[1])):
        inner = at | dict(zip((i for i, _ in a[1]), places, strict=True))
        if all(holds(k, value(dict(g), inner)) for k, g in a[2]):
            total += value(dict(a[3]), inner)
    return total


NAMES = ("i", "j", "i_", "_0_0", "_1_0", "N", "M")
AT = st.fixed_dictionaries({n: st.integers(0 if n[-1] not in "NM" else 1, 3) for n in NAMES})


@st.composite
def texts(draw: Any, depth: int = 3) -> str:
    """An expression of the language: all names occur free and bound."""
    kinds = (
        ["name", "number"]
        if not depth
        else ["name", "add", "mul", "read", "sum", "quotient", "where"]
    )
    kind = draw(st.sampled_from(kinds))
    part = texts(depth - 1) if depth else st.nothing()
    small = st.sampled_from([*NAMES, "i + 1", "i - j", "2*i_ + _0_0", "N - 1"])
    if kind == "name":
        return str(draw(st.sampled_from(NAMES)))
    if kind == "number":
        return str(draw(st.integers(0, 3)))
    if kind == "read":
        return f"{draw(st.sampled_from('ab'))}[{draw(small)}, {draw(small)}]"
    if kind == "quotient":
        divisor = draw(st.sampled_from(["N", "2", "N*M"]))
        return f"(({draw(small)}){draw(st.sampled_from(['//', '%']))}({divisor}))"
    if kind == "where":
        return f"where({draw(small)} <= {draw(small)}, {draw(part)}, {draw(part)})"
    if kind == "sum":
        names = draw(st.lists(st.sampled_from(NAMES[:5]), min_size=1, max_size=2, unique=True))
        loops = ", ".join(f"{i}:{draw(st.sampled_from(['N', 'M']))}" for i in names)
        guard = draw(
            st.sampled_from(["", f", {draw(small)} >= {draw(small)}", f", {draw(small)} == 1"])
        )
        return f"sum[{loops}]({draw(part)}{guard})"
    return f"({draw(part)} {'+' if kind == 'add' else '*'} {draw(part)})"


def read(text: str) -> Poly:
    tensors = {n: Tensor(n, [var("N"), var("M")], {}) for n in "ab"}
    return Text(tensors).value(text)


@given(texts(), texts(), AT)
def test_polynomials_keep_their_value(a: str, b: str, at: dict[str, int]) -> None:
    p, q = read(a), read(b)
    assert value(add(p, q), at) == value(p, at) + value(q, at)
    assert value(mul(p, q), at) == value(p, at) * value(q, at)
    assert value(scale(p, Fraction(2, 3)), at) == Fraction(2, 3) * value(p, at)


@given(texts(), AT)
def test_canonical_form_and_text_keep_the_value(a: str, at: dict[str, int]) -> None:
    p = read(a)
    assert value(canonical(p), at) == value(p, at)
    assert value(read(show(p)), at) == value(p, at)
    assert canonical(canonical(p)) == canonical(p) or value(canonical(canonical(p)), at) == value(
        p, at
    )


@given(texts(), texts(1), texts(1), AT)
def test_substitution_does_not_capture(a: str, b: str, c: str, at: dict[str, int]) -> None:
    mapping = {"i": read(b), "_0_0": read(c)}
    after = {k: value(p, at) for k, p in mapping.items()}
    if all(v.denominator == 1 for v in after.values()):
        inner = at | {k: int(v) for k, v in after.items()}
        assert value(substitute(read(a), mapping), at) == value(read(a), inner)


@given(texts(), AT)
def test_renamed_indices_keep_the_value(a: str, at: dict[str, int]) -> None:
    for atom in checker.outer_reductions(read(a)):
        assert atom_value(rename(atom, {"i", "j", "_0_0"}), at) == atom_value(atom, at)


@given(st.integers(-9, 9), st.integers(-9, 9), st.integers(1, 5), AT)
def test_division_rounds_downwards(c: int, d: int, e: int, at: dict[str, int]) -> None:
    p = add(scale(mul(var("i"), var("N")), c), scale(var("j"), d), const(c))
    for b in (const(e), var("N"), scale(mul(var("N"), var("M")), e)):
        whole, rest = divide(p, b)
        x, y = value(p, at), value(b, at)
        assert (value(whole, at), value(rest, at)) == (x // y, x % y)


def test_no_quotient_of_fractions_or_by_zero() -> None:
    for a, b in (
        (const(Fraction(1, 2)), const(2)),
        (var("i"), const(0)),
        (var("i"), const(Fraction(1, 2))),
    ):
        with pytest.raises(Refused):
            divide(a, b)


# -- expressions -----------------------------------------------------------------------------------
@pytest.mark.parametrize(
    "text",
    [
        "sum[i:N, i:M](a[i, i])",  # an index twice
        "sum[i:N, j:i + 1](a[i, j])",  # an extent that depends on an index
        "sum[i:N](sum[j:i](a[i, j]))",
        "sum[i:N:2](a[i, i])",
        "sum[i:N, j](a[i, i])",
        "other[i:N](a[i, i])",
        "read[i:N](a[i, i])",
        "inv(i, y=3)",
        "sum[i:N](a[i, i], guard=i >= 1)",
        "where(a[i, j] != 0, 1, 2)",
        "where(i != 0, 1, 2)",
        "a[i, j]//2",
        "inv(N)//2",
        "sum[i:N](a[i, i])%2",
        "a[i]",
        "a",
        "1.5",
        "'x'",
        "lambda: 1",
        "i**-1",
        "1/0",
        "i if j else N",
    ],
)
def test_what_the_language_does_not_have_is_refused(text: str) -> None:
    with pytest.raises(Refused):
        read(text)


def test_a_name_is_not_captured_by_an_index() -> None:
    text = Text({"a": Tensor("a", [var("N")], {})}, {"k": add(var("n"), const(1))})
    with pytest.raises(Refused, match="another index"):
        text.value("sum[n:N](a[k])")


def test_a_sum_of_real_numbers_is_compared_as_a_real_number() -> None:
    below, one = (read(f"where(sum[i:N](a[i, i]) {c}, 1, 0)") for c in ("> 0", ">= 1"))
    assert canonical(below) != canonical(one)
    assert not checker.certain((">", freeze({})))


# -- steps ---------------------------------------------------------------------------------------
X, N = var("x"), var("N")
FACTS = [(">=", X), ("==", add(N, const(-3))), (">=", add(N, const(-1)))]


def certificates(**definition: Any) -> Certificates:
    empty = {
        "tensors": {"t": {"shape": ["N"]}, "k": {"shape": ["N"], "dtype": "int"}},
        "lower": {"N": 1},
        "derived": {},
        "sizes": ["N"],
        "scalars": {"lr": "real"},
        **definition,
    }
    return Certificates({"definition": empty, "proofs": {}, "maps": {}, "cofactors": {}})


def test_a_right_step_is_accepted() -> None:
    # x + 1 >= 0: its negation is -x - 2 >= 0; with x >= 0, twice a half of the sum is -1
    step = (">=", add(X, const(1)), [(Fraction(1, 2), [0]), (Fraction(1, 2), [-1])], [])
    assert verify_step(FACTS, step)
    assert verify_step(FACTS, ("==", scale(FACTS[1][1], 2), [], [(1, const(2))]))


@pytest.mark.parametrize(
    "step",
    [
        (">=", add(X, const(1)), [(Fraction(1), [0]), (Fraction(1, 2), [-1])], []),
        (">=", add(X, const(1)), [(Fraction(-1), [0]), (Fraction(1, 2), [-1])], []),
        (">=", add(X, const(1)), [(Fraction(1), [1])], []),  # an equation as an inequality
        (">=", add(X, const(1)), [(Fraction(1), [-2])], []),
        (">=", add(X, const(1)), [(Fraction(1), [3])], []),
        (">=", add(X, const(1)), [], [(0, const(1))]),  # an inequality as an equation
        (">=", add(X, const(1)), [], [(-1, const(1))]),
        (">=", scale(X, Fraction(1, 2)), [(Fraction(1), [0])], []),  # no integer
        ("==", X, [(1, [0, 0])], []),
        ("==", X, [(1, [-1, 0])], []),
        ("==", X, [(1, [0])], []),
        (">", X, [(1, [0])], []),
        ("other", {}, [], []),
    ],
)
def test_a_wrong_step_is_not(step: Any) -> None:
    with contextlib.suppress(Refused):
        assert not verify_step(FACTS, step)


@pytest.mark.parametrize(
    "text",
    [
        "inv(N)",
        "1/N",
        "lr",
        "t[0]",
        "exp(N)",
        "sum[i:N](i)",
        "k[0]*inv(k[0])*t[0]",
        "(N >= 1)",
        "max[i:N](k[i])",
    ],
)
def test_a_step_is_about_integers(text: str) -> None:
    c = certificates()
    for step in ([">=", text, [], []], ["==", "N", [], [[0, text]]]):
        with pytest.raises(Refused):
            c.step(step)


def test_one_over_a_size_does_not_show_that_all_sizes_are_1() -> None:
    # x = 1/N: not x >= 1 would mean x <= 0 for an integer, and N*x = 1 contradicts that
    c = certificates()
    goal = [(">=", add(checker.call("inv", N), const(-1)))]
    facts = [(">=", add(N, const(-1)))]
    c.proofs[checker.digest(facts, goal)] = [
        [">=", "inv(N) - 1", [["1", [0, -1]], ["1", [-1]]], []]
    ]
    with pytest.raises(Refused):
        c.settle("here", facts, goal)


def test_an_equation_of_an_index_is_no_contradiction() -> None:
    c = certificates()
    facts, goal = [("==", X)], [(">=", add(X, const(-5)))]
    c.proofs[checker.digest(facts, goal)] = [[">=", "x - 5", [], [[0, "-inv(x)"]]]]
    with pytest.raises(Refused):
        c.settle("here", facts, goal)


@pytest.mark.parametrize(
    ("multiplier", "index"),
    [
        (0.5, 0),
        (float("nan"), 0),
        ("nan", 0),
        ("x", 0),
        (True, 0),
        ("1", 0.0),
        ("1", True),
        ("1", "0"),
        (None, 0),
    ],
)
def test_multipliers_and_indices_are_exact(multiplier: Any, index: Any) -> None:
    with pytest.raises((Refused, ValueError, TypeError)):
        certificates().step([">=", "x", [[multiplier, [index]]], []])


def test_a_divisor_that_may_be_0_is_refused() -> None:
    quotient = divide(X, var("s"))[0]
    with pytest.raises(Refused, match="may be 0"):
        certificates().settle("here", [(">=", var("s"))], [(">=", quotient)])


# -- bijections ---------------------------------------------------------------------------------
def equal(left: str, right: str, m: Any = None, facts: str = "", cofactors: Any = ()) -> None:
    c = certificates()
    text = Text({n: Tensor(n, [N], {"dtype": d}) for n, d in (("t", "real"), ("k", "int"))})
    known = [
        (">=", add(N, const(-1))),
        *checker.thaw(g for f in facts.split(";") if f for g in text.guards(f)),
    ]
    c.record["maps"]["here"] = [m] if m else []
    c.record["cofactors"]["here"] = list(cofactors)

    def search(key: str, facts: Any, goals: Any, where: str) -> list[Any]:
        raise Refused(f"{where}: nothing shows {checker.show_fact(goals[0])}")

    c.search = search  # type: ignore[method-assign]
    c.equal("here", known, text.value(left), text.value(right), lambda spec: text.value(spec[1]))


WITNESS = {"N": 4, "i": 1, "j": 1, "n": 1, "m": 1}


def test_a_sum_over_another_index_is_equal() -> None:
    equal("sum[i:N](t[i])", "sum[j:N](t[j])")
    m = {"sum": 0, "map": {"i": "j"}, "back": {"j": "i"}, "loops": [["j", "N"]], "witness": WITNESS}
    equal("sum[i:N](t[i])", "sum[j:N](t[j])", m)


@pytest.mark.parametrize(
    ("left", "right"),
    [
        ("sum[i:N](t[i]*t[n])", "sum[n:N](t[n]*t[n])"),
        ("sum[i:N](t[i]*t[_0_0])", "sum[i:N](t[i]*t[i])"),
        ("sum[i:N](t[i]*t[i_])", "sum[i_:N](t[i_]*t[i_])"),
        ("sum[i:N](t[i])*sum[i:N](t[i])", "sum[i:N](t[i]*t[i])"),
        ("sum[i:N](1 + t[i])", "1 + sum[i:N](t[i])"),
        ("sum[i:N](t[i], i >= 1)", "sum[i:N](t[i])"),
        ("sum[i:N](1, i >= 1)", "N"),
        ("sum[i:N](t[n], i >= 1)", "N*t[n]"),
        ("max[i:N](t[i])", "sum[i:N](t[i])"),
        ("t[n]*t[n]", "t[n]"),
        ("t[n//1 + 1]", "t[n]"),
        ("where(t[n] > 0, t[n], 0)", "where(t[n] >= 1, t[n], 0)"),
    ],
)
def test_what_differs_is_not_equal(left: str, right: str) -> None:
    with pytest.raises(Refused, match="differ"):
        equal(left, right)


def test_an_extent_may_not_be_negative() -> None:
    with pytest.raises(Refused, match="may be negative"):
        equal("sum[i:N - 5](t[n])", "(N - 5)*t[n]")
    equal("sum[i:N - 1](t[n])", "(N - 1)*t[n]")


FORGED = [
    # the new index is a free one: sum[i](t[i]*t[n]) is not sum[n](t[n]*t[n])
    ("sum[i:N](t[i]*t[n])", {"map": {"i": "n"}, "back": {"n": "i"}, "loops": [["n", "N"]]}),
    # an index that nothing binds
    ("sum[i:N](t[i])", {"map": {"i": "j"}, "back": {"j": "i"}, "loops": [["j", "i + 1"]]}),
    ("sum[i:N](t[i])", {"map": {"i": "i"}, "back": {"j": "i"}, "loops": [["j", "N"]]}),
    ("sum[i:N](t[i])", {"map": {"i": "j"}, "back": {"j": "j"}, "loops": [["j", "N"]]}),
    # an index twice, or left out, or of no sum
    ("sum[i:N](t[i])", {"map": {"i": "j"}, "back": {"j": "i"}, "loops": [["j", "N"], ["j", "N"]]}),
    ("sum[i:N](t[i])", {"map": {}, "back": {}, "loops": []}),
    ("sum[i:N](t[i])", {"map": {"i": "0"}, "back": {}, "loops": []}),
    ("sum[i:N](t[i])", {"map": {"i": "j", "m": "j"}, "back": {"j": "i"}, "loops": [["j", "N"]]}),
    ("sum[i:N](t[i])", {"map": {"i": "j + 1"}, "back": {"j": "i - 1"}, "loops": [["j", "N"]]}),
    ("sum[i:N](t[i])", {"map": {"i": "j"}, "back": {"j": "i"}, "loops": [["j", "2*N"]]}),
    (
        "sum[i:N](t[i])",
        {"map": {"i": "j"}, "back": {"j": "i"}, "loops": [["j", "N"]], "guards": [[">=", "j - 1"]]},
    ),
    (
        "sum[i:N](t[i])",
        {
            "map": {"i": "j"},
            "back": {"j": "i"},
            "loops": [["j", "N"]],
            "rewrite": [["t", "j", "j + 1"]],
        },
    ),
    (
        "sum[i:N](t[i])",
        {"map": {"i": "j"}, "back": {"j": "i"}, "loops": [["j", "N"]], "witness": {"N": 1, "j": 0}},
    ),
    (
        "sum[i:N](t[i])",
        {"map": {"i": "j"}, "back": {"j": "i"}, "loops": [["j", "N"]], "witness": {"N": 4, "j": 4}},
    ),
    (
        "sum[i:N](t[i])",
        {
            "map": {"i": "j"},
            "back": {"j": "i"},
            "loops": [["j", "N"]],
            "witness": {"N": 4, "j": 1.5},
        },
    ),
    (
        "sum[i:N](t[i])",
        {
            "map": {"i": "j"},
            "back": {"j": "i"},
            "loops": [["j", "N"]],
            "witness": {"N": True, "j": 0},
        },
    ),
    # a maximum keeps its indices, a position its extents
    ("max[i:N](t[i])", {"map": {"i": "j"}, "back": {"j": "i"}, "loops": [["j", "N"]]}),
    (
        "argmax[i:N](t[i])",
        {
            "map": {"i": "i"},
            "back": {"i": "i"},
            "loops": [["i", "2*N"]],
            "guards": [[">=", "N - i - 1"]],
        },
    ),
]


@pytest.mark.parametrize(("left", "entry"), FORGED, ids=range(len(FORGED)))
def test_a_forged_bijection_is_refused(left: str, entry: Any) -> None:
    m = {"sum": 0, "witness": {**WITNESS}, **entry}
    with pytest.raises(Refused):
        equal(left, "t[0]", m)


def test_a_fact_about_a_free_index_says_nothing_of_a_bound_one() -> None:
    m = {"sum": 0, "map": {"n": "0"}, "back": {}, "loops": [], "witness": WITNESS}
    with pytest.raises(Refused):
        equal("sum[n:N](t[n])", "t[0]", m, facts="n == 0")


def test_a_cofactor_does_not_divide_by_what_may_be_0() -> None:
    zero = "t[0]*t[1] - t[0]*t[2]"  # says nothing of t[1] - t[2] where t[0] = 0
    with pytest.raises(Refused, match="of neither side"):
        equal("t[1]", "t[2]", cofactors=[[["", zero], "inv(t[0])"]])
    equal("t[0]*t[1]", "t[0]*t[2]", cofactors=[[["", zero], "1"]])


# -- records ---------------------------------------------------------------------------------------
def changes(value: Any) -> Any:
    """Other values for a leaf of a record."""
    if type(value) is int:
        return [value + 1, -1 - value]
    if isinstance(value, str):
        return [value + " + 1", "0"]
    return []


def leaves(record: Any, at: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    if isinstance(record, dict | list):
        pairs = record.items() if isinstance(record, dict) else enumerate(record)
        return [leaf for k, v in pairs for leaf in leaves(v, (*at, k))]
    return [at]


def test_a_changed_certificate_is_refused() -> None:
    record = record_of("linear")
    accepted = []
    for section in ("proofs", "maps", "cofactors", "definition"):
        for at in leaves(record[section]):
            if at[-1] in ("name",) or "witness" in at:
                continue  # a witness may have other values
            for k, new in enumerate(changes(read_at(record[section], at))):
                forged = copy.deepcopy(record)
                read_at(forged[section], at[:-1])[at[-1]] = new
                try:
                    check("linear", record=forged)
                except (Refused, ValueError, KeyError, TypeError, IndexError, AttributeError):
                    continue
                accepted.append((section, at, k, new))
    assert [a for a in accepted if not harmless(a)] == []


def read_at(record: Any, at: tuple[Any, ...]) -> Any:
    for k in at:
        record = record[k]
    return record


def harmless(change: Any) -> bool:
    """A sum may be counted from the end; a lower bound or default that no kernel needs."""
    section, at, _, _ = change
    return (section == "maps" and at[-1] == "sum") or (
        section == "definition" and at[0] in ("lower", "optional")
    )


def test_a_certificate_that_is_missing_or_not_needed_is_refused() -> None:
    record = record_of("linear")
    for key in record["proofs"]:
        with pytest.raises(Refused, match="no certificate shows"):
            check(
                "linear",
                record={
                    **record,
                    "proofs": {k: v for k, v in record["proofs"].items() if k != key},
                },
            )
    with pytest.raises(Refused, match="show nothing"):
        check("linear", record={**record, "proofs": {**record["proofs"], "0": []}})


@pytest.mark.parametrize(
    "claim",
    [
        {"goals": []},
        {"goals": ["N >= 2"]},
        {"goals": ["N >= 2"], "fixed": {"N": 0}},
        {"goals": ["N >= 2"], "facts": ["1 == 0"]},
        {"goals": ["N >= 2"], "free": [["N", "K"]]},
        {"goals": ["q >= 2"], "free": [["q", "K"], ["q", "K"]]},
        {"goals": ["(N*q)//q == N"], "free": [["q", "K"]]},
        {"left": {"text": "1"}, "right": {"text": "2"}},
        {"left": {"adjoint": "Y"}, "right": {"value": "grad_w"}, "free": [["p", "N"], ["q", "K"]]},
        {"left": {"other": "Y"}, "right": {"text": "2"}},
        {"claim": "linear_z.equation", "goals": ["N >= 1"]},
    ],
)
def test_a_claim_that_says_nothing_or_something_false_is_refused(claim: Any) -> None:
    row = {"claim": "X1", "statement": "", **claim}
    with pytest.raises((Refused, ValueError)):
        check("linear", record={**record_of("linear"), "claims": [row]})


# -- the file --------------------------------------------------------------------------------------
def test_the_checker_imports_nothing_but_the_standard_library() -> None:
    tree = ast.parse(FILE.read_text("utf-8"))
    modules = {
        n.module.split(".")[0] for n in ast.walk(tree) if isinstance(n, ast.ImportFrom) and n.module
    }
    modules |= {
        a.name.split(".")[0] for n in ast.walk(tree) if isinstance(n, ast.Import) for a in n.names
    }
    assert modules <= set(sys.stdlib_module_names)
    calls = {
        n.func.id
        for n in ast.walk(tree)
        if isinstance(n, ast.Call) and isinstance(n.func, ast.Name)
    }
    assert not calls & {"eval", "exec", "compile", "__import__", "open"}


def run(folder: Path) -> Any:
    command = [sys.executable, "-I", str(FILE), str(folder)]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)


def test_the_committed_folder_is_accepted_on_its_own() -> None:
    done = run(generated_folder())
    assert done.returncode == 0, done.stdout[-2000:]
    assert "Taken on trust" in done.stdout and "linear_z.equation" in done.stdout


@pytest.mark.parametrize(
    "file", ["linear.cl", "proofs/linear.json", "manifest.json", "proofs/operators.json"]
)
def test_a_damaged_folder_is_refused(tmp_path: Path, file: str) -> None:
    """With one operator in the manifest, each file of it missing, empty, cut off, and changed."""
    manifest = json.loads((generated_folder() / "manifest.json").read_text("utf-8"))
    manifest["operators"] = {"linear": manifest["operators"]["linear"]}
    files = [
        *generated_folder().glob("linear*.cl"),
        *(generated_folder() / "proofs").glob("*.json"),
    ]
    (tmp_path / "proofs").mkdir()
    for path in files:
        (tmp_path / path.relative_to(generated_folder())).write_bytes(path.read_bytes())
    (tmp_path / "manifest.json").write_text(json.dumps(manifest), "utf-8")
    original = (tmp_path / file).read_bytes()
    for content in (None, b"", b"{", original.replace(b"linear_z", b"linear_y", 1)):
        if content is None:
            (tmp_path / file).unlink()
        elif content != original:
            (tmp_path / file).write_bytes(content)
        else:
            continue
        done = run(tmp_path)
        assert done.returncode == 1 and done.stdout.startswith("refused: "), done.stdout[-500:]
        assert not done.stderr
        (tmp_path / file).write_bytes(original)


# -- what an outsider found ----------------------------------------------------------------------
def edited_folder(tmp_path: Path, file: str, edit: Callable[[str], str]) -> str:
    """What the checker says of a copy of generated/ with one file changed."""
    folder = tmp_path / "generated"
    shutil.copytree(generated_folder(), folder)
    path = folder / file
    path.write_text(edit(path.read_text("utf-8")), "utf-8")
    with pytest.raises(Refused) as caught:
        check_folder(folder)
    return str(caught.value)


def test_an_edited_line_is_named(tmp_path: Path) -> None:
    told = edited_folder(
        tmp_path,
        "conv2d.cl",
        lambda t: t.replace("DH * i + SH * x - PT", "DH * i + SH * x + PT", 1),
    )
    lines = (generated_folder() / "conv2d.cl").read_text("utf-8").splitlines()
    number = next(k for k, line in enumerate(lines, 1) if "DH * i + SH * x - PT" in line)
    assert told.startswith(f"conv2d.cl:{number}: this line is not the one that was proved")


def test_an_edited_comment_is_named_too(tmp_path: Path) -> None:
    told = edited_folder(tmp_path, "relu.cl", lambda t: t.replace("// z[i] =", "// y[i] =", 1))
    assert re.match(r"relu\.cl:\d+: this line is not the one that was proved$", told)


@pytest.mark.parametrize(
    ("what", "edit"),
    [
        (
            "conditions of tiled kernels",
            lambda t: t.replace('"when": {\n       "G": 1\n      }', '"when": {}', 1),
        ),
        (
            "windows",
            lambda t: re.sub(r'"windows": \[\n.*?\n   \],', '"windows": [],', t, flags=re.S),
        ),
    ],
)
def test_what_a_host_must_check_is_compared(
    tmp_path: Path, what: str, edit: Callable[[str], str]
) -> None:
    assert f"the manifest has other {what}" in edited_folder(tmp_path, "manifest.json", edit)


def test_hypotheses_that_contradict_each_other_prove_nothing() -> None:
    d = find("add")
    program = build_program(d)
    text = program.files["add.cl"]
    vacuous = {"claim": "X", "statement": "", "facts": ["T >= 5", "T <= 3"], "goals": ["T == 100"]}
    record = {**statement(d, program, text), "claims": [vacuous], "proofs": {}, "maps": {}}
    record["cofactors"] = {}
    with pytest.raises(Refused, match="no example with all sizes >= 2 meets its conditions"):
        Operator(record, program.entry, Source("add.cl", text), Finder(record)).check({})


def test_a_limit_that_is_a_difference_bounds_no_product_in_it() -> None:
    """H + P - D*K + D <= INT_MAX says nothing of D*K, though the polynomial is positive."""
    record = record_of("max_pool2d")
    limits = [*record["limits"], "-DH*KH + DH + H + PB + PT"]
    base = checker.Base(checker.System(record["definition"]), checker.Certificates(record), limits)
    taps = checker.mul(checker.var("DH"), checker.var("KH"))
    assert not checker.is_monomial_of(taps, base.bounded)
    rows = checker.mul(checker.var("N"), checker.var("C"))
    assert checker.is_monomial_of(rows, base.bounded)
