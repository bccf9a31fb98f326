"""The record of what ran where, and README's table, which is written from it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

BEGIN = "<!-- devices: written by `make matrix ARGS=--record` -->"
END = "<!-- devices: end -->"
STEPS = ("compile", "selftest", "training", "memory")
UNTESTED = "Intel's, Apple's, Qualcomm's, ARM's and Imagination's GPUs"
Rows = Mapping[str, Mapping[str, Any]]


def load(path: Path) -> dict[str, Any]:
    """The rows of a record by name; none where there is no file."""
    found: dict[str, Any] = json.loads(path.read_text("utf-8"))["rows"] if path.exists() else {}
    return found


def save(path: Path, rows: Rows) -> None:
    """Write a record, rows in the order of the table."""
    ordered = {name: rows[name] for name in sorted(rows, key=lambda n: _order(n, rows[n]))}
    path.write_text(json.dumps({"rows": ordered}, indent=1, ensure_ascii=False) + "\n", "utf-8")


def _order(name: str, row: Mapping[str, Any]) -> tuple[int, str]:
    kinds = ("gpu", "accelerator", "cpu", "simulator", "target")
    return kinds.index(row["kind"]), name


def table(rows: Rows) -> str:
    """The table in Markdown."""
    lines = ["| device | driver | kernels compiled | self-test | demo's accuracy |"]
    lines.append("|---|---|---|---|---|")
    lines += ["| " + " | ".join(cells(name, rows[name])) + " |" for name in rows]
    return "\n".join([*lines, f"| {UNTESTED} | | untested | untested | untested |"])


def cells(name: str, row: Mapping[str, Any]) -> tuple[str, ...]:
    """One row: name, driver, and the three results."""
    if row["kind"] == "target":
        driver = f"compiled only, {' and '.join(row['compilers'])}"
        return name, driver, _compiled(row["compile"]), "not run", "not run"
    driver = f"{row['device']}, driver {row['driver']}"
    return name, driver, _compiled(row.get("compile")), _tested(row), _trained(row)


def _compiled(x: Mapping[str, Any] | None) -> str:
    if x is None:
        return "untested"
    if not x["passed"]:
        return f"{len(x['failures'])} of {x['programs']} programs fail"
    more = ""
    if "registers" in x:
        spills = ("none spills", "1 spills")[x["spilling"]] if x["spilling"] < 2 else None
        more = f", at most {x['registers']} registers, {spills or str(x['spilling']) + ' spill'}"
    return f"{x['kernels']:,}, no warning{more}"


def _tested(row: Mapping[str, Any]) -> str:
    x, memory = row.get("selftest"), row.get("memory")
    if x is None:
        return "untested"
    if not x["passed"]:
        return "FAILED: " + ", ".join(x["wrong"])
    said = f"{x['kernels']} kernels in {x['cases']:,} cases"
    if memory is None:
        return said
    if not memory["passed"]:
        return f"{said}; {len(memory['failures'])} memory errors"
    return f"{said}; no memory error in {memory['cases']:,} more"


def _trained(row: Mapping[str, Any]) -> str:
    x = row.get("training")
    if x is None:
        return "too slow" if row["kind"] == "simulator" else "untested"
    return f"{x['accuracy']:.1%}" if x["passed"] else f"FAILED: {x['problem']}"


def passed(row: Mapping[str, Any]) -> bool:
    """Whether nothing in a row failed."""
    return all(row[s]["passed"] for s in STEPS if s in row)


def written(page: str, rows: Rows) -> str:
    """A page with the table between its marks. Errors: ValueError where a mark is missing."""
    before, begin, rest = page.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not (begin and end):
        raise ValueError(f"the page lacks {BEGIN} or, after it, {END}")
    return f"{before}{begin}\n{table(rows)}\n{end}{after}"
