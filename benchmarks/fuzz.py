"""Hostile files for every reader: made at random, field by field and byte by byte.

    python -m benchmarks.fuzz [READER ...] [--cases N] [--seed N] [--record]
    python -m benchmarks.fuzz READER --show CASE        # the bytes of one case, and what happens

Each reader runs in a process of its own, with a limit of memory for the process and of the
processor's time for a case, and an audit hook that refuses code, programs, and paths outside of the
case's folder. A finding is an error that the reader does not document, a hang, memory beyond the
limit, code, a path, a crash, or what is taken though it is wrong. The exit status is 1 where there
is one. --record writes the record with all readers.
"""

from __future__ import annotations

import argparse
import datetime
import json
import sys
import tempfile
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from benchmarks.fuzzing import campaign
from benchmarks.fuzzing.child import Runs, case
from benchmarks.fuzzing.reader import Reader
from gradproof.cli import record

RECORDS = Path(__file__).parent / "records"
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
    return max(RECORDS.glob("*-fuzz*.json"))


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
    found = about(options.seed, "python -m benchmarks.fuzz --record") | {"rows": []}
    for name in chosen:
        module, reader = known[name]
        result = campaign.fuzz(reader, module, options.cases or reader.cases, options.seed)
        found["rows"].append(result.row())
        print(json.dumps(result.row()), flush=True)
    if options.record:
        path = RECORDS / f"{found['date']}-fuzz.json"
        path.write_text(json.dumps(found, indent=1) + "\n", "utf-8")
        print(path)
    sys.exit(any(row["findings"] for row in found["rows"]))


if __name__ == "__main__":
    main()
