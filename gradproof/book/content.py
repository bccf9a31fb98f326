"""What a page about an operator says, before it is put into HTML."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from gradproof.book.maps import maps
from gradproof.book.palette import Palette
from gradproof.book.proofs import Proofs, proofs
from gradproof.book.sliders import scalars, sliders
from gradproof.codegen.certify import Record, known_record, reloaded, renewed, statement
from gradproof.codegen.generate import generated_folder
from gradproof.codegen.program import Program, build_program
from gradproof.derive.checker import Refused
from gradproof.derive.explain import Section, explain
from gradproof.derive.language import Definition, Equation
from gradproof.derive.system import derive

Known = Callable[[str], Record | None]


@dataclass(frozen=True)
class Kernel:
    """A kernel: its text, the equations it computes, and its certificate's rows in a word each."""

    name: str
    equations: tuple[Equation, ...]
    text: str
    lines: tuple[int, int]


@dataclass(frozen=True)
class Page:
    """An operator: its derivation, its ledger, its kernels, and the data of its picture."""

    name: str
    summary: str
    equations: tuple[Equation, ...]
    sections: tuple[Section, ...]
    proofs: Proofs
    kernels: tuple[Kernel, ...]
    certificates: str
    picture: str | None
    palette: Palette


def page(d: Definition, known: Known) -> Page:
    """All that is told of an operator.

    known: name -> its recorded certificates; what is not recorded is searched for. Errors: Refused
    where a certificate does not hold.
    """
    system = derive(d)
    systems = [d, system.forward, *filter(None, [system.raw, system.backward])]
    record, program, shown = _shown(d, known(d.name))
    return Page(
        d.name,
        " ".join(d.doc.split()),
        d.equations,
        tuple(explain(d)),
        shown,
        tuple(_kernels(d, program)),
        json.dumps(record, ensure_ascii=False, indent=1),
        _picture(d),
        Palette.of(*systems),
    )


def proved(d: Definition) -> Proofs:
    """What is proved of an operator, of the package or your own.

    Recorded certificates are checked, others are searched for, which needs z3-solver. Errors:
    Refused where a certificate does not hold.

    >>> from gradproof.derive.registry import find
    >>> {row.status for row in proved(find("relu")).rows}
    {'proved'}
    """
    return _shown(d, known_record(generated_folder(), d.name))[2]


def _shown(d: Definition, record: Record | None) -> tuple[Record, Program, Proofs]:
    """The record, the kernels and the ledger; each certificate is checked once.

    Certificates that are not about this definition, or do not hold, are searched for anew.
    """
    if record is not None:
        program = build_program(d, record.get("limits"))
        text = program.files[program.entry["file"]]
        known = reloaded(record, statement(d, program, text))
        with suppress(Refused):
            if known is not None:
                return known, program, proofs(known, program)
    program = build_program(d)
    found = renewed(d, program, record).record
    return found, program, proofs(found, program)


def _kernels(d: Definition, program: Program) -> list[Kernel]:
    text = program.files[program.entry["file"]].splitlines()
    system = derive(d)
    both = [*system.forward.equations, *(system.backward.equations if system.backward else ())]
    found = []
    for name, entry in program.entry["kernels"].items():
        first, last = entry["lines"]
        equations = tuple(e for e in both if e.target == entry["target"])
        found.append(Kernel(name, equations, "\n".join(text[first - 1 : last]), (first, last)))
    return found


def _picture(d: Definition) -> str | None:
    """The picture's data as JSON that may stand in a page."""
    found = maps(d)
    if found is None:
        return None
    data: dict[str, Any] = {"maps": found, "sliders": sliders(d), "scalars": scalars(d)}
    return json.dumps(data, separators=(",", ":")).replace("<", "\\u003c")
