"""Writes generated/: kernels, `manifest.json` and certificates; or compares without writing."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from gradproof.codegen.certify import (
    Record,
    certify_named,
    known_record,
    record_text,
    renewed,
    stamped,
    winograd_record,
)
from gradproof.codegen.folder import (
    MANIFEST,
    check_ours,
    is_ours,
    manifest_text,
    merged,
)
from gradproof.codegen.program import Program, build_program
from gradproof.derive.checker import sha256
from gradproof.derive.claims import claims_about
from gradproof.derive.language import Definition
from gradproof.derive.registry import operators


def generated_folder() -> Path:
    """The folder of the committed kernels, beside this package."""
    return Path(__file__).resolve().parents[1] / "generated"


def render_all(
    definitions: Iterable[Definition] | None = None, known: Path | None = None
) -> dict[str, str]:
    """File name -> text, for the given operators or all of them; the same on every machine.

    known: a folder with certificates, which are reloaded where they are still about the same text
    (default: generated/). Errors: Refused where something cannot be shown.
    """
    folder = known or generated_folder()
    chosen = operators().values() if definitions is None else definitions
    files, entries = _rendered(chosen, lambda name: known_record(folder, name))
    files |= _closed_forms(known_record(folder, "operators"))
    files["proofs/winograd.json"] = record_text(winograd_record())
    return files | {MANIFEST: manifest_text(entries)}


def render_into(
    folder: Path, definitions: Iterable[Definition], known: Callable[[str], Record | None]
) -> tuple[dict[str, str], list[str]]:
    """A user's operators for a folder that may hold others: file name -> text, and the files that
    are left over from an earlier version of the same operators.

    known: gives an operator's earlier certificates. Errors: Refused where something cannot be
    shown, or a file that was not generated would be overwritten.
    """
    definitions = list(definitions)
    check_ours(folder, [f"proofs/{d.name}.json" for d in definitions])
    files, entries = _rendered(definitions, known)
    if any(claims_about(d) for d in definitions):
        files |= _closed_forms(known("operators"))
    everything, left_over = merged(folder, entries)
    files[MANIFEST] = manifest_text(everything)
    check_ours(folder, files)
    return files, left_over


def _rendered(
    definitions: Iterable[Definition], known: Callable[[str], Record | None]
) -> tuple[dict[str, str], dict[str, Any]]:
    """The files but the manifest, and its entries."""
    files: dict[str, str] = {}
    entries: dict[str, Any] = {}
    for d in definitions:
        program = build_program(d)
        record = record_text(renewed(d, program, known(d.name)).record)
        files |= certified_files(program, record)
        entries[d.name] = program.entry
    return files, entries


def _closed_forms(known: Record | None) -> dict[str, str]:
    """The operators that closed forms are made of."""
    return {"proofs/operators.json": record_text(certify_named(known).record)}


def certified_files(program: Program, record: str) -> dict[str, str]:
    """A program's files with their headers naming the record; their hashes go to the manifest."""
    files = {name: stamped(text, record) for name, text in program.files.items()}
    for name, text in files.items():
        program.entry["sha256"][name] = sha256(text)
    return files | {f"proofs/{program.name}.json": record}


def differences(folder: Path, files: Mapping[str, str], gone: Iterable[str]) -> str:
    """A unified diff from what is in the folder to `files` without `gone`; empty when equal."""
    out: list[str] = []
    for name in [*files, *gone]:
        path = folder / name
        old = path.read_text("utf-8").splitlines(True) if path.exists() else []
        new = files.get(name, "").splitlines(True)
        out += difflib.unified_diff(old, new, f"generated/{name}", f"derived/{name}")
    return "".join(out)


def strangers(folder: Path, files: Mapping[str, str]) -> list[str]:
    """The generated files in a folder that are not among `files`."""
    kernels = {p.name: p for p in folder.glob("*.cl")}
    records = {f"proofs/{p.name}": p for p in (folder / "proofs").glob("*.json")}
    return sorted(n for n, p in (kernels | records).items() if n not in files and is_ours(p))
