"""The command `gradproof verify`: what is proved, what is only tested, and what it took."""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Annotated, Any

import typer

from gradproof.cli.screen import Screen
from gradproof.codegen.certify import (
    Certified,
    certify,
    certify_named,
    known_record,
    record_text,
    winograd_record,
)
from gradproof.codegen.generate import certified_files, generated_folder
from gradproof.codegen.program import Program, build_program
from gradproof.derive.checker import Refused, check_transforms
from gradproof.derive.claims.named import NAMED
from gradproof.derive.errors import DefinitionError
from gradproof.derive.language import Definition
from gradproof.derive.prove.handelman import have_solver
from gradproof.derive.registry import find, operators
from gradproof.runtime.errors import GradproofError

PER_KERNEL = ("equation", "once", "range", "int32")
LEGEND = """
equation  the kernel's text computes what the definition, or its derivative, says
once      every element of the result is written by exactly one work-item
range     every read is inside its tensor or guarded, every division rounds down
int32     no integer overflows 32 bits under the size limits of manifest.json
proved    a certificate shows it for all sizes, over the integers and the reals
tested    its text is fixed by a hash, and was compared exactly with the proved kernel; --tiled
          compares now"""

Row = dict[str, Any]


def verify(
    operator: Annotated[
        str | None, typer.Argument(help="One operator, such as conv2d; all without it.")
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print the ledger as a list of JSON objects.")
    ] = False,
    from_scratch: Annotated[
        bool, typer.Option("--from-scratch", help="Search for every certificate anew.")
    ] = False,
    tiled: Annotated[
        bool, typer.Option("--tiled", help="Also compare tiled kernels exactly, on the device.")
    ] = False,
    smtlib: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Also write every obligation as an SMT-LIB file."),
    ] = None,
) -> None:
    """Derive again, check or find the certificates, and print the ledger of what is proved."""
    compared = _comparisons(operator) if tiled else {}
    screen = Screen(as_json=as_json)
    start = time.perf_counter()
    if not have_solver():
        if from_scratch:
            raise GradproofError("--from-scratch needs z3: pip install z3-solver")
        screen.note("z3 is not installed: committed certificates are checked, none is searched for")
    rows: list[Row] = []
    for name, ledger in _ledgers(operator, from_scratch, smtlib):
        ledger = [{**row, **compared.get(row["claim"], {})} for row in ledger]
        rows += ledger
        if not as_json:
            _print(screen, name, ledger)
    if as_json:
        sys.stdout.write(json.dumps(rows, ensure_ascii=False, indent=1) + "\n")
    _summary(screen, rows, time.perf_counter() - start)
    if any(row["status"] == "failed" for row in rows):
        raise typer.Exit(1)


def _ledgers(
    operator: str | None, from_scratch: bool, smtlib: Path | None
) -> Iterator[tuple[str, list[Row]]]:
    folder = generated_folder()
    if operator is not None:
        try:
            yield operator, _operator(find(operator), folder, from_scratch, smtlib)
        except DefinitionError as error:
            raise GradproofError(str(error)) from None
        return
    yield "closed forms", certify_named(_known(folder, "operators", from_scratch)).ledger
    jobs = [(d, folder, from_scratch, smtlib) for d in operators().values()]
    with ProcessPoolExecutor(min(os.cpu_count() or 1, len(jobs))) as pool:
        found = [pool.submit(_operator, *job) for job in jobs]
        for (d, *_), ledger in zip(jobs, found, strict=True):
            yield d.name, ledger.result()
    yield "winograd", check_transforms(winograd_record())


def _known(folder: Path, name: str, from_scratch: bool) -> Any:
    return None if from_scratch else known_record(folder, name)


def _comparisons(operator: str | None) -> dict[str, Row]:
    """Claim -> what an exact comparison on the device makes of it now."""
    from gradproof.cli.tiled import tiled_comparison, tiled_kernels, tiled_rows

    rows: dict[str, Row] = {}
    for kernel, (owner, _, _) in tiled_kernels().items():
        if operator in (None, owner.name):
            record = known_record(generated_folder(), owner.name)
            section = {kernel: record["tiled"][kernel]} if record else {}
            made = [tiled_comparison(kernel)]
            rows |= {row["claim"]: row for row in tiled_rows(section, made)}
    return rows


def _operator(d: Definition, folder: Path, from_scratch: bool, smtlib: Path | None) -> list[Row]:
    """The ledger of one operator; what does not hold is a row with the status "failed"."""
    try:
        program = build_program(d)
        known = _known(folder, d.name, from_scratch)
        done = _certified(d, program, known)
        if not from_scratch:
            files = certified_files(program, record_text(done.record))
            _same_as_committed(folder, files)
    except (Refused, DefinitionError) as error:
        failed = {"degree": 0, "steps": 0, "bytes": 0, "seconds": 0.0}
        row = {"claim": "refused", "operator": d.name, "statement": str(error), "status": "failed"}
        shown = error.shown if isinstance(error, Refused) else []
        return [*shown, {**row, **failed}]
    if smtlib is not None:
        _export(smtlib, done, program)
    return done.ledger


def _certified(d: Definition, program: Program, known: Any) -> Certified:
    """What `certify` gives; where a certificate fails, a search says whether the claim is false."""
    try:
        return certify(d, program, known)
    except Refused as error:
        if known is not None:
            certify(d, program)  # a false claim is refused with a counterexample
        raise error


def _same_as_committed(folder: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        path = folder / name
        if not path.exists() or path.read_bytes() != text.encode():
            raise Refused(f"{path} is not what the derivation gives; run: gradproof generate")


def _export(folder: Path, done: Certified, program: Any) -> None:
    from gradproof.derive.prove.smtlib import export

    if not str(folder).strip("."):
        raise GradproofError("--smtlib needs the name of a new folder")
    try:
        export(folder, done.record, program.entry, program.files[program.entry["file"]], NAMED)
    except OSError as error:
        raise GradproofError(f"cannot write {folder}: {error.strerror}") from None


def _print(screen: Screen, name: str, rows: list[Row]) -> None:
    """One operator: its claims, then a line for each kernel."""
    screen.line(name, style="bold")
    kernels: dict[str, list[Row]] = {}
    for row in rows:
        kernel, _, what = row["claim"].rpartition(".")
        if what in PER_KERNEL:
            kernels.setdefault(kernel, []).append(row)
            continue
        screen.line(f"  {row['status']:7} {row['claim']:58} {_took([row])}")
        screen.line(f"          {row['statement']}", style="dim")
        if row.get("given"):
            screen.line(f"          {row['given']}", style="dim")
    for kernel, parts in kernels.items():
        words = " ".join(r["claim"].rpartition(".")[2] for r in parts)
        screen.line(f"  {parts[0]['status']:7} {kernel + ': ' + words:58} {_took(parts)}")
        screen.line(f"          {parts[0]['statement']}", style="dim")
    screen.line()


def _took(rows: list[Row]) -> str:
    size = sum(r["bytes"] for r in rows)
    steps = sum(r["steps"] for r in rows)
    degree = max(r["degree"] for r in rows)
    spent = sum(r["seconds"] for r in rows)
    return f"degree {degree}, {steps:3} steps, {size:6,} bytes, {spent * 1000:5.0f} ms"


def _summary(screen: Screen, rows: list[Row], seconds: float) -> None:
    counts = {s: sum(r["status"] == s for r in rows) for s in ("proved", "solver", "tested")}
    told = ", ".join(f"{n} {s}" for s, n in counts.items() if n)
    failed = sum(r["status"] == "failed" for r in rows)
    screen.line(f"{told}{f', {failed} FAILED' if failed else ''} in {seconds:.1f} s")
    if not failed:
        screen.line(LEGEND.strip("\n"), style="dim")
