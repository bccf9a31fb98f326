"""What the proofs make of operators that people write: taps that are skipped, roots, two reads."""

from __future__ import annotations

import copy
import dataclasses
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from gradproof.cli.main import app
from gradproof.codegen.certify import certify
from gradproof.codegen.program import build_program
from gradproof.derive.checker import Refused, System, call, canonical, mul, show, var
from gradproof.derive.checker import Text as Reader
from gradproof.derive.language import Definition, operator
from gradproof.derive.prove.finder import NotFound
from gradproof.derive.prove.open_claims import Search
from gradproof.derive.prove.record import definition_record
from gradproof.derive.prove.values import Outside, Values, compiled
from gradproof.runtime.build import CACHE_VARIABLE

WINDOW: dict[str, Any] = {
    "sizes": {"OW": "W + 2*P - K + 1"},
    "integers": "P",
    "requires": {"W + 2*P - K >= 0": "the window is too long"},
}
PLUS = operator(
    "plus",
    "z[n,x] = max[i](Y[n,x+i-P] + w[i])",
    {"Y": "N, W", "w": "K", "z": "N, OW"},
    outside={"Y": "skip"},
    **WINDOW,
)
COSINE = operator(
    "cosine",
    """
    u[n] = sum[k](x[n,k]**2)
    v[m] = sum[k](y[m,k]**2)
    z[n,m] = sum[k](x[n,k]*y[m,k])/sqrt(u[n]*v[m])
    """,
    {"x": "N, K", "y": "M, K", "u": "N", "v": "M", "z": "N, M"},
)
TWO = operator(
    "two",
    "z[x] = max[i:3](2*Y[x+i-1] + V[x-i+1])",
    {"Y": "W", "V": "W", "z": "W"},
    outside={"Y": "skip", "V": "skip"},
)
INSIDE = ("n", "N - 1 - n", "x + i - P", "W - 1 - (x + i - P)", "i + 1", "K - 1 - (i + 1)")
GRAM = operator(
    "gram",
    "G[n,c,d] = sum[x,y](F[n,c,x,y]*F[n,d,x,y])",
    {"F": "N, C, H, W", "G": "N, C, C"},
)
ROPE = operator(
    "rope",
    "z[n,p,d] = x[n,p,d]*c[p] + (2*d - 1)*x[n,p,1-d]*s[p]",
    {"x": "N, P, 2", "c": "P", "s": "P", "z": "N, P, 2"},
)


def open_rows(d: Definition) -> dict[str, str]:
    """The claims that are not proved, with the reason; not the texts of tiled kernels."""
    rows = certify(d, build_program(d)).ledger
    return {r["claim"]: r["why"] for r in rows if r["status"] != "proved" and "why" in r}


# -- a maximum that skips -----------------------------------------------------------------------
def test_a_term_with_a_second_operand_is_skipped_as_a_whole() -> None:
    """What was "0 outside, plus w" is now no term, as in the kernel, NumPy and the language."""
    left = open_rows(PLUS)
    assert set(left) <= {"plus_grad_w.equation"}


@pytest.mark.parametrize(
    ("old", "new"), [("0 <= max0_u0", "1 <= max0_u0"), ("i < K", "i < K - 1"), ("w[i] + ", "")]
)
def test_a_kernel_that_skips_other_taps_is_refused(old: str, new: str) -> None:
    program = build_program(PLUS)
    text = program.files["plus.cl"]
    assert old in text
    files = {**program.files, "plus.cl": text.replace(old, new, 2)}
    with pytest.raises(NotFound, match=r"the two sides differ at|has to be"):
        certify(PLUS, dataclasses.replace(program, files=files))


def test_the_checker_takes_the_ranges_of_all_that_is_skipped_over_into_the_maximum() -> None:
    record = copy.deepcopy(definition_record(PLUS))
    record["tensors"]["w"]["outside"] = "skip"
    record["equations"] = ["z[n, x] = max[i:K](Y[n, x + i - P] + w[i + 1])"]
    ((((_, _, guards, body),),),) = (tuple(System(record).equations["z"][1]),)
    shown = {show(dict(p)) for _, p in guards}
    assert shown == {show(Reader({}).value(p)) for p in INSIDE}
    assert "sum" not in repr(body)


def test_what_a_guard_reads_is_looked_at_only_where_the_other_guards_hold() -> None:
    """The position that decides whether a tap counts lies outside where the tap does."""
    assert set(open_rows(TWO)) <= {"two_grad_Y.equation", "two_grad_V.equation"}
    system = System(definition_record(TWO))
    for text, value in (
        ("sum[i:3](1, z_argmax[i - 1] == 5, i - 1 >= 0, W - i >= 0)", 0),
        ("(i - 1 >= 0)*(z_argmax[i - 1] == 5)", 0),
        ("sum[i:3, j:3](1, z_argmax[i - 1] == 5, i - 1 - j >= 0, W - i - j >= 0)", 0),
    ):
        values = Values(system, {"W": 1})
        assert values.of(compiled(system.text.value(text)), {"i": 0}) == value
    with pytest.raises(Outside):
        values.of(compiled(system.text.value("sum[i:3](1, z_argmax[i - 1] == 5)")), {})


def test_a_sum_skips_nothing() -> None:
    record = copy.deepcopy(definition_record(PLUS))
    for body in ("sum[i:K](Y[n, x + i - P])", "max[i:K](w[i] + sum[j:K](Y[n, x + j - P]))"):
        record["equations"] = [f"z[n, x] = {body}"]
        with pytest.raises(Refused, match="only a maximum skips"):
            System(record)


# -- what is found ------------------------------------------------------------------------------
@pytest.mark.parametrize("d", [COSINE, GRAM, ROPE], ids=lambda d: str(d.name))
def test_everything_is_proved(d: Definition) -> None:
    pytest.importorskip("z3")
    assert open_rows(d) == {}


def test_two_inverse_roots_under_a_sum_are_one_inverse() -> None:
    tensors = System(definition_record(COSINE)).tensors

    def of(text: str) -> Any:
        return canonical(Reader(tensors).value(f"sum[i:N]({text})"))

    root = "inv(sqrt(u[i]))"
    assert of(f"{root}*{root}") == of("inv(u[i])")
    assert of(f"{root}*{root}*{root}*u[i]") == of(root)
    assert of(f"{root}*{root}") != of(root)
    assert of(f"{root}*inv(sqrt(v[i]))") != of("inv(u[i])")
    assert of(f"{root}*inv(sqrt(u[i + 1]))") != of("inv(u[i])")
    assert of("sqrt(u[i])*sqrt(u[i])") != of("u[i]"), "only a cofactor may say so"
    outside = canonical(mul(*[call("inv", call("sqrt", var("x")))] * 2))
    assert outside != canonical(call("inv", var("x")))


# -- what is said -------------------------------------------------------------------------------
def test_only_an_example_says_that_two_sides_differ(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gradproof.derive.prove.finder.differing", lambda *_: None)
    monkeypatch.setattr(Search, "_is_false", lambda *_: False)
    monkeypatch.setattr("gradproof.derive.prove.open_claims.kernel_example", lambda *_: None)
    program = build_program(COSINE)
    text = program.files["cosine.cl"]
    for old, new in (("sqrt(", "exp("), ("k < K", "k < K - 1")):
        assert old in text
        files = {**program.files, "cosine.cl": text.replace(old, new)}
        rows = certify(COSINE, dataclasses.replace(program, files=files)).ledger
        why = [r["why"] for r in rows if r["claim"].endswith(".equation") and r.get("why")]
        assert why
        for words in why:
            assert "no certificate was found: " in words
            assert not any(s in words for s in ("differ ", "not equal", "left side", "hypotheses"))


FILE = """
import gradproof as gp

gram = gp.operator(
    "gram",
    "G[n,c,d] = sum[x,y](F[n,c,x,y]*F[n,d,x,y])",
    {"F": "N, C, H, W", "G": "N, C, C"},
)
"""


def test_a_short_list_and_the_whole_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("z3")
    monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path / "cache"))
    path = tmp_path / "gram.py"
    path.write_text(FILE)
    short, whole = (CliRunner().invoke(app, ["verify", str(path), *v]) for v in ([], ["-v"]))
    assert short.exit_code == whole.exit_code == 0, short.output
    lines = [line.split("degree")[0].strip() for line in short.stdout.splitlines()]
    assert "proved  gram_G: equation once range int32" in lines
    assert "proved  S1 gram_G: staged lanes tile c work-items registers chunks" in lines
    assert len([line for line in lines if line.startswith("proved  S1 ")]) == 2
    assert "c <-> (tile, place)" not in short.stdout
    assert "c <-> (tile, place)" in whole.stdout
    assert f"compared with the proved kernel by: gradproof selftest {path}" in short.stdout
    assert "solver" not in short.stdout and "searching" not in short.output
    assert len(lines) < 20 < len(whole.stdout.splitlines())
