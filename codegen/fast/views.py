"""One shape for every buffer, whatever shapes its users see it in.

A reshape shares memory, so a buffer of shape (N, C, H, W) is also read as (N, C, H*W). Its
canonical shape is the finest; a loop that runs over merged dimensions is split into one loop for
each. Where that does not work out, the buffer is one flat row.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from math import prod

import sympy as sp

from gradproof.codegen.fast.affine import Affine
from gradproof.codegen.fast.graph import Node, Shape
from gradproof.codegen.fast.nest import Access, Loop, Nest, Reduction

Group = tuple[tuple[int, ...], tuple[int, ...]]  # dimensions of one shape, of the other


def canonical(nodes: Iterable[Node], shapes: Mapping[str, Shape]) -> dict[str, Shape]:
    """The finest shape of each buffer; flat where two shapes do not refine each other.

    Buffers that some equation goes through in step, element by element, share their shape: the
    input of a flat elementwise equation may be an image.
    """
    nodes = list(nodes)
    family = {b: {b} for b in shapes}
    for node in nodes:
        first, *others = sorted(_in_step(node)) or [node.out]
        for other in others:
            joined = family[first] | family[other]
            for b in joined:
                family[b] = joined
    found: dict[str, Shape] = {}
    for members in {id(f): f for f in family.values()}.values():
        seen = {shapes[b] for b in members}
        seen |= {node.shapes[b] for node in nodes for b in members if b in node.shapes}
        finest = max(sorted(seen), key=len)
        fits = all(groups(shape, finest) is not None for shape in seen)
        found |= {b: finest if fits else (prod(finest),) for b in members}
    return found


def _in_step(node: Node) -> set[str]:
    """The buffers of which an equation takes, and makes, each element once in row-major order."""
    if node.nests is None or len(node.nests) != 1:
        return set()
    (n,) = node.nests
    loops = tuple(v for v, _ in n.loops)
    return {
        a.tensor
        for a in (n.out, *n.reads)
        if tuple(s.plain for s in a.subscripts if s != Affine()) == loops
        and prod(node.shapes[a.tensor]) == prod(e for _, e in n.loops)
    }


def groups(view: Shape, shape: Shape) -> list[Group] | None:
    """Which dimensions of a view are which of a shape, in order; None where they cut across.

    >>> groups((2, 12), (2, 3, 4))
    [((0,), (0,)), ((1,), (1, 2))]
    """
    found: list[Group] = []
    i = j = 0
    while i < len(view) or j < len(shape):
        left, right = [i][: len(view) - i], [j][: len(shape) - j]
        i, j = i + len(left), j + len(right)
        while (a := prod(view[k] for k in left)) != (b := prod(shape[k] for k in right)):
            if a < b and i < len(view):
                left.append(i)
                i += 1
            elif a > b and j < len(shape):
                right.append(j)
                j += 1
            else:
                return None
        found.append((tuple(left), tuple(right)))
    if any(len(a) > 1 and len(b) > 1 for a, b in found):
        return None
    return found


def on_canonical(node: Node, shapes: Mapping[str, Shape]) -> tuple[Nest, ...] | None:
    """The node's nests, every buffer in its canonical shape; None where a loop does not split."""
    if node.nests is None:
        return None
    found = [_nest(n, node.shapes, shapes) for n in node.nests]
    return None if any(n is None for n in found) else tuple(n for n in found if n is not None)


def _nest(n: Nest, seen: Mapping[str, Shape], shapes: Mapping[str, Shape]) -> Nest | None:
    n = _split(n, _wanted_splits(n, seen, shapes))
    extents = n.extents
    accesses = [_access(a, seen[a.tensor], shapes[a.tensor], extents) for a in (n.out, *n.reads)]
    if any(a is None for a in accesses):
        return None
    out, *others = [a for a in accesses if a is not None]
    return replace(n, out=out, reads=tuple(others))


def _wanted_splits(
    n: Nest, seen: Mapping[str, Shape], shapes: Mapping[str, Shape]
) -> dict[str, tuple[int, ...]]:
    found: dict[str, tuple[int, ...]] = {}
    extents = n.extents
    for a in (n.out, *n.reads):
        for left, right in groups(seen[a.tensor], shapes[a.tensor]) or ():
            parts = tuple(shapes[a.tensor][d] for d in right)
            v = a.subscripts[left[0]].plain if len(left) == 1 else None
            if v and len([p for p in parts if p > 1]) > 1 and prod(parts) == extents[v]:
                found.setdefault(v, parts)
    return found


def _split(n: Nest, splits: Mapping[str, tuple[int, ...]]) -> Nest:
    """Loops as one loop for each part, row-major."""
    if not splits:
        return n
    inner: dict[str, Affine] = {}
    parts: dict[str, tuple[Loop, ...]] = {}
    for v, extents in splits.items():
        total, loops = Affine(), []
        for k, e in enumerate(extents):
            total = total * e
            if e > 1:
                total = total + Affine.of(f"{v}{k}_")
                loops.append((f"{v}{k}_", e))
        inner[v], parts[v] = total, tuple(loops)
    symbols: dict[sp.Basic, sp.Basic] = {
        sp.Symbol(v, integer=True): sp.Add(*[k * sp.Symbol(x, integer=True) for x, k in p.terms])
        for v, p in inner.items()
    }

    def cut(loops: tuple[Loop, ...]) -> tuple[Loop, ...]:
        return tuple(x for loop in loops for x in parts.get(loop[0], (loop,)))

    def access(a: Access) -> Access:
        return replace(a, subscripts=tuple(s.substitute(inner) for s in a.subscripts))

    def reduction(r: Reduction) -> Reduction:
        return Reduction(
            r.kind,
            cut(r.loops),
            r.term.xreplace(symbols),
            tuple(g.substitute(inner) for g in r.guards),
            tuple(c.xreplace(symbols) for c in r.conditions),
            None if r.place is None else r.place.substitute(inner),
        )

    return Nest(
        access(n.out),
        cut(n.loops),
        tuple(map(access, n.reads)),
        tuple(map(reduction, n.reductions)),
        n.value.xreplace(symbols),
        n.scalars,
    )


def _access(a: Access, view: Shape, shape: Shape, extents: Mapping[str, int]) -> Access | None:
    """The same element, by the subscripts of the canonical shape."""
    out: list[Affine] = [Affine()] * len(shape)
    for left, right in groups(view, shape) or ():
        if len(left) == len(right) == 1:
            out[right[0]] = a.subscripts[left[0]]
            continue
        if a.outside != "never" and not _inside(a, view, left, extents):
            return None  # what lies outside the one shape may lie inside the other
        flat = Affine()
        for d in left:
            flat = flat * view[d] + a.subscripts[d]
        stride = prod(shape[d] for d in right)
        for d in right:
            stride //= shape[d]
            digit = flat.quotient(stride, extents)
            if digit is not None and d != right[0]:
                digit = digit.remainder(shape[d], extents)
            if digit is None:
                return None
            out[d] = digit
    return replace(a, subscripts=tuple(out))


def _inside(a: Access, view: Shape, dims: tuple[int, ...], extents: Mapping[str, int]) -> bool:
    """Whether an access never leaves its tensor along some dimensions."""
    limits = [(d, a.subscripts[d].limits(extents)) for d in dims]
    return all(low >= 0 and high < view[d] for d, (low, high) in limits)


def reshaping(source: str, target: str, finer: Shape, coarser: Shape, to_coarser: bool) -> Nest:
    """The copy of a buffer of one shape to a buffer of a coarser one, or back."""
    loops = tuple((f"i{d}", n) for d, n in enumerate(finer) if n > 1)
    own = [Affine.of(f"i{d}") if n > 1 else Affine() for d, n in enumerate(finer)]
    merged = [Affine()] * len(coarser)
    for left, right in groups(coarser, finer) or ():
        for d in right:
            if left:
                merged[left[0]] = merged[left[0]] * finer[d] + own[d]
    one, other = (merged, own) if to_coarser else (own, merged)
    read = Access(source, tuple(other))
    return Nest(Access(target, tuple(one)), loops, (read,), (), sp.Symbol("r0", real=True))
