"""The schedule by lines: a sum of products over a window, transformed along one of its axes.

The direct schedule with F(m, r) of `derive.winograd` along one loop i of the sum, where a factor
counts i like the rows of the output, and the other one, the vector, knows no rows:

    out[m*T + k] = Σ_t Aᵀ[k, t] Σ_rest V[t, T, rest] U[t, rest]     (rest: the sum's other loops)
    V[t, T, rest] = Σ_i Bᵀ[t, i] image[m*T + i, rest],    U[t, rest] = Σ_i G[t, i] weights[i, rest]

That is the identity (*) of that module, proved for every transform that is used, at each place of
`rest` and of the other output loops. A work-group transforms m + r - 1 rows of the image for all
blocks of lanes; in one dimension the sum over `rest` is long enough to stay in registers even where
there are few channels, for which two-dimensional tiles would mostly load and store.

It is found in addresses: a tap steps through the image by what one row does.
"""

from __future__ import annotations

from collections.abc import Mapping
from math import prod

from gradproof.codegen.fast.contraction import behind
from gradproof.codegen.fast.contraction_assembly import assembled
from gradproof.codegen.fast.contraction_phases import phases
from gradproof.codegen.fast.contraction_schedule import GROUPS, Schedule
from gradproof.codegen.fast.contraction_sums import shares_of
from gradproof.codegen.fast.kernel import FastKernel
from gradproof.codegen.fast.layout import Layout
from gradproof.codegen.fast.line_pattern import Line, line_of
from gradproof.codegen.fast.line_text import parts
from gradproof.codegen.fast.machine import AVX2, Machine
from gradproof.codegen.fast.nest import Nest
from gradproof.codegen.fast.tiles import balanced
from gradproof.codegen.fast.winograd_pattern import pattern


def line_kernels(
    name: str,
    nest: Nest,
    layouts: Mapping[str, Layout],
    m: int,
    also: tuple[Nest, ...] = (),
    store: bool = True,
    machine: Machine = AVX2,
    always: bool = False,
) -> tuple[FastKernel, ...] | None:
    """The kernels of a nest on given layouts with tiles of at most m rows; None where these do not
    serve, and where no gain is expected unless `always`.

    also: what stands behind the sum, as in `contraction_kernels`; rows must be whole tiles.
    """
    p = pattern(nest)
    if p is None or not p.unit or p.gradient or len(p.axes) < 2:
        return None
    epilogue, sums, rows = behind((nest,), layouts, also)
    layouts = {**layouts, **sums.layouts}
    axis = p.axes[0]
    for phase in phases(nest, layouts, epilogue, store, rows):
        line = line_of(phase, (axis.tap, axis.taps), m)
        if line is None or not (always or line.pays) or line.elements > machine.local:
            continue
        schedule = _schedule(line)
        shares = shares_of(phase, schedule, sums, 0) if sums.terms else None
        if sums.terms and shares is None:
            continue
        columns = balanced(line.inner * line.block, accumulators(machine))
        found = assembled(
            "fast_lines.cl.j2", name, (nest,), [phase], epilogue, sums, layouts, schedule.groups,
            shares.slots if shares else 0, f"lines {line.m} along {axis.tap}",
            **parts(line, schedule, shares, columns),
        )  # fmt: skip
        if found is not None:
            return found
    return None


def accumulators(machine: Machine) -> int:
    """Columns side by side: their sums, the weights and a few scalars fit the registers. More of
    them, up to what fits without scalars, were slower: neighbours share what they read, and the
    compiler holds that.

    >>> accumulators(AVX2)
    5
    """
    return min(12, (machine.registers - 1 - 2 * machine.pieces) // machine.pieces)


def _schedule(line: Line) -> Schedule:
    """Work-groups take images and, where these are few, pieces of the rows."""
    grid = [(v, 0, n, 1) for v, n in line.grid]
    below, (v, steps) = prod(n for _, n in line.grid), line.tile[-1]
    pieces = next(
        k
        for k in range(1, line.row_tiles + 1)
        if line.row_tiles % k == 0 and (k * below >= GROUPS or k == line.row_tiles)
    )
    grid.append((f"{v}_piece", 0, pieces, line.row_tiles // pieces * steps))
    inner = ((v, line.extents[v], steps), *((b, n, 1) for b, n in line.blocks))
    last = line.columns[-1]
    return Schedule(
        tuple(grid), (), (), (*inner, (*last, 1)), "", ((0, 1, 1),),
        (*line.columns[:-1], *line.tile), (),
    )  # fmt: skip
