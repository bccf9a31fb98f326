"""How the work-items of a group bring an operand's part of a tile from memory to local memory."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from math import prod

from gradproof.codegen.fast.affine import Affine
from gradproof.codegen.fast.gpu_matrix import Operand, affine_text, digits
from gradproof.codegen.fast.nest import Loop


@dataclass(frozen=True)
class Bringing:
    """Work-item `item_` brings the elements item_, item_ + items, ... of `side` x `depth`.

    Neighbouring work-items take neighbours in memory: along the side (rows or columns), or along
    the terms, whichever lies together for longer. `name`: "row" or "column"; `bounded`: whether
    terms may end within a step.
    """

    name: str
    operand: Operand
    terms: tuple[Loop, ...]
    side: int
    depth: int
    items: int
    bounded: bool

    @property
    def count(self) -> int:
        """Elements that a work-item brings at each step."""
        return max(1, self.side * self.depth // self.items)

    @property
    def idle(self) -> str:
        """The test that a work-item has an element at all; empty where each has."""
        total = self.side * self.depth
        return f"item_ < {total}" if total < self.items else ""

    @property
    def along_terms(self) -> bool:
        """Whether neighbouring work-items take neighbouring terms."""
        return _run(self.operand, self.terms) > _run(self.operand, self.operand.loops)

    def place(self, u: int) -> tuple[str, str]:
        """The place of element u in the tile: along the side, along the terms."""
        element = f"(item_ + {u * self.items})" if u else "item_"
        fast = self.depth if self.along_terms else self.side
        low, high = f"{element} % {fast}", f"{element} / {fast}"
        if self.items % fast == 0:
            low = f"item_ % {fast}"
            high = f"item_ / {fast} + {u * self.items // fast}" if u else f"item_ / {fast}"
        return (high, low) if self.along_terms else (low, high)

    def before(self, first: str) -> Iterator[str]:
        """Definitions ahead of all steps: the parts of addresses that do not change. first: the
        side's number of the tile's first row (or column)."""
        extent = prod(e for _, e in self.operand.loops)
        known: dict[str, int] = {}
        for u in range(self.count):
            at, _ = self.place(u)
            if at in known:
                continue
            known[at] = u
            number = f"{self.name}_{u}"
            inside = f"{first} + {at}"
            ragged = extent % self.side
            yield f"const int {number} = {f'min({inside}, {extent - 1})' if ragged else inside};"
            values = digits(number, self.operand.loops)
            for k, form in enumerate(self._forms()):
                yield f"const int {number}_{k} = {_part(form, self.terms, values)};"

    def each(self, begin: str) -> Iterator[str]:
        """Element by element: the statements that read it. begin: the step's first term."""
        terms: dict[str, str] = {}
        sides: dict[str, int] = {}
        for u in range(self.count):
            at, deep = self.place(u)
            side = f"{self.name}_{sides.setdefault(at, u)}"
            if deep not in terms:
                terms[deep] = f"{self.name}_term{u}"
                yield f"const int {terms[deep]} = {begin} + {deep};"
            yield f"{self.name}_next[{u}] = {self._value(side, terms[deep])};"

    def _value(self, side: str, term: str) -> str:
        values = digits(term, self.terms)
        own = {v for v, _ in self.terms}
        sums = []
        for k, form in enumerate(self._forms()):
            moving = form.only(own)
            sums.append(f"{side}_{k} + {affine_text(moving, values)}" if moving.terms
                        else f"{side}_{k}")  # fmt: skip
        tests = [f"{term} < end_"] if self.bounded else []
        factors, at = [], 0
        for load in self.operand.loads:
            factors.append(f"{load.pointer}[{sums[at]}]")
            tests += [f"{sums[at + 1 + k]} >= 0" for k in range(len(load.tests))]
            at += 1 + len(load.tests)
        product = " * ".join(factors)
        return f"{' && '.join(tests)} ? {product} : (REAL)0" if tests else product

    def _forms(self) -> list[Affine]:
        """The address and the tests of every factor, in order."""
        return [p for x in self.operand.loads for p in (x.address, *x.tests)]


def _run(operand: Operand, loops: tuple[Loop, ...]) -> int:
    """How many neighbours lie together along the last of these loops."""
    if not loops:
        return 0
    v, n = loops[-1]
    return n if abs(operand.loads[0].address.coefficient(v)) == 1 else 0


def _part(form: Affine, terms: tuple[Loop, ...], values: dict[str, str]) -> str:
    """What of a form does not depend on the terms; loops of the batch are variables."""
    fixed = form.without({v for v, _ in terms})
    return affine_text(fixed, {v: values.get(v, v) for v in fixed.loops})
