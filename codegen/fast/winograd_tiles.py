"""The tiles of a Winograd schedule: names of the loops, addresses, transforms into local memory."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from math import prod

from gradproof.codegen.fast.affine import Affine
from gradproof.codegen.fast.layout import Layout
from gradproof.codegen.fast.nest import Access, Nest
from gradproof.codegen.fast.program import LANES
from gradproof.codegen.fast.transforms import Index, separable
from gradproof.codegen.fast.winograd_pattern import Pattern
from gradproof.codegen.render import environment
from gradproof.derive.winograd import Matrix, Transform
from gradproof.derive.winograd_strided import Strided


@dataclass(frozen=True)
class Tiling:
    """A pattern cut into tiles of m, with the names that the kernels use for its loops:
    `at0`, ... (shared), `tile0`, ... and `step0`, ... (axes), `tap0`, ..., `near`, `lane` (blocks
    of channels) and `near_i`, `lane_i` (channels in a block)."""

    pattern: Pattern
    m: int
    transforms: tuple[Transform | Strided, ...]
    layouts: Mapping[str, Layout]

    @property
    def nest(self) -> Nest:
        """The nest whose loops these are."""
        return self.pattern.nest

    @cached_property
    def positions(self) -> tuple[int, ...]:
        """Of a tile, on each axis."""
        return tuple(a.step(self.m) for a in self.pattern.axes)

    @cached_property
    def extents(self) -> dict[str, int]:
        """The range of every name."""
        p, extents = self.pattern, self.nest.extents
        found = {f"at{k}": extents[v] for k, v in enumerate(p.shared)}
        for k, a in enumerate(p.axes):
            found |= {f"tile{k}": a.tiles(self.m), f"tap{k}": a.taps}
            found[f"step{k}"] = max(a.step(self.m), a.places(self.m))
        for name, loop in (("near", p.near), ("lane", p.lane)):
            found |= {name: extents[loop] // LANES, f"{name}_i": LANES}
        return found

    @property
    def tiles(self) -> int:
        """All tiles of all shared places."""
        return prod(n for name, n in self.extents.items() if name.startswith(("at", "tile")))

    @property
    def products(self) -> tuple[int, ...]:
        """Per axis: m + taps - 1 for a unit window."""
        return tuple(t.n for t in self.transforms)

    @cached_property
    def loops(self) -> dict[str, Affine]:
        """Every loop of the nest in these names; the window has its own way."""
        p = self.pattern
        found = {v: Affine.of(f"at{k}") for k, v in enumerate(p.shared)}
        for k, a in enumerate(p.axes):
            found[a.position] = Affine.of(f"tile{k}") * a.step(self.m) + Affine.of(f"step{k}")
            tap = Affine.of(f"tap{k}")
            found[a.tap] = Affine(a.taps - 1) - tap if a.flipped else tap
        for name, loop in (("near", p.near), ("lane", p.lane)):
            found[loop] = Affine.of(name) * LANES + Affine.of(f"{name}_i")
        return found

    def place(self, a: Access) -> Affine | None:
        """The address of an access to the data, to the weights or to what an epilogue reads."""
        subscripts = tuple(s.substitute(self.loops) for s in a.subscripts)
        return self.layouts[a.tensor].address(subscripts, self.extents)

    @cached_property
    def window(self) -> Affine | None:
        """The address in the window; None where a tile would leave the tensor and its border."""
        p, layout = self.pattern, self.layouts[self.pattern.window.tensor]
        places = {
            a.position: Affine.of(f"tile{k}") * (self.m * a.stride)
            + Affine.of(f"step{k}")
            + Affine(a.start)
            for k, a in enumerate(p.axes)
        }
        ends = self.extents | {f"step{k}": a.places(self.m) for k, a in enumerate(p.axes)}
        subscripts = []
        for d, s in enumerate(p.window.subscripts):
            along = [v for v in places if v in s.loops]
            place = places[along[0]] if along else s.substitute(self.loops)
            low, high = place.limits(ends)
            if low < -layout.low[d] or high >= layout.shape[d] + layout.high[d]:
                return None
            subscripts.append(place)
        return layout.address(tuple(subscripts), self.extents)

    @property
    def fits(self) -> bool:
        """Whether tiles can be loaded and stored on these layouts: whole vectors of channels."""
        data, weights = self.place(self.pattern.data), self.place(self.pattern.weights)
        vectors = ((self.window, "near_i"), (data, "lane_i"))
        return weights is not None and all(
            a is not None and vector_kind(a, lane) == "vector" for a, lane in vectors
        )

    def decode(self) -> list[str]:
        """The names of a tile's place from its number, `tile`."""
        lines: list[str] = []
        names = [v for v in self.extents if v.startswith("at")]
        names += [f"tile{k}" for k in range(len(self.products))]
        below = 1
        for k, name in reversed(list(enumerate(names))):
            quotient = "tile" if below == 1 else f"tile / {below}"
            n = self.extents[name]
            lines.append(f"const int {name} = {quotient}{f' % {n}' if k else ''};")
            below *= n
        return lines[::-1]

    @property
    def flops(self) -> int:
        """Operations of the sum, computed directly."""
        return 2 * self.pattern.terms


def vector_kind(address: Affine, lane: str) -> str:
    """How 16 lanes of an address lie: "vector", "same" (one value) or "apart"."""
    stride = address.coefficient(lane)
    rest = address.without({lane})
    aligned = not rest.const % LANES and not any(k % LANES for _, k in rest.terms)
    return "same" if stride == 0 else "vector" if stride == 1 and aligned else "apart"


def stepped(address: Affine, stem: str, lane: str, count: int) -> tuple[str, Affine]:
    """The address without its steps (and lanes), as text, and those steps."""
    steps = {f"{stem}{k}" for k in range(count)}
    return str(address.without(steps | {lane})), address.only(steps)


def offset(steps: Affine, stem: str, index: Index) -> Affine:
    """The steps' part of an address at one index."""
    return steps.substitute({f"{stem}{k}": i for k, i in enumerate(index)})


def flat(index: Index, extents: Sequence[int]) -> Affine:
    """The number of a product: row-major."""
    out = Affine()
    for i, n in zip(index, extents, strict=True):
        out = out * n + i
    return out


def loaded(pointer: str, address: Affine, at: Affine, lane: str) -> str:
    """A vector of lanes at `pointer + at`, however they lie."""
    kind, stride = vector_kind(address, lane), address.coefficient(lane)
    if kind == "vector":
        return f"VECTOR({pointer}, {at})"
    if kind == "same":
        return f"(REALV)({pointer}[{at}])"
    return f"(REALV)({', '.join(f'{pointer}[{at + Affine(k * stride)}]' for k in range(LANES))})"


def piece_type(pieces: int) -> str:
    """16 lanes in so many pieces: what the compiler holds in one register."""
    return f"JOIN(REAL, {LANES // pieces})"


def into_local(
    t: Tiling,
    address: Affine,
    lane: str,
    matrices: Sequence[Matrix],
    row: int,
    pieces: int,
    inside: Callable[[Index], str] = lambda index: "",
) -> tuple[str, list[str]]:
    """The address of a tile, and the text that loads, transforms and stores it in local memory;
    inside: the condition for a place, where there is one, that is otherwise 0."""
    base, steps = stepped(address, "step", lane, len(t.products))
    ctype = piece_type(pieces)

    def load(index: Index) -> str:
        vector = f"*(__global const {ctype} *)(from + {offset(steps, 'step', index)})"
        condition = inside(index)
        return f"{condition} ? {vector} : ({ctype})(0)" if condition else vector

    def keep(index: Index, name: str) -> list[str]:
        return [f"to[{flat(index, t.products) * (row * pieces)}] = {name};"]

    return base, separable(matrices, load, keep, "x", ctype)


def scalar_names(n: Nest) -> dict[str, str]:
    """What the scalars of a nest are called in a kernel."""
    return {name: f"scalar_{name}" for name, _ in n.scalars}


def declared(scalar: tuple[str, str]) -> str:
    """A scalar as an argument."""
    name, kind = scalar
    ctype = {"real": "REAL", "uint": "uint"}[kind]
    return f"const {ctype} scalar_{name}"


def render_part(part: str, **values: object) -> str:
    """One of this schedule's templates, filled in."""
    return environment().get_template(f"fast_winograd_{part}.cl.j2").render(**values)
