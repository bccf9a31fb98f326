"""The text of the schedule by lines: transforms into local memory, products, finished rows."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import product
from math import prod
from typing import TYPE_CHECKING

from gradproof.codegen.fast.affine import Affine
from gradproof.codegen.fast.contraction_schedule import Schedule
from gradproof.codegen.fast.contraction_text import section
from gradproof.codegen.fast.contraction_tile import aligned, points, vector_load
from gradproof.codegen.fast.line_pattern import HALF, Line
from gradproof.codegen.fast.nest import Loop
from gradproof.codegen.fast.tiles import Region
from gradproof.codegen.fast.transforms import shared, statements, transposed

if TYPE_CHECKING:
    from gradproof.codegen.fast.contraction_sums import Shares

_PIECE = "PIECE"  # HALF of them at any place


def parts(
    line: Line, s: Schedule, shares: Shares | None, regions: tuple[Region, ...]
) -> dict[str, object]:
    """What the template needs. regions: the columns of a block in tiles of accumulators."""
    weights, image, products = line.local
    (rows, steps), (across, extent) = line.tile[-1], line.columns[-1]
    return {
        "section": section(line.phase, s, "", "", shares, _sources(line, s)),
        "schedule": s,
        "line": line,
        "local": {"weights": weights, "image": image, "products": products},
        "n": line.transform.n,
        "rows": (rows, f"{rows}_piece", s.grid[-1][3], steps),
        "across": (across, extent, line.block),
        "inner": line.inner,
        "filters": _filters(line),
        "lines": _lines(line),
        "last": line.span - HALF,
        "chunk": HALF,
        "image_far": prod(n for _, n in line.far),
        "terms": line.terms,
        "close": prod(n for _, n in line.close),
        "far_index": _flat(line.far),
        "block_index": _flat(line.blocks),
        "term_index": _flat((*line.far, *line.close)),
        "regions": [_region_products(line, r) for r in regions],
    }


def _flat(loops: tuple[Loop, ...]) -> str:
    """The number of a place in these loops, row-major."""
    address, below = Affine(), 1
    for v, n in reversed(loops):
        address, below = address + Affine.of(v) * below, below * n
    return str(address)


def _filters(line: Line) -> list[str]:
    """U = G w at one place of the other loops."""
    v, taps = line.tap
    address = line.weights.address.without({line.phase.problem.lane, v})
    tensor, step = line.phase.reads[line.weights.index][0], line.weights.address.coefficient(v)
    is_aligned = aligned(line.phase, line.weights.address)
    lines = [f"__global const REAL *from = m_{tensor} + {address};"]
    for k in range(taps):
        tap = k if line.down > 0 else taps - 1 - k
        load = vector_load("from", str(step * tap), is_aligned)
        lines.append(f"const REALV w_{k} = {load};")
    names = [f"u_{t}" for t in range(line.transform.n)]
    lines += statements(shared(line.transform.G, [f"w_{k}" for k in range(taps)], "s"), names)
    return [*lines, *(f"to[{t * line.terms}] = {u};" for t, u in enumerate(names))]


def _lines(line: Line) -> list[str]:
    """V = Bᵀ y of a piece of a line at `q`."""
    live = {v for v, _ in (*line.grid, *line.far)} | {line.tile[-1][0]}
    address = Affine(line.image.address.const + line.first) + line.image.address.only(live)
    if line.down < 0:
        address += Affine(line.down * (line.tap[1] - 1))
    n, matrix = line.transform.n, transposed(line.transform.B)
    tensor, row = line.phase.reads[line.image.index][0], abs(line.down)
    place = prod(k for _, k in line.far) * line.span
    lines = [f"__global const REAL *from = m_{tensor} + {address} + q;"]
    lines += [
        f"const {_PIECE} y_{k} = *(__global const {_PIECE} *)(from + {row * k});" for k in range(n)
    ]
    names = [f"v_{t}" for t in range(n)]
    lines += statements(shared(matrix, [f"y_{k}" for k in range(n)], "s"), names, _PIECE)
    return [
        *lines,
        *(f"*(__local {_PIECE} *)(to + {t * place}) = {v};" for t, v in enumerate(names)),
    ]


def _region_products(line: Line, region: Region) -> dict[str, object]:
    """The sums of some columns: the steps along a line, unrolled."""
    first, count, steps = region
    lines: list[str] = []
    names = [v for v, _ in line.close]
    along = line.image.address.coefficient
    for k, place in enumerate(product(*(range(n) for _, n in line.close))):
        lines.append(f"const REALV w_{k} = w[{k}];")
        shift = sum(along(v) * i for v, i in zip(names, place, strict=True)) - line.first
        lines += [f"acc_{x} += v[{shift + line.step * x}] * w_{k};" for x in range(steps)]
    return {"first": first, "end": first + count * steps, "steps": steps, "lines": lines}


def _sources(line: Line, s: Schedule) -> list[str]:
    """For each accumulator of a tile the text that computes its column's rows from the products."""
    matrix = transposed(line.transform.A)
    width = line.inner * line.block
    columns = [_number(line.columns[:-1], x) for x in points(s.factors)]
    rows = [_number(line.tile, x) for x in points(s.factors)]
    texts = []
    for x in range(line.inner):
        loads = [f"z_{x}_{t}" for t in range(line.transform.n)]
        lines = [f"const REALV {z} = from[{t * width + x}];" for t, z in enumerate(loads)]
        own = sorted((rows[k], k) for k, column in enumerate(columns) if column == x)
        names = [f"acc_{k}" for _, k in own]
        lines += statements(shared(matrix, loads, f"s_{x}_"), names)
        texts.append("\n".join(lines))
    return [texts[x] for x in columns]


def _number(digits: tuple[Loop, ...], place: Mapping[str, int]) -> int:
    """The number of a place; the nearest digit comes first."""
    number, below = 0, 1
    for v, n in digits:
        number, below = number + place[v] * below, below * n
    return number
