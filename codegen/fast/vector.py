"""The schedule of everything that is no contraction: one pass over memory, 16 lanes at a time.

The lane is a loop with stride 1 or 0 in every address, the layout's block of 16 or any contiguous
loop with a tail. Where no output loop is one, sums run along a lane of their own and end in a
horizontal sum. Several targets share loads, loops and subexpressions.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from math import prod

import sympy as sp

from gradproof.codegen.fast.affine import Affine
from gradproof.codegen.fast.kernel import FastKernel
from gradproof.codegen.fast.layout import Layout
from gradproof.codegen.fast.nest import Access, Loop, Nest, Reduction
from gradproof.codegen.fast.program import LANES
from gradproof.codegen.fast.strided import Strided, fused_loops, strided
from gradproof.codegen.fast.vector_group import Group, Part, grouped, variables
from gradproof.codegen.fast.vector_scope import Load, Writer
from gradproof.codegen.fast.vector_sums import Set, reduce_set
from gradproof.codegen.render import environment
from gradproof.derive.expr import fresh

GROUPS = 64  # at most so many work-groups,
ENOUGH = 16384  # each of so many terms, but 8 if there are as many
FEWEST = 8


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
    """One kernel in the making; `body` is what happens for each element of the output loops."""

    def __init__(
        self,
        name: str,
        group: Group,
        s: Strided,
        layouts: Mapping[str, Layout],
        whole: frozenset[str],
    ) -> None:
        self.name, self.group, self.layouts, self.whole = name, group, layouts, whole
        self.split = _splits(group.whole, s)
        tests = [self._tests(a) for a in group.whole.reads]
        s = replace(s, reductions=tuple(map(self._counted, s.reductions)))
        self.s = fused_loops(s, self._kept(s, tests))
        self.pointers = self._pointers()
        loads = {
            f"r{k}": Load(self.pointers[a.tensor], self.s.reads[k], a.tensor in whole, tests[k])
            for k, a in enumerate(group.whole.reads)
        }
        self.lane = self._lane()
        self.w = Writer(loads, self.split, self._integers(), frozenset(dict(group.scalars)))
        if self.lane:
            self.w.lane = self.lane.loop
            self.w.steps = Affine.of(self.lane.step) * LANES if self.lane.step else Affine()

    # -- what accesses say ------------------------------------------------------------------------
    def _tests(self, a: Access) -> tuple[Affine, ...]:
        """What must be >= 0 for an access to be in memory, or in zeros that it may read."""
        layout = self.layouts[a.tensor]
        return self._range(a, layout.low, layout.high)

    def _range(self, a: Access, low: tuple[int, ...], high: tuple[int, ...]) -> tuple[Affine, ...]:
        """What must be >= 0 for an access to be in the tensor, unless borders make it certain."""
        found, extents = [], self.group.whole.extents
        for d, (p, n) in enumerate(zip(a.subscripts, self.layouts[a.tensor].shape, strict=True)):
            least, most = p.limits(extents)
            found += [p] if least < -low[d] else []
            found += [Affine(n - 1) - p] if most >= n + high[d] else []
        return tuple(p.substitute(self.split) for p in found)

    def _counted(self, r: Reduction) -> Reduction:
        """With guards for reads that skip a term where they lie outside."""
        guards = list(r.guards)
        for k in self.group.whole.used(r.term):
            a = self.group.whole.reads[k]
            none = (0,) * len(a.subscripts)
            guards += self._range(a, none, none) if a.outside == "skip" else ()
        return replace(r, guards=tuple(dict.fromkeys(guards)))

    def _kept(self, s: Strided, tests: list[tuple[Affine, ...]]) -> frozenset[str]:
        """Loops that are mentioned, and those that only some reductions have."""
        kept = frozenset().union(*(p.loops for t in tests for p in t))
        for r in s.reductions:
            kept |= self._mentioned(sp.Tuple(r.term, *r.conditions))
            for other in s.reductions:
                if other.loops != r.loops:
                    kept |= frozenset(dict(other.loops)) & frozenset(dict(r.loops))
        return kept | self._mentioned(self.group.whole.value)

    def _mentioned(self, e: sp.Basic) -> frozenset[str]:
        found: frozenset[str] = frozenset()
        for v in variables(e, self.group.whole.extents):
            found |= self.split.get(v, Affine.of(v)).loops
        return found

    def _pointers(self) -> dict[str, str]:
        """A C name for each tensor, in order of first use."""
        taken = {*self.group.whole.extents, *self.s.extents, *dict(self.group.scalars)}
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
        best = _contiguous(self.s.loops, outs, self.s.reads)
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
        arguments += [f"const {_scalar(t)} {n}" for n, t in self.group.scalars]
        text = environment().get_template("fast_vector.cl.j2").render(
            about=[_line(p) for p in self.group.parts],
            name=self.name, arguments=arguments, lines=self.w.stack[0].lines,
        )  # fmt: skip
        tensors = tuple((t, t in written) for t in self.pointers)
        return FastKernel(self.name, text, tensors, groups, self.group.scalars, _flops(self.group))

    def _argument(self, tensor: str, written: bool) -> str:
        kind = "int" if tensor in self.whole else "REAL"
        return f"__global {'' if written else 'const '}{kind} *restrict {self.pointers[tensor]}"

    def _outer(self) -> int:
        """The output loops: the first of them shared out to the work-groups, in order."""
        lane = self.lane
        loops = sorted(
            (x for x in self.s.loops if lane is None or x[0] != lane.loop),
            key=lambda x: -abs(self.s.out.coefficient(x[0])),
        )
        if lane and lane.step:
            loops.append((lane.step, -(-lane.extent // LANES)))
        count = next(
            (k for k in range(len(loops)) if prod(n for _, n in loops[:k]) >= FEWEST), len(loops)
        )
        groups = self._shared(loops[:count])
        for v, n in loops[count:]:
            self.w.open(f"for (int {v} = 0; {v} < {n}; {v}++)", frozenset({v}))
        self._lanes()
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
        best = _contiguous(loops, [], inner) if self.lane is None and inner else None
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
            w.line(f"{pointer}[{at}] = target{k};")
        elif whole:
            w.line(f"PLACED_WHOLE({pointer}, {at}) = __builtin_convertvector(target{k}, int16);")
        else:
            w.line(f"PLACED({pointer}, {at}) = target{k};")


def _splits(n: Nest, s: Strided) -> dict[str, Affine]:
    """The loops that the layouts split, as expressions of the new ones."""
    found = {}
    for v in n.extents:
        if v not in s.extents:
            found[v] = Affine.of(f"{v}_o") * s.extents[f"{v}_i"] + Affine.of(f"{v}_i")
    return found


def _contiguous(
    loops: Sequence[Loop], outs: Sequence[Affine], reads: Sequence[Affine]
) -> Loop | None:
    """The loop with stride 1 in every output and 0 or 1 in every read, and most often 1."""
    found = [
        (v, n)
        for v, n in loops
        if n >= LANES
        and all(p.coefficient(v) == 1 for p in outs)
        and all(p.coefficient(v) in (0, 1) for p in reads)
        and any(p.coefficient(v) for p in (*outs, *reads))
    ]
    return max(found, key=lambda x: (sum(p.coefficient(x[0]) for p in reads), x[1]), default=None)


def _scalar(kind: str) -> str:
    return {"real": "REAL", "uint": "uint"}[kind]


def _line(p: Part) -> str:
    text = f"{p.out} = {p.value}"
    return text if len(text) <= 96 else text[:93] + "..."


def _flops(group: Group) -> int:
    """Operations of the equations."""
    cells = prod(n for _, n in group.whole.loops)
    count = sum(int(p.value.count_ops()) for p in group.parts) * cells
    for r in group.whole.reductions:
        count += (int(r.term.count_ops()) + 1) * cells * prod(n for _, n in r.loops)
    return count
