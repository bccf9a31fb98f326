"""Memory errors of kernels, as Oclgrind reports them: accesses outside of a buffer, values that
nobody has written, and data races. Every operator at awkward sizes, and planned steps.

    python -m benchmarks.portability.memory [--few]      # a process with `environment(log)` set

What Oclgrind 21.10 cannot do is gone around, and named here:

- Its check for uninitialised values ends at the instruction `freeze`, which only optimised code
  has: kernels are built with `-cl-opt-disable`. Every access that is written is then made.
- It takes element 11 that a shuffle selects for uninitialised (it compares the number with that
  of a kind of value, `llvm::Value::UndefValueVal`, which is 11): the halves of 16 lanes are read
  through a pointer. See `without_shuffles`.
- It remembers the size of a buffer that was released for the next one of the same number: here no
  buffer is released (`keep_buffers`).
- It does not see what clEnqueueFillBuffer writes: see `BufferPool.zeros`.
"""

from __future__ import annotations

import json
import os
import re
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np

import gradproof as gp
from benchmarks.portability.programs import example
from gradproof.cli.cases import fill
from gradproof.cli.random_sizes import random_sizes
from gradproof.derive.errors import DefinitionError
from gradproof.derive.language import Definition
from gradproof.derive.registry import operators as definitions
from gradproof.runtime import plan as planning
from gradproof.runtime.device import use_device
from gradproof.runtime.errors import ShapeError
from gradproof.runtime.manifest import Operator, operators
from gradproof.runtime.planned_step import PlannedStep
from gradproof.runtime.pool import BufferPool
from gradproof.runtime.recorded import RecordedGraph
from gradproof.runtime.selftest import run_kernels
from gradproof.runtime.step import TrainingStep
from gradproof.runtime.tensor import tensor

LOG = "OCLGRIND_LOG"
MACHINES = ("gpu 16", "avx2", "avx512")
TRIES = 50
HALVES = re.compile(r"const JOIN\(REAL, 8\) (\w+) = (\w+)\.lo \+ \2\.hi;")
Change = Callable[[str], str]  # of a program's text, to plant a fault


def environment(log: Path) -> dict[str, str]:
    """What a process must find set before OpenCL is loaded."""
    return {
        "OCLGRIND_DATA_RACES": "1",
        "OCLGRIND_UNINITIALIZED": "1",
        "OCLGRIND_NUM_THREADS": "1",
        "OCLGRIND_MAX_ERRORS": "100000",  # of all kernels; what is beyond would be lost
        "OCLGRIND_LOCAL_MEM_SIZE": str(4_000_000),  # some schedules for CPUs take 900 kB
        LOG: str(log),
        "PYOPENCL_BUILD_OPTIONS": "-cl-opt-disable",
        "GRADPROOF_DEVICE": "simulator",
    }


@dataclass(frozen=True)
class Finding:
    """What Oclgrind reports, in the run of `what`."""

    what: str
    kind: str
    kernel: str
    place: str


class Watch:
    """Oclgrind's log, read as it grows."""

    def __init__(self, log: Path) -> None:
        self._log, self._read = log, 0

    def new(self, what: str) -> list[Finding]:
        """The different findings since the last call."""
        if not self._log.exists():
            return []
        text = self._log.read_text("utf-8", "replace")
        fresh, self._read = text[self._read :], len(text)
        found = [_finding(what, part) for part in re.split(r"\n\s*\n", fresh) if part.strip()]
        return list(dict.fromkeys(found))


def _finding(what: str, part: str) -> Finding:
    lines = [x.strip() for x in part.strip().splitlines()]
    kernel = next((x.partition(": ")[2] for x in lines if x.startswith("Kernel: ")), "")
    place = next((b for a, b in pairwise(lines) if "At line" in a), "")
    return Finding(what, re.sub(r" (address )?0x\w+", "", lines[0]), kernel, place)


@contextmanager
def keep_buffers() -> Iterator[None]:
    """No buffer is released inside the block."""
    kept: list[Any] = []
    take = BufferPool._retried

    def keeping(pool: BufferPool, *arguments: Any) -> Any:
        kept.append(take(pool, *arguments))
        return kept[-1]

    with mock.patch.object(BufferPool, "_retried", keeping):
        yield


def without_shuffles(source: str) -> str:
    """The two halves of 16 lanes through a pointer.

    >>> without_shuffles("const JOIN(REAL, 8) h = a_1.lo + a_1.hi;")
    'const JOIN(REAL, 8) h = ((JOIN(REAL, 8) *)&a_1)[0] + ((JOIN(REAL, 8) *)&a_1)[1];'
    """
    half = r"((JOIN(REAL, 8) *)&\2)"
    return HALVES.sub(rf"const JOIN(REAL, 8) \1 = {half}[0] + {half}[1];", source)


# --- operators ---


def sizes_tried(d: Definition, few: bool) -> Iterator[tuple[int, int, dict[str, int]]]:
    """The largest size, the most index tuples, and sizes that are fixed, of each case."""
    names = {str(s) for s in d.sizes}
    yield 5, 300, {}
    if few:
        return
    yield 1, 300, {}  # all sizes 1, where the conditions allow it
    yield 17, 1_500, {}  # one above 16 lanes
    yield 13, 1_500, {n: 13 for n in ("N",) if n in names}  # no multiple of a tile
    strides = {"SH": 3, "SW": 3, "ST": 3, "S": 3} | {"KH": 2, "KW": 2, "KT": 2, "K": 2}
    if fixed := {n: v for n, v in strides.items() if n in names and "S" + n[1:] in names}:
        yield 9, 1_000, fixed  # strides above the window


def check_operator(
    d: Definition, op: Operator, watch: Watch, few: bool = False
) -> Iterator[tuple[int, list[Finding]]]:
    """Runs all forms of all variants; for each case the number of kernels, and what was found."""
    rng = np.random.default_rng(0)
    for variant in d.variants():
        described = op.variants[variant.name]
        specs = [op.kernels[n] for n in (*described.forward, *described.backward)]
        whens: dict[str, dict[str, int]] = {"reference": {}}
        for s in specs:
            if s.phases:
                whens["phases"] = whens.get("phases", {}) | dict(s.phases.when)
            if s.tiled:
                whens["tiled"] = whens.get("tiled", {}) | dict(s.tiled.when)
        for form, when in whens.items():
            for largest, work, fixed in sizes_tried(variant, few):
                yield _run_case(variant, op, form, largest, work, fixed | when, rng, watch)


def _run_case(
    variant: Definition,
    op: Operator,
    form: str,
    largest: int,
    work: int,
    fixed: Mapping[str, int],
    rng: np.random.Generator,
    watch: Watch,
) -> tuple[int, list[Finding]]:
    described = op.variants[variant.name]
    for _ in range(TRIES):
        try:
            machine = random_sizes(variant, rng, largest, work, fixed)
            case = fill(variant, machine, rng, plain=True)
            data = (case.operands, case.cotangents, case.sizes, case.scalars)
            count = sum(1 for _ in run_kernels(op, described, *data, form=form))
        except (DefinitionError, ShapeError):
            continue  # a window without an element, or no such sizes
        sizes = " ".join(f"{n}={v}" for n, v in case.sizes.items())
        return count, watch.new(f"{variant.name}, {form}: {sizes}")
    return 0, []


# --- planned steps ---


def _convolutions() -> Any:
    """Convolutions that differ in what schedules they get, norms and pools, at odd sizes."""
    nn = gp.nn
    return nn.Sequential(
        nn.Conv2d(3, 18, 3, padding=1), nn.BatchNorm2d(18), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(18, 17, 3, padding=1, bias=False), nn.ReLU(),
        nn.Conv2d(17, 34, 3, stride=2, padding=1), nn.BatchNorm2d(34), nn.ReLU(),
        nn.Conv2d(34, 34, 3, padding=1, groups=34), nn.Conv2d(34, 20, 1), nn.AvgPool2d(2),
        nn.Flatten(), nn.Linear(20, 5),
    )  # fmt: skip


def _small() -> Any:
    nn = gp.nn
    parts = (nn.Conv2d(1, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU(), nn.MaxPool2d(2))
    return nn.Sequential(*parts, nn.Flatten(), nn.Linear(36, 5))


def _reader() -> Any:
    return example("transformer_block").Reader(features=12, heads=2)


STEPS: dict[str, tuple[Callable[[], Any], tuple[int, ...], bool]] = {
    "small": (_small, (3, 1, 7, 7), False),
    "convolutions": (_convolutions, (3, 3, 11, 11), True),
    "transformer": (_reader, (3, 1, 8, 8), True),
}


def check_step(
    name: str, machine: str, watch: Watch, change: Change = lambda text: text
) -> tuple[int, list[Finding]]:
    """Plans a training step for a machine and runs it twice; its launches, and what was found."""
    make, shape, adam = STEPS[name]
    gp.manual_seed(0)
    rng, model = np.random.default_rng(0), make()
    optimizer = (gp.optim.Adam if adam else gp.optim.SGD)(model.parameters(), lr=0.1)
    images = tensor(rng.standard_normal(shape).astype(np.float32))
    labels = tensor(rng.integers(0, 5, shape[0]).astype(np.int32))
    run = TrainingStep(model, optimizer, gp.nn.CrossEntropyLoss()).run
    trace, outputs, single = planning._traced(run, (images, labels))
    graph = RecordedGraph(trace, {id(t.storage) for t in outputs})
    found = planning._plan_of(trace, graph, "fast", machine)
    found["source"] = change(without_shuffles(found["source"]))
    step = PlannedStep(trace, graph, found, (images, labels), outputs, single)
    for _ in range(2):
        step.run()
    step.device.synchronize()
    return step.launches, watch.new(f"step {name} for {machine}")


# --- all of it ---


def check_all(watch: Watch, few: bool = False) -> dict[str, Any]:
    """The result for the record."""
    start, counts = time.perf_counter(), {"cases": 0, "launches": 0}
    findings: list[Finding] = []
    for name, d in definitions().items():
        for count, found in check_operator(d, operators()[name], watch, few):
            counts["cases"] += count > 0
            counts["launches"] += count
            findings += found
    steps = [("small", m) for m in MACHINES] if few else [(n, m) for n in STEPS for m in MACHINES]
    for name, machine in steps:
        launches, found = check_step(name, machine, watch)
        counts["cases"] += 1
        counts["launches"] += 2 * launches
        findings += found
    seconds = round(time.perf_counter() - start, 1)
    failures = [vars(f) for f in findings]
    return {"passed": not failures, **counts, "failures": failures, "seconds": seconds}


def faulty(op: Operator, old: str, new: str) -> Operator:
    """A copy of an operator with a fault in its text. Errors: ValueError where `old` is not."""
    if old not in op.source:
        raise ValueError(f"{op.name}: no {old!r}")
    return replace(op, source=op.source.replace(old, new))


if __name__ == "__main__":
    use_device(os.environ["GRADPROOF_DEVICE"])
    with keep_buffers():
        json.dump(check_all(Watch(Path(os.environ[LOG])), "--few" in sys.argv), sys.stdout)
