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
from rich.console import Console
from rich.markup import escape

from gradproof.cli.certificates import keep, kept
from gradproof.cli.ledger import Row, print_ledger, print_summary
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

Ledger = tuple[str, list[Row]]
TESTED = """\
tested    its text is fixed by a hash, and was compared exactly with the proved kernel; --tiled
          compares now"""
TESTED_OF_USER = """\
tested    not proved, and its line says why; compared on a device by: gradproof selftest FILE"""


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
    verbose: Annotated[
        bool, typer.Option("--verbose", "-v", help="Print every claim and what it says.")
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
    ledgers = _ledgers(operator, from_scratch, smtlib)
    for name, ledger in ledgers if as_json or operator is None else _waited_for(ledgers, operator):
        ledger = [{**row, **compared.get(row["claim"], {})} for row in ledger]
        rows += ledger
        if not as_json:
            print_ledger(screen, name, ledger, verbose)
    if as_json:
        sys.stdout.write(json.dumps(rows, ensure_ascii=False, indent=1) + "\n")
    of_user = operator is not None and is_file(operator)
    tested_means = TESTED_OF_USER if of_user else TESTED
    print_summary(screen, rows, time.perf_counter() - start, tested_means)
    if any(row["status"] == "failed" for row in rows):
        raise typer.Exit(1)


def _waited_for(ledgers: Iterator[Ledger], what: str) -> Iterator[Ledger]:
    """The ledgers; on a terminal a passing line says what takes so long."""
    console = Console(stderr=True)
    if not console.is_terminal:
        yield from ledgers
        return
    while True:
        with console.status(f"{escape(what)}: checking certificates, searching for missing ones"):
            found = next(ledgers, None)
        if found is None:
            return
        yield found


def _ledgers(operator: str | None, from_scratch: bool, smtlib: Path | None) -> Iterator[Ledger]:
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
        return [_how_compared(row, source) for row in _exported(smtlib, done, program)]

    return _or_failed(d, show)


def _how_compared(row: Row, source: str) -> Row:
    """Of a user's tiled kernel the ledger does not know whether it was compared."""
    if not row["claim"].startswith("S2 ") or row["status"] != "tested":
        return row
    words = (
        f"text bound by its hash; compared with the proved kernel by: gradproof selftest {source}"
    )
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
