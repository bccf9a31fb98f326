"""What is done with an output of a Winograd tile: the nest's value, then an epilogue.

An epilogue is a sequence of pointwise nests that read the element just computed. Their loops are
renamed to those of the target by the subscripts of that read.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace

from gradproof.codegen.fast.affine import Affine
from gradproof.codegen.fast.nest import Access, Nest
from gradproof.codegen.fast.transforms import Index
from gradproof.codegen.fast.values import value_text
from gradproof.codegen.fast.winograd_tiles import Tiling, loaded, offset, stepped, vector_kind

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
        types = {"real": "REAL", "uint": "uint"}
        return found + [f"const {types[t]} {name}" for name, t in self.scalars]

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
        """One output: computed and stored where it is inside the target."""
        lines: list[str] = []
        known: dict[Access, str] = {}
        for k, (n, stored) in enumerate(self.results):
            names, vectors = self._names(n, name, known)
            label = f"{name}_{k}"
            value = value_text(n.value, names, vectors)
            lines.append(f"const REALV {label} = {value};")
            known[n.out] = label
            if stored:
                pointer, at = self._at(n.out, index)
                lines.append(f"STORED({pointer}, {at}) = {label};")
            for r, text in self._loads(n, index, known):
                lines.insert(len(lines) - 1 - stored, f"const REALV {r} = {text};")
        inside = self._inside(index)
        return [f"if ({inside}) {{", *(f"    {x}" for x in lines), "}"] if inside else lines
