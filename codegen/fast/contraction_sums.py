"""Sums over the target of the direct schedule: each work-group adds up its tiles' terms.

A work-group has partial sums for each block of channels that it computes; a tile first adds up its
own places, and every `RUN` tiles the sums are settled: added to those of all tiles before, so that
chains are short. Of a mean and variance, what is settled is the mean m beyond b, the squared
deviations from it and the number; a run joins them by Chan's formula, and b moves to the mean, so
that a first value far from it (at a border, say) costs no accuracy. The slot of the shares is
numbered by the loops of the grid other than that of the blocks (see tile_sums.py).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from gradproof.codegen.fast.contraction_schedule import Schedule
from gradproof.codegen.fast.contraction_tile import Phase
from gradproof.codegen.fast.program import LANES
from gradproof.codegen.fast.tile_sums import Row, TileSums

Point = Mapping[str, int]
RUN = 32  # tiles whose sums are added up one by one


@dataclass(frozen=True)
class Shares:
    """The sums of one section. `loop` runs over the blocks of channels; `outer`: as text, where a
    work-group's first block is, `inner`: where a tile's first block is, from there. A work-group
    has `blocks` of them. `slot`: its slot, as text; `slots`: how many slots the section has."""

    sums: TileSums
    loop: str
    outer: str
    inner: str
    blocks: int
    slot: str
    slots: int

    @property
    def before(self) -> list[str]:
        """The partial sums of a run and of all runs, zero, and the tiles so far."""
        count = self.blocks * self.sums.height
        return [
            f"REALV shares_[{count}], settled_[{count}];",
            f"int tiles_[{self.blocks}];",
            f"for (int k = 0; k < {count}; k++)",
            "    shares_[k] = settled_[k] = 0;",
            f"for (int k = 0; k < {self.blocks}; k++)",
            "    tiles_[k] = 0;",
        ]

    @property
    def after(self) -> list[str]:
        """The sums, stored: of moments relative to the last b."""
        rows, every = self.sums.height, self.sums.blocks
        lines = [f"if (tiles_[b] % {RUN}) {{", *(f"    {x}" for x in self._settled("b")), "}"]
        for r in self.sums.rows:
            m, number = _at("settled_", "b", rows, r.first), _at("settled_", "b", rows, rows - 1)
            if r.moments:
                lines += [
                    f"{_at('settled_', 'b', rows, r.first + 1)} = {m} * {number};",
                    f"{_at('settled_', 'b', rows, r.first + 2)} += {m} * {m} * {number};",
                    f"{m} = {_at('shares_', 'b', rows, r.first)};",
                ]
        return [
            f"for (int b = 0; b < {self.blocks}; b++) {{",
            *(f"    {x}" for x in lines),
            f"    for (int k = 0; k < {rows}; k++)",
            f"        g_shares[(({self.slot}) * {rows} + k) * {every} + {self.outer} + b] = "
            f"settled_[b * {rows} + k];",
            "}",
        ]

    def _settled(self, block: str) -> Iterator[str]:
        """The sums of a run join those before, and are zero."""
        rows = self.sums.height
        n, number = (_at(x, block, rows, rows - 1) for x in ("shares_", "settled_"))
        for r in self.sums.rows:
            of = [_at("shares_", block, rows, r.first + k) for k in range(3 if r.moments else 1)]
            to = [_at("settled_", block, rows, r.first + k) for k in range(len(of))]
            if not r.moments:
                yield f"{to[0]} += {of[0]}; {of[0]} = 0;"
                continue
            yield "{"
            yield f"    const REALV center = {of[1]} / {n}, apart = center - {to[0]};"
            yield f"    const REALV around = {of[2]} - {of[1]} * center;"
            yield f"    const REALV part = {n} / ({number} + {n});"
            yield f"    {to[0]} += apart * part;"
            yield f"    {to[2]} += (around < (REAL)0 ? (REALV)(0) : around);"
            yield f"    {to[2]} += apart * apart * ({number} * part);"
            yield f"    const REALV next = {of[0]} + {to[0]};"
            yield f"    {to[0]} += {of[0]} - next;"
            yield f"    {of[0]} = next; {of[1]} = 0; {of[2]} = 0;"
            yield "}"
        if self.sums.pairs:
            yield f"{number} += {n}; {n} = 0;"

    def _offset(self, point: Point) -> int:
        return point.get(self.loop, 0)

    def _place(self, offset: int, row: int) -> str:
        """A partial sum of the block that is `offset` from the tile's first one."""
        return f"shares_[({self.inner} + {offset}) * {self.sums.height} + {row}]"

    def _offsets(self, places: Sequence[Point]) -> list[int]:
        return sorted({self._offset(x) for x in places})

    @property
    def _added_rows(self) -> list[int]:
        """Rows to which something is added: all but the first values and the numbers."""
        rows = self.sums.rows
        return [k for r in rows for k in ([r.first + 1, r.first + 2] if r.moments else [r.first])]

    def begun(self, places: Sequence[Point]) -> Iterator[str]:
        """The sums of one tile, zero."""
        for o in self._offsets(places):
            for k in self._added_rows:
                yield f"REALV tile_{o}_{k} = 0;"

    def term(self, row: Row, name: str, point: Point) -> Iterator[str]:
        """A term added to its tile's sum; of moments, relative to the work-group's first value."""
        o, k = self._offset(point), row.first
        if not row.moments:
            yield f"tile_{o}_{k} += {name};"
            return
        base = self._place(o, k)
        if not any(n for v, n in point.items() if v != self.loop):
            yield f"if (tiles_[{self.inner} + {o}] == 0) {base} = {name};"
        yield f"const REALV {name}_d = {name} - {base};"
        yield f"tile_{o}_{k + 1} += {name}_d;"
        yield f"tile_{o}_{k + 2} += {name}_d * {name}_d;"

    def added(
        self, places: Sequence[Point], hoisted: Sequence[tuple[str, int, int]]
    ) -> Iterator[str]:
        """A tile's sums, added when its values are known."""
        last = " && ".join(f"{v}_h + {n} == {extent}" for v, extent, n in hoisted)
        yield f"if ({last}) {{" if last else "{"
        for o in self._offsets(places):
            for k in self._added_rows:
                yield f"    {self._place(o, k)} += tile_{o}_{k};"
            if self.sums.pairs:
                count = sum(self._offset(x) == o for x in places)
                yield f"    {self._place(o, self.sums.height - 1)} += {count};"
            yield f"    if (++tiles_[{self.inner} + {o}] % {RUN} == 0) {{"
            yield from (f"        {x}" for x in self._settled(f"({self.inner} + {o})"))
            yield "    }"
        yield "}"


def _at(array: str, block: str, rows: int, row: int) -> str:
    """A row of a block's sums."""
    return f"{array}[{block} * {rows} + {row}]"


def shares_of(p: Phase, s: Schedule, sums: TileSums, first: int) -> Shares | None:
    """The shares of a section whose slots begin at `first`; None where its blocks of channels are
    not one loop."""
    addresses = {x.address for x in p.stores if x.row is not None}
    if len(addresses) != 1 or p.problem.reduced:
        return None
    address = addresses.pop().without({p.problem.lane})
    if address.const or any(k != LANES for _, k in address.terms) or len(address.terms) > 1:
        return None
    loop = address.terms[0][0] if address.terms else ""
    in_grid = [g for g in s.grid if g[0] == loop]
    slot, slots = str(first), 1
    for v, base, count, step in reversed([g for g in s.grid if g[0] != loop]):
        slot += f" + ({v} - {base}) / {step} * {slots}"
        slots *= count
    if not in_grid:
        variable = loop if loop in {s.tiled, *(x[0] for x in (*s.outside, *s.inner))} else "0"
        return Shares(sums, loop, "0", variable, sums.blocks, slot, slots)
    _, _, count, step = in_grid[0]
    if count * step != sums.blocks:
        return None  # the blocks are divided into regions
    return Shares(sums, loop, loop, "0", step, slot, slots)
