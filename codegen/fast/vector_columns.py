"""Sums down the columns of memory: rows are read as they lie, and every column has a partial sum.

The vector schedule sums one vector of columns at a time, which jumps from row to row. Where the
columns are few enough for the nearest cache, the loops change places: a work-group runs through
some rows, each from end to end, and adds them to the sums of all columns. A second kernel adds up
what the work-groups have found.

    partial[p, columns] = sum over the rows p*c ... p*c + c - 1,    a_k = sum over p of partial
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from math import prod

import sympy as sp

from gradproof.codegen.fast.affine import Affine
from gradproof.codegen.fast.kernel import FastKernel
from gradproof.codegen.fast.layout import Layout
from gradproof.codegen.fast.nest import Access, Loop, Nest, Reduction
from gradproof.codegen.fast.program import LANES
from gradproof.codegen.fast.strided import strided
from gradproof.codegen.fast.vector import Schedule, vector_kernel
from gradproof.codegen.fast.vector_group import grouped

COLUMNS = 4096  # sums at most: 16 KiB of float
FAR = 2 * LANES  # elements from row to row: nearer rows are one run of memory
TERMS = 1 << 18  # fewer are not worth a second kernel
ROWS = 256  # terms of a partial sum,
SHARES = 8  # of which there are at least so many, each of
FEWEST = 16  # terms or more


def column_kernels(
    name: str,
    nests: Sequence[Nest],
    layouts: Mapping[str, Layout],
    whole: frozenset[str] = frozenset(),
) -> tuple[FastKernel, FastKernel] | None:
    """Two kernels for nests with equal loops that sum down long columns; None for all others.

    >>> from gradproof.codegen.fast.specialise import specialise
    >>> from gradproof.derive.language import operator
    >>> sums = operator("sums", "z[c] = sum[n](X[n,c])", {"X": "N, C", "z": "C"})
    >>> nests = specialise(sums, sums.equations[0], {"N": 4096, "C": 100})
    >>> layouts = {"X": Layout.row_major((4096, 100)), "z": Layout.row_major((100,))}
    >>> [(k.tensors, k.groups) for k in column_kernels("k", nests, layouts)]
    [((('X', False), ('k_partial0_0', True)), 16), ((('k_partial0_0', False), ('z', True)), 7)]
    """
    loop = _rows(nests, layouts)
    share = _share(loop, nests[0].reductions[0]) if loop else 0
    if loop is None or not share:
        return None
    v, n = loop
    parts = (f"{v}_p", n // share), (f"{v}_q", share)
    first = [x for j, nest in enumerate(nests) for x in _partial(name, j, nest, v, parts)]
    extents = [e for _, e in first[0].loops]
    own = {x.out.tensor: Layout.row_major(extents) for x in first}
    group = grouped(name, first)
    s = strided(group.whole, {**layouts, **own})
    if s is None or any(r.guards for r in s.reductions):
        return None
    columns = _Columns(name, group, s, {**layouts, **own}, whole)
    if not columns.possible(parts[0][0]):
        return None
    kernel = replace(columns.kernel(), scratch=tuple((t, x.size) for t, x in own.items()))
    last = [_last(name, j, nest, parts[0]) for j, nest in enumerate(nests)]
    return kernel, vector_kernel(f"{name}_last", last, {**layouts, **own}, whole)


def _rows(nests: Sequence[Nest], layouts: Mapping[str, Layout]) -> Loop | None:
    """The loop over rows, the outermost in memory, of sums that all have the same loops."""
    rs = [r for n in nests for r in n.reductions]
    targets = {n.out.tensor for n in nests}
    plain = all(r.kind == "sum" and r.loops == rs[0].loops for r in rs)
    plain = plain and not any(r.guards or r.conditions for r in rs)
    if not plain or not all(n.reductions and n.loops == nests[0].loops for n in nests):
        return None
    terms = prod(nests[0].extents.values())
    cells = prod(e for _, e in nests[0].loops)
    if terms < TERMS or cells * len(rs) > COLUMNS:
        return None
    steps: dict[str, int] = {}
    for n in nests:
        for k in {k for r in n.reductions for k in n.used(r.term)}:
            a = n.reads[k]
            address = layouts[a.tensor].address(a.subscripts, n.extents)
            if address is None or a.outside != "never" or a.tensor in targets:
                return None
            for v, _ in rs[0].loops:
                steps[v] = max(steps.get(v, 0), abs(address.coefficient(v)))
    return max(rs[0].loops, key=lambda x: steps.get(x[0], 0), default=None)


def _share(rows: Loop, r: Reduction) -> int:
    """How many steps of the loop over rows are one partial sum; 0 where no number will do."""
    inner = prod(n for v, n in r.loops if v != rows[0])
    fits = [
        c
        for c in range(1, rows[1] // SHARES + 1)
        if rows[1] % c == 0 and FEWEST <= c * inner <= max(ROWS, inner)
    ]
    return max(fits, default=0) if inner <= 4 * ROWS else 0


def _partial(name: str, j: int, n: Nest, rows: str, parts: tuple[Loop, Loop]) -> list[Nest]:
    """Each sum of a nest over a share of the rows."""
    (p, _), (q, count) = parts
    where = {rows: Affine.of(p) * count + Affine.of(q)}
    symbols = {sp.Symbol(rows, integer=True): sp.Symbol(p, integer=True) * count
               + sp.Symbol(q, integer=True)}  # fmt: skip
    reads = tuple(
        replace(a, subscripts=tuple(s.substitute(where) for s in a.subscripts)) for a in n.reads
    )
    place = tuple(Affine.of(v) for v, _ in n.loops)
    found = []
    for k, r in enumerate(n.reductions):
        loops = tuple(parts[1] if v == rows else (v, e) for v, e in r.loops)
        found.append(
            Nest(
                Access(_tensor(name, j, k), (Affine.of(p), *place)),
                (parts[0], *n.loops),
                reads,
                (Reduction("sum", loops, r.term.xreplace(symbols)),),
                sp.Symbol("a0", real=True),
                n.scalars,
            )
        )
    return found


def _last(name: str, j: int, n: Nest, shares: Loop) -> Nest:
    """The nest with its sums taken from the partial ones."""
    place = (Affine.of(shares[0]), *(Affine.of(v) for v, _ in n.loops))
    first = len(n.reads)
    reads = tuple(Access(_tensor(name, j, k), place) for k in range(len(n.reductions)))
    sums = tuple(
        Reduction("sum", (shares,), sp.Symbol(f"r{first + k}", real=True))
        for k in range(len(n.reductions))
    )
    return replace(n, reads=(*n.reads, *reads), reductions=sums)


def _tensor(name: str, j: int, k: int) -> str:
    return f"{name}_partial{j}_{k}"


class _Columns(Schedule):
    """The sums of all columns for each share of the rows."""

    def possible(self, shares: str) -> bool:
        """Whether the columns are the lane, and the rows apart."""
        if self.lane is None or {v for v, _ in self.s.loops} != {shares, self.lane.loop}:
            return False
        inner = {v for v, _ in self.s.reductions[0].loops}
        steps = [
            abs(k)
            for p in self.used(list(range(len(self.s.reductions))))
            if p.coefficient(self.lane.loop)
            for v in inner
            if (k := p.coefficient(v))
        ]
        return bool(steps) and min(steps) >= FAR

    def _outer(self) -> int:
        assert self.lane is not None
        w, n = self.w, self.lane.extent
        groups = self._shared([x for x in self.s.loops if x[0] != self.lane.loop])
        sums = range(len(self.s.reductions))
        for k in sums:
            w.line(f"REALV sum{k}[{max(1, n // LANES)}];")
            w.line(f"for (int s = 0; s < {max(1, n // LANES)}; s++) sum{k}[s] = (REALV)(0);")
            if n % LANES:
                w.line(f"REAL rest{k}[{n % LANES}];")
                w.line(f"for (int s = 0; s < {n % LANES}; s++) rest{k}[s] = 0;")
        loops = self.order(list(sums))
        for v, e in loops:
            w.open(f"for (int {v} = 0; {v} < {e}; {v}++)", frozenset({v}))
        self._along(self._add)
        for _ in loops:
            w.close()
        self._along(self._write)
        while w.here:
            w.close()
        return groups

    def _along(self, body: Callable[[str], None]) -> None:
        """All columns, by vectors and one by one; body: gets the place in the sums."""
        assert self.lane is not None
        w, v, n, step = self.w, self.lane.loop, self.lane.extent, self.lane.step
        if step:
            w.open(f"for (int {step} = 0; {step} < {n // LANES}; {step}++)", frozenset({step}))
        w.open("", frozenset({v}), True)
        body(f"sum%d[{step or 0}]")
        w.close()
        if step:
            w.close()
        if n % LANES:
            w.open(f"for (int {v} = {n - n % LANES}; {v} < {n}; {v}++)", frozenset({v}))
            body(f"rest%d[{v} - {n - n % LANES}]")
            w.close()

    def _add(self, place: str) -> None:
        for k, r in enumerate(self.s.reductions):
            self.w.line(f"{place % k} += {self.w.value(r.term)};")

    def _write(self, place: str) -> None:
        for k, p in enumerate(self.group.parts):
            self.store(k, p, place % int(str(p.value).removeprefix("a")))
