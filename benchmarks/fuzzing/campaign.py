"""All cases of a reader, in processes of their own that may crash, hang or be killed."""

from __future__ import annotations

import json
import os
import struct
import subprocess
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.fuzzing.guard import ROOT
from benchmarks.fuzzing.reader import Reader

STILL = 600.0  # seconds without progress after which a process is killed
TICK = 0.05
LISTED = 50  # findings after which a reader is not run on


@dataclass
class Result:
    """What was run of one reader, and what was found."""

    reader: str
    cases: int = 0
    seconds: float = 0.0
    slowest: float = 0.0
    outcomes: Counter[str] = field(default_factory=Counter)
    findings: list[dict[str, Any]] = field(default_factory=list)

    def row(self) -> dict[str, Any]:
        """For a record."""
        return {
            "reader": self.reader,
            "cases": self.cases,
            "seconds": round(self.seconds, 1),
            "slowest_case_seconds": round(self.slowest, 3),
            "outcomes": dict(sorted(self.outcomes.items())),
            "findings": self.findings,
        }


def fuzz(
    reader: Reader,
    module: str,
    cases: int,
    seed: int,
    still: float = STILL,
    listed: int = LISTED,
    first: int = 0,
) -> Result:
    """Run `cases` cases of `module`.READERS[reader.name], from `first` on; what dies or stands is a
    finding, and another one goes on behind it."""
    result, start = Result(reader.name), time.perf_counter()
    last = first + cases
    while first < last and len(result.findings) < listed:
        found, reached, problem = _process(reader, module, seed, first, last, still)
        if found is None:
            result.findings.append({**problem, "case": reached})
            result.outcomes["unknown"] += reached - first
            first = reached + 1
        else:
            result.outcomes.update(found["outcomes"])
            result.findings += found["findings"]
            result.slowest = max(result.slowest, found["slowest_seconds"])
            first = found["last"]
    result.cases, result.seconds = cases - (last - first), time.perf_counter() - start
    return result


def _process(
    reader: Reader, module: str, seed: int, first: int, last: int, still: float
) -> tuple[dict[str, Any] | None, int, dict[str, str]]:
    """(its result or None, the last case it began, how it ended)."""
    with tempfile.TemporaryDirectory() as folder:
        progress = Path(folder, "progress")
        progress.write_bytes(struct.pack("<q", first))
        words = [sys.executable, "-m", "benchmarks.fuzzing.child", module, reader.name]
        words += [str(seed), str(first), str(last), str(progress)]
        path = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
        output = Path(folder, "output")
        with output.open("wb") as out, Path(folder, "errors").open("wb") as errors:
            child = subprocess.Popen(
                words, stdout=out, stderr=errors, cwd=ROOT, env=os.environ | {"PYTHONPATH": path}
            )
            killed = _watch(child, progress, still)
        (reached,) = struct.unpack("<q", progress.read_bytes())
        if child.returncode == 0:
            return json.loads(output.read_text("utf-8").splitlines()[-1]), reached, {}
        text = Path(folder, "errors").read_text("utf-8", "replace")[-800:]
        kind = "hang" if killed else "crash"
        return None, reached, {"kind": kind, "error": f"exit {child.returncode}: {text}"}


def _watch(child: subprocess.Popen[bytes], progress: Path, still: float) -> bool:
    """Wait for the end; kill what stands still, and say so."""
    seen, since = b"", time.monotonic()
    while child.poll() is None:
        now = progress.read_bytes()
        if now != seen:
            seen, since = now, time.monotonic()
        elif time.monotonic() - since > still:
            child.kill()
            child.wait()
            return True
        time.sleep(TICK)
    return False
