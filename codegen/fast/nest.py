"""A nest: one equation of known sizes, every subscript affine in the loops.

    for all `loops`:   out = value(r0, r1, ..., a0, a1, ...)
    with               a_k = sum or max over its own loops, under its guards, of term(r0, ...)

`r_k` stands for `reads[k]`, `a_k` for `reductions[k]`. The arithmetic in `value` and `term` is that
of the derived equation, over SymPy symbols of these names, scalars and loop variables.
"""

from __future__ import annotations

from dataclasses import dataclass

import sympy as sp

from gradproof.codegen.fast.affine import Affine

Loop = tuple[str, int]  # name, extent


@dataclass(frozen=True)
class Access:
    """An element of a tensor. `outside`: what a place beyond the tensor means, "never" where all
    places are inside, "zero", or "skip" (the term does not count)."""

    tensor: str
    subscripts: tuple[Affine, ...]
    outside: str = "never"

    @property
    def loops(self) -> frozenset[str]:
        """The loop variables of all subscripts."""
        return frozenset().union(*(s.loops for s in self.subscripts))

    def __str__(self) -> str:
        return f"{self.tensor}[{', '.join(map(str, self.subscripts))}]"


@dataclass(frozen=True)
class Reduction:
    """kind "sum", "max" or "argmax" over `loops`; `guards`: all of these are >= 0; `conditions`:
    comparisons of reads and loops that hold too; argmax counts positions row-major in `place`."""

    kind: str
    loops: tuple[Loop, ...]
    term: sp.Expr
    guards: tuple[Affine, ...] = ()
    conditions: tuple[sp.Basic, ...] = ()
    place: Affine | None = None


@dataclass(frozen=True)
class Nest:
    """One equation, or one of the phases into which strides divide it."""

    out: Access
    loops: tuple[Loop, ...]
    reads: tuple[Access, ...]
    reductions: tuple[Reduction, ...]
    value: sp.Expr
    scalars: tuple[tuple[str, str], ...] = ()

    @property
    def extents(self) -> dict[str, int]:
        """All loops, those of reductions too."""
        found = dict(self.loops)
        for r in self.reductions:
            found |= dict(r.loops)
        return found

    def used(self, e: sp.Basic) -> tuple[int, ...]:
        """Which reads an expression of this nest mentions."""
        names = {str(s) for s in e.free_symbols}
        return tuple(k for k in range(len(self.reads)) if f"r{k}" in names)
