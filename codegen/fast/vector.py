"""The schedule of everything that is no contraction: one pass over memory, 16 lanes at a time.

The lane is a loop with stride 1 or 0 in every address, the layout's block of 16 or any contiguous
loop with a tail. Where no output loop is one, sums run along a lane of their own and end in a
horizontal sum. Several targets share loads, loops and subexpressions.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import prod

from gradproof.codegen.fast.affine import Affine
from gradproof.codegen.fast.kernel import FastKernel
from gradproof.codegen.fast.layout import Layout
from gradproof.codegen.fast.nest import Loop, Nest
from gradproof.codegen.fast.program import LANES
from gradproof.codegen.fast.strided import Strided, strided
from gradproof.codegen.fast.vector_access import Placed, contiguous
from gradproof.codegen.fast.vector_group import Group, Part, grouped
from gradproof.codegen.fast.vector_scope import Load, Writer
from gradproof.codegen.fast.vector_sums import Set, reduce_set
from gradproof.codegen.render import environment
from gradproof.derive.expr import fresh

GROUPS = 64  # at most so many work-groups,
ENOUGH = 16384  # each of so many terms, but 8 if there are as many
FEWEST = 8
RESERVED = {"group", "item", "last", "int", "float", "double", "long"}


def vector_kernel(
    name: str,
    nests: Sequence[Nest],
    layouts: Mapping[str, Layout],
    whole: frozenset[str] = frozenset(),
) -> FastKernel:
    """One kernel for nests with equal loops. A nest may read the element that an earlier one
    computes; `whole`: tensors of integers.

    Errors: ValueError where loops differ, a nest reads another element of a target, or an access
    has no affine address on these layouts.

    >>> from gradproof.derive.ops.relu import relu
    >>> from gradproof.codegen.fast.specialise import specialise
    >>> nests = specialise(relu, relu.equations[0], {"T": 40})
    >>> flat = Layout.row_major((40,))
    >>> kernel = vector_kernel("relu", nests, {"Y": flat, "z": flat})
    >>> kernel.tensors, kernel.groups
    ((('Y', False), ('z', True)), 3)
    """
    group = grouped(name, nests)
    s = strided(group.whole, layouts, masked=True)
    if s is None:
        used = ", ".join(map(str, (group.whole.out, *group.whole.reads)))
        raise ValueError(f"{name}: no affine addresses on these layouts: {used}")
    return Schedule(name, group, s, layouts, whole).kernel()


@dataclass(frozen=True)
class _Lane:
    """An output loop that runs 16 at a time, `step` counting the vectors (None where it is one)."""

    loop: str
    extent: int
    step: str | None


class Schedule:
    """One kernel in the making; `body` is what happens for each element of the output loops.
    `local`: work-items of a group."""

    local = 1

    def __init__(
        self,
        name: str,
        group: Group,
        s: Strided,
        layouts: Mapping[str, Layout],
        whole: frozenset[str],
    ) -> None:
        self.name, self.group, self.whole = name, group, whole
        placed = Placed(group.whole, s, layouts)
        self.s = placed.s
        self.pointers = self._pointers()
        loads = {
            f"r{k}": Load(
                self.pointers[a.tensor], self.s.reads[k], a.tensor in whole, placed.tests[k]
            )
            for k, a in enumerate(group.whole.reads)
        }
        self.lane = self._lane()
        self.w = Writer(loads, placed.split, self._integers(), frozenset(dict(group.scalars)))
        if self.lane:
            self.w.lane = self.lane.loop
            self.w.steps = Affine.of(self.lane.step) * LANES if self.lane.step else Affine()

    def _pointers(self) -> dict[str, str]:
        """A C name for each tensor, in order of first use."""
        taken = {*self.group.whole.extents, *self.s.extents, *dict(self.group.scalars)}
        taken |= RESERVED
        found: dict[str, str] = {}
        for a in self.group.whole.reads:
            if a.tensor not in found:
                found[a.tensor] = fresh(re.sub(r"\W", "_", a.tensor), taken)
                taken.add(found[a.tensor])
        return found

    def _integers(self) -> frozenset[str]:
        whole = self.group.whole
        found = {f"r{k}" for k, a in enumerate(whole.reads) if a.tensor in self.whole}
        found |= {f"a{k}" for k, r in enumerate(whole.reductions) if r.kind == "argmax"}
        found |= {
            f"target{k}" for k, p in enumerate(self.group.parts) if p.out.tensor in self.whole
        }
        return frozenset(found | {n for n, t in self.group.scalars if t == "uint"})

    def _lane(self) -> _Lane | None:
        outs = [self.s.reads[p.place] for p in self.group.parts]
        best = contiguous(self.s.loops, outs, self.s.reads)
        if best is None:
            return None
        v, n = best
        return _Lane(v, n, f"{v}_s" if n > LANES else None)

    # -- text -------------------------------------------------------------------------------------
    def kernel(self) -> FastKernel:
        """The kernel."""
        groups = self._outer()
        written = {p.out.tensor for p in self.group.parts}
        arguments = [self._argument(t, t in written) for t in self.pointers]
        arguments += [f"const {scalar_type(t)} {n}" for n, t in self.group.scalars]
        text = environment().get_template("fast_vector.cl.j2").render(
            about=[line(p) for p in self.group.parts],
            name=self.name, arguments=arguments, lines=self.w.stack[0].lines, local=self.local,
        )  # fmt: skip
        tensors = tuple((t, t in written) for t in self.pointers)
        return FastKernel(
            self.name, text, tensors, groups, self.group.scalars, self.group.flops,
            local=self.local,
        )  # fmt: skip

    def _argument(self, tensor: str, written: bool) -> str:
        kind = "int" if tensor in self.whole else "REAL"
        return f"__global {'' if written else 'const '}{kind} *restrict {self.pointers[tensor]}"

    def _outer(self) -> int:
        """The output loops: the first of them shared out to the work-groups, in order; loops of one
        step come first, so that what they bind is known outside of all others."""
        lane = self.lane
        loops = sorted(
            (x for x in self.s.loops if lane is None or x[0] != lane.loop),
            key=lambda x: (x[1] > 1, -abs(self.s.out.coefficient(x[0]))),
        )
        if lane and lane.step:
            loops.append((lane.step, -(-lane.extent // LANES)))
        count = next(
            (k for k in range(len(loops)) if prod(n for _, n in loops[:k]) >= FEWEST), len(loops)
        )
        groups = self._shared(loops[:count])
        once = lane is not None and lane.step is None
        if once:  # one vector has no loop: what it binds is known outside of those that follow
            self.w.open("", frozenset({lane.loop}) if lane else frozenset(), True)
        for v, n in loops[count:]:
            self.w.open(f"for (int {v} = 0; {v} < {n}; {v}++)", frozenset({v}))
        self.body() if once else self._lanes()
        while self.w.here:
            self.w.close()
        return groups

    def _shared(self, loops: Sequence[Loop]) -> int:
        items = prod(n for _, n in loops)
        work = prod(n for _, n in self.s.loops) * max(
            (prod(n for _, n in r.loops) for r in self.s.reductions), default=1
        )
        groups = min(items, max(FEWEST, min(GROUPS, work // ENOUGH)))
        self.w.line("const int group = get_group_id(0);")
        bound = frozenset(v for v, _ in loops)
        if groups == items:
            self.w.open("", bound)
            self.w.line("const int item = group;")
        else:
            first, last = (
                f"(int)((long){items} * {g} / {groups})" for g in ("group", "(group + 1)")
            )
            self.w.line(f"const int last = {last};")
            self.w.open(f"for (int item = {first}; item < last; item++)", bound)
        below = items
        for v, n in loops:
            below //= n
            self.w.line(f"const int {v} = item / {below} % {n};")
        return groups

    def _lanes(self) -> None:
        """The body, for 16 lanes and for the tail."""
        if self.lane is None:
            self.body()
            return
        v, n = self.lane.loop, self.lane.extent
        bound = frozenset({v})
        self.w.open(f"if ({self.lane.step} < {n // LANES})" if n % LANES else "", bound, True)
        self.body()
        self.w.close()
        if n % LANES:
            self.w.open(f"else for (int {v} = {n - n % LANES}; {v} < {n}; {v}++)", bound)
            self.body()
            self.w.close()

    def body(self) -> None:
        """Stage by stage: the sums that it needs, then the targets."""
        stages = max([*self.group.stages, *(p.stage for p in self.group.parts)], default=0)
        for stage in range(stages + 1):
            for found in self._sets(stage):
                self._reduce(found)
            for k, p in enumerate(self.group.parts):
                if p.stage == stage:
                    self.store(k, p)

    def _sets(self, stage: int) -> list[Set]:
        """The reductions of a stage that share a loop nest."""
        found: dict[object, list[int]] = {}
        for k, r in enumerate(self.s.reductions):
            if self.group.stages[k] == stage:
                found.setdefault((r.loops, r.guards, r.conditions), []).append(k)
        return [
            Set(self.order(ks), tuple((k, self.s.reductions[k]) for k in ks))
            for ks in found.values()
        ]

    def order(self, ks: list[int]) -> tuple[Loop, ...]:
        """As the first read has them in memory; an argmax keeps its order."""
        rs = [self.s.reductions[k] for k in ks]
        used = self.used(ks)
        if any(r.kind == "argmax" for r in rs) or not used:
            return rs[0].loops
        weight = {v: max(abs(p.coefficient(v)) for p in used) for v, _ in rs[0].loops}
        return tuple(sorted(rs[0].loops, key=lambda x: -weight[x[0]]))

    def used(self, ks: list[int]) -> list[Affine]:
        """The addresses that some reductions read."""
        es = [e for k in ks for r in [self.s.reductions[k]] for e in (r.term, *r.conditions)]
        names = {str(x) for e in es for x in e.free_symbols}
        return [p for k, p in enumerate(self.s.reads) if f"r{k}" in names]

    def _reduce(self, found: Set) -> None:
        used = self.used([k for k, _ in found.members])
        reduce_set(self.w, found, self.along(found.loops, used))

    def along(self, loops: tuple[Loop, ...], used: list[Affine]) -> str | None:
        """The loop of a sum that runs 16 at a time where no output loop does."""
        inner = [p for p in used if p.loops & {v for v, _ in loops}]
        best = contiguous(loops, [], inner) if self.lane is None and inner else None
        return best[0] if best else None

    def store(self, k: int, p: Part, known: str = "") -> None:
        """Compute a target, unless `known` is its name, and write it."""
        w, vector = self.w, self.w.in_lanes()
        whole = p.out.tensor in self.whole
        kind = ("MASKV" if whole else "REALV") if vector else "int" if whole else "REAL"
        text = known or (w.whole_value(p.value) if whole else w.value(p.value))
        w.line(f"const {kind} target{k} = {text};")
        w.know(f"target{k}", vector)
        pointer, at = self.pointers[p.out.tensor], w.integer(self.s.reads[p.place])
        if not vector:
            self.put(f"{pointer}[{at}] = target{k};")
        elif whole:
            w.line(f"PLACED_WHOLE({pointer}, {at}) = __builtin_convertvector(target{k}, int16);")
        else:
            w.line(f"PLACED({pointer}, {at}) = target{k};")

    def put(self, text: str) -> None:
        """The statement that writes one element."""
        self.w.line(text)


def scalar_type(kind: str) -> str:
    """The C type of a scalar argument."""
    return {"real": "REAL", "uint": "uint"}[kind]


def line(p: Part) -> str:
    """A target and its value, for a comment."""
    text = f"{p.out} = {p.value}"
    return text if len(text) <= 96 else text[:93] + "..."
