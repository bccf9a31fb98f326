"""A recorded step as equations on buffers: what the planner plans.

The runtime records which equation was applied to which buffers (`Graph`, plain data). `nodes` turns
every call into nests whose tensors are buffers (`b3`) and whose scalars are slots (`s1`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from math import prod
from typing import Any

import sympy as sp

from gradproof.codegen.fast.layout import Layout
from gradproof.codegen.fast.nest import Access, Nest
from gradproof.codegen.fast.specialise import specialise
from gradproof.derive.expr import Read
from gradproof.derive.language import Definition, Equation
from gradproof.derive.system import derive

Shape = tuple[int, ...]


@dataclass(frozen=True)
class Call:
    """One equation applied: `variant` of `operator` computes `target`.

    tensors: name in the definition -> buffer; scalars: name -> slot.
    """

    operator: str
    variant: str
    target: str
    sizes: Mapping[str, int]
    tensors: Mapping[str, str]
    scalars: Mapping[str, str]


@dataclass(frozen=True)
class Buffer:
    """dtype "real" or "int"; kind "temporary": made and used up inside the step; "external": a
    tensor that lives outside, in `layout` (None: row-major); "movable": one that may be put into
    another layout before the first step."""

    shape: Shape
    dtype: str
    kind: str
    layout: Layout | None = None


@dataclass(frozen=True)
class Graph:
    """Calls in order, and the buffers that they name."""

    calls: tuple[Call, ...]
    buffers: Mapping[str, Buffer]

    @classmethod
    def of(cls, data: Mapping[str, Any]) -> Graph:
        """From plain data, as the runtime gives it."""
        buffers = {
            name: Buffer(tuple(b["shape"]), b["dtype"], b["kind"], _layout(b.get("layout")))
            for name, b in data["buffers"].items()
        }
        return cls(tuple(Call(**c) for c in data["calls"]), buffers)


def _layout(data: Mapping[str, Any] | None) -> Layout | None:
    if data is None:
        return None
    axes = tuple((d, div, count) for d, div, count in data["axes"])
    shape, low = tuple(data["shape"]), tuple(data["low"])
    places = [prod(count for d, _, count in axes if d == k) for k in range(len(shape))]
    high = tuple(p - n - a for p, n, a in zip(places, shape, low, strict=True))
    return Layout(shape, axes, low, high)


@dataclass(frozen=True)
class Node:
    """One call as nests on buffers (None: only the reference kernel computes it).

    `shapes`: in which shape the call sees each buffer; `call`: its number."""

    call: int
    out: str
    reads: frozenset[str]
    nests: tuple[Nest, ...] | None
    shapes: Mapping[str, Shape]


def nodes(graph: Graph, definition: Callable[[str], Definition]) -> list[Node]:
    """Every call as a node. definition: of an operator, by name."""
    return [_node(k, c, definition(c.operator)) for k, c in enumerate(graph.calls)]


@lru_cache(maxsize=4096)
def _specialised(
    d: Definition, variant: str, target: str, sizes: tuple[tuple[str, int], ...]
) -> tuple[tuple[Nest, ...] | None, tuple[tuple[str, Shape], ...]]:
    """The nests of one equation, and the shapes of its tensors, the target first."""
    part, equation = _equation(next(v for v in d.variants() if v.name == variant), target)
    known = {sp.Symbol(s, integer=True): sp.Integer(v) for s, v in sizes}
    used = sorted({r.tensor for r in equation.body.atoms(Read)} - {target})
    shapes = tuple(
        (t, tuple(int(n.xreplace(known)) for n in part.tensor(t).shape)) for t in (target, *used)
    )
    values = {str(s): dict(sizes)[str(s)] for s in part.sizes}
    values |= {str(s): int(sp.sympify(v).xreplace(known)) for s, v in part.derived}
    return specialise(part, equation, values), shapes


def _node(number: int, call: Call, d: Definition) -> Node:
    nests, shapes = _specialised(d, call.variant, call.target, tuple(sorted(call.sizes.items())))
    seen = {(call.tensors[t], shape) for t, shape in shapes}
    if len(seen) > len(dict(seen)):
        nests = None  # one buffer under two shapes: a matrix times itself, reshaped
    return Node(
        number,
        call.tensors[call.target],
        frozenset(call.tensors[t] for t, _ in shapes[1:]),
        None if nests is None else tuple(_renamed(n, call) for n in nests),
        {call.tensors[t]: shape for t, shape in shapes},
    )


@lru_cache(maxsize=4096)
def _equation(variant: Definition, target: str) -> tuple[Definition, Equation]:
    system = derive(variant)
    for part in (system.forward, system.backward):
        if part is not None and any(e.target == target for e in part.equations):
            return part, part.equation(target)
    raise KeyError(f"{variant.name} computes no {target!r}")


def _renamed(n: Nest, call: Call) -> Nest:
    """Buffers in place of tensors, slots in place of scalars."""

    def access(a: Access) -> Access:
        return replace(a, tensor=call.tensors[a.tensor])

    parts = (n.value, *(e for r in n.reductions for e in (r.term, *r.conditions)))
    slots: dict[sp.Basic, sp.Basic] = {}
    for name, _ in n.scalars:
        for symbol in set().union(*(e.free_symbols for e in parts)):
            if str(symbol) == name:
                slots[symbol] = sp.Symbol(call.scalars[name], **symbol.assumptions0)
    return Nest(
        access(n.out),
        n.loops,
        tuple(map(access, n.reads)),
        tuple(
            replace(
                r,
                term=r.term.xreplace(slots),
                conditions=tuple(c.xreplace(slots) for c in r.conditions),
            )
            for r in n.reductions
        ),
        n.value.xreplace(slots),
        tuple((call.scalars[name], kind) for name, kind in n.scalars),
    )
