"""Fuzzing finds planted faults of each class, and none in the readers; the page has its record."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from random import Random
from typing import Any

import pytest

from benchmarks import fuzz
from benchmarks.fuzzing import campaign, child
from benchmarks.fuzzing.reader import BINARY, TEXT
from tests import planted

ROOT = Path(__file__).resolve().parents[1]
READERS = fuzz.readers()
FEW = {"operator": 25, "certificate": 40, "closed forms": 15}  # cases, where one takes long
QUICK = 250


@pytest.mark.parametrize("name", planted.KINDS)
def test_a_planted_fault_is_found(name: str) -> None:
    _, kind = planted.KINDS[name]
    cases = 40 if name in ("hang", "stuck", "crash") else 200
    result = campaign.fuzz(planted.READERS[name], "tests.planted", cases, 1, still=4.0, listed=2)
    assert {f["kind"] for f in result.findings} == ({kind} if kind else set()), result.findings
    if kind and kind not in ("crash",) and name != "stuck":
        assert result.findings[0]["error"]
    if not kind:
        assert result.cases == 200 and result.outcomes["read"] and result.outcomes["Refusal"]


def test_a_process_goes_on_behind_a_crash() -> None:
    result = campaign.fuzz(planted.READERS["crash"], "tests.planted", 25, 21, listed=100)
    assert result.cases == 25 and [f["case"] for f in result.findings] == [12, 17]
    assert result.row()["findings"] == result.findings


def test_cases_are_the_same_every_time() -> None:
    for module, reader in READERS.values():
        first = child.case(reader, 1, 7)
        assert first == child.case(reader, 1, 7), module
        assert any(child.case(reader, 1, k) != first for k in range(20))
    assert child.case(planted.READERS["sound"], 1, 3) == planted.make(Random("1 sound 3"))


def with_kinds(errors: Iterable[type[BaseException]]) -> Iterator[type[BaseException]]:
    for error in errors:
        yield error
        yield from with_kinds(error.__subclasses__())


@pytest.mark.parametrize("name", READERS)
def test_a_reader_takes_hostile_files(name: str) -> None:
    """A short run; `python -m benchmarks.fuzz` is the long one."""
    module, reader = READERS[name]
    result = campaign.fuzz(reader, module, FEW.get(name, QUICK), 3)
    assert not result.findings, result.findings
    assert result.cases == FEW.get(name, QUICK) and sum(result.outcomes.values()) == result.cases
    assert set(result.outcomes) - {"read"} <= {e.__name__ for e in with_kinds(reader.allowed)}


# -- the record -----------------------------------------------------------------------------------
def record() -> dict[str, Any]:
    found: dict[str, Any] = json.loads(fuzz.latest().read_text("utf-8"))
    return found


def test_the_record_has_no_finding() -> None:
    rows = {row["reader"]: row for row in record()["rows"]}
    assert list(rows) == [name for name in READERS if name in rows]
    for name, row in rows.items():
        reader = READERS[name][1]
        assert row["cases"] >= reader.cases in (BINARY, TEXT) and not row["findings"], name
        assert sum(row["outcomes"].values()) == row["cases"] and row["seconds"] > 0
        assert row["outcomes"].get("read", 0) > 0, f"{name}: no case was read: none went deep"
    about = record()
    assert about["machine"]["cpu"] and about["versions"]["numpy"] and about["versions"]["pillow"]


def test_the_page_has_the_figures_of_the_record() -> None:
    page = (ROOT / "docs" / "files.md").read_text("utf-8")
    assert fuzz.written(page, record(), fuzz.latest().name) == page
    assert fuzz.latest().name in page and fuzz.table(record()) in page


def test_rows_of_parts_are_added_up(tmp_path: Path) -> None:
    row = {"reader": "idx", "cases": 2, "seconds": 1.0, "slowest_case_seconds": 0.1}
    row |= {"outcomes": {"read": 2}, "findings": []}
    parts = [row, row | {"outcomes": {"DataError": 1, "read": 1}, "slowest_case_seconds": 0.3}]
    (tmp_path / "rows").write_text("".join(json.dumps(r) + "\n" for r in parts))
    (both,) = fuzz.joined([tmp_path / "rows"])
    assert both["cases"] == 4 and both["outcomes"] == {"DataError": 1, "read": 3}
    assert both["slowest_case_seconds"] == 0.3 and both["seconds"] == 2.0
