"""Renders a contraction: packing kernels in the reference form, and the tiled vector kernel.

Tile sizes, lanes and the length of a partial sum are macros (TILE_y, SIZE_LANES, CHUNK), so one
text serves every choice; a tile divides its extent. The host gives all sizes as numbers here, since
tiles live in registers only when their sizes are constants.
"""

from __future__ import annotations

import textwrap
from dataclasses import dataclass, replace
from typing import Any

import sympy as sp

from gradproof.codegen.contraction import LANES, Contraction
from gradproof.codegen.cprint import ATOM, CPrinter, size_text
from gradproof.codegen.render import Argument, Kernel, environment, render_kernel
from gradproof.derive.expr import Quo, Read, integer, reads, reduces, substitute
from gradproof.derive.language import Definition, Equation, Tensor
from gradproof.derive.nest import Nest, lower
from gradproof.derive.show import text


@dataclass(frozen=True)
class Tiled:
    """A staged contraction as text: what to pack, the tiled kernel, and what tiles depend on."""

    packs: tuple[tuple[Kernel, Nest], ...]
    kernel: Kernel
    entry: dict[str, Any]


def render_tiled(c: Contraction, name: str) -> Tiled:
    """Render a contraction; `name` is that of the reference kernel it stands beside."""
    d = _with_lanes(c.definition)
    nests = [lower(_zero_outside(d, e), e) for e in c.packs]
    packs = tuple((render_kernel(d, n, f"{name}_pack_{n.target.name}"), n) for n in nests)
    kernel = _render(d, c, f"{name}_tiled")
    return Tiled(packs, kernel, _entry(d, c, kernel))


def render_tiled_program(t: Tiled) -> str:
    """The packing kernels and the tiled one: a program of its own, since it needs more macros."""
    head = environment().get_template("tiled_prelude.cl.j2").render(title=t.kernel.name)
    kernels = (*(k for k, _ in t.packs), t.kernel)
    return "\n\n".join([head.rstrip(), *(k.text.rstrip() for k in kernels)]) + "\n"


def _with_lanes(d: Definition) -> Definition:
    return replace(d, sizes=(*d.sizes, LANES), lower=(*d.lower, (LANES, 1)))


def _zero_outside(d: Definition, e: Equation) -> Definition:
    """A pack reads beyond its source on purpose: what is there is zero."""
    sources = {r.tensor for r in reads(e.body)}
    return replace(
        d, tensors=tuple(replace(t, outside="zero") if t.name in sources else t for t in d.tensors)
    )


def _render(d: Definition, c: Contraction, name: str) -> Kernel:
    e, target = c.equation, d.tensor(c.equation.target)
    (reduction,) = reduces(e.body)
    used = {r.tensor for r in reads(e.body)}
    tensors = tuple(t for t in d.tensors if t.name in used)
    scalars = [(n, t) for n, t in d.scalars if n in {str(s) for s in e.body.free_symbols}]
    printer = CPrinter(tensors)
    block = integer(f"{c.lane}_b")
    vectors = [_vector(r, c, block, k, printer) for k, r in enumerate(_vector_reads(c))]
    named = {r: sp.Symbol(f"vector{k}", real=True) for k, r in enumerate(_vector_reads(c))}
    sum_name = "sum0"
    value = substitute(e.body, {reduction: sp.Symbol(sum_name, real=True)})
    arguments = (
        *(Argument(t.name, "read", t.dtype) for t in tensors),
        Argument(target.name, "write", "real"),
        *(Argument(n, "scalar", t) for n, t in scalars),
        Argument("sizes", "sizes", "int"),
    )
    grid = _grid(d, c)
    loops = [{"index": str(i), "extent": printer.index(n)} for i, n in reduction.indices]
    lane_extent = dict(zip(e.indices, target.shape, strict=True))[c.lane]
    tile_loops = [str(t) for t in c.tiles]
    body = (
        environment()
        .get_template("contraction.cl.j2")
        .render(
            name=name,
            equation=textwrap.wrap(text(e), 96, subsequent_indent="    ", break_long_words=False),
            arguments=[a.declaration(in_place=False) for a in arguments],
            sizes=[str(s) for s in _all_sizes(d) if s in _symbols(e, tensors, target)],
            total=" * ".join(n for _, n, _ in grid),
            decode=_decode(grid),
            tile_loops=tile_loops,
            tile_size=" * ".join(f"TILE_{t}" for t in tile_loops) or "1",
            tile_index=_tile_index(tile_loops),
            outer=loops[0],
            inner=loops[1:],
            vectors=vectors,
            term=printer.value(substitute(reduction.body, named)),
            lane=str(c.lane),
            lane_extent=printer.index(lane_extent),
            sum_name=sum_name,
            store=f"{target.name}[{printer.address(target, e.indices)}]",
            value=printer.value(value),
        )
    )
    work_items = " * ".join(n for _, n, _ in grid)
    return Kernel(name, target.name, text(e), arguments, work_items, False, body)


def _all_sizes(d: Definition) -> tuple[sp.Symbol, ...]:
    return (*d.sizes, *(s for s, _ in d.derived))


def _vector_reads(c: Contraction) -> list[Read]:
    return [r for r in reads(c.equation.body) if r.tensor in c.vectors]


def _vector(r: Read, c: Contraction, block: sp.Symbol, k: int, printer: CPrinter) -> dict[str, str]:
    """The address of lane 0; the lane itself is the last, contiguous dimension."""
    first = [block if s == Quo(c.lane, LANES) else s for s in r.subscripts[:-1]] + [sp.Integer(0)]
    address = printer.address(printer.tensors[r.tensor], first).removesuffix(" + 0")
    return {"name": f"vector{k}", "tensor": r.tensor, "address": address}


def _symbols(e: Equation, tensors: tuple[Tensor, ...], target: Tensor) -> set[sp.Symbol]:
    found = set(e.body.free_symbols)
    for t in (*tensors, target):
        found |= {s for n in t.shape for s in n.free_symbols}
    return found


def _grid(d: Definition, c: Contraction) -> list[tuple[str, str, str]]:
    """(variable, number of blocks, elements per block) for every output index, in order."""
    printer = CPrinter(())
    out = []
    for i, extent in zip(c.equation.indices, d.tensor(c.equation.target).shape, strict=True):
        n = printer.index(extent, ATOM)
        if i == c.lane:
            out.append((f"{i}_b", f"(({n} + LANES - 1) / LANES)", ""))
        elif i in c.tiles:
            out.append((f"{i}_0", f"({n} / TILE_{i})", f"TILE_{i}"))
        else:
            out.append((str(i), n, ""))
    return out


def _decode(grid: list[tuple[str, str, str]]) -> list[tuple[str, str]]:
    out, below = [], ""
    for k, (variable, blocks, step) in reversed(list(enumerate(grid))):
        position = f"id / ({below})" if below else "id"
        position = f"{position} % {blocks}" if k else position
        out.append((variable, f"{position} * {step}" if step else position))
        below = f"{blocks} * {below}" if below else blocks
    return out[::-1]


def _tile_index(tiles: list[str]) -> str:
    position = ""
    for t in tiles:
        position = f"({position}) * TILE_{t} + {t}_t" if position else f"{t}_t"
    return position or "0"


def _entry(d: Definition, c: Contraction, kernel: Kernel) -> dict[str, Any]:
    e = c.equation
    extents = dict(zip(e.indices, d.tensor(e.target).shape, strict=True))
    (reduction,) = reduces(e.body)
    return {
        "kernel": kernel.name,
        "when": {str(s): v for s, v in c.when},
        "lane": size_text(extents[c.lane]),
        "tiles": {str(t): size_text(extents[t]) for t in c.tiles},
        "dynamic": [str(s) for s in _outermost_sizes(d, c)],
        "others": [size_text(n) for i, n in extents.items() if i != c.lane and i not in c.tiles],
        "terms": [size_text(n) for _, n in reduction.indices],
        "tensors": {
            t.name: [size_text(n) for n in t.shape]
            for t in d.tensors
            if t.name in {p.target for p in c.packs}
        },
    }


def _outermost_sizes(d: Definition, c: Contraction) -> list[sp.Symbol]:
    """Sizes that no address depends on: each is the first extent of every tensor that has it.

    The batch is such a size. A kernel need not be built anew for each value of it.
    """
    equations = (*c.packs, c.equation)
    names = {e.target for e in equations} | {r.tensor for e in equations for r in reads(e.body)}
    tensors = [d.tensor(n) for n in sorted(names)]
    first = {t.shape[0] for t in tensors if t.shape}
    used: set[sp.Symbol] = set()
    for t in tensors:
        used |= {s for n in t.shape[1:] for s in n.free_symbols}
    for e in equations:
        used |= {s for r in reads(e.body) for x in r.subscripts for s in x.free_symbols}
    return [s for s in d.sizes if s in first and s not in used]
