"""The same elements in another layout, by tiles of 16 × 16, or of what divides the shape.

Where the neighbours in one layout lie far apart in the other, a tile of both directions touches 16
cache lines on each side and uses all of each. Other copies are what the vector schedule is for.
"""

from __future__ import annotations

from math import prod

from gradproof.codegen.fast.affine import Affine
from gradproof.codegen.fast.kernel import FastKernel
from gradproof.codegen.fast.layout import Layout
from gradproof.codegen.fast.program import LANES

FEWEST = 4  # neighbours of a tile
GROUPS = 8  # work-groups, where there are as many tiles


def tiled_copy(name: str, target: Layout, source: Layout, whole: bool = False) -> FastKernel | None:
    """A kernel of (source, target), called t1 and t0; None where no tile of up to 16 × 16
    divides the shape, or both have the same neighbours.

    >>> k = tiled_copy("k", Layout.blocked((32, 48), 0), Layout.row_major((32, 48)))
    >>> k.tensors, k.groups
    ((('t1', False), ('t0', True)), 6)
    """
    across, along = _neighbours(target), _neighbours(source)
    shape = target.shape
    if across == along or across is None or along is None:
        return None
    loops: list[tuple[str, int]] = []
    subscripts = []
    tile: dict[int, int] = {}
    for d, n in enumerate(shape):
        if d in (across, along):
            steps = next(k for k in range(LANES, 0, -1) if n % k == 0)
            if steps < FEWEST:
                return None
            tile[d] = steps
            loops.append((f"i{d}_o", n // steps))
            subscripts.append(Affine.of(f"i{d}_o") * steps + Affine.of(f"i{d}_i"))
        else:
            loops.append((f"i{d}_o", n))
            subscripts.append(Affine.of(f"i{d}_o"))
    extents = dict(loops) | {f"i{d}_i": n for d, n in tile.items()}
    to, fro = (x.address(tuple(subscripts), extents) for x in (target, source))
    if to is None or fro is None:
        return None
    total = prod(n for _, n in loops)
    groups = min(GROUPS, total)
    kind = "int" if whole else "REAL"
    lines = [
        "__attribute__((reqd_work_group_size(1, 1, 1)))",
        f"__kernel void {name}(__global const {kind} *restrict t1, __global {kind} *restrict t0)",
        "{",
        f"    for (int id = get_group_id(0); id < {total}; id += {groups}) {{",
    ]
    below = total
    for v, n in loops:
        below //= n
        lines.append(f"        const int {v} = id / {below} % {n};")
    lines += [
        f"        for (int i{along}_i = 0; i{along}_i < {tile[along]}; i{along}_i++)",
        f"            for (int i{across}_i = 0; i{across}_i < {tile[across]}; i{across}_i++)",
        f"                t0[{to}] = t1[{fro}];",
        "    }",
        "}",
    ]
    return FastKernel(name, "\n".join(lines), (("t1", False), ("t0", True)), groups)


def _neighbours(layout: Layout) -> int | None:
    """The dimension whose elements lie side by side."""
    found = [(d, div) for d, div, n in layout.axes if n > 1]
    return found[-1][0] if found and found[-1][1] == 1 else None
