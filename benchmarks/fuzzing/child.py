"""Runs a range of cases of one reader in this process: started by `campaign`."""

from __future__ import annotations

import contextlib
import importlib
import json
import logging
import mmap
import struct
import sys
import tempfile
import time
import traceback
import warnings
from collections import Counter
from pathlib import Path
from random import Random
from typing import Any

from benchmarks.fuzzing.guard import Forbidden, Guard, TooSlow, limit_memory, ran_out_of_memory
from benchmarks.fuzzing.reader import Reader, Wrong

KEPT = 4000  # bytes of a finding's input that are written down
LISTED = 50  # findings after which a process ends
WARM_UP = 30  # cases that let a reader import what it needs, before anything is limited


def case(reader: Reader, seed: int, number: int) -> bytes:
    """The same bytes on every machine and in every process."""
    return reader.make(Random(f"{seed} {reader.name} {number}"))


class Runs:
    """The cases of one reader, and what was found."""

    def __init__(self, reader: Reader, folder: Path) -> None:
        self.reader, self.folder, self.guard = reader, folder, Guard(folder)
        self.outcomes: Counter[str] = Counter()
        self.slowest = 0.0

    def one(self, content: bytes, refuse: bool = True) -> dict[str, str] | None:
        """Read one case: None where it was read or refused as documented, else what is wrong."""
        start = time.process_time()
        try:
            with self.guard.watching(self.reader.seconds, refuse):
                self.reader.read(content, self.folder)
            outcome: str | None = "read"
            found = None
        except self.reader.allowed as error:
            outcome, found = type(error).__name__, None
            if ran_out_of_memory(error):
                found = _finding("memory", error)
        except (Exception, TooSlow, Forbidden) as error:
            outcome, found = None, _finding(_kind(error), error)
        except BaseException as error:  # such as a panic of a library that is written in Rust
            outcome, found = None, _finding("uncaught", error)
        if self.guard.seen and (found is None or found["kind"] not in ("code", "path")):
            what = self.guard.seen[0]
            found = {"kind": what.partition(":")[0], "error": what, "place": ""}
        self.slowest = max(self.slowest, time.process_time() - start)
        if found is None:
            self.outcomes[str(outcome)] += 1
        return found


def _kind(error: BaseException) -> str:
    if isinstance(error, Forbidden):
        return str(error).partition(":")[0]
    if isinstance(error, TooSlow):
        return "hang"
    if isinstance(error, Wrong):
        return "wrong"
    return "memory" if ran_out_of_memory(error) else "uncaught"


def _finding(kind: str, error: BaseException) -> dict[str, str]:
    frames = traceback.extract_tb(error.__traceback__)
    ours = [f for f in frames if "fuzzing" not in f.filename] or frames
    own = [f for f in ours if any(p in f.filename for p in ("/derive/", "/runtime/", "/codegen/"))]
    last = (own or ours)[-1]
    place = f"{'/'.join(Path(last.filename).parts[-2:])}:{last.lineno}"
    with contextlib.suppress(Exception):
        return {"kind": kind, "error": f"{type(error).__name__}: {error!s:.300}", "place": place}
    return {"kind": kind, "error": type(error).__name__, "place": place}


def run(reader: Reader, seed: int, first: int, last: int, progress: Any) -> dict[str, Any]:
    """Cases first..last-1. progress: memory of 8 bytes, in which the number of the case stands."""
    reader.start()
    logging.disable(logging.CRITICAL)
    warnings.simplefilter("ignore")
    findings: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory(dir=_memory_folder()) as folder:
        runs = Runs(reader, Path(folder))
        for number in range(WARM_UP):
            runs.one(case(reader, seed - 1, number), refuse=False)
        runs.outcomes.clear()
        runs.slowest = 0.0
        limit_memory(reader.memory)
        for number in range(first, last):
            progress[:8] = struct.pack("<q", number)
            content = case(reader, seed, number)
            if found := runs.one(content):
                kept = content[:KEPT].hex()
                findings.append({**found, "case": number, "bytes": len(content), "input": kept})
                # what is left of a blow-up would hide the next one
                if found["kind"] == "memory" or len(findings) == LISTED:
                    last = number + 1
                    break
    return {"last": last, "outcomes": runs.outcomes, "findings": findings} | {
        "slowest_seconds": round(runs.slowest, 3)
    }


def _memory_folder() -> str | None:
    return "/dev/shm" if Path("/dev/shm").is_dir() else None


def main() -> None:
    """module attribute seed first last progress-file: the result is one line of JSON."""
    module, attribute, seed, first, last, progress = sys.argv[1:]
    readers: dict[str, Reader] = importlib.import_module(module).READERS
    with open(progress, "r+b") as file, mmap.mmap(file.fileno(), 8) as shared:
        result = run(readers[attribute], int(seed), int(first), int(last), shared)
    sys.stdout.write(json.dumps(result) + "\n")


if __name__ == "__main__":
    main()
