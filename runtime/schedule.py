"""Which form of a kernel runs: the reference, its phase-split form, or the tiled one, with tiles.

The choice looks at sizes and at the device only. All forms compute the same equation; where the
arithmetic is exact they give equal results, elsewhere the tiled one differs by the order of
summation.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from itertools import product
from typing import TYPE_CHECKING

import numpy as np

from gradproof.runtime.binding import LARGEST, Binding
from gradproof.runtime.errors import GradproofError
from gradproof.runtime.limits import room
from gradproof.runtime.manifest import KernelSpec, TiledSpec
from gradproof.runtime.sizes import size_expression

if TYPE_CHECKING:
    from gradproof.runtime.device import Device

log = logging.getLogger(__name__)

REALS = {"float16": "float", "float32": "float", "float64": "double"}  # in which they compute
POLICIES = ("auto", "reference", "phases", "tiled")
SMALL = 2_000  # multiplications per image below which packing costs more than it saves
REGISTERS = 6  # vectors in a register tile; with more, compilers spill the tile to memory
BATCH_TILE = 4  # of a size that the kernel is not built for
CHAIN = 512  # terms of a partial sum: rounding errors grow with its length

_policy = "auto"
_choice: Choice | None = None


@dataclass(frozen=True)
class Choice:
    """Lanes of a vector, tiles by index, and terms of the outer sum to a partial sum, in place of
    those that the device suggests."""

    lanes: int
    tiles: tuple[tuple[str, int], ...]
    chunk: int


@dataclass(frozen=True, eq=False)
class Plan:
    """A tiled kernel with all its macros; `packs` pairs each packing kernel with its work-items."""

    spec: TiledSpec
    options: tuple[str, ...]
    work_items: int
    packs: tuple[tuple[KernelSpec, int], ...]


@contextmanager
def schedule(policy: str, choice: Choice | None = None) -> Iterator[None]:
    """Force a form inside the block: "reference", "phases" or "tiled" (wherever they apply, the
    reference form elsewhere), or "auto".

    choice: what a tiled form has. Errors: GradproofError for another name.

    >>> with schedule("reference"):
    ...     pass
    """
    global _choice, _policy
    if policy not in POLICIES:
        raise GradproofError(f"schedule: {policy!r}, expected one of {POLICIES}")
    before = _policy, _choice
    _policy, _choice = policy, choice
    try:
        yield
    finally:
        _policy, _choice = before


def plan_tiles(binding: Binding, spec: KernelSpec, dtype: str, device: Device) -> Plan | None:
    """The plan of the tiled form, or None where the reference form runs: always in float16."""
    if spec.tiled is None or _policy in ("reference", "phases") or dtype == "float16":
        return None
    return _plan(binding, spec.tiled, dtype, device, _policy == "tiled", _choice)


def choose_phases(binding: Binding, spec: KernelSpec) -> KernelSpec:
    """The phase-split form of a kernel where there is one for these sizes, or the kernel."""
    if spec.phases is None or _policy not in ("auto", "phases"):
        return spec
    fits = all(binding.sizes[s] == v for s, v in spec.phases.when.items())
    return spec.phases.kernel if fits else spec


@lru_cache(maxsize=4096)
def _plan(
    binding: Binding,
    spec: TiledSpec,
    dtype: str,
    device: Device,
    forced: bool,
    choice: Choice | None,
) -> Plan | None:
    sizes = dict(binding.sizes)
    if any(sizes[s] != v for s, v in spec.when.items()):
        return None
    fixed = [i for i, n in spec.tiles.items() if n not in spec.dynamic]
    extents = {i: size_expression(n)(sizes) for i, n in spec.tiles.items()}
    lane = size_expression(spec.lane)(sizes)
    inner = [size_expression(t)(sizes) for t in spec.terms if t not in spec.dynamic]
    work = lane * math.prod(extents[i] for i in fixed) * math.prod(inner)
    if not forced and (device.info.kind != "cpu" or work < SMALL or lane < 4):
        return None
    lanes = choice.lanes if choice else _lanes(lane, dtype, device)
    sizes["LANES"] = lanes
    shapes = [[size_expression(n)(sizes) for n in shape] for shape in spec.tensors.values()]
    if any(math.prod(shape) > LARGEST for shape in shapes):
        return None
    largest = max(map(math.prod, shapes)) * np.dtype(dtype).itemsize
    if largest > device.info.max_alloc:
        log.info("%s: it would pack an operand into %s, but %s allows at most %s in one allocation;"
                 " the reference kernel runs instead", spec.kernel, room(largest),
                 device.info.name, room(device.info.max_alloc))  # fmt: skip
        return None
    tiles = _chosen(choice, extents) if choice else _tiles(extents, fixed)
    blocks = [n // tiles[i] for i, n in extents.items()]
    others = math.prod(size_expression(n)(sizes) for n in spec.others)
    items = -(-lane // lanes) * math.prod(blocks) * others
    packs = tuple((k, size_expression(k.work_items)(sizes)) for k in spec.packs)
    macros = {f"SIZE_{s}": str(v) for s, v in sizes.items()}
    macros |= {f"SIZE_{s}": f"sizes[{binding.operator.sizes.index(s)}]" for s in spec.dynamic}
    macros |= {f"TILE_{i}": str(t) for i, t in tiles.items()}
    below = [size_expression(t)(sizes) for t in spec.terms[1:] if t not in spec.dynamic]
    macros["CHUNK"] = str(choice.chunk if choice else max(1, CHAIN // math.prod(below)))
    return Plan(spec, _options(macros, lanes, dtype, device), items, packs)


def _lanes(extent: int, dtype: str, device: Device) -> int:
    """The native vector width, or less where the extent is small; a power of two from 2 to 16."""
    native = int(device.context.devices[0].native_vector_width_float or 4)
    widest = min(16, max(4, native)) // (1 if dtype == "float32" else 2)
    return max(2, min(widest, 1 << (extent - 1).bit_length()))


def _tiles(extents: Mapping[str, int], fixed: Sequence[str]) -> dict[str, int]:
    """The largest tile of at most REGISTERS vectors whose sides divide their extents.

    Among equals, the one that is longest in the last index, whose elements lie closest together.
    An index over a dynamic size is tiled only where there is no other, and always by the same
    number if that divides its extent, so that few kernels serve all its values.
    """
    ones = dict.fromkeys(extents, 1)
    if not fixed:
        return {i: BATCH_TILE if n % BATCH_TILE == 0 else 1 for i, n in extents.items()}
    sides = [[t for t in range(1, REGISTERS + 1) if extents[i] % t == 0] for i in fixed]
    fits = [t for t in product(*sides) if math.prod(t) <= REGISTERS]
    best = max(fits, key=lambda t: (math.prod(t), t[::-1]))
    return ones | dict(zip(fixed, best, strict=True))


def _chosen(choice: Choice, extents: Mapping[str, int]) -> dict[str, int]:
    tiles = dict(choice.tiles)
    for i, n in extents.items():
        if i not in tiles or n % tiles[i]:
            given = tiles.get(i, "nothing")
            raise GradproofError(f"schedule: a tile of {given} for {i}, expected a divisor of {n}")
    return tiles


def _options(macros: Mapping[str, str], lanes: int, dtype: str, device: Device) -> tuple[str, ...]:
    real = REALS[dtype]
    pocl = "Portable Computing Language" in device.info.platform
    unroll = "__attribute__((opencl_unroll_hint))" if pocl else ""
    given = {"REAL": real, "REALV": f"{real}{lanes}", "UNROLL": unroll, **macros}
    return (*constants(dtype), *(f"-D{name}={value}" for name, value in given.items()))


def constants(dtype: str) -> tuple[str, ...]:
    """The build option for numbers in a program's text: `(REAL)0.1` is a number in double, which a
    device may lack, before it is one in float. In double there is none.

    >>> constants("float32")
    ('-cl-single-precision-constant',)
    """
    return () if dtype == "float64" else ("-cl-single-precision-constant",)


def scalar_type(dtype: str) -> type[np.generic]:
    """The type of scalars beside tensors of a type: that in which kernels compute.

    >>> scalar_type("float16")
    <class 'numpy.float32'>
    """
    return np.float64 if dtype == "float64" else np.float32
