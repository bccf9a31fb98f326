"""How `gradproof influence` prints its tables, in the notation of a lecture."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import sympy as sp

from gradproof.derive.adjoint import prepare
from gradproof.derive.errors import DefinitionError
from gradproof.derive.expr import IsZero, Read, reads, substitute
from gradproof.derive.influence import Rule, Side, Table, Term, inserted, output, table
from gradproof.derive.language import Definition
from gradproof.derive.machine import Machine
from gradproof.derive.show import text

# option -> the sizes of a definition that it gives, and the least value of each
MAP = ("H", "W")
SIZES = {
    "kernel": (("KH", "KW"), 1),
    "stride": (("SH", "SW"), 1),
    "dilation": (("DH", "DW"), 1),
    "padding": (("PT", "PB", "PL", "PR"), None),
    "output-size": (("OH", "OW"), 1),
}
DEFAULTS = {"kernel": 3, "stride": 1, "dilation": 1, "padding": 0, "output-size": 3}
DEFAULT_MAP = 5
ONE = {"kernel": "K", "stride": "S", "dilation": "D", "padding": "P"}  # one size for both axes
LECTURE = ("stride", "dilation", "padding")  # its tables have the defaults for these


@dataclass(frozen=True)
class Page:
    """A definition with numbers for its sizes; axes whose size no option gives are left out."""

    definition: Definition
    sizes: dict[str, int]
    shapes: dict[str, tuple[int, ...]]
    kept: dict[str, list[int]]

    @staticmethod
    def of(d: Definition, sizes: dict[str, int]) -> Page:
        """Errors: DefinitionError where the sizes do not fit together, with the sizes."""
        forward = prepare(d)
        given = {*MAP, *(s for option in SIZES for s in names_of(option, sizes))}
        hidden = {s for s in d.sizes if str(s) not in given}
        kept = {
            t.name: [k for k, n in enumerate(t.shape) if n.free_symbols - hidden]
            for t in forward.tensors
        }
        try:
            shapes = Machine.sized(forward, sizes).shapes
        except DefinitionError as error:
            used = [f"--size {sizes['H']},{sizes['W']}", *options(sizes)]
            raise DefinitionError(f"{error} ({' '.join(used)})") from None
        return Page(d, sizes, shapes, kept)

    def find(
        self, option: str, letter: str, at: tuple[int, ...]
    ) -> tuple[str, tuple[int, ...], Table]:
        """The tables of an element. Errors: DefinitionError where it is outside its map."""
        shape = self.shapes[letter]
        if not all(0 <= p < n for p, n in zip(at, shape[-2:], strict=True)):
            rows, columns = (n - 1 for n in shape[-2:])
            raise DefinitionError(
                f"{option} {at[0]},{at[1]} is outside the {self._shape(letter)} {letter}: "
                f"rows are 0..{rows}, columns 0..{columns}"
            )
        whole = (0,) * (len(shape) - 2) + at
        return letter, at, table(self.definition, self.sizes, letter, whole)

    def heading(self, *, grown: bool) -> Iterator[str]:
        """The operator, all sizes, and what is left out."""
        d = self.definition
        results = ", ".join(f"{n} {self._shape(n)}" for n in d.outputs)
        operands = [n for n in d.inputs if self.kept[n]]
        shapes = ", ".join(f"{n} {self._shape(n)}" for n in operands)
        yield f"{d.name}: {shapes} -> {results}; {' '.join(options(self.sizes))}"
        if grown:
            yield "The map has the default size: at least 5, with room for windows at the element."
        given = {*MAP, *(s for option in SIZES for s in names_of(option, self.sizes))}
        hidden = sorted(self.sizes.keys() - given)
        values = sorted({self.sizes[s] for s in hidden}, reverse=True)
        named = [(v, ", ".join(s for s in hidden if self.sizes[s] == v)) for v in values]
        each = "; ".join(f"{names}: each is {v}" for v, names in named)
        yield f"{each}; indices that are always 0 are left out."

    def lines(self, letter: str, at: tuple[int, ...], found: Table) -> Iterator[str]:
        """Both tables of an element."""
        name = f"{letter}({at[0]},{at[1]})"
        yield ""
        if not found.forward.terms:
            alone = f"{name} meets nothing but padding" if found.forward.padding else ""
            yield f"{alone or f'no output reads {name}'}: its gradient is 0"
            return
        yield f"{name} in the definition:"
        yield from self._side(found.forward)
        yield ""
        yield f"The gradient of {name}, as derived:"
        yield from self._side(found.gradient)
        yield ""
        count = len(found.forward.terms)
        yield f"Both hold the same {count} pairs." if count > 1 else "Both hold the same pair."
        if self._sums(found):
            yield "In each, the coordinates of z and w sum to those of Y."

    def rows(self, found: Table) -> Iterator[dict[str, Any]]:
        """The pairs, for programs."""
        for term, back in zip(found.forward.terms, found.gradient.terms, strict=True):
            yield {
                "output": self._place(output(term)),
                "operand": self._place(term.read),
                "slope": self._shown(term.slope),
                "factors": [self._place(r) for r in reads(term.slope)],
                "where": [self._shown(g) for g in term.guards],
                "forward": self._term(term),
                "gradient": self._term(back),
            }

    def _side(self, side: Side) -> Iterator[str]:
        for rule in side.rules:
            yield from self._rule(rule)
        yield ""
        yield from (f"    {self._term(t)}" for t in side.terms)
        if side.padding:
            yield f"    ({_count(side.padding, 'more term')} of padding, which is 0)"

    def _rule(self, rule: Rule) -> Iterator[str]:
        gone = {i: sp.Integer(0) for i, n in rule.loops if n == 1}
        t = inserted(rule.term, gone)
        loops = ", ".join(f"{i} < {n}" for i, n in rule.loops if n > 1)
        shown = self._term(replace(t, guards=()))
        yield f"    {shown}" + (f"   for {loops}" if loops else "")
        guards = [self._shown(g) for g in t.guards if g != IsZero(0)]
        if guards:
            yield f"        where {', '.join(guards)}"

    def _term(self, t: Term) -> str:
        top, bottom = t.slope.as_numer_denom()
        product = self._shown(t.read) + (f"·{self._factor(top)}" if top != 1 else "")
        product += f"/{self._factor(bottom)}" if bottom != 1 else ""
        where = "".join(f"[{self._shown(g)}] " for g in t.guards)
        return f"{self._shown(t.target)} += {where}{product}"

    def _factor(self, e: sp.Expr) -> str:
        shown = self._shown(e)
        return shown if e.is_Integer or isinstance(e, Read) else f"({shown})"

    def _shown(self, e: sp.Basic) -> str:
        """As a lecture writes it: Y(2,2)·w(1,2), without the axes that are left out."""
        shorter = substitute(e, {r: Read(r.tensor, *self._coordinates(r)) for r in reads(e)})
        inner = re.compile(r"(\w)\[([^][]*)\]")
        shown = inner.sub(lambda m: f"{m[1]}({m[2].replace(' ', '')})", text(shorter))
        return re.sub(r"(?<!\*)\*(?!\*)", "·", shown)

    def _coordinates(self, r: Read) -> list[sp.Expr]:
        return [r.subscripts[k] for k in self.kept[r.tensor.removeprefix("grad_")]]

    def _place(self, r: Read) -> dict[str, Any]:
        return {"tensor": r.tensor, "element": [int(p) for p in self._coordinates(r)]}

    def _shape(self, name: str) -> str:
        return " x ".join(str(self.shapes[name][k]) for k in self.kept[name])

    def _sums(self, found: Table) -> bool:
        """The lecture's identity: for stride 1, dilation 1 and no padding, looked up in each."""
        plain = [(s, DEFAULTS[o]) for o in LECTURE for s in names_of(o, self.sizes)]
        if any(self.sizes[s] != value for s, value in plain):
            return False
        return all(map(self._adds_up, found.forward.terms))

    def _adds_up(self, t: Term) -> bool:
        at = {r.tensor: self._coordinates(r) for r in (t.target, t.read, *reads(t.slope))}
        if at.keys() != {"Y", "w", "z"} or len({*map(len, at.values())}) > 1:
            return False
        return all(z + w == y for y, w, z in zip(at["Y"], at["w"], at["z"], strict=True))


def names_of(option: str, sizes: Iterable[str]) -> tuple[str, ...]:
    """Those of a definition's sizes that an option gives: one for each axis, or one for both.

    >>> names_of("kernel", ["N", "KH", "KW"]), names_of("kernel", ["N", "K"])
    (('KH', 'KW'), ('K',))
    """
    known = set(sizes)
    each = SIZES[option][0]
    if known.issuperset(each):
        return each
    return (ONE[option],) if ONE.get(option) in known else ()


def options(sizes: Mapping[str, int]) -> list[str]:
    """The options that give these sizes, in full."""
    return [
        f"--{option} {','.join(str(sizes[s]) for s in names)}"
        for option in SIZES
        if (names := names_of(option, sizes))
    ]


def _count(n: int, noun: str) -> str:
    return f"{n} {noun}" + ("" if n == 1 else "s")
