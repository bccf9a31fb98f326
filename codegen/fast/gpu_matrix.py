"""A sum of products read as a batched matrix product: which loops are rows, columns, terms.

The factors are divided into two operands. An output loop that only one operand has numbers the rows
or the columns, one that both have numbers the batch, and the loops of the sum number the terms.
Every address is affine in the loops, so it is a part that depends on the row (or column) plus a
part that depends on the term: the first is computed once, the second at every step.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import prod

import sympy as sp

from gradproof.codegen.fast.affine import Affine
from gradproof.codegen.fast.gpu_tiles import Product
from gradproof.codegen.fast.nest import Loop
from gradproof.codegen.fast.strided import Strided
from gradproof.codegen.fast.vector_scope import Load

FEWEST = 4  # rows and columns: with fewer, a matrix product has no use for local memory


@dataclass(frozen=True)
class Operand:
    """The product of these reads, over `loops` of the target (rows or columns)."""

    loads: tuple[Load, ...]
    loops: tuple[Loop, ...]


@dataclass(frozen=True)
class Matrix:
    """rows x columns sums over `terms`, for each of `batches`."""

    rows: Operand
    columns: Operand
    batches: tuple[Loop, ...]
    terms: tuple[Loop, ...]

    @property
    def extents(self) -> Product:
        """How many of each."""
        parts = (self.batches, self.rows.loops, self.columns.loops, self.terms)
        return Product(*(prod(e for _, e in loops) for loops in parts))


def matrix(s: Strided, loads: Mapping[str, Load], outs: Sequence[Affine]) -> Matrix | None:
    """The nest as a matrix product; None where it is none, or one with too few rows or columns.

    loads: the reads by symbol; outs: addresses of the targets, the first of which says what lies
    together: its last loop numbers columns.
    """
    if len(s.reductions) != 1:
        return None
    (r,) = s.reductions
    factors = [str(f) for f in sp.Mul.make_args(r.term)]
    if r.kind != "sum" or r.guards or r.conditions or len(factors) < 2:
        return None
    if any(f not in loads or loads[f].whole for f in factors):
        return None
    found = [
        m
        for one in factors
        if (m := _divided(s, [loads[f] for f in factors if f != one], [loads[one]], outs[0]))
    ]
    best = max(found, key=lambda m: min(m.extents.rows, m.extents.columns), default=None)
    if best is None or min(best.extents.rows, best.extents.columns) < FEWEST:
        return None
    return best


def _divided(s: Strided, one: list[Load], other: list[Load], out: Affine) -> Matrix:
    """These two operands as a matrix product; loops that no factor has count as the first's."""
    loops = sorted(s.loops, key=lambda x: -abs(out.coefficient(x[0])))
    mine, theirs = _loops(one), _loops(other)
    left = tuple(x for x in loops if x[0] not in theirs)
    right = tuple(x for x in loops if x[0] in theirs - mine)
    both = tuple(x for x in loops if x[0] in theirs & mine)
    used = [x.address for x in (*one, *other)]
    terms = s.reductions[0].loops
    weight = {v: max(abs(p.coefficient(v)) for p in used) for v, _ in terms}
    terms = tuple(sorted(terms, key=lambda x: -weight[x[0]]))
    first, second = Operand(tuple(one), left), Operand(tuple(other), right)
    if loops and loops[-1] in left:
        first, second = second, first
    return Matrix(first, second, both, terms)


def _loops(loads: Sequence[Load]) -> frozenset[str]:
    found: frozenset[str] = frozenset()
    for x in loads:
        found = found.union(x.address.loops, *(t.loops for t in x.tests))
    return found


def digits(index: str, loops: Sequence[Loop]) -> dict[str, str]:
    """Each loop's value as C text, where `index` (an atom) counts through all loops, row-major.

    >>> digits("m", [("x", 5), ("y", 7)])
    {'x': 'm / 7', 'y': 'm % 7'}
    """
    found, below = {}, prod(e for _, e in loops)
    for k, (v, e) in enumerate(loops):
        below //= e
        text = f"{index} / {below}" if below > 1 else index
        found[v] = text if k == 0 else f"{text} % {e}"
    return found


def affine_text(p: Affine, values: Mapping[str, str]) -> str:
    """An affine expression of these values; the sum of `factor * (value)`.

    >>> affine_text(Affine.make(3, {"x": 2, "y": 1}), {"x": "m / 7", "y": "m % 7"})
    '2 * (m / 7) + m % 7 + 3'
    """
    parts = [values[v] if k == 1 else f"{k} * ({values[v]})" for v, k in p.terms]
    if p.const or not parts:
        parts.append(str(p.const))
    return " + ".join(parts).replace("+ -", "- ")
