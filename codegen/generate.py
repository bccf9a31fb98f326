"""Writes generated/: kernels, `manifest.json` and certificates; or compares without writing."""

from __future__ import annotations

import difflib
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from gradproof.codegen.certify import (
    certify_named,
    known_record,
    record_text,
    renewed,
    stamped,
    winograd_record,
)
from gradproof.codegen.program import Program, build_program
from gradproof.derive.checker import sha256
from gradproof.derive.language import Definition
from gradproof.derive.registry import operators

FORMAT = 1
GENERATED = (
    b": generated from its definition, do not edit."  # in the first line of every kernel file
)


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
    chosen = list(operators().values() if definitions is None else definitions)
    files: dict[str, str] = {}
    entries: dict[str, Any] = {}
    for d in chosen:
        program = build_program(d)
        record = record_text(renewed(d, program, known_record(folder, d.name)).record)
        files |= certified_files(program, record)
        entries[d.name] = program.entry
    files["proofs/operators.json"] = record_text(
        certify_named(known_record(folder, "operators")).record
    )
    files["proofs/winograd.json"] = record_text(winograd_record())
    manifest = {"format": FORMAT, "operators": entries}
    files["manifest.json"] = json.dumps(manifest, indent=1, ensure_ascii=False) + "\n"
    return files


def certified_files(program: Program, record: str) -> dict[str, str]:
    """A program's files with their headers naming the record; their hashes go to the manifest."""
    files = {name: stamped(text, record) for name, text in program.files.items()}
    for name, text in files.items():
        program.entry["sha256"][name] = sha256(text)
    return files | {f"proofs/{program.name}.json": record}


def write(folder: Path, files: Mapping[str, str]) -> list[str]:
    """Write what differs, remove generated kernels that no operator owns any more; return the
    names that changed. Files that were not generated stay. Errors: OSError."""
    changed = []
    (folder / "proofs").mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        path = folder / name
        if not path.exists() or path.read_bytes() != content.encode():
            path.write_bytes(content.encode())
            changed.append(name)
    for name in _strangers(folder, files):
        (folder / name).unlink()
        changed.append(name)
    return changed


def differences(folder: Path, files: Mapping[str, str]) -> str:
    """A unified diff from what is committed to what the derivations give; empty when equal."""
    out: list[str] = []
    for name in [*files, *_strangers(folder, files)]:
        path = folder / name
        old = path.read_text("utf-8").splitlines(True) if path.exists() else []
        new = files.get(name, "").splitlines(True)
        out += difflib.unified_diff(old, new, f"generated/{name}", f"derived/{name}")
    return "".join(out)


def _strangers(folder: Path, files: Mapping[str, str]) -> list[str]:
    others = [p for p in folder.glob("*.cl") if p.name not in files]
    found = [p.name for p in others if GENERATED in p.read_bytes()[:200]]
    records = [f"proofs/{p.name}" for p in (folder / "proofs").glob("*.json")]
    return sorted([*found, *(name for name in records if name not in files)])
