"""What the schedule by lines transforms, found in the addresses of a phase (see lines.py)."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod

import sympy as sp

from gradproof.codegen.fast.contraction_tile import Phase
from gradproof.codegen.fast.nest import Loop
from gradproof.codegen.fast.problem import Read
from gradproof.codegen.fast.program import LANES
from gradproof.codegen.fast.transforms import operations, transform_for, transposed
from gradproof.derive.winograd import Transform

COLUMNS = 56  # of a block whose products are in local memory: they stay in the nearest cache
NEAR = 12_000  # elements of local memory, of which a block of lanes reads its own part
LEAST_GAIN = 1.2  # instructions saved, by the model: less is not worth the rounding
UNROLLED = 8  # steps of the sum along the columns
HALF = 8  # elements of the image that are transformed together
PART = 256  # terms of a sum in registers


@dataclass(frozen=True)
class Line:
    """A phase cut into tiles of `m` rows and all of the columns.

    image, weights: the factors; tap: the loop that is transformed; down: the image's step along it,
    negative where it runs against the rows; tile: the rows' loops with the steps of a tile;
    columns: their loops, the nearest first; far, close: the sum's other loops, by rows and images,
    and along the columns; blocks: loops of the output that the image does not know; grid: the rest.
    """

    phase: Phase
    m: int
    transform: Transform
    image: Read
    weights: Read
    tap: Loop
    down: int
    tile: tuple[Loop, ...]
    columns: tuple[Loop, ...]
    far: tuple[Loop, ...]
    close: tuple[Loop, ...]
    blocks: tuple[Loop, ...]
    grid: tuple[Loop, ...]

    @property
    def extents(self) -> dict[str, int]:
        """Of the loops of the output and of the sum."""
        sums = self.phase.problem.sums
        return dict(self.phase.problem.loops) | dict(sums[0].loops)

    @property
    def width(self) -> int:
        """Columns of the output."""
        return prod(n for _, n in self.columns)

    @property
    def step(self) -> int:
        """Elements of the image between two columns."""
        return self.image.address.coefficient(self.columns[0][0])

    @property
    def first(self) -> int:
        """Where the leftmost element that a tile reads lies, relative to the first column."""
        return sum(min(0, self._along(v) * (n - 1)) for v, n in self.close)

    @property
    def span(self) -> int:
        """Elements of one row of the image that a tile reads."""
        ends = [(self._along(v), n) for v, n in (*self.close, *self.columns)]
        return sum(abs(k) * (n - 1) for k, n in ends) + 1

    def _along(self, loop: str) -> int:
        return self.image.address.coefficient(loop)

    @property
    def terms(self) -> int:
        """Terms of the sum for each product of the transform."""
        return prod(n for _, n in (*self.far, *self.close))

    @property
    def lane_blocks(self) -> int:
        """Vectors of outputs at one place."""
        return prod(n for _, n in self.blocks)

    @property
    def row_tiles(self) -> int:
        """Tiles below each other; the last loop of the rows counts them."""
        return prod(self.extents[v] for v, _ in self.tile) // self.m

    @property
    def inner(self) -> int:
        """Columns in one step of their outermost loop."""
        return self.width // self.columns[-1][1]

    @property
    def block(self) -> int:
        """Steps of the outermost loop of columns whose products are in local memory."""
        n = self.columns[-1][1]
        steps = (k for k in range(1, n + 1) if n % k == 0 and k * self.inner <= COLUMNS)
        return max(steps, default=1)

    @property
    def local(self) -> tuple[int, int, int]:
        """Transformed weights (vectors), the transformed image (elements), products (vectors)."""
        n, width = self.transform.n, self.inner * self.block
        image = n * prod(k for _, k in self.far) * self.span
        return n * self.terms * self.lane_blocks, image, n * width

    @property
    def elements(self) -> int:
        """Of all of them."""
        weights, image, products = self.local
        return LANES * (weights + products) + image

    @property
    def cost(self) -> float:
        """Instructions for each vector of outputs, by the model."""
        t, (weights, _, _) = self.transform, self.local
        image = (operations(transposed(t.B)) + 2 * t.n) / self.m * prod(n for _, n in self.far)
        outputs = self.extents[self.tile[-1][0]] // self.tile[-1][1] * self.m * self.width
        return (
            self.terms * t.n / self.m
            + (operations(transposed(t.A)) + 2 * t.n) / self.m
            + image * self.span / self.width / self.lane_blocks / LANES
            + weights / t.n * (operations(t.G) + 2 * t.n) / outputs / self.lane_blocks
        )

    @property
    def pays(self) -> bool:
        """Whether enough instructions are saved, on what stays in the nearest cache."""
        weights, image, products = self.local
        near = LANES * (weights // self.lane_blocks + products) + image
        return near <= NEAR and self.terms * self.tap[1] >= LEAST_GAIN * self.cost


def line_of(phase: Phase, tap: Loop, most: int) -> Line | None:
    """The phase in tiles of at most so many rows; None where its addresses are no rows."""
    p = phase.problem
    if p.reduced or len(p.sums) != 1 or tap not in p.sums[0].loops:
        return None
    (s,) = p.sums
    found = [x for x in s.reads if not x.vector], [x for x in s.reads if x.vector]
    if [len(x) for x in found] != [1, 1]:
        return None
    (image,), (weights,) = found
    along, row = image.address.coefficient, abs(image.address.coefficient(tap[0]))
    if s.term != sp.Mul(*(sp.Symbol(f"r{x.index}", real=True) for x in s.reads)) or not row:
        return None
    rest = tuple(x for x in s.loops if x != tap)
    far = tuple(x for x in rest if abs(along(x[0])) >= row)
    close = tuple(x for x in rest if abs(along(x[0])) < row)
    loops = tuple(x for x in p.loops if x[1] > 1)
    near = [x for x in loops if 0 < along(x[0]) < row]
    rows = _digits(loops, image, row)
    columns = _digits(loops, image, min((along(v) for v, _ in near), default=row))
    tile = _rows(rows, p.points, most)
    if tile is None or set(columns) != set(near) or not columns:
        return None
    m = prod(n for _, n in tile)
    own = {v for v, _ in (*rows, *columns)}
    others = [x for x in p.loops if x[0] not in own]
    line = Line(
        phase, m, transform_for(m, tap[1]), image, weights, tap, along(tap[0]), tile, columns, far,
        close, tuple(x for x in others if not along(x[0])), tuple(x for x in others if along(x[0])),
    )  # fmt: skip
    whole = all(v in own for v, _ in loops if v in p.points) and all(
        v not in p.points for v in _outer(line)
    )
    apart = not any(weights.address.coefficient(v) for v in own)
    right = all(along(v) > 0 for v, _ in (*far, *line.grid)) and line.span >= HALF
    short = prod(n for _, n in close) <= UNROLLED and line.terms <= PART
    return line if whole and apart and right and short else None


def _outer(line: Line) -> tuple[str, str]:
    """The loops of tiles: whole windows lie within."""
    return line.tile[-1][0], line.columns[-1][0]


def _digits(loops: tuple[Loop, ...], image: Read, unit: int) -> tuple[Loop, ...]:
    """Output loops that count multiples of `unit` in the image, one after the other, the nearest
    first."""
    found: list[Loop] = []
    while True:
        step = unit * prod(n for _, n in found)
        more = [x for x in loops if image.address.coefficient(x[0]) == step and x not in found]
        if len(more) != 1:
            return tuple(found)
        found.append(more[0])


def _rows(rows: tuple[Loop, ...], points: tuple[str, ...], most: int) -> tuple[Loop, ...] | None:
    """The loops of the rows, with the most steps for a tile of at least two and at most so many
    rows: those of a window whole, a divisor of the last one's."""
    if not rows:
        return None
    *inner, (v, n) = rows
    whole = prod(k for _, k in inner)
    fitting = [k for k in range(1, n + 1) if n % k == 0 and 2 <= k * whole <= most]
    return (*inner, (v, max(fitting))) if fitting else None
