"""Sums of products on a GPU: tiles of a matrix product in local memory, read off any nest.

Claimed: the kernels compute their nests exactly up to the order of the sums (tests compare integer
data with ==), write no border, and stay inside the memory. Not claimed: a speed; no GPU was there.

The image is never unrolled into a matrix in memory: a work-item computes, from the number of a row
(or column) and of a term, where its element lies. Where the target has too few tiles for a large
device and its sums are long, they are cut in pieces, which a second kernel adds up.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import sympy as sp

from gradproof.codegen.fast.contraction_layouts import border, products
from gradproof.codegen.fast.gpu_matrix import Matrix, digits, matrix
from gradproof.codegen.fast.gpu_operand import Bringing
from gradproof.codegen.fast.gpu_tiles import ITEMS, LOCAL, QUAD, Tile, tile_for
from gradproof.codegen.fast.gpu_vector import gpu_vector_kernels
from gradproof.codegen.fast.kernel import FastKernel
from gradproof.codegen.fast.layout import Layout
from gradproof.codegen.fast.nest import Loop, Nest
from gradproof.codegen.fast.strided import strided
from gradproof.codegen.fast.vector import Schedule
from gradproof.codegen.fast.vector_group import Group, grouped
from gradproof.codegen.render import environment

Kernels = tuple[FastKernel, ...]


def gpu_contraction_layouts(
    nests: tuple[Nest, ...], shapes: Mapping[str, tuple[int, ...]]
) -> dict[str, Layout] | None:
    """Row-major, with borders of zeros as wide as the reads reach; None for no sum of products.

    >>> from gradproof.derive.ops.linear import linear
    >>> from gradproof.codegen.fast.specialise import specialise
    >>> nests = specialise(linear, linear.equations[0], {"N": 8, "K": 8, "O": 32})
    >>> shapes = {"z": (8, 32), "Y": (8, 8), "w": (32, 8), "b": (32,)}
    >>> gpu_contraction_layouts(nests, shapes)["w"].axes
    ((0, 1, 32), (1, 1, 8))
    """
    if not products(nests):
        return None
    names = dict.fromkeys(a.tensor for n in nests for a in (n.out, *n.reads))
    return {t: Layout.row_major(shapes[t], *border(t, nests, shapes[t])) for t in names}


def gpu_contraction_kernels(
    name: str,
    nests: tuple[Nest, ...],
    layouts: Mapping[str, Layout],
    epilogue: tuple[Nest, ...] = (),
    store: bool = True,
    items: int = ITEMS,
    force: Tile | None = None,
    local: int = LOCAL,
) -> Kernels | None:
    """The phases of one sum of products, a kernel for each, and one more where sums are in pieces;
    None where no phase is a matrix product of some rows and columns, or no tile fits.

    epilogue: elementwise nests over the target, in order, each stored to its own target; store:
    whether the target itself is written; items, local: work-items that a group may have, and
    elements of its local memory; force: a tile.

    >>> from gradproof.derive.ops.linear import linear
    >>> from gradproof.codegen.fast.specialise import specialise
    >>> nests = specialise(linear, linear.equations[0], {"N": 8, "K": 8, "O": 32})
    >>> shapes = {"z": (8, 32), "Y": (8, 8), "w": (32, 8), "b": (32,)}
    >>> (k,) = gpu_contraction_kernels("k", nests, gpu_contraction_layouts(nests, shapes))
    >>> k.tensors, k.local
    ((('Y', False), ('w', False), ('b', False), ('z', True)), 256)
    """
    if not products(nests):
        return None
    made = [_scheduled(f"{name}{k}", n, layouts, epilogue) for k, n in enumerate(nests)]
    if not any(made):
        return None
    found: list[FastKernel] = []
    for k, (n, p) in enumerate(zip(nests, made, strict=True)):
        if p is None:
            named = f"{name}{k}"
            found += gpu_vector_kernels(named, (n, *epilogue), layouts, items=items, local=local)
            continue
        tile = force or tile_for(p.matrix.extents, items, local)
        if tile is None:
            return None
        found += p.kernels(tile, store or not epilogue)
    return tuple(found)


def _scheduled(
    name: str, n: Nest, layouts: Mapping[str, Layout], epilogue: tuple[Nest, ...]
) -> _Product | None:
    try:
        group = grouped(name, (n, *epilogue))
    except ValueError:
        return None
    s = strided(group.whole, layouts, masked=True)
    if s is None:
        return None
    p = _Product(name, group, s, layouts, frozenset())
    outs = [p.s.reads[x.place] for x in group.parts]
    found = matrix(p.s, p.w.loads, outs) if p.s.loops else None
    if found is None:
        return None
    p.matrix = found
    return p


@dataclass(frozen=True)
class _Text:
    """The arguments of a kernel as text, and as the host gives them."""

    arguments: list[str]
    tensors: tuple[tuple[str, bool], ...]


class _Product(Schedule):
    """One phase; what is stored goes through the writer of the vector schedule."""

    matrix: Matrix
    group: Group

    def _lane(self) -> None:
        return None

    # -- kernels ----------------------------------------------------------------------------------
    def kernels(self, tile: Tile, store: bool) -> Iterator[FastKernel]:
        """The product, and the sum of its pieces where there are any."""
        size = self.matrix.extents
        tall, wide = -(-size.rows // tile.rows), -(-size.columns // tile.columns)
        pieces = f"{self.name}_pieces"
        outputs = size.batches * size.rows * size.columns
        split = tile.pieces > 1
        stored = () if split else tuple(self._stored("sums_[i_][j_]", store))
        text = self._text(_factors(self.s.reductions[0].term), not split, store, pieces)
        length = -(-size.terms // tile.pieces)
        length = -(-length // tile.depth) * tile.depth
        bounded = size.terms % tile.depth > 0
        bring = [
            Bringing("row", self.matrix.rows, self.matrix.terms, tile.rows, tile.depth,
                     tile.items, bounded),
            Bringing("column", self.matrix.columns, self.matrix.terms, tile.columns, tile.depth,
                     tile.items, bounded),
        ]  # fmt: skip
        rendered = environment().get_template("fast_gpu_contraction.cl.j2").render(
            about=self._about(), name=self.name, arguments=text.arguments, tile=tile, size=size,
            tall=tall, wide=wide, length=length, pad=QUAD, quad=QUAD, bring=bring,
            batch=_declared("batch_", self.matrix.batches), stored=stored,
            pieces=pieces if split else "",
        )  # fmt: skip
        groups = tall * wide * size.batches * tile.pieces
        scratch = ((pieces, tile.pieces * outputs),) if split else ()
        flops = 2 * outputs * size.terms
        scalars = () if split else self.group.scalars
        yield FastKernel(self.name, rendered, text.tensors, groups, scalars, flops, scratch,
                         str(tile), tile.items)  # fmt: skip
        if split:
            yield self._summing(tile, store, pieces, outputs)

    def _summing(self, tile: Tile, store: bool, pieces: str, outputs: int) -> FastKernel:
        """One work-item for each element of the target adds up its pieces."""
        name = f"{self.name}_sum"
        text = self._text(frozenset(), True, store, pieces)
        rendered = environment().get_template("fast_gpu_pieces.cl.j2").render(
            about=self._about(), name=name, arguments=text.arguments, tile=tile,
            size=self.matrix.extents, outputs=outputs, pieces=pieces,
            batch=_declared("batch_", self.matrix.batches),
            stored=tuple(self._stored("sum_", store)),
        )  # fmt: skip
        groups = -(-outputs // tile.items)
        scratch = ((pieces, tile.pieces * outputs),)
        return FastKernel(name, rendered, text.tensors, groups, self.group.scalars,
                          tile.pieces * outputs, scratch, local=tile.items)  # fmt: skip

    # -- text -------------------------------------------------------------------------------------
    def _about(self) -> list[str]:
        return [f"{p.out} = {p.value}"[:96] for p in self.group.parts]

    def _stored(self, value: str, store: bool) -> Iterator[str]:
        """The statements behind a sum, for row `row_` and column `column_` of the batch."""
        w = self.w
        depth = w.here
        w.open("", frozenset(v for v, _ in self.s.loops))
        for line in _declared("row_", self.matrix.rows.loops):
            w.line(line)
        for line in _declared("column_", self.matrix.columns.loops):
            w.line(line)
        w.line(f"const REAL a0 = {value};")
        w.know("a0", False)
        for k, p in enumerate(self.group.parts):
            if k or store:
                self.store(k, p)
            else:
                w.line(f"const REAL target0 = {w.value(p.value)};")
                w.know("target0", False)
        w.close()
        assert w.here == depth
        outer, w.stack[-1].lines = w.stack[-1].lines, []
        yield from outer

    def _text(self, factors: frozenset[str], final: bool, store: bool, pieces: str) -> _Text:
        """factors: the reads that are multiplied here; final: whether the targets are stored."""
        values = [p.value for p in self.group.parts] if final else []
        used = factors | {str(x) for e in values for x in e.free_symbols}
        reads = self.group.whole.reads
        outs = [p.out.tensor for p in self.group.parts[0 if store else 1 :]] if final else []
        own = [a.tensor for k, a in enumerate(reads) if f"r{k}" in used and a.tensor not in outs]
        tensors = [(t, False) for t in dict.fromkeys(own)]
        tensors += [(t, True) for t in dict.fromkeys(outs)]
        arguments = [self._argument(t, w) for t, w in tensors]
        if final:
            arguments += [
                f"const {'uint' if t == 'uint' else 'REAL'} {n}" for n, t in self.group.scalars
            ]
        if not final or not factors:
            kind = "" if not final else "const "
            arguments.insert(len(tensors), f"__global {kind}REAL *restrict {pieces}")
            tensors.append((pieces, not final))
        return _Text(arguments, tuple(tensors))


def _factors(term: sp.Expr) -> frozenset[str]:
    return frozenset(str(f) for f in sp.Mul.make_args(term))


def _declared(index: str, loops: tuple[Loop, ...]) -> list[str]:
    """Loop variables out of a number that counts through them."""
    return [f"const int {v} = {text};" for v, text in digits(index, loops).items()]
