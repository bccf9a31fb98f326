"""Long runs: an hour of training with flat memory, and models trained side by side.

    python benchmarks/soak.py memory [--seconds 3600] [--launches 1000000] [--record]
    python benchmarks/soak.py together [--rounds 3] [--record]

`memory` trains in cycles: planned, recorded and eager steps, batches of several sizes, checkpoints,
evaluation; benchmarks/endurance/work.py says what. After each cycle it looks at what the process
holds: host and device memory, buffers, Python objects, open files, threads. What grows with the
launches after the warm-up is a leak; benchmarks/endurance/flatness.py states the rule.

`together` trains eight models of different kinds, alone, in eight processes at once and in eight
threads of one process: all losses and parameters must be the same bits.
"""

from __future__ import annotations

import argparse
import datetime
import json
import logging
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))  # run as a file, its own folder is there instead

import numpy as np  # noqa: E402
from rich.console import Console  # noqa: E402
from rich.table import Table  # noqa: E402

from benchmarks.endurance import together  # noqa: E402
from benchmarks.endurance.flatness import BLOCKS, LEVEL, PER, WARM_UP, trend  # noqa: E402
from benchmarks.endurance.probes import UNITS, Launches, held  # noqa: E402
from benchmarks.endurance.work import Work  # noqa: E402
from gradproof.cli import record  # noqa: E402
from gradproof.runtime.device import current_device  # noqa: E402
from gradproof.runtime.tensor import Tensor  # noqa: E402

RECORDS = ROOT / "benchmarks" / "records"
LEAK_EVERY, LEAK_BYTES = 100, 4096  # of a planted leak: steps, and bytes of one buffer
MINUTE = 60.0
MOST_CYCLES, ABSENT = 1 << 17, -1  # ABSENT: a quantity that this system does not tell
EVERY = 10  # of the samples that a record keeps


def soak(
    seconds: float,
    launches: int,
    images: int = 400,
    leak: int = 0,
    networks: tuple[str, str] = ("lenet", "resnet20"),
    say: Callable[[str], None] = print,
) -> dict[str, Any]:
    """Cycles for so long, and until there were so many launches; what was held after each.

    leak: a buffer is kept after so many steps, again and again, which must be found; 0: none.
    images, networks: see `Work`.
    """
    kept: list[Tensor] = []
    steps = 0

    def every_step() -> None:
        nonlocal steps
        steps += 1
        if leak and steps % leak == 0:
            kept.append(Tensor.empty((LEAK_BYTES // 4,), "float32"))

    count, samples, spoken = Launches(), Samples(), 0.0
    start = time.perf_counter()
    with count.counted():
        work = Work(images, every_step, networks)
        while not _enough(samples, time.perf_counter() - start, count.count, seconds, launches):
            for _ in work.cycle(samples.count):
                pass
            sample = {"launches": count.count, **held()}
            samples.add(sample)
            passed = time.perf_counter() - start
            if passed - spoken >= MINUTE:
                spoken = passed
                say(f"{passed:.0f} s, {count.count:,} launches, {sample}")
    rows = samples.rows()
    return judged(rows) | {
        "seconds": round(time.perf_counter() - start),
        "launches": count.count,
        "steps": steps,
        "cycles": len(rows),
        "samples": rows,
    }


class Samples:
    """What was held after each cycle, in memory taken before the first: it must not grow itself."""

    def __init__(self) -> None:
        self.count, self._names = 0, ("launches", *UNITS)
        self._values = np.full((MOST_CYCLES, len(self._names)), ABSENT)

    def add(self, sample: Mapping[str, int]) -> None:
        """One cycle more. Errors: RuntimeError after `MOST_CYCLES`."""
        if self.count == MOST_CYCLES:
            raise RuntimeError(f"{MOST_CYCLES:,} cycles were measured, which is all that is kept")
        self._values[self.count] = [sample.get(name, ABSENT) for name in self._names]
        self.count += 1

    def since(self, launches: float) -> int:
        """How many cycles ended after so many launches."""
        return int((self._values[: self.count, 0] >= launches).sum())

    def rows(self) -> list[dict[str, int]]:
        """Each cycle's sample, without what this system does not tell."""
        measured = self._values[: self.count].tolist()
        pairs = (zip(self._names, values, strict=True) for values in measured)
        return [{n: v for n, v in row if v != ABSENT} for row in pairs]


def _enough(samples: Samples, passed: float, count: int, seconds: float, launches: int) -> bool:
    """Whether it was long enough to be judged, too."""
    long = passed >= seconds and count >= launches
    return long and samples.since(count * WARM_UP) >= BLOCKS


def judged(samples: list[dict[str, int]]) -> dict[str, Any]:
    """The trend of each quantity, and those that grow."""
    at = [s["launches"] for s in samples]
    trends = {name: trend(at, [s[name] for s in samples]) for name in UNITS if name in samples[0]}
    rows = {
        name: {"first": samples[0][name], "last": samples[-1][name]}
        | {"slope": t.slope, "low": t.low, "high": t.high, "grows": t.grows}
        for name, t in trends.items()
    }
    rule = {"warm_up": WARM_UP, "blocks": BLOCKS, "level": LEVEL, "per_launches": PER}
    return {"rule": rule, "trends": rows, "grows": [n for n, t in trends.items() if t.grows]}


def show(trends: Mapping[str, Mapping[str, Any]], say: Console) -> None:
    """The trends for a person."""
    table = Table("quantity", "first", "last", f"for {PER:,} launches", f"{LEVEL:.0%} interval")
    for name, row in trends.items():
        cells = (f"{row['first']:,}", f"{row['last']:,}", f"{row['slope']:,.2f} {UNITS[name]}")
        style = "red" if row["grows"] else None
        table.add_row(name, *cells, f"{row['low']:,.2f} to {row['high']:,.2f}", style=style)
    say.print(table)


def together_run(steps: int, rounds: int) -> dict[str, Any]:
    """The digests of the eight models alone, and where other ways gave others."""
    start = time.perf_counter()
    found = together.compared(steps, rounds)
    tasks = [
        {"way": t.way, "network": t.network, "dtype": t.dtype, "batch": t.batch}
        for t in together.TASKS
    ]
    for row, digest in zip(tasks, found["alone"][0], strict=True):
        row["sha256"] = digest
    return {
        "steps": steps,
        "rounds": rounds,
        "seconds": round(time.perf_counter() - start),
        "alone": tasks,
        "differing": together.differing(found),
    }


def thinned(found: Mapping[str, Any]) -> dict[str, Any]:
    """What was found, with some of its samples, which are thousands."""
    told = f"one of {EVERY}; the trends are of all"
    return {**found, "samples": found["samples"][::EVERY], "samples_kept": told}


def about() -> dict[str, Any]:
    """When, where and with what."""
    today = datetime.datetime.now(datetime.UTC).date().isoformat()
    where = {"machine": record.machine([]), "device": record.device(current_device().info)}
    return {"date": today, **where, "versions": record.versions()}


def main() -> int:
    """Run, show, and write the record where it is asked for."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n\n")[0])
    kinds = parser.add_subparsers(dest="kind", required=True)
    memory = kinds.add_parser("memory", help="an hour of training: does memory stay flat?")
    memory.add_argument("--seconds", type=float, default=3600.0)
    memory.add_argument("--launches", type=int, default=1_000_000)
    memory.add_argument("--images", type=int, default=400, help="of the training part")
    memory.add_argument("--leak", action="store_const", const=LEAK_EVERY, default=0)
    beside = kinds.add_parser("together", help="eight models side by side: the same bits?")
    beside.add_argument("--rounds", type=int, default=3)
    beside.add_argument("--steps", type=int, default=24)
    for kind in kinds.choices.values():
        kind.add_argument("--record", action="store_true", help="write it to benchmarks/records/")
        kind.add_argument("--json", type=Path, help="write it to this file")
    given = parser.parse_args()
    say = Console(width=120)
    logging.getLogger("gradproof").setLevel(logging.WARNING)
    if given.kind == "memory":
        asked = (given.seconds, given.launches, given.images, given.leak)
        found = soak(*asked, say=say.print)
        show(found["trends"], say)
        faults = [f"{name} grows" for name in found["grows"]]
    else:
        found = together_run(given.steps, given.rounds)
        faults = [f"other bits in {which}" for which in found["differing"]]
        say.print(f"{len(found['alone'])} models, {given.rounds} rounds: {len(faults)} differ")
    done = about() | {"kind": given.kind} | found
    if given.json:
        given.json.write_text(json.dumps(done, indent=1) + "\n", "utf-8")
    if given.record:
        kept = thinned(done) if given.kind == "memory" else done
        say.print(record.write(kept, RECORDS, current_device().info, f"soak {given.kind}"))
    for fault in faults:
        say.print(fault, style="red")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
