"""What the planner plans: tasks, of which each becomes one kernel or a few, and steps of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from math import prod

import sympy as sp

from gradproof.codegen.fast.graph import Shape
from gradproof.codegen.fast.layout import Layout
from gradproof.codegen.fast.nest import Access, Nest

SMALL = 4096  # elements: below, a pass over memory does not count


@dataclass(frozen=True)
class Task:
    """What becomes one kernel (or a few): `nests` compute `out`, `also` the targets beside it.

    kind: "contract", "vector" (also: a group over the same loops) or "opaque", the reference kernel
    of recorded call `call`. `store`: whether `out` itself is stored. `apart`: it changes where
    elements lie, and is merged with nothing.
    """

    kind: str
    call: int
    out: str
    nests: tuple[Nest, ...] = ()
    also: tuple[Nest, ...] = ()
    opaque_reads: frozenset[str] = frozenset()
    store: bool = True
    apart: bool = False

    @cached_property
    def writes(self) -> tuple[str, ...]:
        """All targets that are stored."""
        own = (self.out,) if self.store else ()
        return tuple(dict.fromkeys((*own, *(n.out.tensor for n in self.also))))

    @cached_property
    def reads(self) -> frozenset[str]:
        """All buffers that it reads from memory."""
        inside = {n.out.tensor for n in self.also} | {self.out}
        found = {r.tensor for n in self.nests for r in n.reads}
        found |= {r.tensor for n in self.also for r in n.reads if r.tensor not in inside}
        return self.opaque_reads | found


@dataclass(frozen=True)
class Step:
    """Tasks in order; the shapes of the buffers; those that live outside the step, and of these
    where the elements lie (`fixed`; an external one that is not there may be moved); `whole`: those
    of integers."""

    tasks: tuple[Task, ...]
    shapes: Mapping[str, Shape]
    external: frozenset[str]
    fixed: Mapping[str, Layout | None] = field(default_factory=dict)
    whole: frozenset[str] = frozenset()

    def size(self, buffer: str) -> int:
        """Elements of a buffer."""
        return prod(self.shapes[buffer])

    @cached_property
    def passing(self) -> frozenset[str]:
        """Temporaries that are written once: no later write changes what a read of them means."""
        count = Counter(b for t in self.tasks for b in t.writes)
        return frozenset(b for b, n in count.items() if n == 1) - self.external


def kind_of(nests: tuple[Nest, ...] | None) -> str:
    """ "contract" for a sum of a product of different reads, else "vector"."""
    if nests is None:
        return "opaque"
    return "contract" if all(map(is_contraction, nests)) else "vector"


def by_kind(nests: tuple[Nest, ...] | None) -> list[tuple[str, tuple[Nest, ...]]]:
    """The phases of an equation by kind: those without a term are apart from sums of products."""
    whole = kind_of(nests)
    if nests is None or whole == "contract":
        return [(whole, nests or ())]
    sums = tuple(n for n in nests if is_contraction(n))
    rest = tuple(n for n in nests if n not in sums)
    if not sums or any(n.reductions for n in rest):
        return [(whole, nests)]
    return [("contract", sums), ("vector", rest)]


def is_contraction(n: Nest) -> bool:
    """Whether the nest is a function of one sum of a product of two or more reads, none of which
    has an element for every term: such a sum is a pass over memory, whatever else it multiplies.

    >>> from gradproof.codegen.fast.specialise import specialise
    >>> from gradproof.derive.ops.linear import linear
    >>> is_contraction(*specialise(linear, linear.equations[0], {"N": 2, "K": 8, "O": 16}))
    True
    """
    if len(n.reductions) != 1:
        return False
    (r,) = n.reductions
    factors = sp.Mul.make_args(r.term)
    names = {f"r{k}" for k in range(len(n.reads))}
    if any(_once(n.reads[k], n) for k in n.used(r.term)):
        return False
    return (
        r.kind == "sum"
        and len(factors) >= 2
        and all(f.is_Symbol and str(f) in names for f in factors)
        and not r.conditions
        and prod(e for _, e in r.loops) > 1
    )


def _once(a: Access, n: Nest) -> bool:
    """Whether every term reads another element: each loop is in a subscript of its own."""
    loops = [s.loops for s in a.subscripts if s.loops]
    return all(len(x) == 1 for x in loops) and len(loops) == len(a.loops) == len(n.extents)
