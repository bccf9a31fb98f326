"""What a vector kernel reads off its accesses: lanes, tests at borders, loops that may fuse."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import sympy as sp

from gradproof.codegen.fast.affine import Affine
from gradproof.codegen.fast.layout import Layout
from gradproof.codegen.fast.nest import Access, Loop, Nest, Reduction
from gradproof.codegen.fast.program import LANES
from gradproof.codegen.fast.strided import Strided, fused_loops
from gradproof.codegen.fast.vector_group import variables


class Placed:
    """A nest on layouts, its loops fused. `split`: variables as expressions of the loops that the
    layouts made of them; `tests`: for each read, what must be >= 0 or it leaves the memory."""

    def __init__(self, n: Nest, s: Strided, layouts: Mapping[str, Layout]) -> None:
        self.n, self.layouts = n, layouts
        self.split = _splits(n, s)
        # what is left of a last block is run through, too: a guard takes its results away
        self.rounded = n.extents | {
            v: s.extents[f"{v}_o"] * s.extents[f"{v}_i"] for v in self.split
        }
        self.tests = [self._tests(a) for a in n.reads]
        s = replace(s, reductions=tuple(map(self._counted, s.reductions)))
        self.s = fused_loops(s, self._kept(s))

    def _tests(self, a: Access) -> tuple[Affine, ...]:
        """What must be >= 0 for an access to be in memory, or in zeros that it may read."""
        layout = self.layouts[a.tensor]
        found = self._range(a, layout.low, layout.high, self.n.extents)
        ends = enumerate(zip(layout.shape, layout.high, strict=True))
        filled = tuple(high or -n % layout.block(d) for d, (n, high) in ends)
        found += self._range(a, layout.low, filled, self.rounded)
        return tuple(dict.fromkeys(found))

    def _range(
        self, a: Access, low: tuple[int, ...], high: tuple[int, ...], extents: Mapping[str, int]
    ) -> tuple[Affine, ...]:
        """What must be >= 0 for an access to be in the tensor, unless borders make it certain."""
        found: list[Affine] = []
        for d, (p, n) in enumerate(zip(a.subscripts, self.layouts[a.tensor].shape, strict=True)):
            least, most = p.limits(extents)
            found += [p] if least < -low[d] else []
            found += [Affine(n - 1) - p] if most >= n + high[d] else []
        return tuple(p.substitute(self.split) for p in found)

    def _counted(self, r: Reduction) -> Reduction:
        """With guards for reads that skip a term where they lie outside."""
        guards = list(r.guards)
        for k in self.n.used(r.term):
            a = self.n.reads[k]
            none = (0,) * len(a.subscripts)
            guards += self._range(a, none, none, self.n.extents) if a.outside == "skip" else ()
        return replace(r, guards=tuple(dict.fromkeys(guards)))

    def _kept(self, s: Strided) -> frozenset[str]:
        """Loops that are mentioned, and those that only some reductions have."""
        kept = frozenset().union(*(p.loops for t in self.tests for p in t))
        for r in s.reductions:
            kept |= self._mentioned(sp.Tuple(r.term, *r.conditions))
            for other in s.reductions:
                if other.loops != r.loops:
                    kept |= frozenset(dict(other.loops)) & frozenset(dict(r.loops))
        return kept | self._mentioned(self.n.value)

    def _mentioned(self, e: sp.Basic) -> frozenset[str]:
        found: frozenset[str] = frozenset()
        for v in variables(e, self.n.extents):
            found |= self.split.get(v, Affine.of(v)).loops
        return found


def _splits(n: Nest, s: Strided) -> dict[str, Affine]:
    """The loops that the layouts split, as expressions of the new ones."""
    found = {}
    for v in n.extents:
        if v not in s.extents:
            found[v] = Affine.of(f"{v}_o") * s.extents[f"{v}_i"] + Affine.of(f"{v}_i")
    return found


def contiguous(
    loops: Sequence[Loop], outs: Sequence[Affine], reads: Sequence[Affine]
) -> Loop | None:
    """The loop with stride 1 in every output and 0 or 1 in every read, and most often 1."""
    found = [
        (v, n)
        for v, n in loops
        if n >= LANES
        and all(p.coefficient(v) == 1 for p in outs)
        and all(p.coefficient(v) in (0, 1) for p in reads)
        and any(p.coefficient(v) for p in (*outs, *reads))
    ]
    return max(found, key=lambda x: (sum(p.coefficient(x[0]) for p in reads), x[1]), default=None)
