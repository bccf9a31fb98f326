"""The two families of schedules, one for CPUs and one for GPUs, behind the same five questions.

The derivation, the fusion, the placement and the memory are the same for both; what differs is how
a nest becomes a kernel, and the layouts that such kernels want.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from gradproof.codegen.fast.accuracy import ALLOWED, largest_line, largest_tile
from gradproof.codegen.fast.choices import Work, cpu_candidates, cpu_kernels
from gradproof.codegen.fast.contraction import contraction_kernels, contraction_layouts
from gradproof.codegen.fast.copying import on_best_copies
from gradproof.codegen.fast.fitting import Limits
from gradproof.codegen.fast.general import general_kernel
from gradproof.codegen.fast.gpu_contraction import gpu_contraction_kernels, gpu_contraction_layouts
from gradproof.codegen.fast.gpu_tiles import ITEMS, LOCAL
from gradproof.codegen.fast.gpu_vector import gpu_moments_kernels, gpu_vector_kernels
from gradproof.codegen.fast.kernel import FastKernel
from gradproof.codegen.fast.layout import Layout
from gradproof.codegen.fast.lines import line_kernels
from gradproof.codegen.fast.machine import MACHINES, Machine, machine_of
from gradproof.codegen.fast.moments import moments_kernel
from gradproof.codegen.fast.nest import Nest
from gradproof.codegen.fast.selection_kernels import selection_kernels
from gradproof.codegen.fast.selections import Chosen
from gradproof.codegen.fast.vector import vector_kernel
from gradproof.codegen.fast.vector_columns import column_kernels
from gradproof.codegen.fast.winograd import winograd_kernels, winograd_layouts
from gradproof.codegen.fast.winograd_rows import Rows, rows, rows_kernels, rows_layouts

Nests = tuple[Nest, ...]
Layouts = Mapping[str, Layout]
Kernels = tuple[FastKernel, ...]


class Schedules(Protocol):
    """How nests become kernels. `vectors`: whether their text has vectors of 16 lanes."""

    @property
    def vectors(self) -> bool:
        """Whether the program needs the macros for lanes."""

    @property
    def limits(self) -> Limits:
        """What a work-group may have."""

    @property
    def sums(self) -> bool:
        """Whether a sum of products takes sums over its elements with it."""

    def layouts(
        self,
        nests: Nests,
        shapes: Mapping[str, tuple[int, ...]],
        prefer: Mapping[str, int],
    ) -> dict[str, Layout] | None:
        """What a sum of products asks for; None where it does not mind. prefer: dimensions along
        which others block some of the tensors."""

    def working(self, nests: Nests, home: Layouts, asked: Layouts) -> dict[str, Layout]:
        """Where a sum of products works: on its operands at home, or on copies of some of them in
        the layouts that it asks for, where these are likely to pay."""

    def windows(self, nests: Nests, shapes: Mapping[str, tuple[int, ...]]) -> bool:
        """Whether the kernel of a sum of products may reduce windows of its results."""

    def contraction(
        self,
        name: str,
        nests: Nests,
        layouts: Layouts,
        also: Nests,
        store: bool,
        force: str | None = None,
    ) -> Kernels | None:
        """The kernels of a sum of products; None where these layouts do not allow any.

        force: one of the `candidates`. Errors: ValueError where it is none for these nests."""

    def selected(self, name: str, c: Chosen, layouts: Layouts) -> Kernels | None:
        """The kernels of a sum over windows at the places that they select; None where there are
        none, or where the sum over all elements is likely to be as fast."""

    def candidates(self, work: Work) -> tuple[str, ...]:
        """Choices that a tuner may measure and force; see `choices`."""

    def vector(
        self, name: str, nests: Sequence[Nest], layouts: Layouts, whole: frozenset[str]
    ) -> Kernels:
        """The kernels of any nests over the same loops."""

    def moments(self, name: str, mean: Nest, var: Nest, layouts: Layouts) -> Kernels | None:
        """Mean and variance together; None where they are none."""


@dataclass(frozen=True)
class CpuSchedules:
    """Vectors of 16 lanes, one work-item in a group."""

    precision: str
    machine: Machine
    vectors: bool = True
    sums: bool = True

    @property
    def limits(self) -> Limits:
        """One work-item."""
        return Limits(1, self.machine.local)

    def layouts(
        self,
        nests: Nests,
        shapes: Mapping[str, tuple[int, ...]],
        prefer: Mapping[str, int],
    ) -> dict[str, Layout] | None:
        """Those of fused Winograd, on both axes or on one, else of the direct schedule."""
        if r := self._rows(nests):
            return rows_layouts(r, shapes)
        m = self._tile(nests)
        found = winograd_layouts(nests, shapes, m) if m else None
        return found or contraction_layouts(nests, shapes, prefer=prefer)

    def working(self, nests: Nests, home: Layouts, asked: Layouts) -> dict[str, Layout]:
        """By the model of the direct schedule; fused Winograd runs wherever it can, on rows with a
        copy of the window where that is needed."""
        if self._tile(nests):
            return dict(home)
        if r := self._rows(nests):
            window = r.pattern.window.tensor
            served = rows_kernels("rows", r, home) is not None
            return dict(home) if served else dict(home) | {window: asked[window]}
        return on_best_copies(nests, home, asked, self.machine)

    def windows(self, nests: Nests, shapes: Mapping[str, tuple[int, ...]]) -> bool:
        """In the direct schedule."""
        m = self._tile(nests)
        return self._rows(nests) is None and (not m or winograd_layouts(nests, shapes, m) is None)

    def contraction(
        self,
        name: str,
        nests: Nests,
        layouts: Layouts,
        also: Nests,
        store: bool,
        force: str | None = None,
    ) -> Kernels | None:
        """What is forced, else fused Winograd, on all axes or on the rows of a strided window, else
        the schedule by lines where it is likely to pay, else the direct one."""
        machine = self.machine
        if force is not None:
            work = Work(nests, layouts, also, store)
            most, lines = self._tile(nests), self._line(nests)
            return cpu_kernels(name, work, force, most, machine, lines)
        if m := self._tile(nests):
            found = winograd_kernels(name, nests, layouts, m, also, store, machine=machine)
            if found is not None:
                return found
        if r := self._rows(nests):
            found = rows_kernels(name, r, layouts, also, store, machine)
            if found is not None:
                return found
        if m := self._line(nests):
            found = line_kernels(name, nests[0], layouts, m, also, store, machine)
            if found is not None:
                return found
        return contraction_kernels(name, nests, layouts, also, store, machine=machine)

    def selected(self, name: str, c: Chosen, layouts: Layouts) -> Kernels | None:
        """Few channels, whose sums stay in registers; where fused Winograd can, it runs."""
        shapes = {t: layout.shape for t, layout in layouts.items()}
        if not self.windows((c.target,), shapes):
            return None
        return selection_kernels(name, c, layouts, self.machine)

    def candidates(self, work: Work) -> tuple[str, ...]:
        """Both sizes of a Winograd tile, of one by lines, and tiles of the direct schedule."""
        most, lines = self._tile(work.nests), self._line(work.nests)
        return cpu_candidates(work, most, self.machine, lines)

    def vector(
        self, name: str, nests: Sequence[Nest], layouts: Layouts, whole: frozenset[str]
    ) -> Kernels:
        """The vector schedule, by columns where that is better, or the general one where the
        layouts do not fit each other."""
        try:
            columns = column_kernels(name, nests, layouts, whole)
            return columns or (vector_kernel(name, nests, layouts, whole),)
        except ValueError:
            return (general_kernel(name, nests, layouts, whole),)

    def moments(self, name: str, mean: Nest, var: Nest, layouts: Layouts) -> Kernels | None:
        """In one pass over memory."""
        one = moments_kernel(name, mean, var, layouts)
        return None if one is None else (one,)

    def _rows(self, nests: Nests) -> Rows | None:
        """Tiles of whole rows, where a window has few channels."""
        return rows(nests[0], ALLOWED[self.precision]) if len(nests) == 1 else None

    def _tile(self, nests: Nests) -> int:
        """Outputs per axis of a Winograd tile, 0 where the nest has no such windows."""
        return largest_tile(nests, self.precision)

    def _line(self, nests: Nests) -> int:
        """Rows of a tile of the schedule by lines, likewise."""
        return largest_line(nests[0], self.precision) if len(nests) == 1 else 0


@dataclass(frozen=True)
class GpuSchedules:
    """Scalar code, row-major layouts, `items` work-items in a group, which may have `local`
    elements of local memory."""

    items: int = ITEMS
    local: int = LOCAL
    vectors: bool = False
    sums: bool = False

    @property
    def limits(self) -> Limits:
        """Those of the device, where they are lower than what is needed at most."""
        return Limits(self.items, self.local)

    def layouts(
        self,
        nests: Nests,
        shapes: Mapping[str, tuple[int, ...]],
        prefer: Mapping[str, int],
    ) -> dict[str, Layout] | None:
        """Row-major with borders."""
        return gpu_contraction_layouts(nests, shapes)

    def working(self, nests: Nests, home: Layouts, asked: Layouts) -> dict[str, Layout]:
        """At home: where a border is missing, tests cost less than a copy."""
        return dict(home)

    def windows(self, nests: Nests, shapes: Mapping[str, tuple[int, ...]]) -> bool:
        """Tiles in local memory know nothing of windows."""
        return False

    def contraction(
        self,
        name: str,
        nests: Nests,
        layouts: Layouts,
        also: Nests,
        store: bool,
        force: str | None = None,
    ) -> Kernels | None:
        """Tiles in local memory."""
        if force is not None:
            raise ValueError(f"the choice {force!r}: a GPU's schedules have no choices")
        items, local = self.items, self.local
        return gpu_contraction_kernels(name, nests, layouts, also, store, items, None, local)

    def selected(self, name: str, c: Chosen, layouts: Layouts) -> Kernels | None:
        """None: tiles in local memory know nothing of places."""
        return None

    def candidates(self, work: Work) -> tuple[str, ...]:
        """None: the model decides."""
        return ()

    def vector(
        self, name: str, nests: Sequence[Nest], layouts: Layouts, whole: frozenset[str]
    ) -> Kernels:
        """A work-item or a work-group for each element."""
        try:
            return gpu_vector_kernels(name, nests, layouts, whole, self.items, self.local)
        except ValueError:
            return (general_kernel(name, nests, layouts, whole, self.items),)

    def moments(self, name: str, mean: Nest, var: Nest, layouts: Layouts) -> Kernels | None:
        """A work-group for each pair, or for a piece of one."""
        return gpu_moments_kernels(name, mean, var, layouts, self.items, self.local)


def schedules(precision: str, machine: str) -> Schedules:
    """The family for a machine: as `machine_of` reads it, "gpu", "gpu 64" for a GPU whose
    work-groups have at most 64 work-items, or "gpu 64 2048" where they have no more than 2048
    elements of local memory. Errors: ValueError for another name.

    >>> schedules("fast", "gpu 64").limits
    Limits(items=64, local=4608)
    """
    own = machine_of(machine)
    if own is not None:
        return CpuSchedules(precision, own)
    kind, *limits = machine.split()
    if kind != "gpu" or len(limits) > 2 or not all(x.isdecimal() and int(x) for x in limits):
        raise ValueError(f"machine {machine!r}, expected 'gpu' or one of {sorted(MACHINES)}")
    items, local = (*map(int, limits), *(ITEMS, LOCAL)[len(limits) :])
    return GpuSchedules(items, local)


def unlimited(precision: str, machine: str) -> Schedules | None:
    """What a machine would get if it had no limits; None where it has none that matter.

    >>> unlimited("fast", "avx2"), unlimited("fast", "gpu 64").limits
    (None, Limits(items=256, local=4608))
    """
    kind = machine.partition(" ")[0]
    return None if kind == machine else schedules(precision, kind)
