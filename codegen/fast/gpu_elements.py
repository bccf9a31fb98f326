"""A work-item for each element: the simplest schedule of a GPU, and what others build on."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

import sympy as sp

from gradproof.codegen.fast.gpu_matrix import digits
from gradproof.codegen.fast.kernel import FastKernel
from gradproof.codegen.fast.vector import Schedule
from gradproof.codegen.render import environment

GROUPS = 4096  # at most so many work-groups; each goes on with the next elements
Scratch = tuple[str, int]  # name, elements


class Elements(Schedule):
    """A work-item computes an element, sums and all. `pieces`: of each, one after the other."""

    pieces = 1

    def _lane(self) -> None:
        return None

    @property
    def elements(self) -> int:
        """How many there are."""
        return prod(n for _, n in self.s.loops)

    def _outer(self) -> int:
        loops = sorted(self.s.loops, key=lambda x: -abs(self.s.out.coefficient(x[0])))
        every = self.elements * self.pieces
        groups = max(1, min(GROUPS, -(-every // self._per_group())))
        self._declare()
        first, step = self._first(), groups * self._per_group()
        header = f"for (int place_ = {first}; place_ < {every}; place_ += {step})"
        self.w.open(header, frozenset(v for v, _ in loops))
        if self.pieces > 1:
            self.w.line(f"const int piece_ = place_ / {self.elements};")
            self.w.line(f"const int element_ = place_ % {self.elements};")
        index = "element_" if self.pieces > 1 else "place_"
        for v, text in digits(index, loops).items():
            self.w.line(f"const int {v} = {text};")
        self.body()
        self.w.close()
        return groups

    def _per_group(self) -> int:
        return self.local

    def _first(self) -> str:
        return "get_global_id(0)"

    def _declare(self) -> None:
        """What stands ahead of the loop over elements."""

    def along(self, loops: object, used: object) -> None:
        """No loop runs in lanes."""

    def rendered(
        self, groups: int, values: Sequence[sp.Expr], outs: Sequence[str], scratch: Scratch | None
    ) -> FastKernel:
        """The kernel of the text so far. values: what it computes; outs: which targets it stores;
        scratch: an array of its own, which it writes where it stores no target."""
        used = {str(x) for e in values for x in e.free_symbols}
        reads = [a.tensor for k, a in enumerate(self.group.whole.reads) if f"r{k}" in used]
        tensors = [(t, t in outs) for t in dict.fromkeys((*reads, *outs))]
        scalars = tuple(x for x in self.group.scalars if x[0] in used)
        arguments = [self._argument(t, w) for t, w in tensors]
        if scratch is not None:
            constant = "const " if outs else ""
            arguments.append(f"__global {constant}REAL *restrict {scratch[0]}")
            tensors.append((scratch[0], not outs))
        arguments += [f"const {'uint' if t == 'uint' else 'REAL'} {n}" for n, t in scalars]
        text = environment().get_template("fast_vector.cl.j2").render(
            about=[f"{p.out} = {p.value}"[:96] for p in self.group.parts], name=self.name,
            arguments=arguments, lines=self.w.stack[0].lines, local=self.local,
        )  # fmt: skip
        return FastKernel(
            self.name, text, tuple(tensors), groups, scalars, self.group.flops,
            () if scratch is None else (scratch,), local=self.local,
        )  # fmt: skip
