"""Reductions in a kernel's text: loops, guards, accumulators, horizontal sums.

Sums add up each step of an outer loop on its own, and cut a long loop in pieces and these again, so
that no term is added to more than a few others one after another: n equal terms, added up by one
accumulator, would lose n times as much. The innermost loop has several accumulators, since an
addition waits for the one before.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import sympy as sp

from gradproof.codegen.fast.affine import Affine
from gradproof.codegen.fast.nest import Loop, Reduction
from gradproof.codegen.fast.vector_scope import Writer

PIECES = (512, 32)  # terms that are summed on their own, in a longer loop
FEW = 8  # terms that need no partial sums
ACCUMULATORS = {1: 4, 2: 2, 3: 2}  # by the number of reductions in a loop


@dataclass(frozen=True)
class Set:
    """Reductions with equal loops, guards and conditions: (number, reduction)."""

    loops: tuple[Loop, ...]
    members: tuple[tuple[int, Reduction], ...]

    @property
    def guards(self) -> tuple[Affine, ...]:
        """Those of every member."""
        return self.members[0][1].guards

    @property
    def conditions(self) -> tuple[sp.Basic, ...]:
        """Those of every member."""
        return self.members[0][1].conditions

    @property
    def ordered(self) -> bool:
        """Whether the order of the terms is part of the result: the first maximum wins."""
        return any(r.kind == "argmax" for _, r in self.members)


def reduce_set(w: Writer, s: Set, lane: str | None) -> None:
    """The variables a<k> of the set. lane: a loop of the set that runs 16 at a time."""
    if lane is None:
        Sums(w, s, [f"a{k}" for k, _ in s.members]).run(s.loops)
    else:
        _across(w, s, lane)
    for k, _ in s.members:
        w.know(f"a{k}", w.in_lanes())


def _across(w: Writer, s: Set, lane: str) -> None:
    extent = dict(s.loops)[lane]
    others = tuple(x for x in s.loops if x[0] != lane)
    names = [w.fresh(f"lanes{k}_") for k, _ in s.members]
    step = f"{lane}_s"
    w.lane, w.steps = lane, Affine.of(step) * 16
    Sums(w, s, names, lane=step).run((*others, (step, extent // 16)))
    w.lane = None
    final = Sums(w, s, [f"a{k}" for k, _ in s.members])
    final.declare()
    for (_, r), one, many in zip(s.members, final.names, names, strict=True):
        for text in _horizontal(r.kind, one, many):
            w.line(text)
    if extent % 16:
        final.start = {lane: extent - extent % 16}
        final.around((*others, (lane, extent)), final.names, s.guards)


def _horizontal(kind: str, one: str, many: str) -> list[str]:
    head = f"for (int l = 0; l < 16; l++) {{ const REAL term = ((REAL *)&{many}"
    if kind == "sum":
        eight, four = f"{many}.lo + {many}.hi", f"{many}_8.lo + {many}_8.hi"
        return [
            f"const JOIN(REAL, 8) {many}_8 = {eight};",
            f"const JOIN(REAL, 4) {many}_4 = {four};",
            f"{one} += ({many}_4.x + {many}_4.z) + ({many}_4.y + {many}_4.w);",
        ]
    if kind == "max":
        return [f"{head})[l]; if (term > {one} || term != term) {one} = term; }}"]
    return [
        f"{head}_value)[l]; const int place = ((MASK *)&{many})[l]; const REAL most = {one}_value;",
        "    const int equal = term == most || (term != term && most != most);",
        "    const int more = term > most || (term != term && most == most);",
        f"    if (place >= 0 && ({one} < 0 || more || (equal && place < {one})))"
        f" {{ {one} = place; {one}_value = term; }} }}",
    ]


class Sums:
    """The loops of one set; lane: the loop of it whose steps are vectors of 16 terms."""

    def __init__(self, w: Writer, s: Set, names: Sequence[str], lane: str | None = None) -> None:
        self.w, self.s, self.names, self.lane = w, s, list(names), lane
        self.vector = w.in_lanes() or lane is not None
        self.start: dict[str, int] = {}

    def run(self, loops: tuple[Loop, ...]) -> None:
        """The accumulators, then the loops."""
        self.declare()
        self.around(loops, self.names, self.s.guards)

    def declare(self) -> None:
        """The accumulators."""
        for (_, r), name in zip(self.s.members, self.names, strict=True):
            self._declare(r.kind, name)

    def _declare(self, kind: str, name: str) -> None:
        real, mask = ("REALV", "MASKV") if self.vector else ("REAL", "int")
        if kind == "argmax":
            self.w.line(f"{mask} {name} = ({mask})(-1);")
            name += "_value"
        self.w.line(f"{real} {name} = ({real})({'0' if kind == 'sum' else '-INFINITY'});")

    def around(self, loops: tuple[Loop, ...], names: list[str], guards: tuple[Affine, ...]) -> None:
        """These loops around an update of `names`."""
        opened, guards = self._tests(guards)
        if not loops:
            self._update(names, guards)
        elif len(loops) == 1:
            self._inner(loops[0], names, guards)
        else:
            (v, n), *rest = loops
            self._open(v, str(self.start.get(v, 0)), str(n))
            parts = self.partial(names, rest)
            self.around(tuple(rest), parts, guards)
            self.add(names, parts)
            self.w.close()
        for _ in range(opened):
            self.w.close()

    def _open(self, v: str, start: str, end: str, step: str = "") -> None:
        lane = v == self.lane
        bound = frozenset({v, self.w.lane}) if lane and self.w.lane else frozenset({v})
        self.w.open(f"for (int {v} = {start}; {v} < {end}; {v}++)", bound, lane)

    def partial(self, names: list[str], rest: Sequence[Loop]) -> list[str]:
        """New accumulators for the sums, where there is more than a little to add."""
        count = sp.prod([n for _, n in rest])
        found = []
        for (_, r), name in zip(self.s.members, names, strict=True):
            if r.kind == "sum" and count > FEW:
                name = self.w.fresh("part")
                self._declare(r.kind, name)
            found.append(name)
        return found

    def add(self, names: Sequence[str], parts: Sequence[str]) -> None:
        """The parts, added to `names` where they are others."""
        for name, part in zip(names, parts, strict=True):
            if name != part:
                self.w.line(f"{name} += {part};")

    def _inner(self, loop: Loop, names: list[str], guards: tuple[Affine, ...]) -> None:
        v, n = loop
        lengths = [k for k in PIECES if k < n - self.start.get(v, 0)] if self._adds() else []
        self._pieces(loop, (str(self.start.get(v, 0)), str(n)), lengths, names, guards)

    def _pieces(
        self, loop: Loop, ends: tuple[str, str], lengths: Sequence[int], names: list[str],
        guards: tuple[Affine, ...],
    ) -> None:  # fmt: skip
        """A loop, in pieces of the first length, these in pieces of the next."""
        v, n = loop
        if not lengths:
            self._run(v, *ends, n, names, guards)
            return
        length, *rest = lengths
        piece = f"{v}_c{length}"
        end, begin = f"{piece}_end", ends[0]
        header = f"for (int {piece} = {begin}; {piece} < {ends[1]}; {piece} += {length})"
        self.w.open(header, frozenset({piece}))
        last = f"{ends[1]} - {piece} < {length}"
        self.w.line(f"const int {end} = {last} ? {ends[1]} : {piece} + {length};")
        parts = self.partial(names, [(v, length)])
        self._pieces((v, length), (piece, end), rest, parts, guards)
        self.add(names, parts)
        self.w.close()

    def _adds(self) -> bool:
        """Whether there is a sum among the reductions: only sums lose by a long loop."""
        return any(r.kind == "sum" for _, r in self.s.members)

    def _run(
        self, v: str, start: str, end: str, n: int, names: list[str], guards: tuple[Affine, ...]
    ) -> None:
        """One innermost loop, with several accumulators where it is long and free of tests."""
        count = ACCUMULATORS.get(len(self.s.members), 1)
        simple = not guards and not self.s.conditions and not self.s.ordered
        if not simple or count == 1 or n - self.start.get(v, 0) < 2 * count:
            self._open(v, start, end)
            self.around((), names, guards)
            self.w.close()
            return
        copies = [names] + [[self.w.fresh("acc") for _ in names] for _ in range(count - 1)]
        for copy in copies[1:]:
            for (_, r), name in zip(self.s.members, copy, strict=True):
                self._declare(r.kind, name)
        lead = self.w.fresh(f"{v}_")
        self.w.line(f"int {lead} = {start};")
        self.w.open(f"for (; {lead} + {count} <= {end}; {lead} += {count})")
        for u, copy in enumerate(copies):
            bound = {v, self.w.lane} if v == self.lane and self.w.lane else {v}
            self.w.open("", frozenset(bound), v == self.lane)
            self.w.line(f"const int {v} = {lead} + {u};")
            self._update(copy, ())
            self.w.close()
        self.w.close()
        self._open(v, lead, end)
        self._update(names, ())
        self.w.close()
        self._join(names, copies[1:])

    def _join(self, names: list[str], copies: list[list[str]]) -> None:
        for k, (_, r) in enumerate(self.s.members):
            for copy in copies:
                if r.kind == "sum":
                    self.w.line(f"{names[k]} += {copy[k]};")
                else:
                    self._maximum(names[k], copy[k], "")

    def _tests(self, guards: tuple[Affine, ...]) -> tuple[int, tuple[Affine, ...]]:
        """Guards that are decided here, as `if`; the others are left."""
        bound = frozenset().union(*(s.loops for s in self.w.stack))
        lane = self.w.lane if self.vector else None
        now = [g for g in guards if g.loops <= bound and (lane is None or lane not in g.loops)]
        if not now:
            return 0, guards
        self.w.open(f"if ({' && '.join(f'{g} >= 0' for g in now)})")
        return 1, tuple(g for g in guards if g not in now)

    def _update(self, names: list[str], guards: tuple[Affine, ...]) -> None:
        """One term of every member; guards: those that differ between lanes."""
        masks = [f"({self.w.integer(g, vector=True)} >= 0)" for g in guards]
        opened = 0
        if self.s.conditions:
            text = self.w.condition(self.s.conditions)
            if self.w.is_vector(*self.s.conditions):
                masks.append(f"({text})")
            else:
                self.w.open(f"if ({text})")
                opened = 1
        mask = " & ".join(masks)
        for (_, r), name in zip(self.s.members, names, strict=True):
            self._one(r, name, mask)
        for _ in range(opened):
            self.w.close()

    def _one(self, r: Reduction, name: str, mask: str) -> None:
        text = self.w.value(r.term)
        if self.vector and not self.w.is_vector(r.term):
            text = f"(REALV)({text})"
        if r.kind == "sum":
            self.w.line(f"{name} += {f'{mask} ? {text} : (REALV)(0)' if mask else text};")
            return
        term = self.w.fresh("term")
        self.w.line(f"const {'REALV' if self.vector else 'REAL'} {term} = {text};")
        if r.kind == "max":
            self._maximum(name, term, mask)
        else:
            self._position(r, name, term, mask)

    def _maximum(self, name: str, term: str, mask: str) -> None:
        if self.vector:
            take = f"({term} > {name}) | ({term} != {term})"
            take = f"{mask} & ({take})" if mask else take
            self.w.line(f"{name} = ({take}) ? {term} : {name};")
        else:
            self.w.line(f"if ({term} > {name} || {term} != {term}) {name} = {term};")

    def _position(self, r: Reduction, name: str, term: str, mask: str) -> None:
        assert r.place is not None
        most = f"{name}_value"
        if not self.vector:
            take = f"{name} < 0 || {term} > {most} || ({term} != {term} && {most} == {most})"
            place = self.w.integer(r.place)
            self.w.line(f"if ({take}) {{ {name} = {place}; {most} = {term}; }}")
            return
        take = f"({name} < 0) | ({term} > {most}) | (({term} != {term}) & ({most} == {most}))"
        chosen = self.w.fresh("take")
        self.w.line(f"const MASKV {chosen} = {f'{mask} & ({take})' if mask else take};")
        lane = self.w.lane is not None and self.w.lane in r.place.loops
        self.w.line(f"{name} = {chosen} ? (MASKV)({self.w.integer(r.place, lane)}) : {name};")
        self.w.line(f"{most} = {chosen} ? {term} : {most};")
