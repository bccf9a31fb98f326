"""Which tile of a matrix product a work-group of a GPU computes, and in how many pieces of the sum.

A tile of `rows` x `columns` is shared out to a grid of `across` x `down` work-items, each with
`tall` x `wide` sums in registers. The model counts padded multiply-adds, what each needs from local
and global memory, and whether there are enough work-groups to keep the device busy.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

ITEMS = 256  # work-items of a group, which every desktop GPU allows
QUAD = 4  # rows of a work-item come in fours: one load from local memory
SIDES = (16, 256)  # the least and the largest side of a tile
LOCAL = 4608  # elements of local memory: 18 KiB in float, which every desktop GPU has
SMALL = 4  # work-items that have tiles of such sides
BUSY = 128  # work-groups that keep a large device busy
SHORTEST = 128  # terms of a piece of a sum
PIECES = 64  # at most


@dataclass(frozen=True)
class Tile:
    """`depth`: terms that lie in local memory at once; `pieces`: of each sum, added up at last."""

    down: int
    across: int
    tall: int
    wide: int
    depth: int
    pieces: int = 1

    @property
    def rows(self) -> int:
        """Rows of the tile."""
        return self.down * self.tall

    @property
    def columns(self) -> int:
        """Columns of the tile."""
        return self.across * self.wide

    @property
    def items(self) -> int:
        """Work-items of a group."""
        return self.down * self.across

    def __str__(self) -> str:
        split = f", {self.pieces} pieces" if self.pieces > 1 else ""
        return f"{self.rows}x{self.columns}x{self.depth} by {self.tall}x{self.wide}{split}"


@dataclass(frozen=True)
class Product:
    """The extents of a batched matrix product."""

    batches: int
    rows: int
    columns: int
    terms: int

    def tiles(self, t: Tile) -> int:
        """Work-groups for one piece."""
        return self.batches * -(-self.rows // t.rows) * -(-self.columns // t.columns)


def tile_for(p: Product, items: int = ITEMS, local: int = LOCAL) -> Tile | None:
    """The cheapest tile by the model, in groups of at most `items` work-items and `local` elements
    of local memory; of fewer work-items where none fits, and None where there is none at all.

    >>> str(tile_for(Product(1, 256, 4096, 2304)))
    '128x128x8 by 8x8, 4 pieces'
    >>> str(tile_for(Product(1, 16, 32768, 144)))
    '16x256x8 by 4x4'
    >>> str(tile_for(Product(1, 64, 576, 32768)))
    '64x64x16 by 4x4, 29 pieces'
    >>> str(tile_for(Product(1, 256, 4096, 2304), 256, 1024))
    '16x32x8 by 4x4'
    """
    while items:
        sides = (SIDES[0] if items >= SMALL else QUAD, SIDES[1])
        found = list(_tiles(p, items, local, sides))
        if found:
            return min(found, key=lambda t: (_cost(p, t), -t.rows * t.columns, str(t)))
        items //= 2
    return None


def _tiles(p: Product, items: int, most: int, sides: tuple[int, int]) -> Iterator[Tile]:
    down = 1
    while down <= items:
        for tall in (4, 8):
            for wide in (4, 8):
                t = Tile(down, items // down, tall, wide, 8)
                if all(sides[0] <= n <= sides[1] for n in (t.rows, t.columns)):
                    deep = p.terms >= 32 and t.rows + t.columns <= 128
                    t = Tile(down, items // down, tall, wide, 16)
                    t = t if deep and _local(t) <= most else replace(t, depth=8)
                    if _local(t) <= most:
                        yield Tile(t.down, t.across, tall, wide, t.depth, _pieces(p, t))
        down *= 2


def _local(t: Tile) -> int:
    return 2 * t.depth * (t.rows + t.columns + 2 * QUAD)


def _pieces(p: Product, t: Tile) -> int:
    """As many as keep the device busy, each long enough to be worth it."""
    tiles = p.tiles(t)
    wanted = -(-2 * BUSY // tiles) if tiles < BUSY else 1
    most = max(1, min(PIECES, wanted, p.terms // SHORTEST))
    length = -(-p.terms // most)
    length = -(-length // t.depth) * t.depth
    return -(-p.terms // length)


def _cost(p: Product, t: Tile) -> float:
    """Multiply-adds with what they wait for."""
    tiles = p.tiles(t)
    padded = tiles * t.rows * t.columns * (-(-p.terms // t.depth) * t.depth)
    local = 0.5 * (1 / t.tall + 1 / t.wide)
    memory = 8 * (1 / t.rows + 1 / t.columns)
    busy = min(1.0, tiles * t.pieces / BUSY)
    sums = 16 * (t.pieces > 1) * (t.pieces + 1) * p.batches * p.rows * p.columns
    return padded * (1 + local + memory) / busy + sums
