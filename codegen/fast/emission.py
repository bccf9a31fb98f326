"""The launches of a plan: equal work is one kernel, whichever buffers it is on."""

from __future__ import annotations

import re
from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

import sympy as sp

from gradproof.codegen.fast.choices import Work
from gradproof.codegen.fast.inline import renamed
from gradproof.codegen.fast.kernel import FastKernel
from gradproof.codegen.fast.layout import Layout
from gradproof.codegen.fast.nest import Nest
from gradproof.codegen.fast.tasks import Task
from gradproof.codegen.fast.traffic import Moved


@dataclass(frozen=True)
class Launch:
    """One kernel on buffers (`buffers` in the order of its arguments), or, where `kernel` is empty,
    the reference kernel of recorded call `call`."""

    kernel: str
    buffers: tuple[str, ...]
    scalars: tuple[tuple[str, str], ...] = ()
    groups: int = 0
    local: int = 1
    call: int = -1
    writes: tuple[str, ...] = ()
    flops: int = 0
    note: str = ""
    what: str = ""
    sizes: tuple[int, ...] = ()  # arguments behind the scalars
    work: int = -1  # launches of one number compute their equations together,
    moved: Moved = (0, 0)  # the first of them has the elements that these read and write


Made = TypeVar("Made")
BASE = "planned_"  # begins the names of kernels before they get their own
Kernels = tuple[FastKernel, ...]


@dataclass
class Program:
    """Kernels of equal text are one kernel."""

    kernels: dict[str, FastKernel] = field(default_factory=dict)  # by their text under BASE
    launches: list[Launch] = field(default_factory=list)
    sizes: dict[str, int] = field(default_factory=dict)  # scratch and copies, in elements
    layouts: dict[str, Layout] = field(default_factory=dict)
    what: str = ""  # the equations that the next kernels compute
    works: dict[str, tuple[Work, list[str]]] = field(default_factory=dict)  # sums of products
    stale: dict[str, str] = field(default_factory=dict)  # choices that are none here, and why
    replaced: dict[str, None] = field(default_factory=dict)  # schedules that do not fit the device

    made: dict[Hashable, Any] = field(default_factory=dict)  # what was scheduled before

    def once(self, key: Hashable, make: Callable[[], Made]) -> Made:
        """What `make` gives, asked once for equal keys: layers of a network repeat each other."""
        if key not in self.made:
            self.made[key] = make()
        found: Made = self.made[key]
        return found

    def add(
        self,
        found: Kernels,
        tensors: Mapping[str, str],
        groups: int = 0,
        sizes: tuple[int, ...] = (),
        flops: int = 0,
        moved: Moved = (0, 0),
    ) -> None:
        """Launches of kernels whose names begin with BASE; tensors: argument -> buffer. groups,
        flops: where the kernel does not know them; sizes: what it takes besides; moved: see
        `traffic`."""
        work = len(self.launches)
        own = f"#{len(self.launches)}."
        base = f"k{len(self.kernels)}_"
        buffers = dict(tensors)
        for k in found:
            for name, size in k.scratch:
                buffers.setdefault(name, own + name)
                self.sizes[buffers[name]] = size
        for k in found:
            kernel = self.kernels.get(k.text) or self._named(k, base)
            self.launches.append(
                Launch(
                    kernel.name,
                    tuple(buffers[t] for t, _ in k.tensors),
                    tuple((buffers[s], kind) for s, kind in k.scalars),
                    groups or k.groups,
                    k.local,
                    writes=tuple(buffers[t] for t, written in k.tensors if written),
                    flops=flops or k.flops,
                    note=k.note,
                    what=self.what,
                    sizes=sizes,
                    work=work,
                    moved=moved,
                )
            )
            moved = (0, 0)

    def _named(self, k: FastKernel, base: str) -> FastKernel:
        text = re.sub(rf"\b{BASE}", base, k.text)
        named = replace(k, name=base + k.name.removeprefix(BASE), text=text)
        return self.kernels.setdefault(k.text, named)


def canonical_names(nests: tuple[Nest, ...]) -> tuple[tuple[Nest, ...], dict[str, str]]:
    """The nests with tensors t0, t1, ... and scalars u0, u1, ...; and what they stand for.

    So equal work has equal text, whichever buffers it is on."""
    names: dict[str, str] = {}
    slots: dict[str, str] = {}
    for n in nests:
        for a in (n.out, *n.reads):
            names.setdefault(a.tensor, f"t{len(names)}")
        for slot, _ in n.scalars:
            slots.setdefault(slot, f"u{len(slots)}")
    found = tuple(_with_slots(renamed(n, names), slots) for n in nests)
    return found, {short: long for long, short in (names | slots).items()}


def _with_slots(n: Nest, slots: Mapping[str, str]) -> Nest:
    """Other names for scalars."""
    mapping: dict[sp.Basic, sp.Basic] = {
        s: sp.Symbol(slots[str(s)], **s.assumptions0)
        for e in (n.value, *(e for r in n.reductions for e in (r.term, *r.conditions)))
        for s in e.free_symbols
        if str(s) in slots
    }
    return replace(
        n,
        value=n.value.xreplace(mapping),
        reductions=tuple(
            replace(
                r,
                term=r.term.xreplace(mapping),
                conditions=tuple(c.xreplace(mapping) for c in r.conditions),
            )
            for r in n.reductions
        ),
        scalars=tuple((slots[s], kind) for s, kind in n.scalars),
    )


def on_copies(t: Task, names: Mapping[str, str]) -> Task:
    """The same task on other buffers."""
    return replace(
        t,
        out=names.get(t.out, t.out),
        nests=tuple(renamed(n, names) for n in t.nests),
        also=tuple(renamed(n, names) for n in t.also),
    )
