"""The schedule that takes every nest on every layout: one element after the other.

Digits of addresses are divided out at run time. It serves small tensors between layouts that do not
fit each other; whatever is large has a schedule of its own.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from math import prod

from gradproof.codegen.fast.affine import Affine
from gradproof.codegen.fast.kernel import FastKernel
from gradproof.codegen.fast.layout import Layout
from gradproof.codegen.fast.nest import Access, Nest, Reduction
from gradproof.codegen.fast.values import condition_text, value_text

GROUPS = 8  # work-groups, where there are as many elements


def general_kernel(
    name: str,
    nests: Sequence[Nest],
    layouts: Mapping[str, Layout],
    whole: frozenset[str] = frozenset(),
    items: int = 1,
) -> FastKernel:
    """One kernel that computes nests with equal loops, element by element, in order.

    A nest may read the element that an earlier one computes; `whole`: tensors of integers; items:
    work-items of a group.

    >>> from gradproof.derive.ops.relu import relu
    >>> from gradproof.codegen.fast.specialise import specialise
    >>> nests = specialise(relu, relu.equations[0], {"T": 20})
    >>> layouts = {"Y": Layout.row_major((20,)), "z": Layout.blocked((20,), 0)}
    >>> general_kernel("k", nests, layouts).tensors
    (('Y', False), ('z', True))
    """
    tensors: dict[str, bool] = {}
    for n in nests:
        for a in n.reads:
            tensors.setdefault(a.tensor, False)
        tensors[n.out.tensor] = True
    scalars = tuple(dict.fromkeys(s for n in nests for s in n.scalars))
    arguments = [f"__global {'int' if t in whole else 'REAL'} *{t}" for t in tensors]
    arguments += [f"const {'uint' if kind == 'uint' else 'REAL'} {s}" for s, kind in scalars]
    loops = nests[0].loops
    outer, inner = _cut(loops) if items == 1 else (loops, ())
    total = prod(e for _, e in outer)
    groups = min(GROUPS, max(1, -(-total // items)))
    lines = [
        f"__attribute__((reqd_work_group_size({items}, 1, 1)))",
        f"__kernel void {name}({', '.join(arguments)})",
        "{",
        f"    for (int id = get_global_id(0); id < {total}; id += {groups * items}) {{",
        *("        " + x for x in _decoded(outer)),
        *(f"        for (int {v} = 0; {v} < {e}; {v}++)" for v, e in inner),
        "        {",
    ]
    for n in nests:
        lines += ["        {", *("            " + x for x in _element(n, layouts, whole))]
        lines.append("        }")
    lines += ["        }", "    }", "}"]
    flops = sum(prod(n.extents.values()) for n in nests)
    text = "\n".join(lines)
    return FastKernel(name, text, tuple(tensors.items()), groups, scalars, flops, local=items)


def _cut(loops: Sequence[tuple[str, int]]) -> tuple[Sequence[tuple[str, int]], ...]:
    """The first loops that give enough groups, and the others."""
    k = next((k for k in range(len(loops)) if prod(e for _, e in loops[:k]) >= GROUPS), len(loops))
    return loops[:k], loops[k:]


def _decoded(loops: Sequence[tuple[str, int]]) -> Iterator[str]:
    below = prod(e for _, e in loops)
    for v, e in loops:
        below //= e
        yield f"const int {v} = id / {below} % {e};"


def _element(n: Nest, layouts: Mapping[str, Layout], whole: frozenset[str]) -> Iterator[str]:
    """The statements that compute and store one element."""
    names = {f"r{k}": _read(a, n, layouts) for k, a in enumerate(n.reads)}
    integers = frozenset(f"r{k}" for k, a in enumerate(n.reads) if a.tensor in whole)
    integers |= {f"a{k}" for k, r in enumerate(n.reductions) if r.kind == "argmax"}
    for k, r in enumerate(n.reductions):
        yield from _reduction(f"a{k}", r, names, integers)
    value = value_text(n.value, names, frozenset(), integers)
    if n.out.tensor in whole:
        value = f"(int)({value})"
    yield f"{n.out.tensor}[{_address(n.out, layouts[n.out.tensor])}] = {value};"


def _reduction(
    name: str, r: Reduction, names: Mapping[str, str], integers: frozenset[str]
) -> Iterator[str]:
    best = f"{name}_value" if r.kind == "argmax" else name
    yield f"REAL {best} = {'0' if r.kind == 'sum' else '-INFINITY'};"
    if r.kind == "argmax":
        yield f"int {name} = -1;"
    for v, e in r.loops:
        yield f"for (int {v} = 0; {v} < {e}; {v}++)"
    tests = [f"({g}) >= 0" for g in r.guards]
    if r.conditions:
        tests.append(f"({condition_text(r.conditions, names, frozenset(), integers)})")
    yield f"if ({' && '.join(tests)}) {{" if tests else "{"
    term = value_text(r.term, names, frozenset(), integers)
    yield f"    const REAL term = {term};"
    if r.kind == "sum":
        yield f"    {best} += term;"
    elif r.kind == "max":
        yield f"    if (term > {best} || term != term) {best} = term;"
    else:
        first = f"{name} < 0 || term > {best} || (term != term && {best} == {best})"
        yield f"    if ({first}) {{ {best} = term; {name} = {r.place}; }}"
    yield "}"


def _read(a: Access, n: Nest, layouts: Mapping[str, Layout]) -> str:
    """An element, 0 where it lies outside and that means 0."""
    layout = layouts[a.tensor]
    element = f"{a.tensor}[{_address(a, layout)}]"
    if a.outside != "zero":
        return element
    tests = []
    for s, e in zip(a.subscripts, layout.shape, strict=True):
        low, high = s.limits(n.extents)
        tests += ([f"({s}) >= 0"] if low < 0 else []) + ([f"({s}) < {e}"] if high >= e else [])
    return f"({' && '.join(tests)} ? {element} : 0)" if tests else element


def _address(a: Access, layout: Layout) -> str:
    """The sum of digit * stride; no subscript is below the border."""
    terms = []
    for (d, div, count), stride in zip(layout.axes, layout.strides, strict=True):
        s = a.subscripts[d] + Affine(layout.low[d])
        digit = f"({s})" if div == 1 else f"({s}) / {div}"
        outer = max(other for e, other, _ in layout.axes if e == d)
        if div != outer:
            digit = f"({digit}) % {count}"
        terms.append(f"({digit}) * {stride}")
    return " + ".join(terms) or "0"
