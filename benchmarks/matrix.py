"""Every OpenCL driver of this machine: all kernels compiled with warnings as errors, the self-test,
a short training, and Oclgrind's checks of memory; compilers for GPUs that are not there.

    python benchmarks/matrix.py [--only TEXT] [--steps compile,selftest,training,memory] [--record]

Each driver has a process of its own. One that is not installed is no failure: how to install it is
said. A warning, a wrong result or a memory error is one. `--record` writes the results to
benchmarks/records/devices.json, in place of older ones of the same devices, and README's table.
"""

from __future__ import annotations

import argparse
import datetime
import json
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))  # run as a file, its own folder is there instead

from benchmarks.portability import memory, offline, record  # noqa: E402
from benchmarks.portability.building import failure  # noqa: E402
from benchmarks.portability.drivers import (  # noqa: E402
    KNOWN,
    Found,
    child,
    default_folders,
    find_drivers,
)
from benchmarks.portability.programs import Program, programs  # noqa: E402
from benchmarks.portability.record import STEPS  # noqa: E402
from gradproof.cli.record import machine, versions  # noqa: E402
from gradproof.runtime.device import use_device  # noqa: E402
from gradproof.runtime.errors import DeviceError  # noqa: E402

RECORD = ROOT / "benchmarks" / "records" / "devices.json"
SECONDS = 3600.0  # for one step on one driver
STRICT = {"PYOPENCL_BUILD_OPTIONS": "-cl-std=CL1.2 -Werror"}
ACCURACY = 0.98  # what README says of the demo


def driver_row(found: Found, steps: Sequence[str], few: bool, say: Console) -> dict[str, Any]:
    """All steps on one driver's device."""
    i = found.info
    row: dict[str, Any] = {"kind": i.kind, "device": i.name, "driver": i.driver}
    row |= {"platform": i.platform_version, "version": i.version, "fp64": i.fp64, **_when()}
    for step in steps:
        if step in ("training", "memory") and (step == "memory") != (i.kind == "simulator"):
            continue
        say.print(f"{found.name}: {step} ...", style="dim")
        row[step] = run_step(step, found.variables, few)
    return row


def run_step(step: str, variables: Mapping[str, str], few: bool) -> dict[str, Any]:
    """One step in a process of its own; a process that ends badly is a failure with its words."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        if step == "memory":
            variables = {**variables, **memory.environment(folder / "log")}
            variables |= {"GRADPROOF_DEVICE": "simulator"}
        elif step != "compile":
            variables = {**variables, **STRICT}
        done = child(_command(step, folder, few), variables, SECONDS)
    try:
        return READ.get(step, dict)(json.loads(done.stdout))
    except (ValueError, KeyError):
        lines = done.stderr.strip().splitlines() or [""]
        last = next((x for x in reversed(lines) if "rror: " in x), lines[-1])
        problem = f"exit code {done.returncode}: {last[:300]}"
        empty = {"programs": 0, "kernels": 0, "cases": 0, "wrong": [problem], "problem": problem}
        return {"passed": False, "failures": [{"log": problem}], **empty}


def _command(step: str, folder: Path, few: bool) -> list[str]:
    return {
        "compile": ["-m", "benchmarks.portability.building"],
        "selftest": ["-m", "gradproof", "selftest", "--json"],
        "training": ["-m", "gradproof", "demo", "--json", "--out", str(folder / "run")],
        "memory": ["-m", "benchmarks.portability.memory", *(["--few"] if few else [])],
    }[step]


def _read_selftest(said: Mapping[str, Any]) -> dict[str, Any]:
    ops = said["operators"]
    counts = {k: sum(o[k] for o in ops) for k in ("kernels", "cases")}
    wrong = [o["operator"] for o in ops if o["failures"]]
    return {"passed": said["passed"], **counts, "wrong": wrong}


def _read_training(said: Mapping[str, Any]) -> dict[str, Any]:
    accuracy = said["test_accuracy"]
    problem = "" if accuracy >= ACCURACY else f"accuracy {accuracy:.1%}, expected {ACCURACY:.0%}"
    return {"passed": not problem, "accuracy": accuracy, "problem": problem}


READ = {"selftest": _read_selftest, "training": _read_training}


def asked(name: str, parts: Sequence[str]) -> bool:
    """Whether one of the parts is in a name.

    >>> asked("PoCL from pip", ["oclgrind", "pocl"])
    True
    """
    return any(part in name.lower() for part in parts)


def target_rows(parts: Sequence[str], say: Console) -> Iterator[tuple[str, dict[str, Any]]]:
    """The targets whose compilers are installed; the others are said to be missing."""
    names = {f"{t.vendor} {t.name}": t for t in offline.TARGETS}
    targets = {n: t for n, t in names.items() if asked(n, parts)}
    for name, target in targets.items():
        if said := target.missing():
            say.print(f"{name}: {said}")
    able = {n: t for n, t in targets.items() if not t.missing()}
    if not able:
        return
    try:
        device = use_device("cpu")
    except DeviceError as error:
        say.print(f"offline targets: tiled kernels need a CPU device: {error}")
        return
    say.print(f"{', '.join(able)}: compile ...", style="dim")
    results: dict[str, dict[str, Any]] = {
        n: {"programs": 0, "kernels": 0, "registers": 0, "spilling": 0, "spills": {}} for n in able
    }
    failures: dict[str, list[Any]] = {n: [] for n in able}
    for p in programs(device, "gpu"):
        for name, (report, log) in _compiled(p, able).items():
            _add(p, report, results[name])
            failures[name] += [failure(p, log)] if log else []
    for name in able:
        done = {"passed": not failures[name], **results[name], "failures": failures[name]}
        yield name, {"kind": "target", "compile": done, "compilers": _compilers(name), **_when()}


def _compiled(
    p: Program, targets: Mapping[str, offline.Target]
) -> dict[str, tuple[offline.Report, str]]:
    """By target what its kernels need, and what the compiler says where it fails."""
    options = ["-DUNROLL=" if o.startswith("-DUNROLL=") else o for o in p.options]
    try:
        found = offline.compiled(p.source, options, list(targets.values()))
        return {n: (found[t.name], "") for n, t in targets.items()}
    except offline.CompileError as error:
        if len(targets) == 1:
            return {next(iter(targets)): ({}, str(error)[-2000:])}
    each = [_compiled(p, {n: t}) for n, t in targets.items()]
    return {n: result for one in each for n, result in one.items()}


def _add(p: Program, report: offline.Report, r: dict[str, Any]) -> None:
    """One program's kernels, added to a target's results."""
    r["programs"] += 1
    r["kernels"] += len(report)
    r["registers"] = max([r["registers"], *(k["registers"] for k in report.values())])
    spills = {k: needs["spilled"] for k, needs in report.items() if needs["spilled"]}
    r["spilling"] += len(spills)
    r["spills"] |= {f"{p.label} {k} ({p.of}, {p.dtype})": n for k, n in spills.items()}


def _compilers(name: str) -> dict[str, str]:
    used = (offline.CLANG, "ptxas") if name.startswith("NVIDIA") else (offline.CLANG,)
    return {k: v for k, v in offline.versions().items() if k in used}


def _when() -> dict[str, Any]:
    kept = ("cpu", "cores", "system")
    where = {k: v for k, v in machine([]).items() if k in kept}
    today = datetime.datetime.now(datetime.UTC).date().isoformat()
    return {"date": today, "machine": where, "versions": versions()}


def show(rows: Mapping[str, Mapping[str, Any]], say: Console) -> None:
    """The table, then what failed."""
    shown = Table("device", "driver", "kernels compiled", "self-test", "demo's accuracy")
    for name, row in rows.items():
        style = None if record.passed(row) else "red"
        shown.add_row(*record.cells(name, row), style=style)
    say.print(shown)
    for name, row in rows.items():
        for step in STEPS:
            for f in row.get(step, {}).get("failures", []):
                said = "; ".join(f"{k} {v}" for k, v in f.items())
                say.print(f"{name}, {step}: {said}", style="red", markup=False)


def main() -> int:
    """Run, show, and write the record where it is asked for."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n\n")[0])
    parser.add_argument("--only", default="", help="parts of names in the table: pocl,oclgrind")
    parser.add_argument("--steps", default=",".join(STEPS), help="some of %(default)s")
    parser.add_argument("--icd", type=Path, nargs="*", default=[], help="more folders of *.icd")
    parser.add_argument("--few", action="store_true", help="a sample of the memory cases")
    parser.add_argument("--record", action="store_true", help="write the record and README")
    given = parser.parse_args()
    steps, say = given.steps.split(","), Console()
    parts = [part.strip().lower() for part in given.only.split(",")]
    if unknown := set(steps) - set(STEPS):
        parser.error(f"--steps {','.join(sorted(unknown))}: expected some of {','.join(STEPS)}")
    rows: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as scratch:
        found, problems = find_drivers([*default_folders(), *given.icd], Path(scratch))
        for line in problems:
            say.print(line, style="yellow", markup=False)
        for known in KNOWN:
            if asked(known.name, parts) and not any(known.matches(f) for f in found):
                say.print(f"{known.name}: not installed ({known.how})", markup=False)
        for f in found:
            if asked(f.name, parts):
                rows[f.name] = driver_row(f, steps, given.few, say)
    if "compile" in steps:
        rows |= target_rows(parts, say)
    show(rows, say)
    if given.record:
        merged = {**record.load(RECORD), **rows}
        record.save(RECORD, merged)
        page = ROOT / "README.md"
        text = record.written(page.read_text("utf-8"), record.load(RECORD))
        page.write_text(text, "utf-8")
    if not rows:
        say.print(f"nothing was found for --only {given.only!r}", style="red")
    return 0 if rows and all(map(record.passed, rows.values())) else 1


if __name__ == "__main__":
    sys.exit(main())
