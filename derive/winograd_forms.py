"""The correlation and its gradients by a transform F(m, r), in exact arithmetic.

Each form is a case of the identity that `winograd.identity` proves,

    Σ_p A[p][o] G[p][i] B[x][p] = [x = o + i].                                                (*)

The reference for the kernels, and the statement of which tile covers what.
"""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction

from gradproof.derive.errors import DefinitionError
from gradproof.derive.winograd import Matrix, Transform

Number = int | Fraction


# -- one tile ----------------------------------------------------------------------------------
def forward_tile(t: Transform, w: Sequence[Number], y: Sequence[Number]) -> list[Number]:
    """out = Aᵀ[(G w) ⊙ (Bᵀ y)]; w: r, y: n, out: m entries, out[o] = Σ_i w[i] y[o+i].

    The coefficient of w[i] y[x] in out[o] is the left side of (*).

    >>> from gradproof.derive.winograd import cook_toom
    >>> [int(v) for v in forward_tile(cook_toom(2, 3), [1, 10, 100], [1, 2, 3, 4])]
    [321, 432]
    """
    return _columns(t.A, _times(_rows(t.G, w, "w"), _columns(t.B, y, "y")))


def input_gradient_tile(t: Transform, w: Sequence[Number], g: Sequence[Number]) -> list[Number]:
    """dy = B[(G w) ⊙ (A g)]; w: r, g: m, dy: n entries, dy[x] = Σ_{o+i=x} w[i] g[o].

    The coefficient of w[i] g[o] in dy[x] is the left side of (*).

    >>> from gradproof.derive.winograd import cook_toom
    >>> [int(v) for v in input_gradient_tile(cook_toom(2, 3), [1, 10, 100], [1, 2])]
    [1, 12, 120, 200]
    """
    return _rows(t.B, _times(_rows(t.G, w, "w"), _rows(t.A, g, "g")))


def weight_gradient_tile(t: Transform, g: Sequence[Number], y: Sequence[Number]) -> list[Number]:
    """dw = Gᵀ[(A g) ⊙ (Bᵀ y)]; g: m, y: n, dw: r entries, dw[i] = Σ_o g[o] y[o+i].

    The coefficient of g[o] y[x] in dw[i] is the left side of (*).

    >>> from gradproof.derive.winograd import cook_toom
    >>> [int(v) for v in weight_gradient_tile(cook_toom(2, 3), [1, 10], [1, 2, 3, 4])]
    [21, 32, 43]
    """
    return _columns(t.G, _times(_rows(t.A, g, "g"), _columns(t.B, y, "y")))


def _dot(a: Sequence[Number], b: Sequence[Number]) -> Number:
    return sum((x * y for x, y in zip(a, b, strict=True)), start=Fraction(0))


def _times(a: Sequence[Number], b: Sequence[Number]) -> list[Number]:
    return [x * y for x, y in zip(a, b, strict=True)]


def _rows(matrix: Matrix, v: Sequence[Number], name: str = "product") -> list[Number]:
    """matrix · v."""
    if len(v) != len(matrix[0]):
        raise DefinitionError(f"{name} has {len(v)} entries; this tile takes {len(matrix[0])}")
    return [_dot(row, v) for row in matrix]


def _columns(matrix: Matrix, v: Sequence[Number], name: str = "product") -> list[Number]:
    """matrixᵀ · v."""
    return _rows(tuple(zip(*matrix, strict=True)), v, name)


# -- tiled signals -----------------------------------------------------------------------------
def tiles(extent: int, m: int) -> tuple[range, ...]:
    """The ⌈extent/m⌉ tiles of m outputs, the last one ragged.

    (j, q) -> o = m*j + q, 0 <= q < m, o < extent, is a bijection onto 0 <= o < extent; its inverse
    is o -> divmod(o, m). Each output belongs to one tile.

    >>> tiles(5, 2)
    (range(0, 2), range(2, 4), range(4, 5))
    """
    if extent < 0 or m < 1:
        raise DefinitionError(f"no tiles of {m} outputs cover {extent}")
    return tuple(range(o, min(o + m, extent)) for o in range(0, extent, m))


def forward(t: Transform, w: Sequence[Number], y: Sequence[Number]) -> list[Number]:
    """out[o] = Σ_i w[i] y[o+i] for a signal of any length >= r, tile by tile.

    Tile j reads y[m*j : m*j + n], zeros beyond the end: outputs o < extent do not meet them.

    >>> from gradproof.derive.winograd import cook_toom
    >>> [int(v) for v in forward(cook_toom(2, 2), [1, 10], [1, 2, 3, 4])]
    [21, 32, 43]
    """
    out: list[Number] = []
    for tile in tiles(len(y) - t.r + 1, t.m):
        out += forward_tile(t, w, _window(y, tile.start, t.n))[: len(tile)]
    return out


def input_gradient_padded(t: Transform, w: Sequence[Number], g: Sequence[Number]) -> list[Number]:
    """dy[x] = Σ_{o+i=x} w[i] g[o] as the forward form: the flipped filter over g with r - 1 zeros
    at both ends. With i' = r - 1 - i, g[x - i] is entry x + i' of the padded g.

    >>> from gradproof.derive.winograd import cook_toom
    >>> [int(v) for v in input_gradient_padded(cook_toom(2, 2), [1, 10], [1, 2, 3])]
    [1, 12, 23, 30]
    """
    padding = [0] * (t.r - 1)
    return forward(t, list(reversed(w)), [*padding, *g, *padding])


def input_gradient_overlapped(
    t: Transform, w: Sequence[Number], g: Sequence[Number]
) -> list[Number]:
    """dy[x] = Σ_{o+i=x} w[i] g[o], by `input_gradient_tile` on each tile of g; tiles overlap by
    r - 1 entries of dy, which add.

    >>> from gradproof.derive.winograd import cook_toom
    >>> [int(v) for v in input_gradient_overlapped(cook_toom(2, 2), [1, 10], [1, 2, 3])]
    [1, 12, 23, 30]
    """
    dy: list[Number] = [0] * (len(g) + t.r - 1)
    for tile in tiles(len(g), t.m):
        part = input_gradient_tile(t, w, _window(g, tile.start, t.m))
        for x in range(tile.start, min(tile.start + t.n, len(dy))):
            dy[x] += part[x - tile.start]
    return dy


def weight_gradient_swapped(t: Transform, g: Sequence[Number], y: Sequence[Number]) -> list[Number]:
    """dw[i] = Σ_o g[o] y[o+i] as the forward form of t = F(taps, tile): the roles of o and i are
    swapped, a tile of t.r entries of g is the filter, and dw are the t.m outputs. Tiles add.

    >>> from gradproof.derive.winograd import cook_toom
    >>> [int(v) for v in weight_gradient_swapped(cook_toom(2, 3), [1, 10, 100], [1, 2, 3, 4])]
    [321, 432]
    """
    _extent(len(g), len(y), t.m)
    dw: list[Number] = [0] * t.m
    for tile in tiles(len(g), t.r):
        part = forward_tile(t, _window(g, tile.start, t.r), _window(y, tile.start, t.n))
        dw = [a + b for a, b in zip(dw, part, strict=True)]
    return dw


def weight_gradient(t: Transform, g: Sequence[Number], y: Sequence[Number]) -> list[Number]:
    """dw[i] = Σ_o g[o] y[o+i], by `weight_gradient_tile` of t = F(tile, taps). Tiles add; beyond
    the end g is zero.

    >>> from gradproof.derive.winograd import cook_toom
    >>> [int(v) for v in weight_gradient(cook_toom(2, 2), [1, 10, 100], [1, 2, 3, 4])]
    [321, 432]
    """
    _extent(len(g), len(y), t.r)
    dw: list[Number] = [0] * t.r
    for tile in tiles(len(g), t.m):
        part = weight_gradient_tile(t, _window(g, tile.start, t.m), _window(y, tile.start, t.n))
        dw = [a + b for a, b in zip(dw, part, strict=True)]
    return dw


def _window(v: Sequence[Number], start: int, size: int) -> list[Number]:
    """v[start : start + size], zeros beyond the end."""
    part = list(v[start : start + size])
    return part + [0] * (size - len(part))


def _extent(outputs: int, positions: int, taps: int) -> None:
    if positions != outputs + taps - 1:
        raise DefinitionError(
            f"y has {positions} entries; {outputs} of g and {taps} taps need {outputs + taps - 1}"
        )
