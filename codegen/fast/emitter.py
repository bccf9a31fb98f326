"""Tasks become launches: the kernels of their schedules, with copies where layouts differ."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial

import sympy as sp

from gradproof.codegen.fast.affine import Affine
from gradproof.codegen.fast.choices import Work
from gradproof.codegen.fast.copies import tiled_copy
from gradproof.codegen.fast.emission import BASE, Launch, Program, canonical_names, on_copies
from gradproof.codegen.fast.fitting import replacement
from gradproof.codegen.fast.fusion_windows import apart
from gradproof.codegen.fast.kernel import FastKernel
from gradproof.codegen.fast.layout import Layout
from gradproof.codegen.fast.nest import Access, Nest
from gradproof.codegen.fast.schedules import Schedules
from gradproof.codegen.fast.selection_kernels import image_layout
from gradproof.codegen.fast.selections import Chosen, canonical_choice
from gradproof.codegen.fast.steps import alike
from gradproof.codegen.fast.tasks import Step, Task
from gradproof.codegen.fast.traffic import Moved, moved

Kernels = tuple[FastKernel, ...]


@dataclass(frozen=True)
class Emitter:
    """Adds the launches of a step's tasks to `program`.

    choices: what a tuner found, by `key` of the work; home: the layout of every buffer; whole:
    those of integers; free: the schedules of the same machine without its limits, where it has any:
    what they would take is only said."""

    schedules: Schedules
    choices: Mapping[str, str]
    key: Callable[[Work], str]
    program: Program
    step: Step
    home: Mapping[str, Layout]
    whole: frozenset[str]
    free: Schedules | None = None

    def emit(self, t: Task, asked: Mapping[str, Layout] | None) -> None:
        """The launches of a task. asked: the layouts that a sum of products asks for."""
        if t.kind == "opaque":
            self._opaque(t)
            return
        if t.kind == "contract" and asked is not None:
            own = {b: self.home[b] for b in sorted({t.out, *t.reads, *t.writes})}
            best = self.schedules.working(t.nests, own, asked)
            for local in (best, own, own | dict(asked)):
                if self._on_copies(t, local):
                    return
        if t.kind == "contract" and t.also:
            for part in apart(t):
                self.emit(part, asked)
            return
        self._vector(t)

    def may_select(self, c: Chosen) -> bool:
        """Whether a sum over the places that windows select has a kernel that is worth it."""
        return self._selection(c) is not None

    def selected(self, c: Chosen) -> None:
        """The launches of such a sum, on a copy of its image."""
        found = self._selection(c)
        if found is None:
            raise ValueError(f"no kernel for {c.target.out}")
        kernels, buffers, wanted = found
        image = c.image.tensor
        if self.home[image] != wanted:
            copy = f"{image}~{len(self.program.launches)}"
            self.program.layouts[copy] = wanted
            self._copy(image, copy, self.home[image], wanted)
            buffers = {name: copy if b == image else b for name, b in buffers.items()}
        self.program.add(kernels, buffers, moved=self._all_of(kernels, buffers))

    def _all_of(self, kernels: Kernels, buffers: Mapping[str, str]) -> Moved:
        """The elements of all tensors that kernels take, but for what is only theirs."""
        own = {name for k in kernels for name, _ in k.scratch}
        used = {buffers[t].split("~")[0] for k in kernels for t, _ in k.tensors if t not in own}
        found = [0, 0]
        for b in used:
            found[b in self.whole] += self.step.size(b)
        return found[0], found[1]

    def _selection(self, c: Chosen) -> tuple[Kernels, dict[str, str], Layout] | None:
        """Its kernels, the buffers by argument, and the layout of its image."""
        wanted = image_layout(c, self.step.shapes[c.image.tensor])
        if wanted is None:
            return None
        short, back = canonical_choice(c)
        local = {name: self.home[b] for name, b in back.items() if b in self.home}
        local[short.image.tensor] = wanted
        make = partial(self.schedules.selected, BASE, short, local)
        found = self.program.once(("selected", short, tuple(sorted(local.items()))), make)
        return None if found is None else (found, back, wanted)

    def _on_copies(self, t: Task, local: Mapping[str, Layout]) -> bool:
        """A sum of products in these layouts, on copies of what lies elsewhere; False where it has
        no kernel there."""
        moved = {b: f"{b}~{len(self.program.launches)}" for b in local if local[b] != self.home[b]}
        names = {b: moved.get(b, b) for b in local}
        named = {names[b]: layout for b, layout in local.items()}
        task = on_copies(t, names)
        if moved and not self._contract(task, named, add=False):
            return False
        for b, copy in moved.items():
            self.program.layouts[copy] = local[b]
            if b in t.reads:
                self._copy(b, copy, self.home[b], local[b])
        found = self._contract(task, named)
        for b, copy in moved.items():
            if b in t.writes:
                self._copy(copy, b, local[b], self.home[b])
        return found

    def with_sums(self, t: Task, sums: Task, asked: Mapping[str, Layout] | None) -> bool:
        """A sum of products and sums over its elements together; False where the layouts do not
        suit both."""
        if not self.schedules.sums or asked is None:
            return False
        own = {b: self.home[b] for b in sorted({t.out, *t.reads})}
        if self.schedules.working(t.nests, own, asked) != own:
            return False
        both = replace(t, also=(*sums.nests, *sums.also))
        return self._contract(both, self.home)

    def _contract(self, t: Task, layouts: Mapping[str, Layout], *, add: bool = True) -> bool:
        """Whether a sum of products has kernels on these layouts; add: they become launches."""
        program = self.program
        nests, back = canonical_names((*t.nests, *t.also))
        local = {name: layouts[b] for name, b in back.items() if b in layouts}
        main, also = nests[: len(t.nests)], nests[len(t.nests) :]
        work = Work(main, local, also, t.store)

        def make() -> tuple[str, Kernels | None]:
            key = self.key(work)
            kernels = self._chosen(work, key)
            self._say(kernels, lambda free: free.contraction(BASE, main, local, also, t.store))
            return key, kernels

        given = "sum", main, tuple(sorted(local.items())), also, t.store
        key, found = program.once(given, make)
        if found is not None and add:
            program.works.setdefault(key, (work, []))[1].append(program.what)
            stored = {name for name, b in back.items() if b in t.writes}
            program.add(found, back, moved=moved((*main, *also), local, stored))
        return found is not None

    def _chosen(self, w: Work, key: str) -> Kernels | None:
        """The kernels of the choice for this work, else the default ones."""
        choice = self.choices.get(key)
        if choice is not None:
            try:
                return self.schedules.contraction(BASE, w.nests, w.layouts, w.also, w.store, choice)
            except ValueError as error:
                self.program.stale[key] = str(error)
        return self.schedules.contraction(BASE, w.nests, w.layouts, w.also, w.store)

    def _say(
        self, found: Kernels | None, other: Callable[[Schedules], Kernels | None]
    ) -> Kernels | None:
        """Note where the limits of the machine have decided; returns `found`."""
        if self.free is not None:
            limits, wanted = self.schedules.limits, other(self.free)
            if text := replacement(self.program.what, wanted, found, limits):
                self.program.replaced.setdefault(text)
        return found

    def _vector(self, t: Task) -> None:
        nests, back = canonical_names((*t.nests, *t.also))
        local = {name: self.home[b] for name, b in back.items() if b in self.home}
        ints = frozenset(name for name, b in back.items() if b in self.whole)
        given = nests, tuple(sorted(local.items())), ints
        if t.kind == "moments":

            def pair(x: Schedules) -> Kernels | None:
                return x.moments(BASE, nests[0], nests[1], local)

            make = partial(self._made, pair)
            both = self.program.once(("moments", *given), make)
            if both is None:
                for n in (*t.nests, *t.also):
                    self._vector(Task("vector", t.call, n.out.tensor, (n,)))
                return
            self.program.add(both, back, moved=moved(nests, local, _written(both), ints))
            return
        groups = (
            (nests,)
            if t.also
            else alike(nests)
            if self.schedules.vectors
            else [(n,) for n in nests]
        )
        for group in groups:
            kernels = partial(_vector_kernels, group, local, ints)
            made = self.program.once(("vector", group, *given), partial(self._made, kernels))
            assert made is not None, "the general schedule takes any nest"
            self.program.add(made, back, moved=moved(group, local, _written(made), ints))

    def _made(self, make: Callable[[Schedules], Kernels | None]) -> Kernels | None:
        return self._say(make(self.schedules), make)

    def _opaque(self, t: Task) -> None:
        """The reference kernel, on row-major copies."""
        names: dict[str, str] = {}
        for b in sorted({*t.reads, *t.writes}):
            plain = Layout.row_major(self.step.shapes[b])
            if self.home[b].axes != plain.axes:
                names[b] = f"{b}~{len(self.program.launches)}"
                self.program.layouts[names[b]] = plain
                if b in t.reads:
                    self._copy(b, names[b], self.home[b], plain)
        buffers = tuple(sorted({*t.reads, *t.writes}))
        self.program.launches.append(
            Launch(
                "",
                tuple(names.get(b, b) for b in buffers),
                call=t.call,
                writes=tuple(names.get(b, b) for b in t.writes),
                note=",".join(buffers),
                what=self.program.what,
            )
        )
        for b in t.writes:
            if b in names:
                plain = self.program.layouts[names[b]]
                self._copy(names[b], b, plain, self.home[b])

    def _copy(self, source: str, target: str, from_layout: Layout, to_layout: Layout) -> None:
        """The same elements in another layout."""
        loops = tuple((f"i{d}", n) for d, n in enumerate(from_layout.shape) if n > 1)
        subscripts = tuple(
            Affine.of(f"i{d}") if n > 1 else Affine() for d, n in enumerate(from_layout.shape)
        )
        nest = Nest(
            Access("t0", subscripts),
            loops,
            (Access("t1", subscripts),),
            (),
            sp.Symbol("r0", real=True),
        )
        what, self.program.what = self.program.what, "copy for " + self.program.what
        ints = frozenset(["t0", "t1"]) if {source, target} & self.whole else frozenset()
        layouts = {"t0": to_layout, "t1": from_layout}
        tiled = (
            tiled_copy(BASE, to_layout, from_layout, bool(ints)) if self.schedules.vectors else None
        )
        kernels = (tiled,) if tiled else self.schedules.vector(BASE, (nest,), layouts, ints)
        elements = moved((nest,), layouts, {"t0"}, ints)
        self.program.add(kernels, {"t0": target, "t1": source}, moved=elements)
        self.program.what = what


def _written(kernels: Kernels) -> set[str]:
    return {t for k in kernels for t, written in k.tensors if written}


def _vector_kernels(
    nests: tuple[Nest, ...],
    layouts: Mapping[str, Layout],
    whole: frozenset[str],
    schedules: Schedules,
) -> Kernels | None:
    return schedules.vector(BASE, nests, layouts, whole)
