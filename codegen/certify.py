"""Certificates for generated kernels: the records of generated/proofs/, found or reloaded.

A record holds a definition, what is claimed, and the certificates; `derive/checker.py` re-checks it
with nothing but the standard library. A record that is still about the same definition, claims and
text is reloaded; else its certificates are searched for anew, from the old ones where they fit.
What is neither shown nor false is listed as open, and the ledger says `tested`.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from gradproof.codegen.program import Program
from gradproof.codegen.staged import staged_claims, tiled_section
from gradproof.derive.checker import (
    Operator,
    Refused,
    Source,
    check_named,
    line_hashes,
    sha256,
    tiled_rows,
)
from gradproof.derive.claims import claims_about
from gradproof.derive.claims.named import NAMED
from gradproof.derive.language import Definition
from gradproof.derive.prove.finder import Finder
from gradproof.derive.prove.open_claims import SECTIONS, Search
from gradproof.derive.prove.record import definition_record
from gradproof.derive.winograd import RECORDED, cook_toom, record, scaled

UNCERTIFIED = "// Certificates: none yet\n"
Record = dict[str, Any]


@dataclass(frozen=True)
class Certified:
    """An operator's record, what was shown with it, whether it was reloaded, and the seconds."""

    record: Record
    ledger: list[dict[str, Any]] = field(repr=False)
    reloaded: bool
    seconds: float


def certify(d: Definition, program: Program, known: Record | None = None) -> Certified:
    """Show what is claimed of one operator's kernels.

    A claim about the definition or a kernel's text for which nothing is found, no certificate and
    no counterexample, is open: the record lists it with the reason, and its row says `tested`.
    known: an earlier record. Where it is about the same definition, claims and text, it is checked
    as it is, and what was open stays open; else it is searched anew, with what fits. Errors:
    Refused, with the place and, where one was found, a counterexample.
    """
    text = program.files[program.entry["file"]]
    says = statement(d, program, text)
    if known is not None and (record := reloaded(known, says)) is not None:
        return _checked(program, text, record, True)
    if known is not None:
        try:
            return _searched(program, text, says, known)
        except Refused:  # what no longer fits is no reason to refuse, and hides the real one
            pass
    return _searched(program, text, says, None)


def reloaded(known: Record, says: Record) -> Record | None:
    """A record, where it says what is to be shown; else None. It is not checked here."""
    if any(known.get(k) != says[k] for k in says):
        return None
    record = {**says, **{k: known[k] for k in SECTIONS}}
    return record | ({"open": known["open"]} if "open" in known else {})


def renewed(d: Definition, program: Program, known: Record | None = None) -> Certified:
    """Like `certify`; but certificates that no longer hold are searched anew too."""
    try:
        return certify(d, program, known)
    except Refused:
        if known is None:
            raise
        return certify(d, program)


def _searched(program: Program, text: str, says: Record, known: Record | None) -> Certified:
    start = time.perf_counter()
    record: Record = {**says, **{k: {} for k in SECTIONS}, "open": {}}
    search = Search(record, program.entry, Source(program.entry["file"], text), known)
    ledger = _ledger(search, program)
    for section in SECTIONS:
        record[section] = dict(sorted(record[section].items()))
    if not record["open"]:
        del record["open"]
        return Certified(record, ledger, False, time.perf_counter() - start)
    return _checked(program, text, record, False)  # the rest does not rest on what is open


def _checked(program: Program, text: str, record: Record, reloaded: bool) -> Certified:
    start = time.perf_counter()
    source = Source(program.entry["file"], text)
    ledger = _ledger(Operator(record, program.entry, source), program)
    return Certified(record, ledger, reloaded, time.perf_counter() - start)


def _ledger(operator: Operator, program: Program) -> list[dict[str, Any]]:
    try:
        ledger = operator.check(NAMED)
    except Refused as error:
        error.shown = operator.ledger
        raise
    files = {name: text.encode() for name, text in program.files.items()}
    return ledger + tiled_rows(operator.record, files)


def statement(d: Definition, program: Program, text: str) -> Record:
    """What a record says before anything is shown."""
    return {
        "format": 1,
        "definition": definition_record(d),
        "limits": program.entry["limits"],
        "claims": [*claims_about(d), *staged_claims(d)],
        "tiled": tiled_section(d, program.entry),
        "windows": program.entry["windows"],
        "text": line_hashes(text),
    }


def certify_named(known: Record | None = None) -> Certified:
    """The named operators of closed forms."""
    start = time.perf_counter()
    same = known is not None and known["operators"] == NAMED
    found = {"operators": NAMED, **{k: dict(known[k]) if same and known else {} for k in SECTIONS}}
    definition: Record = {"tensors": {}, "lower": {}, "derived": {}, "sizes": []}
    finder = Finder({"definition": definition, **found}, known)
    ledger = check_named(found, finder)
    found |= {k: dict(sorted(finder.record[k].items())) for k in SECTIONS}
    return Certified(found, ledger, same, time.perf_counter() - start)


def winograd_record() -> Record:
    """The committed Cook-Toom transforms, with integer B."""
    return {"transforms": [record(scaled(cook_toom(m, r))) for m, r in RECORDED]}


def stamped(text: str, record_text: str) -> str:
    """A kernel file whose header names its record."""
    line = f"// Certificates: proofs/, sha256 {sha256(record_text)}\n"
    return text.replace(UNCERTIFIED, line, 1)


def record_text(record: Record) -> str:
    """A record as JSON, with one line for each claim, certificate, bijection and cofactor list."""
    parts = []
    for key, value in record.items():
        if key in ("claims", "transforms"):
            inner = ",\n  ".join(map(_json, value))
            parts.append(f"{_json(key)}: [\n  {inner}\n ]" if inner else f"{_json(key)}: []")
        elif key in (*SECTIONS, "operators", "definition", "open"):
            inner = ",\n  ".join(f"{_json(k)}: {_json(v)}" for k, v in value.items())
            parts.append(f"{_json(key)}: {{\n  {inner}\n }}" if inner else f"{_json(key)}: {{}}")
        else:
            parts.append(f"{_json(key)}: {_json(value)}")
    return "{\n " + ",\n ".join(parts) + "\n}\n"


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)


def known_record(folder: Path, name: str) -> Record | None:
    """The committed record of an operator, or None. Errors: Refused where it is damaged."""
    path = folder / "proofs" / f"{name}.json"
    if not path.exists():
        return None
    try:
        record = json.loads(path.read_text("utf-8"))
    except (ValueError, RecursionError) as error:
        raise Refused(f"{path} is damaged: {error}") from None
    if not isinstance(record, Mapping):
        raise Refused(f"{path} is no record")
    return dict(record)
