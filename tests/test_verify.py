"""gradproof verify: the ledger, its statuses, and what happens when something does not hold."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from gradproof.cli import verify as command
from gradproof.cli.ledger import PER_KERNEL
from gradproof.cli.main import app
from gradproof.codegen import certify as certifying
from gradproof.codegen.certify import certify, known_record, record_text
from gradproof.codegen.generate import generated_folder, render_all
from gradproof.codegen.program import build_program
from gradproof.derive.checker import Refused
from gradproof.derive.registry import find, operators

CHECKER = Path(__file__).resolve().parents[1] / "derive" / "checker.py"
LECTURE = ("F1", "F2", "G1", "G2", "G3", "G4", "G5", "G6", "G7", "G8", "B1", "B2", "B3", "L1")


def verify(*arguments: str) -> Any:
    return CliRunner().invoke(app, ["verify", *arguments])


@pytest.fixture(scope="module")
def ledger() -> list[dict[str, Any]]:
    result = verify("--json")
    assert result.exit_code == 0, result.output
    return list(json.loads(result.stdout))


def test_every_row_says_what_is_claimed_of_what_and_how_it_is_known(
    ledger: list[dict[str, Any]],
) -> None:
    for row in ledger:
        assert {"claim", "operator", "statement", "status", "degree", "steps", "bytes"} <= set(row)
        assert row["status"] in ("proved", "tested")
        assert row["statement"]
    assert len({(r["operator"], r["claim"]) for r in ledger}) == len(ledger)


@pytest.mark.parametrize("claim", LECTURE)
def test_the_claims_of_the_lecture_are_proved(ledger: list[dict[str, Any]], claim: str) -> None:
    rows = [r for r in ledger if r["claim"].split()[0] == claim]
    assert rows
    assert {r["status"] for r in rows} == {"proved"}


def test_every_kernel_has_all_four_claims(ledger: list[dict[str, Any]]) -> None:
    """Proved, all of them; nothing of a shipped operator is open."""
    rows = {r["claim"]: r["status"] for r in ledger}
    entries = json.loads((generated_folder() / "manifest.json").read_text("utf-8"))["operators"]
    assert set(entries) == set(operators())
    kernels = {k for entry in entries.values() for k in entry["kernels"]}
    for claim in (f"{k}.{what}" for k in kernels for what in PER_KERNEL):
        assert rows[claim] == "proved", claim
    assert not [c for c in rows if rows[c] == "tested" and not c.startswith("S2 ")]


def test_one_operator_as_a_table() -> None:
    result = verify("linear")
    assert result.exit_code == 0
    assert "linear_grad_w: equation once range int32" in result.output
    assert "degree 2" in result.output


def test_an_unknown_operator_is_one_message() -> None:
    result = verify("conv9d")
    assert result.exit_code == 2
    assert "conv9d" in result.output


def test_without_a_solver_committed_certificates_are_checked_and_it_says_so(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(command, "have_solver", lambda: False)
    result = verify("relu")
    assert result.exit_code == 0
    assert "z3 is not installed: committed certificates are checked" in result.output
    assert verify("relu", "--from-scratch").exit_code == 2


def test_a_damaged_certificate_fails_and_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "generated"
    shutil.copytree(generated_folder(), folder)
    path = folder / "proofs" / "linear.json"
    record = json.loads(path.read_text("utf-8"))
    key = next(k for k, steps in record["proofs"].items() if steps[0][2])
    record["proofs"][key][0][2][0][0] = "7"
    path.write_text(record_text(record), "utf-8")
    monkeypatch.setattr(command, "generated_folder", lambda: folder)
    result = verify("linear")
    assert result.exit_code == 1
    assert key in result.output
    assert "does not add up" in result.output


def test_a_kernel_that_was_edited_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "generated"
    shutil.copytree(generated_folder(), folder)
    path = folder / "relu.cl"
    path.write_text(path.read_text("utf-8").replace("<= 0", "< 0"), "utf-8")
    monkeypatch.setattr(command, "generated_folder", lambda: folder)
    result = verify("relu")
    assert result.exit_code == 1
    assert "relu.cl is not what the derivation gives" in result.output


def test_the_checker_alone_accepts_the_committed_folder() -> None:
    run = [sys.executable, "-I", str(CHECKER), str(generated_folder())]
    done = subprocess.run(run, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout
    assert "claims proved" in done.stdout
    assert "Taken on trust:" in done.stdout


def test_records_are_reloaded_only_for_the_same_statement() -> None:
    d = find("relu")
    known = known_record(generated_folder(), "relu")
    assert known is not None
    assert certify(d, build_program(d), known).reloaded
    assert not certify(d, build_program(d), {**known, "text": "another"}).reloaded


def test_a_record_that_is_no_json_is_named(tmp_path: Path) -> None:
    (tmp_path / "proofs").mkdir()
    (tmp_path / "proofs" / "relu.json").write_text("{", "utf-8")
    with pytest.raises(Refused, match=r"relu\.json is damaged"):
        known_record(tmp_path, "relu")


def test_a_record_as_text_is_the_same_json() -> None:
    known = known_record(generated_folder(), "linear")
    assert known is not None
    assert json.loads(record_text(known)) == known


@pytest.mark.slow
@pytest.mark.parametrize("name", ["linear", "max_pool2d", "softmax_cross_entropy"])
def test_a_search_from_scratch_shows_the_same_and_is_deterministic(
    name: str, tmp_path: Path
) -> None:
    first, second = (render_all([find(name)], tmp_path)[f"proofs/{name}.json"] for _ in range(2))
    assert first == second
    d = find(name)
    known = known_record(generated_folder(), name)
    shown = {row["claim"] for row in certify(d, build_program(d), json.loads(first)).ledger}
    assert shown == {row["claim"] for row in certify(d, build_program(d), known).ledger}


def test_sections_are_sorted() -> None:
    known = known_record(generated_folder(), "conv2d")
    assert known is not None
    for section in certifying.SECTIONS:
        assert list(known[section]) == sorted(known[section])
