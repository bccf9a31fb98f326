"""What is proved of an operator, claim by claim, with its obligations and their certificates."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from gradproof.book.formal import claim
from gradproof.book.palette import Palette
from gradproof.codegen.certify import Record
from gradproof.codegen.program import Program
from gradproof.derive.adjoint import PREFIX
from gradproof.derive.checker import Fact, Operator, Source, show_fact, tiled_rows
from gradproof.derive.claims.named import NAMED
from gradproof.derive.explain import Section
from gradproof.derive.prove.story import Listener, story
from gradproof.runtime.display import table


@dataclass(frozen=True)
class Obligation:
    """Integer facts that were to be shown at one place, and the certificate as it is recorded."""

    place: str
    goals: tuple[str, ...]
    certificate: str


@dataclass(frozen=True)
class Row:
    """A row of the ledger. `formal`: the claim as the checker reads it, without what is given,
    where it has such a form; `why`: the reason, where it is not proved."""

    claim: str
    statement: str
    status: str
    given: str
    formal: str
    why: str
    took: str
    obligations: tuple[Obligation, ...] = field(repr=False)

    def _repr_latex_(self) -> str | None:
        return f"$${claim(self.formal, Palette({}))}$$" if self.formal else None


@dataclass(eq=False)
class _Certificates(Listener):
    """The recorded certificates; those that a claim used are noted with it."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self.claim = ""
        self.found: dict[str, list[Obligation]] = {}

    def search(self, key: str, facts: list[Fact], goals: list[Fact], where: str) -> list[Any]:
        steps = super().search(key, facts, goals, where)
        certificate = "\n".join(json.dumps(step) for step in self.proofs[key])
        found = Obligation(where, tuple(map(show_fact, goals)), certificate)
        self.found.setdefault(self.claim, []).append(found)
        return steps


class _Operator(Operator):
    """The checker, which says what claim it works on."""

    certificates: _Certificates

    def enter(self, claim: str, statement: str, work: Callable[[], None], **more: str) -> None:
        self.certificates.claim = claim
        super().enter(claim, statement, work, **more)


@dataclass(frozen=True, repr=False)
class Proofs:
    """The ledger of an operator, and for each gradient its proof as a text to read."""

    rows: tuple[Row, ...]
    told: tuple[Section, ...]

    def __repr__(self) -> str:
        proved = sum(row.status == "proved" for row in self.rows)
        return f"<{proved} of {len(self.rows)} claims are proved>"

    def _repr_html_(self) -> str:
        rows = [
            (r.claim, " ".join(filter(None, [r.statement, r.given, r.why])), r.status)
            for r in self.rows
        ]
        return table(("claim", "says", "status"), rows, repr(self).strip("<>"))


def proofs(record: Record, program: Program) -> Proofs:
    """What is proved of an operator, checked now.

    Errors: Refused where a certificate does not hold.
    """
    entry, text = program.entry, program.files[program.entry["file"]]
    certificates = _Certificates(record)
    ledger = _Operator(record, entry, Source(entry["file"], text), certificates).check(NAMED)
    targets = dict.fromkeys(k["target"] for k in entry["kernels"].values())
    inputs = {n for v in entry["variants"].values() for n in v["inputs"]}
    operands = [t.removeprefix(PREFIX) for t in targets if t.removeprefix(PREFIX) in inputs]
    told = [s for n in operands for s in story(certificates, ledger, entry, n)]
    files = {name: text.encode() for name, text in program.files.items()}
    whole = [*ledger, *tiled_rows(record, files)]
    rows = tuple(_row(row, certificates.found.get(row["claim"], [])) for row in whole)
    return Proofs(rows, tuple(dict.fromkeys(told)))


def _row(row: dict[str, Any], obligations: list[Obligation]) -> Row:
    took = f"degree {row['degree']}, {row['steps']} steps, {row['bytes']:,} bytes"
    given = row.get("given", "")
    return Row(
        row["claim"],
        row["statement"],
        row["status"],
        given,
        row.get("formal", "").removesuffix(f" {given}"),
        row.get("why", ""),
        took if row["status"] == "proved" else "",
        tuple(obligations),
    )
