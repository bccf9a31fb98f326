"""How much of derive, codegen and runtime the tests run: lines and branches, by package.

    python benchmarks/covered.py [DATA ...] [--record FILE]

DATA: files that `coverage run` wrote; by default those of this folder. `make coverage` runs the
fast tests and then this. It fails where a package has less than 95 % of its lines or branches.
The settings are in pyproject.toml; what cannot run on this machine is named there, with the reason.
"""

from __future__ import annotations

import argparse
import datetime
import json
import sys
import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))  # run as a file, its own folder is there instead

from rich.console import Console  # noqa: E402
from rich.table import Table  # noqa: E402

from gradproof.cli import record  # noqa: E402

PACKAGES = ("derive", "codegen", "runtime")
LEAST = 95.0  # percent
COUNTS = ("num_statements", "covered_lines", "num_branches", "covered_branches")


def measured(data: Iterable[Path]) -> dict[str, dict[str, int]]:
    """The counts of each file, by its path from the root."""
    from coverage import Coverage

    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "report.json"
        found = Coverage(
            data_file=str(Path(folder) / "all"), config_file=str(ROOT / "pyproject.toml")
        )
        found.combine([str(path) for path in data], strict=True, keep=True)
        found.json_report(outfile=str(out))
        files = json.loads(out.read_text("utf-8"))["files"]
    rows = {}
    for name, row in files.items():
        path = Path(name) if Path(name).is_absolute() else Path.cwd() / name
        rows[path.resolve().relative_to(ROOT).as_posix()] = {k: row["summary"][k] for k in COUNTS}
    return rows


def summary(files: Mapping[str, Mapping[str, int]], package: str) -> dict[str, Any]:
    """A package's counts and percentages, and its files that are below `LEAST`.

    >>> counts = dict(zip(COUNTS, (10, 9, 4, 4)))
    >>> found = summary({"derive/a.py": counts, "runtime/b.py": counts}, "derive")
    >>> found["lines"], found["branches"], found["below"]
    (90.0, 100.0, {'derive/a.py': [90.0, 100.0]})
    """
    own = {name: row for name, row in files.items() if name.startswith(f"{package}/")}
    total = {k: sum(row[k] for row in own.values()) for k in COUNTS}
    lines, branches = percents(total)
    rows = {name: list(percents(row)) for name, row in sorted(own.items())}
    below = {name: row for name, row in rows.items() if min(row) < LEAST}
    return {"files": len(own), **total, "lines": lines, "branches": branches, "below": below}


def percents(row: Mapping[str, int]) -> tuple[float, float]:
    """Of lines and of branches; all of none are 100 %. Rounded down: 94.999 is no 95."""
    return tuple(  # type: ignore[return-value]
        100.0 if not of else int(10_000 * had / of) / 100
        for of, had in ((row[a], row[b]) for a, b in (COUNTS[:2], COUNTS[2:]))
    )


def main() -> int:
    """Show the table; write the record where it is asked for."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n\n")[0])
    parser.add_argument("data", type=Path, nargs="*", help="files of coverage data")
    parser.add_argument("--record", type=Path, help="write a record to this file")
    parser.add_argument("--of", default="all fast tests", help="which tests, for the record")
    given = parser.parse_args()
    data = given.data or sorted(ROOT.glob(".coverage.*"))
    if not data:
        parser.error("there are no data: run `make coverage`")
    files = measured(data)
    rows = {package: summary(files, package) for package in PACKAGES}
    shown = Table("package", "files", "lines", "branches", "files below")
    for name, row in rows.items():
        cells = (f"{row['lines']:.2f} %", f"{row['branches']:.2f} %", str(len(row["below"])))
        shown.add_row(name, str(row["files"]), *cells)
    say = Console(width=100)
    say.print(shown)
    for row in rows.values():
        for name, (lines, branches) in row["below"].items():
            say.print(f"{name}: lines {lines} %, branches {branches} %", highlight=False)
    if given.record:
        today = datetime.datetime.now(datetime.UTC).date().isoformat()
        about = {"date": today, "machine": record.machine([]), "tests": given.of}
        about["versions"] = record.versions()
        given.record.write_text(json.dumps(about | {"packages": rows}, indent=1) + "\n", "utf-8")
    return 0 if min(min(r["lines"], r["branches"]) for r in rows.values()) >= LEAST else 1


if __name__ == "__main__":
    sys.exit(main())
