"""What is not proved is `tested`, is listed with its reason, and nothing else rests on it."""

from __future__ import annotations

import copy
import dataclasses
import random
from functools import cache
from typing import Any

import pytest

from gradproof.codegen.certify import certify, record_text
from gradproof.codegen.program import Program, build_program
from gradproof.derive.checker import Operator, Refused, Source, System, evaluate
from gradproof.derive.claims.named import NAMED
from gradproof.derive.language import Definition, operator
from gradproof.derive.prove import execute
from gradproof.derive.prove.finder import NotFound
from gradproof.derive.prove.open_claims import Search
from gradproof.derive.prove.record import definition_record
from gradproof.derive.prove.rough import rough_limits
from gradproof.derive.prove.values import Undefined, Values
from gradproof.derive.registry import find

WHY = "nobody knows"
NORM = operator(
    "norm",
    """
    m[n] = sum[k](Y[n,k])/K
    z[n,k] = (Y[n,k] - m[n])**2
    """,
    {"Y": "N, K", "m": "N", "z": "N, K"},
    outputs=("z",),
)
WINDOW = operator(
    "window",
    "z[x] = sum[i:K](Y[x + i])",
    {"Y": "H", "z": "X"},
    sizes={"X": "H - K + 1"},
    requires={"H - K >= 0": "the window is too long"},
    outside={"Y": "zero"},
)
ROOT = operator("root", "z[i] = Y[i]**(1/3)", {"Y": "T", "z": "T"})  # a text beyond the reader
KERNEL = ("equation", "once", "range", "int32")


@cache
def made(d: Definition) -> tuple[Program, Any]:
    program = build_program(d)
    return program, certify(d, program).record


def ledger(d: Definition, opened: dict[str, Any]) -> dict[str, Any]:
    """The checker's ledger of a record that lists some claims as open."""
    program, record = made(d)
    record = {**copy.deepcopy(record), "open": opened}
    used = None
    for _ in range(2):  # the certificates of what is open show nothing that is asked
        if used is not None:
            record["proofs"] = {k: v for k, v in record["proofs"].items() if k in used}
        source = Source(f"{d.name}.cl", program.files[f"{d.name}.cl"])
        checked = Operator(record, program.entry, source)
        try:
            rows = checked.check(NAMED)
            return {row["claim"]: row for row in rows}
        except Refused as error:
            if "show nothing that is asked" not in str(error):
                raise
            used = checked.certificates.used
    raise AssertionError


def rests(kernel: str, *what: str) -> dict[str, str]:
    return {f"{kernel}.{w}": WHY for w in what}


def test_what_is_listed_as_open_is_tested_and_the_rest_is_proved() -> None:
    rows = ledger(NORM, rests("norm_m", "equation"))
    assert {c for c, row in rows.items() if row["status"] != "proved"} == {"norm_m.equation"}
    assert rows["norm_m.equation"]["status"] == "tested"
    assert rows["norm_m.equation"]["why"] == WHY


def test_what_is_neither_listed_nor_shown_is_refused() -> None:
    program, record = made(WINDOW)
    for section in ("proofs", "maps"):
        source = Source("window.cl", program.files["window.cl"])
        with pytest.raises(Refused, match=r"window\.cl:\d+|window: "):
            Operator({**record, section: {}}, program.entry, source).check(NAMED)


@pytest.mark.parametrize("stray", ["norm_m.nothing", "norm_x.equation", "equation", ""])
def test_an_open_claim_that_does_not_exist_is_refused(stray: str) -> None:
    with pytest.raises(Refused, match="is no claim that may be open"):
        ledger(NORM, {stray: WHY})


@pytest.mark.parametrize("why", ["", None, 1, "two\nlines"])
def test_an_open_claim_has_a_reason_in_one_line(why: Any) -> None:
    with pytest.raises(Refused, match="has a reason each"):
        ledger(NORM, {"norm_m.equation": why})


def test_a_closed_form_is_never_open() -> None:
    relu = find("relu")
    claim = next(c["claim"] for c in made(relu)[1]["claims"])
    with pytest.raises(Refused, match="is no claim that may be open"):
        ledger(relu, {claim: WHY})


# -- nothing rests on what is open ---------------------------------------------------------------
@pytest.mark.parametrize(
    ("opened", "message"),
    [
        (("once",), r"norm_z\.range: it rests on norm_z\.once"),
        (("once", "range"), r"norm_z\.int32: it rests on norm_z\.once"),
        (("range",), r"norm_z\.int32: it rests on norm_z\.range"),
        (("range", "int32"), r"norm_z\.equation: it rests on norm_z\.range"),
        (("once", "int32", "equation"), r"norm_z\.range: it rests on norm_z\.once"),
    ],
)
def test_a_claim_of_a_text_rests_on_what_it_takes_for_granted(opened: Any, message: str) -> None:
    with pytest.raises(Refused, match=message):
        ledger(NORM, rests("norm_z", *opened))


def test_whole_kernels_may_be_open() -> None:
    rows = ledger(NORM, rests("norm_z", *KERNEL))
    assert [c for c, row in rows.items() if "why" in row] == [f"norm_z.{w}" for w in KERNEL]


def test_derived_sizes_that_are_open_are_no_facts() -> None:
    with pytest.raises(Refused):
        ledger(WINDOW, {"window.sizes": WHY})


def test_nothing_is_shown_of_sizes_of_which_none_are_known() -> None:
    with pytest.raises(Refused, match=r"it rests on norm\.inhabited"):
        ledger(NORM, {"norm.inhabited": WHY})


def test_a_definition_that_is_not_read_leaves_nothing_proved() -> None:
    with pytest.raises(Refused, match=r"it rests on norm\.definition"):
        ledger(NORM, {"norm.definition": WHY})


def test_an_open_equation_means_what_the_definition_says() -> None:
    program, record = made(NORM)
    source = Source("norm.cl", program.files["norm.cl"].replace("sum0 / (REAL)K", "sum0"))
    opened = rests("norm_m", "equation")
    checked = Operator({**record, "open": opened}, program.entry, source)
    rows = {row["claim"]: row["status"] for row in checked.check(NAMED)}
    assert (rows["norm_m.equation"], rows["norm_z.equation"]) == ("tested", "proved")
    base = checked.bases["norm"]
    assert base.open == {"m"}
    assert base.values["m"] == (["n"], base.system.rhs("m", [{("n",): 1}]))


def test_a_claim_about_what_an_open_kernel_stores_is_refused() -> None:
    with pytest.raises(Refused, match="no kernel is proved to store z"):
        ledger(find("relu"), rests("relu_z", "equation"))


def test_a_gradient_that_may_not_vanish_is_not_left_out() -> None:
    d = find("softmax_cross_entropy")
    with pytest.raises(Refused, match=r"softmax_cross_entropy_grad_a|grad_m"):
        ledger(d, {"softmax_cross_entropy.grad_m=0": WHY})


# -- the search ---------------------------------------------------------------------------------
def edited(d: Definition, old: str, new: str) -> Program:
    program = build_program(d)
    name = f"{d.name}.cl"
    assert old in program.files[name]
    return dataclasses.replace(
        program, files={**program.files, name: program.files[name].replace(old, new)}
    )


WRONG = [
    (NORM, "norm_m", "sum0 / (REAL)K", "sum0"),
    (NORM, "norm_m", "sum0 / (REAL)K", "pow(sum0, (REAL)2)"),
    (NORM, "norm_z", "id % K", "id / K"),
    (WINDOW, "window_z", "int sum0_u0 = i + x", "int sum0_u0 = x"),
    (WINDOW, "window_z", "i < K", "i < K - 1"),
    (WINDOW, "window_z", "Y[sum0_u0]", "Y[sum0_u0 + 1]"),
]


@pytest.mark.parametrize(("d", "kernel", "old", "new"), WRONG)
def test_a_wrong_text_is_refused_with_an_example(
    d: Definition, kernel: str, old: str, new: str
) -> None:
    with pytest.raises(NotFound, match=rf"{d.name}\.cl:\d+: .*(at |left side is)") as caught:
        certify(d, edited(d, old, new))
    assert caught.value.example


@pytest.mark.parametrize(("d", "kernel", "old", "new"), WRONG)
def test_a_wrong_text_is_not_proved_where_no_example_is_found(
    d: Definition, kernel: str, old: str, new: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Search, "_is_false", lambda *_: False)
    monkeypatch.setattr("gradproof.derive.prove.open_claims.kernel_example", lambda *_: None)
    rows = {row["claim"]: row for row in certify(d, edited(d, old, new)).ledger}
    assert rows[f"{kernel}.equation"]["status"] == "tested"
    assert rows[f"{kernel}.equation"]["why"]


def test_a_text_that_cannot_be_read_is_tested() -> None:
    rows = {row["claim"]: row for row in certify(ROOT, build_program(ROOT)).ledger}
    for what in KERNEL:
        assert rows[f"root_z.{what}"]["status"] == "tested"
        assert "pow is no real number here" in rows[f"root_z.{what}"]["why"]


def test_what_is_open_is_reloaded_and_only_searched_anew_for_another_text() -> None:
    program = build_program(ROOT)
    first = certify(ROOT, program)
    assert list(first.record["open"]) and '"open": {\n' in record_text(first.record)
    again = certify(ROOT, program, first.record)
    assert again.reloaded
    assert again.record["open"] == first.record["open"]
    marked = {**first.record, "open": {**first.record["open"], "root_z.once": WHY}, "text": []}
    searched = certify(ROOT, program, marked)
    assert not searched.reloaded
    assert searched.record["open"] == first.record["open"]


def test_old_certificates_that_do_not_fit_leave_nothing_open() -> None:
    program, record = made(WINDOW)
    old = copy.deepcopy({**record, "text": []})
    for entries in old["maps"].values():
        for entry in entries:
            if "map" in entry:
                entry["map"] = dict.fromkeys(entry["map"], "0")
    assert "open" not in certify(WINDOW, program, old).record


# -- limits -------------------------------------------------------------------------------------
class Watched(execute.Run):
    """A run that notes the largest integer that it computes."""

    largest = 0

    def arithmetic(self, where: str, kind: str, a: Any, b: Any) -> Any:
        value = super().arithmetic(where, kind, a, b)
        if isinstance(value, int):
            Watched.largest = max(Watched.largest, abs(value))
        return value


@pytest.mark.parametrize("name", ["conv2d", "max_pool2d", "linear", "window", "root"])
def test_rough_limits_bound_every_integer(name: str) -> None:
    d = {"window": WINDOW, "root": ROOT}.get(name) or find(name)
    system = System(definition_record(d))
    program = build_program(d)
    source = Source(name, program.files[f"{name}.cl"])
    chosen = random.Random(0)
    tried = 0
    for text in source.kernels():
        limits = rough_limits(system.record, text)
        for seed in range(12):
            sizes = {s: chosen.randint(1, 4) for s in system.record["sizes"]}
            sizes |= {s: evaluate(e, sizes) for s, e in system.derived().items()}
            if min(sizes.values()) < 1:
                continue
            Watched.largest = 0
            run = Watched(text, Values(system, sizes, seed))
            try:
                for k in range(12):
                    run.item(k)
            except (execute.Trouble, Undefined):
                continue
            bound = max((evaluate(p, sizes) for p in limits), default=0)
            assert Watched.largest <= bound, (text[0], sizes)
            tried += 1
    assert tried > 5
