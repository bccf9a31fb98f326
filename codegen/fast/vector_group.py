"""Several nests over the same loops as one: reads and reductions numbered through."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from math import prod

import sympy as sp

from gradproof.codegen.fast.affine import Affine
from gradproof.codegen.fast.nest import Access, Loop, Nest, Reduction
from gradproof.derive.expr import integer


@dataclass(frozen=True)
class Part:
    """One target: its value, the stage after which it is known, and its read-like number."""

    out: Access
    value: sp.Expr
    stage: int
    place: int


@dataclass(frozen=True)
class Group:
    """`whole` is a nest with all reads (the targets among them) and all reductions; a reduction of
    stage s may use the targets of stages below s, as symbols `target0`, `target1`, ..."""

    whole: Nest
    parts: tuple[Part, ...]
    stages: tuple[int, ...]
    scalars: tuple[tuple[str, str], ...]

    @property
    def flops(self) -> int:
        """Operations of the equations."""
        cells = prod(n for _, n in self.whole.loops)
        count = sum(int(p.value.count_ops()) for p in self.parts) * cells
        for r in self.whole.reductions:
            count += (int(r.term.count_ops()) + 1) * cells * prod(n for _, n in r.loops)
        return count


def grouped(name: str, nests: Sequence[Nest]) -> Group:
    """The nests as a group. Errors: ValueError where their loops differ, or one reads another
    element of a target than the one being computed."""
    if not nests:
        raise ValueError(f"{name}: a kernel needs a nest")
    first = nests[0]
    for n in nests:
        if n.loops != first.loops:
            raise ValueError(
                f"{name}: {n.out} has the loops {n.loops}, but {first.out} has {first.loops}"
            )
    builder = _Builder(name, first.loops, [n.out for n in nests])
    for n in nests:
        builder.add(n)
    return builder.group()


class _Builder:
    def __init__(self, name: str, loops: tuple[Loop, ...], outs: list[Access]) -> None:
        self.name, self.loops, self.outs = name, loops, outs
        self.extents = dict(loops)
        self.reads: dict[Access, int] = {}
        self.reductions: list[Reduction] = []
        self.stages: list[int] = []
        self.parts: list[Part] = []
        self.scalars: dict[str, str] = {}

    def add(self, n: Nest) -> None:
        """One more nest: its loops of sums get names of their own, its symbols new numbers."""
        symbols: dict[sp.Basic, sp.Basic] = {}
        after: dict[str, int] = {}
        for k, r in enumerate(n.reductions):
            name = f"a{k}"
            symbols[sp.Symbol(name, real=True)], after[name] = self._reduction(n, r)
        for k in n.used(n.value):
            name = f"r{k}"
            symbols[sp.Symbol(name, real=True)], after[name] = self._read(n.reads[k], n.out)
        self.scalars |= dict(n.scalars)
        stage = max((after.get(str(s), 0) for s in n.value.free_symbols), default=0)
        place = self.reads.setdefault(replace(n.out, outside="never"), len(self.reads))
        self.parts.append(Part(n.out, n.value.xreplace(symbols), stage, place))

    def _reduction(self, n: Nest, r: Reduction) -> tuple[sp.Symbol, int]:
        """The symbol of a reduction, and its stage."""
        renamed = self._loops(r)
        affine = {a: Affine.of(b) for a, b in renamed.items()}
        symbols: dict[sp.Basic, sp.Basic] = {integer(a): integer(b) for a, b in renamed.items()}
        stage = 0
        for k in n.used(sp.Tuple(r.term, *r.conditions)):
            a = n.reads[k]
            moved = replace(a, subscripts=tuple(s.substitute(affine) for s in a.subscripts))
            symbols[sp.Symbol(f"r{k}", real=True)], known = self._read(moved, n.out)
            stage = max(stage, known)
        found = Reduction(
            r.kind,
            tuple((renamed[v], e) for v, e in r.loops),
            r.term.xreplace(symbols),
            tuple(g.substitute(affine) for g in r.guards),
            tuple(c.xreplace(symbols) for c in r.conditions),
            None if r.place is None else r.place.substitute(affine),
        )
        return self._reduce(found, stage)

    def _loops(self, r: Reduction) -> dict[str, str]:
        """Equal loops keep equal names; a name with another extent gets underscores."""
        renamed: dict[str, str] = {}
        for v, e in r.loops:
            new = v
            while new in dict(self.loops) or self.extents.get(new, e) != e:
                new += "_"
            renamed[v] = new
            self.extents[new] = e
        return renamed

    def _read(self, a: Access, out: Access) -> tuple[sp.Symbol, int]:
        """The symbol of a read, and the stage at which it is there."""
        for k in reversed(range(len(self.parts))):
            part = self.parts[k]
            if (a.tensor, a.subscripts) == (part.out.tensor, part.out.subscripts):
                return sp.Symbol(f"target{k}", real=True), part.stage + 1
        same = [o for o in self.outs if o.tensor == a.tensor]
        if same and a.subscripts not in [o.subscripts for o in same]:
            raise ValueError(f"{self.name}: {out} reads {a}, which the same kernel computes")
        k = self.reads.setdefault(a, len(self.reads))
        return sp.Symbol(f"r{k}", real=True), 0

    def _reduce(self, r: Reduction, stage: int) -> tuple[sp.Symbol, int]:
        """The same reduction twice is one."""
        for k, other in enumerate(self.reductions):
            if other == r and self.stages[k] == stage:
                break
        else:
            k = len(self.reductions)
            self.reductions.append(r)
            self.stages.append(stage)
        return sp.Symbol(f"a{k}", real=True), stage

    def group(self) -> Group:
        """All that was added."""
        values = sp.Tuple(*[p.value for p in self.parts])
        whole = Nest(
            self.parts[0].out,
            self.loops,
            tuple(self.reads),
            tuple(self.reductions),
            values,
            tuple(self.scalars.items()),
        )
        return Group(whole, tuple(self.parts), tuple(self.stages), tuple(self.scalars.items()))


def variables(values: sp.Basic, extents: Mapping[str, int]) -> frozenset[str]:
    """The loop variables that an expression mentions."""
    return frozenset(str(s) for s in values.free_symbols if str(s) in extents)
