"""The command `gradproof verify`: what is proved, what is only tested, and what it took."""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Annotated, Any

import typer

from gradproof.cli.certificates import keep, kept
from gradproof.cli.screen import Screen
from gradproof.cli.source import is_file, load
from gradproof.codegen.certify import (
    Certified,
    certify,
    certify_named,
    known_record,
    record_text,
    renewed,
    winograd_record,
)
from gradproof.codegen.generate import certified_files, generated_folder
from gradproof.codegen.program import Program, build_program
from gradproof.derive.checker import Refused, check_transforms
from gradproof.derive.claims.named import NAMED
from gradproof.derive.errors import DefinitionError
from gradproof.derive.language import Definition
from gradproof.derive.prove.handelman import have_solver
from gradproof.derive.registry import operators
from gradproof.runtime.errors import GradproofError

PER_KERNEL = ("equation", "once", "range", "int32")
LEGEND = """
equation  the kernel's text computes what the definition, or its derivative, says
once      every element of the result is written by exactly one work-item
range     every read is inside its tensor or guarded, every division rounds down
int32     no integer overflows 32 bits under the size limits of manifest.json
proved    a certificate shows it for all sizes, over the integers and the reals
"""
TESTED = """\
tested    its text is fixed by a hash, and was compared exactly with the proved kernel; --tiled
          compares now"""
TESTED_OF_USER = """\
tested    not proved: what its line says, for a device by gradproof selftest and this file"""

Row = dict[str, Any]


def verify(
    operator: Annotated[
        str | None,
        typer.Argument(help="One operator, such as conv2d, or a file, my_op.py; all without it."),
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
    """Derive again, check or find the certificates, and print the ledger of what is proved.

    Of a user's file the certificates are searched for and kept in the user's cache folder.
    """
    if tiled and operator is not None and is_file(operator):
        raise GradproofError(
            f"--tiled is for shipped operators; use: gradproof selftest {operator}"
        )
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
    of_user = operator is not None and is_file(operator)
    tested_means = TESTED_OF_USER if of_user else TESTED
    _summary(screen, rows, time.perf_counter() - start, tested_means)
    if any(row["status"] == "failed" for row in rows):
        raise typer.Exit(1)


def _ledgers(
    operator: str | None, from_scratch: bool, smtlib: Path | None
) -> Iterator[tuple[str, list[Row]]]:
    folder = generated_folder()
    if operator is not None:
        for name, d in load(operator).items():
            if is_file(operator):
                yield name, _of_user(d, operator, from_scratch, smtlib)
            else:
                yield name, _operator(d, folder, from_scratch, smtlib)
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
    """The ledger of one shipped operator."""

    def show() -> list[Row]:
        program = build_program(d)
        done = _certified(d, program, _known(folder, d.name, from_scratch))
        if not from_scratch:
            files = certified_files(program, record_text(done.record))
            _same_as_committed(folder, files)
        return _exported(smtlib, done, program)

    return _or_failed(d, show)


def _of_user(d: Definition, source: str, from_scratch: bool, smtlib: Path | None) -> list[Row]:
    """The ledger of an operator in a user's file; its certificates are kept for the next time."""

    def show() -> list[Row]:
        program = build_program(d)
        done = renewed(d, program, None if from_scratch else kept(source, d.name))
        if not done.reloaded:
            keep(source, d.name, done.record)
        return [_not_compared(row, source) for row in _exported(smtlib, done, program)]

    return _or_failed(d, show)


def _not_compared(row: Row, source: str) -> Row:
    """Of a tiled kernel that nobody has compared yet the ledger must not say that it was."""
    if not row["claim"].startswith("S2 ") or row["status"] != "tested":
        return row
    words = f"text bound by its hash; not compared yet: gradproof selftest {source}"
    return {**row, "statement": words}


def _or_failed(d: Definition, show: Callable[[], list[Row]]) -> list[Row]:
    """A ledger; what does not hold is a row with the status "failed"."""
    try:
        return show()
    except (Refused, DefinitionError) as error:
        failed = {"degree": 0, "steps": 0, "bytes": 0, "seconds": 0.0}
        row = {"claim": "refused", "operator": d.name, "statement": str(error), "status": "failed"}
        shown = error.shown if isinstance(error, Refused) else []
        return [*shown, {**row, **failed}]


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


def _exported(folder: Path | None, done: Certified, program: Program) -> list[Row]:
    """The ledger; its obligations are written to `folder`, if there is one."""
    from gradproof.derive.prove.smtlib import export

    if folder is None:
        return done.ledger
    if not str(folder).strip("."):
        raise GradproofError("--smtlib needs the name of a new folder")
    try:
        export(folder, done.record, program.entry, program.files[program.entry["file"]], NAMED)
    except OSError as error:
        raise GradproofError(f"cannot write {folder}: {error.strerror}") from None
    return done.ledger


def _print(screen: Screen, name: str, rows: list[Row]) -> None:
    """One operator: its claims, then a line for each kernel, and for each status that it has."""
    screen.line(name, style="bold")
    kernels: dict[tuple[str, str], list[Row]] = {}
    for row in rows:
        kernel, _, what = row["claim"].rpartition(".")
        if what in PER_KERNEL:
            kernels.setdefault((kernel, row["status"]), []).append(row)
            continue
        screen.line(f"  {row['status']:7} {row['claim']:58} {_took([row])}")
        screen.line(f"          {row['statement']}", style="dim")
        for more in ("given", "why"):
            if row.get(more):
                screen.line(f"          {row[more]}", style="dim")
    for (kernel, status), parts in kernels.items():
        whats = " ".join(r["claim"].rpartition(".")[2] for r in parts)
        screen.line(f"  {status:7} {kernel + ': ' + whats:58} {_took(parts)}")
        for words in dict.fromkeys([parts[0]["statement"], *(r.get("why", "") for r in parts)]):
            if words:
                screen.line(f"          {words}", style="dim")
    screen.line()


def _took(rows: list[Row]) -> str:
    size = sum(r["bytes"] for r in rows)
    steps = sum(r["steps"] for r in rows)
    degree = max(r["degree"] for r in rows)
    spent = sum(r["seconds"] for r in rows)
    return f"degree {degree}, {steps:3} steps, {size:6,} bytes, {spent * 1000:5.0f} ms"


def _summary(screen: Screen, rows: list[Row], seconds: float, tested: str) -> None:
    counts = {s: sum(r["status"] == s for r in rows) for s in ("proved", "solver", "tested")}
    told = ", ".join(f"{n} {s}" for s, n in counts.items() if n)
    failed = sum(r["status"] == "failed" for r in rows)
    screen.line(f"{told}{f', {failed} FAILED' if failed else ''} in {seconds:.1f} s")
    if not failed:
        screen.line(LEGEND.lstrip("\n") + tested, style="dim")
