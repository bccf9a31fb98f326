"""Mean and variance in one pass over memory.

All terms are taken relative to the first one. A block of them that stays in the nearest cache is
read twice: its mean c, then its squared deviations q from c. Blocks are merged (Chan, Golub,
LeVeque 1979): with d = c - mean,

    mean += d * b/(n+b),    M2 += q + d^2 * n*b/(n+b),    n += b.

No square of a term occurs and a difference of near numbers is exact, so a mean of 3000 with a
deviation of 1 keeps both in float32.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from math import prod

import sympy as sp

from gradproof.codegen.fast.affine import Affine
from gradproof.codegen.fast.kernel import FastKernel
from gradproof.codegen.fast.layout import Layout
from gradproof.codegen.fast.nest import Loop, Nest, Reduction
from gradproof.codegen.fast.strided import Strided, strided
from gradproof.codegen.fast.vector import Schedule
from gradproof.codegen.fast.vector_group import Group, grouped
from gradproof.codegen.fast.vector_sums import Set, reduce_set

BLOCK = 256  # vectors of 16 lanes: 16 KiB of float
LARGEST = 4096  # a loop without a good divisor may be a block of this length


def moments_kernel(
    name: str, mean: Nest, var: Nest, layouts: Mapping[str, Layout]
) -> FastKernel | None:
    """One kernel for m = (sum X)/n and v = f(sum (X - m)^2), where X is the same expression of the
    same reads and n the number of its terms; None where the nests are nothing like that.

    >>> from gradproof.derive.ops.batch_norm import batch_norm
    >>> from gradproof.codegen.fast.specialise import specialise
    >>> sizes = {"N": 4, "C": 32, "L": 64}
    >>> pair = [specialise(batch_norm, e, sizes)[0] for e in batch_norm.equations[:2]]
    >>> layouts = {"X": Layout.blocked((4, 32, 64), 1),
    ...            "mean": Layout.row_major((32,)), "var": Layout.row_major((32,))}
    >>> moments_kernel("moments", *pair, layouts).tensors
    (('X', False), ('mean', True), ('var', True))
    """
    if mean.loops != var.loops:
        return None
    try:
        group = grouped(name, (mean, var))
    except ValueError:
        return None
    s = strided(group.whole, layouts) if are_moments(group) else None
    if s is None or any(r.guards for r in s.reductions):
        return None
    made = _Moments(name, group, s, layouts, frozenset())
    return made.kernel() if made.divide() else None


def are_moments(g: Group) -> bool:
    """By structure: equal loops, no conditions, the second term the first one's square deviation
    from the first target, which is the sum over its number of terms."""
    rs = g.whole.reductions
    if len(rs) != 2 or len(g.parts) != 2 or any(r.kind != "sum" or r.conditions for r in rs):
        return False
    if rs[0].loops != rs[1].loops or any(r.guards for r in rs) or g.stages != (0, 1):
        return False
    if any(a.outside == "skip" for a in g.whole.reads):
        return False
    a0, center = sp.Symbol("a0", real=True), sp.Symbol("target0", real=True)
    deviation = (rs[0].term - center) ** 2
    mentioned = {str(x) for x in rs[0].term.free_symbols} & {v for v, _ in rs[0].loops}
    return (
        g.parts[0].value == a0 / prod(n for _, n in rs[0].loops)
        and sp.expand(rs[1].term - deviation) == 0
        and not mentioned
        and {str(x) for x in g.parts[1].value.free_symbols} & {"a0", "target0"} == set()
    )


class _Moments(Schedule):
    """Loops over blocks, and in each the loops over its terms."""

    def divide(self) -> bool:
        """Choose the blocks; False where a long loop cannot be divided."""
        loops = list(self.order([0]))
        most = BLOCK if self.lane else BLOCK * 16
        inside: list[Loop] = []
        while loops and prod(n for _, n in (loops[-1], *inside)) <= most:
            inside.insert(0, loops.pop())
        if not inside:
            v, n = loops.pop()
            pieces = _pieces(n, most)
            if pieces is None:
                return False
            outer, inner = (f"{v}_p", n // pieces), (f"{v}_q", pieces)
            self._substitute(v, Affine.of(outer[0]) * pieces + Affine.of(inner[0]))
            loops, inside = [*loops, outer], [inner]
        self.blocks, self.inside = tuple(loops), tuple(inside)
        return True

    def _substitute(self, v: str, e: Affine) -> None:
        moved = tuple(p.substitute({v: e}) for p in self.s.reads)
        self.s: Strided = replace(self.s, reads=moved)
        self.w.loads = {
            k: replace(x, address=x.address.substitute({v: e})) for k, x in self.w.loads.items()
        }

    def body(self) -> None:
        """All blocks of one target, then both targets."""
        w, vector = self.w, self.w.in_lanes()
        kind = "REALV" if vector else "REAL"
        w.line(f"{kind} mean_ = ({kind})(0), squares_ = ({kind})(0);")
        w.line("REAL count_ = 0;")
        self._first(kind, vector)
        for v, n in self.blocks:
            w.open(f"for (int {v} = 0; {v} < {n}; {v}++)", frozenset({v}))
        self._block(kind, vector)
        for _ in self.blocks:
            w.close()
        w.line(f"const {kind} a1 = squares_;")
        w.know("a1", vector)
        self.store(0, self.group.parts[0], "base_ + mean_")
        self.store(1, self.group.parts[1])

    def _first(self, kind: str, vector: bool) -> None:
        """The first term: all others are taken relative to it."""
        loops = (*self.blocks, *self.inside)
        self.w.line(f"{kind} base_;")
        self.w.know("base_", vector)
        self.w.open("", frozenset(v for v, _ in loops))
        for v, _ in loops:
            self.w.line(f"const int {v} = 0;")
        self.w.line(f"base_ = {self.w.value(self.s.reductions[0].term)};")
        self.w.close()

    def _block(self, kind: str, vector: bool) -> None:
        w, size = self.w, prod(n for _, n in self.inside)
        first, center = sp.Symbol("base_", real=True), sp.Symbol("center_", real=True)
        term = self.s.reductions[0].term
        w.open("")
        self._sum(0, term - first)
        w.line(f"const {kind} center_ = a0 / (REAL){size};")
        w.know("center_", vector)
        # (x - base) - center, in this order: the first difference is exact where it matters; SymPy
        # orders terms by name
        apart = sp.Add(sp.Add(term, -first, evaluate=False), -center, evaluate=False)
        self._sum(1, sp.Pow(apart, 2, evaluate=False))
        w.line(f"const REAL share_ = {size} / (count_ + {size});")
        w.line(f"const {kind} apart_ = center_ - mean_;")
        w.line("mean_ += apart_ * share_;")
        w.line("squares_ += a1 + apart_ * apart_ * (count_ * share_);")
        w.line(f"count_ += {size};")
        w.close()

    def _sum(self, k: int, term: sp.Expr) -> None:
        found = Set(self.inside, ((k, Reduction("sum", self.inside, term)),))
        reduce_set(self.w, found, self.along(self.inside, self.used([0])))


def _pieces(n: int, most: int) -> int | None:
    """The length of equal pieces of a long loop: whole vectors where they can be."""
    divisors = [k for k in range(most, 15, -1) if n % k == 0]
    whole = [k for k in divisors if k % 16 == 0]
    found = [*whole, *divisors, *([n] if n <= LARGEST else [])]
    return found[0] if found else None
