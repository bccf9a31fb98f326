"""What is done with an output of a Winograd tile: the nest's value, then an epilogue.

An epilogue is a sequence of pointwise nests that read the element just computed. Their loops are
renamed to those of the target by the subscripts of that read. Terms of sums over the target
(`tile_sums`) are such nests, too; they are added up over the tiles of a work-group. What depends
on the channels only is loaded and computed before a work-group's tiles.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

import sympy as sp

from gradproof.codegen.fast.affine import Affine
from gradproof.codegen.fast.inline import with_loops_of
from gradproof.codegen.fast.invariants import hoisted
from gradproof.codegen.fast.nest import Access, Nest
from gradproof.codegen.fast.tile_sums import Row, TileSums
from gradproof.codegen.fast.transforms import Index, loop
from gradproof.codegen.fast.values import value_text
from gradproof.codegen.fast.winograd_tiles import (
    Tiling,
    declared,
    loaded,
    offset,
    scalar_names,
    stepped,
    vector_kind,
)

_SUM = "a0"  # the nest's name of its sum
_CHANNELS = frozenset({"lane", "lane_i"})


@dataclass(frozen=True)
class Result:
    """A nest over the target's elements: stored, added up, or only used by others."""

    nest: Nest
    stored: bool
    row: Row | None = None


@dataclass
class Outputs:
    """The text of the output stage: results in order, and the tensors that it touches."""

    tiling: Tiling
    sums: TileSums
    results: list[Result] = field(default_factory=list)
    places: dict[Access, Affine] = field(default_factory=dict)
    written: dict[str, bool] = field(default_factory=dict)
    values: list[sp.Expr] = field(default_factory=list)  # of results, in v0, v1, ... and y0, ...
    temporaries: dict[sp.Expr, sp.Symbol] = field(default_factory=dict)
    waiting: dict[int, list[str]] = field(default_factory=dict)  # rows: terms not yet added

    @property
    def tensors(self) -> tuple[tuple[str, bool], ...]:
        """Name and whether it is written, in the order of the arguments."""
        return tuple(self.written.items())

    @property
    def scalars(self) -> tuple[tuple[str, str], ...]:
        """The scalars of all results."""
        return tuple(dict.fromkeys(s for x in self.results for s in x.nest.scalars))

    @property
    def arguments(self) -> list[str]:
        """Their declarations."""
        found = []
        for k, (_, written) in enumerate(self.tensors):
            found.append(f"__global {'' if written else 'const '}REAL *restrict g_{k}")
        if self.sums.terms:
            found.append("__global REALV *restrict shares")
        return found + [declared(scalar) for scalar in self.scalars]

    def _pointer(self, k: int, a: Access, place: Affine) -> str:
        tensor = list(self.written).index(a.tensor)
        const = "" if self.written[a.tensor] else "const "
        base, _ = self._stepped(place)
        return f"__global {const}REAL *at_{k} = g_{tensor} + {base};"

    @property
    def pointers(self) -> list[str]:
        """One pointer per access, set for a tile and an output block."""
        return [self._pointer(k, a, place) for k, a, place in self.moving]

    def _stepped(self, place: Affine) -> tuple[str, Affine]:
        return stepped(place, "step", "lane_i", len(self.tiling.products))

    def _fixed(self, place: Affine) -> bool:
        """Whether an access is the same for all tiles."""
        return place.loops <= _CHANNELS

    # -- values -------------------------------------------------------------------------------
    def resolve(self) -> None:
        """The values of all results over what is loaded, y0, ..., and computed before, v0, ..."""
        made: dict[str, str] = {}
        fixed = {f"y{k}" for k, place in enumerate(self.places.values()) if self._fixed(place)}
        fixed |= {name for name, _ in self.scalars}
        for k, x in enumerate(self.results):
            symbols: dict[sp.Basic, sp.Basic] = {}
            for r in x.nest.used(x.nest.value):
                a = x.nest.reads[r]
                name = made.get(a.tensor) or f"y{list(self.places).index(a)}"
                symbols[sp.Symbol(f"r{r}", real=True)] = sp.Symbol(name, real=True)
            value = x.nest.value.xreplace(symbols)
            self.values.append(hoisted(value, fixed, self.temporaries))
            made[x.nest.out.tensor] = f"v{k}"

    @property
    def _scalar_names(self) -> dict[str, str]:
        return {k: v for x in self.results for k, v in scalar_names(x.nest).items()}

    @property
    def before(self) -> list[str]:
        """What is the same for all tiles of a block of channels, and the sums' beginnings."""
        lines = []
        vectors = set()
        for k, (a, place) in enumerate(self.places.items()):
            if self._fixed(place) and not self.written[a.tensor]:
                vectors.add(f"y{k}")
                lines.append(self._pointer(k, a, place))
                lines.append(f"const REALV y{k} = {loaded(f'at_{k}', place, Affine(), 'lane_i')};")
        for e, name in self.temporaries.items():
            if vectors & {str(s) for s in e.free_symbols}:
                text = value_text(e, self._scalar_names, frozenset(vectors))
            else:
                text = f"(REALV)({value_text(e, self._scalar_names, frozenset())})"
            lines.append(f"const REALV {name} = {text};")
        for row in self.sums.rows:
            for k in range(3 if row.moments else 1):
                lines.append(f"REALV row_{row.first + k} = 0;")
        return [*lines, "int count_ = 0;"] if self.sums.pairs else lines

    @property
    def after(self) -> list[str]:
        """The shares of a work-group, stored."""
        s = self.sums
        last = s.height - 1
        names = [f"row_{k}" for k in range(s.height)]
        if s.pairs:
            names[last] = "(REALV)((REAL)count_)"
        place = f"get_group_id(0) * {s.height}"
        return [
            f"shares[({place} + {k}) * {s.blocks} + lane] = {name};"
            for k, name in enumerate(names if s.terms else [])
        ]

    @property
    def soon(self) -> list[str]:
        """What the outputs of a tile read and write, on its way to the cache before the products:
        loads in the order of tiles are no stream that a processor foresees."""
        rows = [f"row{k}" for k in range(len(self.tiling.products) - 1)]
        at = tuple(Affine.of(v) for v in rows)
        lines = [
            f"{'SOON_STORED' if self.written[a.tensor] else 'SOON'}(at_{k} + {place});"
            for k, a, place in self.moving
            for place in (
                offset(self._stepped(place)[1], "step", (*at, Affine(i)))
                for i in range(self.tiling.positions[-1])
            )
        ]
        for v, n in reversed(list(zip(rows, self.tiling.positions, strict=False))):
            lines = loop(v, str(n), lines)
        return lines

    @property
    def moving(self) -> list[tuple[int, Access, Affine]]:
        """Accesses that are others for every tile, with their numbers."""
        places = enumerate(self.places.items())
        return [(k, a, place) for k, (a, place) in places if not self._fixed(place)]

    @property
    def ends(self) -> dict[int, str]:
        """Where the outputs of a ragged tile end, on all axes but the last."""
        t = self.tiling
        return {
            k: f"min({n}, {a.extent} - {n} * tile{k})"
            for k, (a, n) in enumerate(zip(t.pattern.axes[:-1], t.positions, strict=False))
            if a.extent % n
        }

    def element(self, index: Index, name: str) -> list[str]:
        """One output, of which the sum is called `name`: computed, and stored where it is inside
        the target."""
        lines: list[str] = []
        names = {_SUM: name} | self._scalar_names
        vectors = {_SUM} | {str(s) for s in self.temporaries.values()}
        for k, a in enumerate(self.places):
            if self._fixed(self.places[a]):
                vectors.add(f"y{k}")
        for k, (x, value) in enumerate(zip(self.results, self.values, strict=True)):
            for y in sorted({str(s) for s in value.free_symbols} - vectors - set(names)):
                a = list(self.places)[int(y[1:])]
                names[y] = f"{name}_{y}"
                vectors.add(y)
                lines.append(f"const REALV {names[y]} = {self._load(a, index)};")
            label = names[f"v{k}"] = f"{name}_{k}"
            text = value_text(value, names, frozenset(vectors))
            if not vectors & {str(s) for s in value.free_symbols}:
                text = f"(REALV)({text})"
            lines.append(f"const REALV {label} = {text};")
            vectors.add(f"v{k}")
            if x.stored:
                pointer, at = self._at(x.nest.out, index)
                lines.append(f"STORED({pointer}, {at}) = {label};")
            if x.row is not None:
                lines += self._term(x.row, label, index)
        if self.sums.pairs:
            lines.append("count_++;")
        inside = self._inside(index)
        if inside:
            return [f"if ({inside}) {{", *(f"    {x}" for x in lines + self._added()), "}"]
        last = index[-1] == Affine(self.tiling.positions[-1] - 1)
        ragged = self.tiling.pattern.axes[-1].extent % self.tiling.positions[-1]
        return lines + self._added() if last or ragged else lines

    def _term(self, row: Row, label: str, index: Index) -> list[str]:
        """A term of a sum; of moments, relative to the first value of the work-group."""
        k = row.first
        if not row.moments:
            self.waiting.setdefault(k, []).append(label)
            return []
        apart = f"{label}_d"
        self.waiting.setdefault(k + 1, []).append(apart)
        self.waiting.setdefault(k + 2, []).append(f"{apart} * {apart}")
        first = " && ".join(f"{v} == 0" for v in ["t", *map(str, index[:-1])])
        lines = [f"if ({first}) row_{k} = {label};"] if index[-1] == Affine() else []
        return [*lines, f"const REALV {apart} = {label} - row_{k};"]

    def _added(self) -> list[str]:
        """The terms of a line of outputs, added to their sums: one by one, each addition would wait
        for the one before."""
        lines = [f"row_{k} += {' + '.join(terms)};" for k, terms in self.waiting.items()]
        self.waiting.clear()
        return lines

    def _at(self, a: Access, index: Index) -> tuple[str, Affine]:
        """The pointer and the offset of an element."""
        _, steps = self._stepped(self.places[a])
        return f"at_{list(self.places).index(a)}", offset(steps, "step", index)

    def _load(self, a: Access, index: Index) -> str:
        pointer, at = self._at(a, index)
        return loaded(pointer, self.places[a], at, "lane_i")

    def _inside(self, index: Index) -> str:
        """The condition for an output of a tile that may be ragged on the last axis."""
        t, i, last = self.tiling, index[-1].const, len(index) - 1
        n, extent = t.positions[-1], t.pattern.axes[-1].extent
        return f"{n} * tile{last} + {i} < {extent}" if 0 < extent % n <= i else ""


def outputs(
    t: Tiling, epilogue: Iterable[Nest], store: bool, sums: TileSums | None = None
) -> Outputs | None:
    """The output stage; None where an epilogue's nest is not pointwise over the target, where an
    address is not affine, or where a result's lanes do not lie together."""
    sums = sums or TileSums(0)
    found = Outputs(t, sums, [Result(t.nest, store)])
    for n in (*epilogue, *sums.terms):
        same = [m for x in found.results if (m := with_loops_of(n, x.nest)) is not None]
        if n.reductions or not same:
            return None
        row = sums.row(n.out.tensor)
        found.results.append(Result(same[0], row is None, row))
    if not _computable(found) or not _placed(found):
        return None
    found.resolve()
    return found


def _computable(found: Outputs) -> bool:
    """Whether each result is a function of what is loaded or known at its own place."""
    made = {x.nest.out.tensor: x.nest.out.subscripts for x in found.results}
    if len(made) != len(found.results):
        return False
    for x in found.results:
        n = x.nest
        reads = [n.reads[r] for r in n.used(n.value)]
        if {str(s) for s in n.value.free_symbols} & set(n.extents):
            return False  # the value depends on where the element is
        if any(made.get(a.tensor, a.subscripts) != a.subscripts for a in reads):
            return False
        if any(a.outside != "never" and a.tensor not in made for a in reads):
            return False
    return True


def _placed(found: Outputs) -> bool:
    """Whether all that is read has a place, what is written one vector of channels, and what is
    added up the channels of the data."""
    t, made = found.tiling, {x.nest.out.tensor for x in found.results}
    for x in found.results:
        n = x.nest
        outside = [a for r in n.used(n.value) if (a := n.reads[r]).tensor not in made]
        for a, written in [(n.out, True)] * x.stored + [(a, False) for a in outside]:
            place = t.place(a)
            if place is None or (written and vector_kind(place, "lane_i") != "vector"):
                return False
            found.places[a] = place
            found.written[a.tensor] = written
        if x.row is not None and n.out.subscripts != (Affine.of(t.pattern.lane),):
            return False
    return True
