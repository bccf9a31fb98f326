"""Hostile files for every reader: made at random, field by field and byte by byte.

    python -m benchmarks.fuzz [READER ...] [--cases N] [--seed N] [--record]
    python -m benchmarks.fuzz READER --show CASE        # the bytes of one case, and what happens

Each reader runs in a process of its own, with a limit of memory for the process and of the
processor's time for a case, and an audit hook that refuses code, programs, and paths outside of the
case's folder. A finding is an error that the reader does not document, a hang, memory beyond the
limit, code, a path, a crash, or what is taken though it is wrong. The exit status is 1 where there
is one. --record puts the rows into the newest record, in place of those of the same
readers, and its table into docs/files.md; --add takes rows from files of JSON lines, as this
command prints them: of parts of a reader's cases, or of another machine's run.
"""

from __future__ import annotations

import argparse
import datetime
import json
import re
import sys
import tempfile
from collections import Counter
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from benchmarks.fuzzing import campaign
from benchmarks.fuzzing.child import Runs, case
from benchmarks.fuzzing.reader import Reader
from gradproof.cli import record

RECORDS = Path(__file__).parent / "records"
PAGE = Path(__file__).parents[1] / "docs" / "files.md"
BEGIN, END = "<!-- written by `python -m benchmarks.fuzz --record` -->", "<!-- end -->"
MODULES = tuple(
    f"benchmarks.fuzzing.{name}" for name in ("binary_readers", "text", "proofs", "language")
)
LIBRARIES = ("pillow", "safetensors", "msgspec", "sympy")
SEED = 1


def readers() -> dict[str, tuple[str, Reader]]:
    """All readers by name, each with the module that has it."""
    return {
        name: (module, reader)
        for module in MODULES
        for name, reader in import_module(module).READERS.items()
    }


def latest() -> Path:
    """The newest record."""
    return max(RECORDS.glob("*-fuzz.json"))


def table(found: dict[str, Any]) -> str:
    """The rows of a record in Markdown."""
    lines = ["| reader | cases | read | refused | findings |", "|---|---|---|---|---|"]
    for row in found["rows"]:
        read = row["outcomes"].get("read", 0)
        refused, findings = row["cases"] - read, len(row["findings"]) or "none"
        lines.append(
            f"| {row['reader']} | {row['cases']:,} | {read:,} | {refused:,} | {findings} |"
        )
    return "\n".join(lines)


def about(seed: int, command: str) -> dict[str, Any]:
    """Date, machine and versions."""
    found: dict[str, Any] = {"date": datetime.date.today().isoformat(), "command": command}
    found |= {"seed": seed, "machine": record.machine([]), "versions": record.versions()}
    for name in LIBRARIES:
        try:
            found["versions"][name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def show(reader: Reader, seed: int, number: int) -> bool:
    """Print one case and what the reader makes of it, in this process."""
    content = case(reader, seed, number)
    print(content[:2000])
    reader.start()
    with tempfile.TemporaryDirectory() as folder:
        runs = Runs(reader, Path(folder))
        found = runs.one(content)
    print(json.dumps(found, indent=1) if found else f"as documented: {dict(runs.outcomes)}")
    return found is not None


def main() -> None:
    """Run, print, and write the record where it is asked for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("readers", nargs="*", help="names of readers; all of them by default")
    parser.add_argument("--cases", type=int, help="for each reader, in place of its own number")
    parser.add_argument("--first", type=int, default=0, help="number of the first case")
    parser.add_argument("--add", type=Path, nargs="*", default=[], metavar="FILE")
    parser.add_argument("--seed", type=int, default=SEED)
    parser.add_argument("--show", type=int, metavar="CASE")
    parser.add_argument("--record", action="store_true")
    options = parser.parse_args()
    known = readers()
    if unknown := set(options.readers) - set(known):
        parser.error(f"no reader {', '.join(sorted(unknown))}; there are {', '.join(known)}")
    chosen = options.readers or list(known)
    if options.show is not None:
        sys.exit(show(known[chosen[0]][1], options.seed, options.show))
    rows = joined(options.add)
    for name in [] if options.add else chosen:
        module, reader = known[name]
        cases = options.cases or reader.cases
        result = campaign.fuzz(reader, module, cases, options.seed, first=options.first)
        rows.append(result.row())
        print(json.dumps(result.row()), flush=True)
    if options.record:
        print(keep(rows, list(known), options.seed))
    sys.exit(any(row["findings"] for row in rows))


def joined(files: list[Path]) -> list[dict[str, Any]]:
    """The rows in some files, those of one reader added up."""
    found: dict[str, dict[str, Any]] = {}
    for row in (json.loads(line) for f in files for line in f.read_text("utf-8").splitlines()):
        old = found.setdefault(row["reader"], row)
        if old is not row:
            for key in ("cases", "seconds", "findings"):
                old[key] += row[key]
            old["slowest_case_seconds"] = max(
                old["slowest_case_seconds"], row["slowest_case_seconds"]
            )
            outcomes = Counter(old["outcomes"]) + Counter(row["outcomes"])
            old["outcomes"] = dict(sorted(outcomes.items()))
    return list(found.values())


def keep(rows: list[dict[str, Any]], order: list[str], seed: int) -> Path:
    """Put rows into the newest record, and its table into the page."""
    found = about(seed, "python -m benchmarks.fuzz --record")
    path = RECORDS / f"{found['date']}-fuzz.json"
    old = list(RECORDS.glob("*-fuzz.json"))
    kept = json.loads(latest().read_text("utf-8"))["rows"] if old else []
    by_name = {row["reader"]: row for row in [*kept, *rows]}
    found["rows"] = [by_name[name] for name in order if name in by_name]
    path.write_text(json.dumps(found, indent=1) + "\n", "utf-8")
    for other in old:
        if other != path:
            other.unlink()
    PAGE.write_text(written(PAGE.read_text("utf-8"), found, path.name), "utf-8")
    return path


def written(page: str, found: dict[str, Any], name: str) -> str:
    """The page with the table and the name of a record."""
    before, _, rest = page.partition(BEGIN)
    _, _, after = rest.partition(END)
    before = re.sub(r"records/[^)]*-fuzz\.json", f"records/{name}", before)
    return f"{before}{BEGIN}\n{table(found)}\n{END}{after}"


if __name__ == "__main__":
    main()
