"""A search that goes on where a claim is neither shown nor false, and lists it as open."""

from __future__ import annotations

from typing import Any

from gradproof.derive.checker import INT_MAX, Base, Operator, Refused, holds
from gradproof.derive.prove.counterexample import Example
from gradproof.derive.prove.execute import kernel_example
from gradproof.derive.prove.finder import Finder, NotFound
from gradproof.derive.prove.lp import have_solver

SECTIONS = ("proofs", "maps", "cofactors")
TEXT = ("equation", "once", "range")  # what a kernel's text does wrong shows at small sizes
Record = dict[str, Any]


class Search(Operator):
    """The check of an operator whose record is filled: with certificates, and with what is open.

    record: what is claimed, with empty sections. known: an earlier record, whose certificates are
    tried first. `check` raises Refused where a counterexample was found, and for a closed form
    that is not shown.
    """

    def __init__(self, record: Record, entry: Any, source: Any, known: Record | None) -> None:
        self.finder = Finder(record, known)
        super().__init__(record, entry, source, self.finder)

    def attempt(self, claim: str, work: Any, *basis: str) -> str:
        """Why a claim is open; else its certificates are in the record."""
        before = {name: dict(self.record[name]) for name in (*SECTIONS, "open")}
        rows, known = len(self.ledger), self.finder.known
        why = self._why_open(claim, work)
        if why and any(known[name] for name in SECTIONS):
            self._undo(before, rows)  # old certificates that do not fit hide others, and examples
            self.finder.known = {name: {} for name in SECTIONS}
            why = self._why_open(claim, work)
            self.finder.known = known
        if not why:
            missing = [other for other in basis if other in self.open]
            why = f"shown only where {missing[0]} holds, which is not proved" if missing else ""
        if why:
            self._undo(before, rows)
            self.open[claim] = why
        return why

    def _why_open(self, claim: str, work: Any) -> str:
        """Why a claim is not shown. Errors: Refused, with a counterexample."""
        try:
            work()
        except Refused as error:
            if self._is_false(claim, getattr(error, "example", None)):
                raise
            missing = "" if have_solver() else " (z3, which finds more, is missing)"
            return " ".join(str(error).split()) + missing
        return ""

    def _is_false(self, claim: str, example: Any) -> bool:
        """Whether an example refutes a claim: that integers fit is shown from more than it needs,
        and only of labels is it known that they take every value in their range."""
        if not isinstance(example, dict):
            return example is not None
        tensors = self.record["definition"]["tensors"]
        free = [a for a in example if isinstance(a, tuple) and a[0] not in ("//", "%")]
        labels = all(a[0] == "read" and "values" in tensors[a[1]] for a in free)
        return labels and bool(example) and not claim.endswith(".int32")

    def _undo(self, before: Record, rows: int) -> None:
        for name, content in before.items():
            self.record[name].clear()
            self.record[name].update(content)
        del self.ledger[rows:]

    def form(self, name: str, base: Base, meaning: Any, when: Any) -> None:
        """One kernel's text; where not all is shown, it is run to see whether it is wrong."""
        super().form(name, base, meaning, when)
        if when or not any(f"{name}.{what}" in self.open for what in TEXT):
            return
        text = self.kernels[name]
        example = _wrong(base, text, self.entry["kernels"][name]["target"])
        if example is not None:
            raise NotFound(f"{text[1]}: {name}: {example}", example)


def _wrong(base: Base, text: Any, target: str) -> Example | None:
    """Sizes within the limits at which a kernel's text does something wrong, if any were found."""
    try:
        example = kernel_example(base.system, text, target)
        at = {**example.sizes, "INT_MAX": INT_MAX} if example else {}
        return example if all(holds(limit, at) for limit in base.limits if at) else None
    except Refused:  # it cannot be run either
        return None
