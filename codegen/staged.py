"""What is claimed of the tiled kernels: every step of their schedule, for the checker to re-check.

A schedule computes the equation it started from (`S1 ... staged`: packed tensors stand for their
values, and no read leaves them), and each of its maps from one set of indices to another is a
bijection: the lanes of a vector, tiles, work-items, registers, the chunks of a sum, the window of a
halo, row-major addresses. `MAPS` names them all. A map that has no claim is found by a test.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any

import sympy as sp

from gradproof.codegen.contraction import Contraction, contraction
from gradproof.derive.expr import reads, reduces
from gradproof.derive.language import Definition, Equation
from gradproof.derive.nest import lower
from gradproof.derive.prove.record import text
from gradproof.derive.show import text as shown
from gradproof.derive.system import derive

Claim = dict[str, Any]

MAPS = {
    "lanes": "an index as block and lane of a vector, the last block filled up",
    "tile": "an index as tile and place in the tile, for a tile that divides the extent",
    "work-items": "the number of a work-item as blocks of all output indices",
    "registers": "the number of a register as places in all tiles",
    "chunks": "the index of the outer sum as chunk and place in the chunk, the last one cut off",
    "halo": "a place of an operand as place of its copy with a border",
    "row-major": "the subscripts of an element as its address",
}


@dataclass(frozen=True)
class Staged:
    """A tiled kernel: the name of the reference kernel it stands beside, the variant that this one
    was derived in, the schedule."""

    kernel: str
    variant: str
    contraction: Contraction


@cache
def staged(d: Definition) -> list[Staged]:
    """All tiled kernels of an operator, each once, as in its files.

    >>> from gradproof.derive.ops.linear import linear
    >>> [s.kernel for s in staged(linear)]
    ['linear_z', 'linear_grad_Y', 'linear_grad_w', 'linear_without_b_z']
    """
    found: dict[Any, Staged | None] = {}
    for variant in d.variants():
        system = derive(variant)
        for part in (p for p in (system.forward, system.backward) if p):
            for e in part.equations:
                key = shown(e), lower(part, e).tensors
                if key not in found:
                    c, name = contraction(part, e), f"{variant.name}_{e.target}"
                    found[key] = Staged(name, variant.name, c) if c else None
    return [s for s in found.values() if s]


def staged_claims(d: Definition) -> list[Claim]:
    """The claims to add to an operator's record; none where it has no tiled kernel.

    >>> from gradproof.derive.ops.linear import linear
    >>> [c["claim"] for c in staged_claims(linear)][:3]
    ['S1 linear_z staged', 'S1 linear_z lanes', 'S1 linear_z tile n']
    """
    kernels = staged(d)
    ranks = {len(t.shape) for s in kernels for t in s.contraction.definition.tensors if t.shape}
    claims = [c for s in kernels for c in _claims(s)]
    return claims + [_row_major(d.name, rank) for rank in sorted(ranks)]


def _claims(s: Staged) -> Iterator[Claim]:
    c = s.contraction
    common = {"variant": s.variant, "fixed": {str(size): value for size, value in c.when}}
    shape = c.definition.tensor(c.equation.target).shape
    extents = dict(zip(c.equation.indices, shape, strict=True))
    (reduction,) = reduces(c.equation.body)
    claims = [_equality(s), _lanes(s.kernel, c.lane, extents[c.lane])]
    claims += [_tile(s.kernel, i, extents[i]) for i in c.tiles]
    claims += [_work_items(s.kernel, c), *([_registers(s.kernel, c)] if c.tiles else [])]
    claims += [_chunks(s.kernel, *reduction.indices[0])]
    claims += [_halo(s, pack) for pack in c.packs if pack.target.endswith("_halo")]
    yield from ({**claim, **common} for claim in claims)


def _equality(s: Staged) -> Claim:
    """The staged equation, with every packed element for what it holds, is the original one."""
    c = s.contraction
    target = c.equation.target
    shape = c.definition.tensor(target).shape
    return {
        "claim": f"S1 {s.kernel} staged",
        "statement": f"{target} is the same from {' and '.join(p.target for p in c.packs)}, "
        "whose reads stay inside",
        "sizes": {"LANES": 1},
        "free": [[str(i), text(n)] for i, n in zip(c.equation.indices, shape, strict=True)],
        "lets": {p.target: _let(c, p) for p in c.packs},
        "left": {"text": text(c.equation.body)},
        "right": {"value": target},
    }


def _let(c: Contraction, pack: Equation) -> dict[str, Any]:
    shape = c.definition.tensor(pack.target).shape
    return {
        "shape": [text(n) for n in shape],
        "indices": [str(i) for i in pack.indices],
        "value": text(pack.body),
    }


def _lanes(kernel: str, lane: sp.Symbol, extent: sp.Expr) -> Claim:
    """`o = LANES*o_b + o_l`; what lies beyond the extent is packed as zero and not stored."""
    return {
        "claim": f"S1 {kernel} lanes",
        "statement": f"{lane} <-> (block, lane), with less than one vector left over",
        **_split(str(lane), extent, "LANES", "b", "l"),
    }


def _chunks(kernel: str, index: sp.Symbol, extent: sp.Expr) -> Claim:
    """`for c_0 = 0, CHUNK, 2*CHUNK ... and c = c_0 ... min(c_0 + CHUNK, CG)` meets every c once."""
    return {
        "claim": f"S1 {kernel} chunks",
        "statement": f"{index} <-> (chunk, place), the last chunk cut off at the extent",
        **_split(str(index), extent, "CHUNK", "0", "k"),
    }


def _split(i: str, extent: sp.Expr, unit: str, outer: str, inner: str) -> Claim:
    """i <-> (i // unit, i % unit), where the last block may reach beyond the extent."""
    n, b, k = text(extent), f"{i}_{outer}", f"{i}_{inner}"
    return {
        "sizes": {unit: 1},
        "where": {"BLOCKS": f"({n} + {unit} - 1)//{unit}"},
        "free": [[i, n], [b, "BLOCKS"], [k, unit]],
        "goals": [
            f"0 <= {i}//{unit} < BLOCKS and 0 <= {i}%{unit} < {unit}",
            f"{unit}*({i}//{unit}) + {i}%{unit} == {i}",
            f"({unit}*{b} + {k})//{unit} == {b} and ({unit}*{b} + {k})%{unit} == {k}",
            f"0 <= {unit}*{b} + {k} < {unit}*BLOCKS",
            f"0 <= {unit}*BLOCKS - {n} < {unit}",
        ],
    }


def _tile(kernel: str, index: sp.Symbol, extent: sp.Expr) -> Claim:
    """`x = TILE_x*t + x_t` where TILE_x divides the extent: every x, and no other."""
    i, n, tile = str(index), text(extent), f"TILE_{index}"
    x = f"{tile}*{i}_0 + {i}_t"
    return {
        "claim": f"S1 {kernel} tile {i}",
        "statement": f"{i} <-> (tile, place), where {tile} divides {n}",
        "sizes": {tile: 1},
        "free": [[i, n], [f"{i}_0", f"({n})//{tile}"], [f"{i}_t", tile]],
        "facts": [f"({n})%{tile} == 0"],
        "goals": [
            f"0 <= {i}//{tile} < ({n})//{tile} and 0 <= {i}%{tile} < {tile}",
            f"{tile}*({i}//{tile}) + {i}%{tile} == {i}",
            f"0 <= {x} < {n} and ({x})//{tile} == {i}_0 and ({x})%{tile} == {i}_t",
        ],
    }


def _work_items(kernel: str, c: Contraction) -> Claim:
    """`id` to blocks and tiles of the output indices, as the kernel's first lines have it."""
    places = [f"{i}_0" for i in c.equation.indices]
    numbered = _numbering(places, "BLOCKS")
    sizes = list(numbered["sizes"])
    for k in reversed(range(1, len(sizes) - 1)):  # the text divides by the product at once
        below = sizes[k:]
        numbered["goals"].append(f"item//{'//'.join(reversed(below))} == item//({'*'.join(below)})")
    return {
        "claim": f"S1 {kernel} work-items",
        "statement": f"work-item <-> block of {', '.join(map(str, c.equation.indices))}",
        **numbered,
    }


def _registers(kernel: str, c: Contraction) -> Claim:
    """`total[(n_t*TILE_x + x_t)*TILE_y + y_t]`: every place of a tile has a register of its own."""
    return {
        "claim": f"S1 {kernel} registers",
        "statement": f"register <-> place in the tiles of {', '.join(map(str, c.tiles))}",
        **_numbering([f"{i}_t" for i in c.tiles], "TILE"),
    }


def _row_major(operator: str, rank: int) -> Claim:
    """The layout of runtime/layout.py, which all addresses in kernels have."""
    return {
        "claim": f"S1 {operator} row-major {rank}",
        "statement": f"address <-> {rank} subscripts, for any extents",
        **_numbering([f"place{k}" for k in range(rank)], "EXTENT"),
    }


def _numbering(places: list[str], prefix: str) -> Claim:
    """item = (p0*n1 + p1)*n2 + ... <-> (p0, p1, ...), for all extents."""
    sizes = [f"{prefix}{k}" for k in range(len(places))]
    forward, back = "", []
    for k, (p, n) in enumerate(zip(places, sizes, strict=True)):
        forward = f"({forward})*{n} + {p}" if forward else p
        quotient = "item" + "".join(f"//{m}" for m in reversed(sizes[k + 1 :]))
        back.append(f"{quotient}%{n}" if k else quotient)
    again = back[0]
    for q, n in zip(back[1:], sizes[1:], strict=True):
        again = f"({again})*{n} + {q}"
    total = "*".join(sizes)
    goals = [f"0 <= {q} < {n}" for q, n in zip(back, sizes, strict=True)]
    goals += [f"{again} == item", f"0 <= {forward} < {total}"]
    carry = "0"
    for p, n in reversed(list(zip(places[1:], sizes[1:], strict=True))):
        carry = f"({p} + {carry})//{n}"
        goals.append(f"{carry} == 0")  # nothing is carried over to the place before
    goals += [
        f"{q.replace('item', f'({forward})')} == {p}" for q, p in zip(back, places, strict=True)
    ]
    return {
        "sizes": dict.fromkeys(sizes, 1),
        "free": [["item", total], *([p, n] for p, n in zip(places, sizes, strict=True))],
        "goals": goals,
    }


def _halo(s: Staged, pack: Equation) -> Claim:
    """Different places of the copy hold different places, and every read finds its own."""
    c = s.contraction
    shape = [text(n) for n in c.definition.tensor(pack.target).shape]
    (source,) = reads(pack.body)
    other = {i: sp.Symbol(f"{i}_other", integer=True) for i in pack.indices}
    (reduction,) = reduces(c.equation.body)
    output = c.definition.tensor(c.equation.target).shape
    around = [*zip(c.equation.indices, output, strict=True), *reduction.indices]
    names = [*map(str, pack.indices), *map(str, other.values())]
    places = [r.subscripts for r in reads(reduction.body) if r.tensor == pack.target]
    return {
        "claim": f"S1 {s.kernel} {pack.target}",
        "statement": f"place of {source.tensor} <-> place of {pack.target}, wide enough",
        "free": [[str(i), text(n)] for i, n in around]
        + [[i, n] for i, n in zip(names, shape + shape, strict=True)],
        "facts": [f"{text(p)} == {text(p.xreplace(other))}" for p in source.subscripts],
        "goals": [f"{i} == {j}" for i, j in other.items()]
        + [f"{n} >= 1" for n in shape]
        + [f"0 <= {text(x)} < {n}" for p in places for x, n in zip(p, shape, strict=True)],
    }


def tiled_section(d: Definition, entry: dict[str, Any]) -> dict[str, Any]:
    """What an operator's record says of its tiled kernels' texts, by kernel: file, hash, claims.

    entry: the operator's entry in the manifest.
    """
    claims = [c["claim"] for c in staged_claims(d)]
    files = {s.kernel: f"{s.kernel}_tiled.cl" for s in staged(d)}
    return {
        kernel: {
            "operator": d.name,
            "file": file,
            "sha256": entry["sha256"][file],
            "claims": [c for c in claims if c.startswith(f"S1 {kernel} ")],
        }
        for kernel, file in files.items()
    }
