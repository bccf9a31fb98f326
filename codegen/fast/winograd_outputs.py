"""What is done with an output of a Winograd tile: the nest's value, then an epilogue.

An epilogue is a sequence of pointwise nests that read the element just computed. Their loops are
renamed to those of the target by the subscripts of that read.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from gradproof.codegen.fast.affine import Affine
from gradproof.codegen.fast.inline import with_loops_of
from gradproof.codegen.fast.nest import Access, Nest
from gradproof.codegen.fast.transforms import Index
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


@dataclass
class Outputs:
    """The text of the output stage: results in order, and the tensors that it touches."""

    tiling: Tiling
    results: list[tuple[Nest, bool]] = field(default_factory=list)  # nest, whether it is stored
    places: dict[Access, Affine] = field(default_factory=dict)
    written: dict[str, bool] = field(default_factory=dict)

    @property
    def tensors(self) -> tuple[tuple[str, bool], ...]:
        """Name and whether it is written, in the order of the arguments."""
        return tuple(self.written.items())

    @property
    def scalars(self) -> tuple[tuple[str, str], ...]:
        """The scalars of all results."""
        return tuple(dict.fromkeys(s for n, _ in self.results for s in n.scalars))

    @property
    def arguments(self) -> list[str]:
        """Their declarations."""
        found = []
        for k, (_, written) in enumerate(self.tensors):
            found.append(f"__global {'' if written else 'const '}REAL *restrict g_{k}")
        return found + [declared(scalar) for scalar in self.scalars]

    @property
    def pointers(self) -> list[str]:
        """One pointer per access, set for a tile and an output block."""
        lines = []
        for k, (a, place) in enumerate(self.places.items()):
            tensor = list(self.written).index(a.tensor)
            const = "" if self.written[a.tensor] else "const "
            base, _ = self._stepped(place)
            lines.append(f"__global {const}REAL *at_{k} = g_{tensor} + {base};")
        return lines

    def _stepped(self, place: Affine) -> tuple[str, Affine]:
        return stepped(place, "step", "lane_i", len(self.tiling.products))

    def element(self, index: Index, name: str) -> list[str]:
        """One output, of which the sum is called `name`: computed, and stored where it is inside
        the target."""
        lines: list[str] = []
        known: dict[str, str] = {}
        for k, (n, stored) in enumerate(self.results):
            label = f"{name}_{k}"
            names = {_SUM: name} | scalar_names(n)
            vectors = {_SUM}
            for r in n.used(n.value):
                a = n.reads[r]
                names[f"r{r}"] = known.get(a.tensor, f"{label}_{r}")
                if a.tensor not in known:
                    lines.append(f"const REALV {label}_{r} = {self._load(a, index)};")
                vectors.add(f"r{r}")
            value = value_text(n.value, names, frozenset(vectors))
            lines.append(f"const REALV {label} = {value};")
            known[n.out.tensor] = label
            if stored:
                pointer, at = self._at(n.out, index)
                lines.append(f"STORED({pointer}, {at}) = {label};")
        inside = self._inside(index)
        return [f"if ({inside}) {{", *(f"    {x}" for x in lines), "}"] if inside else lines

    def _at(self, a: Access, index: Index) -> tuple[str, int]:
        """The pointer and the constant offset of an element."""
        _, steps = self._stepped(self.places[a])
        return f"at_{list(self.places).index(a)}", offset(steps, "step", index)

    def _load(self, a: Access, index: Index) -> str:
        pointer, at = self._at(a, index)
        return loaded(pointer, self.places[a], at, "lane_i")

    def _inside(self, index: Index) -> str:
        """The condition for an output of a tile that may be ragged."""
        t = self.tiling
        return " && ".join(
            f"{t.m} * tile{k} + {i} < {a.extent}"
            for k, (a, i) in enumerate(zip(t.pattern.axes, index, strict=True))
            if 0 < a.extent % t.m <= i
        )


def outputs(t: Tiling, epilogue: Iterable[Nest], store: bool) -> Outputs | None:
    """The output stage; None where an epilogue's nest is not pointwise over the target, where an
    address is not affine, or where a result's lanes do not lie together."""
    found = Outputs(t, [(t.nest, store)])
    for n in epilogue:
        same = [m for k, _ in found.results if (m := with_loops_of(n, k)) is not None]
        if n.reductions or not same:
            return None
        found.results.append((same[0], True))
    made = {n.out.tensor: n.out.subscripts for n, _ in found.results}
    if len(made) != len(found.results):
        return None
    for n, stored in found.results:
        symbols = {str(s) for s in n.value.free_symbols}
        if symbols & set(n.extents):
            return None  # the value depends on where the element is
        reads = [n.reads[r] for r in n.used(n.value)]
        if any(made.get(a.tensor, a.subscripts) != a.subscripts for a in reads):
            return None
        outside = [a for a in reads if a.tensor not in made]
        if any(a.outside != "never" for a in outside):
            return None
        for a, written in [(n.out, True)] * stored + [(a, False) for a in outside]:
            place = t.place(a)
            if place is None or (written and vector_kind(place, "lane_i") != "vector"):
                return None
            found.places[a] = place
            found.written[a.tensor] = written
    return found
