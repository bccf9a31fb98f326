"""One launch for the same flat, elementwise nests on many tensors of any size.

Each tensor is a part. The work-groups are divided evenly among the parts, and a part's elements
among its groups; a part of size 0 is none. Sizes are arguments, so one text serves every step.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from gradproof.codegen.fast.emission import BASE, Program
from gradproof.codegen.fast.graph import Graph
from gradproof.codegen.fast.kernel import FastKernel
from gradproof.codegen.fast.layout import Layout
from gradproof.codegen.fast.nest import Nest
from gradproof.codegen.fast.program import LANES
from gradproof.codegen.fast.sinks import Sink
from gradproof.codegen.fast.strided import strided
from gradproof.codegen.fast.traffic import moved
from gradproof.codegen.fast.vector import ENOUGH, GROUPS, Schedule, line, scalar_type
from gradproof.codegen.fast.vector_group import Group, grouped
from gradproof.codegen.render import environment

PARTS = 16  # at most so many in a launch,
ARGUMENTS = 1024  # with so many bytes of arguments, which every device takes
EACH = 4 * ENOUGH  # elements of a group: it begins streams of all tensors, which takes its time
AHEAD = 6 * LANES  # so far ahead elements are asked for: too many streams for some processors


def part_count(nests: tuple[Nest, ...], updates: int) -> int:
    """How many parts a kernel of these nests has where there are so many `updates`: as
    few launches as arguments allow, and parts shared out evenly among them."""
    tensors = {a.tensor for n in nests for a in (n.out, *n.reads)}
    scalars = {s for n in nests for s, _ in n.scalars}
    most = max(1, min(PARTS, ARGUMENTS // (8 * len(tensors) + 8 * len(scalars) + 4)))
    return -(-updates // -(-updates // most))


def sweep_groups(largest: int) -> int:
    """Work-groups for each part, by the size of the largest."""
    return max(1, min(GROUPS, largest // EACH))


def sweep_kernel(name: str, nests: tuple[Nest, ...], parts: int) -> FastKernel:
    """The kernel of nests over one loop, whatever its extent. Its tensors are t1.0, t0.0, t1.1, ...
    for part 0, 1, ..., likewise its scalars; then come the sizes as integers."""
    nominal = tuple(_with_extent(n, 2 * LANES + 1) for n in nests)
    flat = Layout.row_major((2 * LANES + 1,))
    layouts = {a.tensor: flat for n in nominal for a in (n.out, *n.reads)}
    group = grouped(name, nominal)
    return _Sweep(name, group, layouts, parts).kernel()


def add_sweeps(program: Program, group: Sequence[Sink], graph: Graph) -> None:
    """The launches of sinks of one form, at the end of the step."""
    form = group[0].form
    count = part_count(form, len(group))
    kernel = program.once(("sweep", form, count), lambda: sweep_kernel(BASE, form, count))
    one = tuple(_with_extent(n, 1) for n in form)
    flops = grouped(BASE, one).flops
    single = dict.fromkeys(
        {a.tensor for n in one for a in (n.out, *n.reads)}, Layout.row_major((1,))
    )
    each, _ = moved(one, single, {n.out.tensor for n in one})
    for k in range(0, len(group), count):
        chunk = group[k : k + count]
        padded = [*chunk, *[chunk[0]] * (count - len(chunk))]
        sizes = tuple(x.size for x in chunk) + (0,) * (count - len(chunk))
        names = {f"{t}.{p}": b for p, x in enumerate(padded) for t, b in x.back.items()}
        calls = [graph.calls[x.task.call] for x in chunk]
        program.what = ", ".join(dict.fromkeys(f"{c.operator} {c.target}" for c in calls))
        groups = count * sweep_groups(max(sizes))
        elements = each * sum(sizes), 0
        program.add((kernel,), names, groups, sizes, flops * sum(sizes), elements)


def _with_extent(n: Nest, extent: int) -> Nest:
    ((v, _),) = n.loops
    return Nest(n.out, ((v, extent),), n.reads, (), n.value, n.scalars)


class _Sweep(Schedule):
    """The elements of one part, as the vector schedule computes them."""

    def __init__(self, name: str, group: Group, layouts: Mapping[str, Layout], parts: int) -> None:
        s = strided(group.whole, layouts, masked=True)
        assert s is not None, "a flat nest has affine addresses"
        super().__init__(name, group, s, layouts, frozenset())
        self.parts = parts

    def kernel(self) -> FastKernel:
        """The kernel."""
        written = {p.out.tensor for p in self.group.parts}
        tensors = [(t, t in written) for t in self.pointers]
        values = [(n, kind) for n, kind in self.group.scalars]
        numbers = range(self.parts)
        arguments = [
            f"__global {'' if w else 'const '}REAL *{self.pointers[t]}_{k}"
            for k in numbers for t, w in tensors
        ]  # fmt: skip
        arguments += [f"const {scalar_type(kind)} {n}_{k}" for k in numbers for n, kind in values]
        arguments += [f"const int size_{k}" for k in numbers]
        self._select(tensors)
        self._elements()
        text = environment().get_template("fast_vector.cl.j2").render(
            about=[line(p) for p in self.group.parts],
            name=self.name, arguments=arguments, lines=self.w.stack[0].lines, local=1,
        )  # fmt: skip
        return FastKernel(
            self.name,
            text,
            tuple((f"{t}.{k}", w) for k in numbers for t, w in tensors),
            self.parts,
            tuple((f"{n}.{k}", kind) for k in numbers for n, kind in values),
        )

    def _select(self, tensors: list[tuple[str, bool]]) -> None:
        """This group's part: its tensors, its scalars and its size."""
        w = self.w
        w.line(f"const int each = get_num_groups(0) / {self.parts};")
        w.line("const int part = get_group_id(0) / each, group = get_group_id(0) % each;")
        kinds = {
            self.pointers[t]: "__global " + ("" if w else "const ") + "REAL *" for t, w in tensors
        }
        kinds |= {n: scalar_type(kind) + " " for n, kind in self.group.scalars}
        kinds |= {"size": "int "}
        for n, kind in kinds.items():
            w.line(f"{kind}{n} = {n}_0;")
        w.line("switch (part) {")
        for k in range(1, self.parts):
            w.line(f"case {k}: {' '.join(f'{n} = {n}_{k};' for n in kinds)} break;")
        w.line("}")

    def _elements(self) -> None:
        """The elements of this group, 16 at a time, and the last few one by one."""
        assert self.lane is not None and self.lane.step is not None, "one loop of stride 1"
        w, v, step = self.w, self.lane.loop, self.lane.step
        w.line(f"const int vectors = (size + {LANES - 1}) / {LANES};")
        w.line("const int last = (int)((long)vectors * (group + 1) / each);")
        first = "(int)((long)vectors * group / each)"
        w.open(f"for (int {step} = {first}; {step} < last; {step}++)", frozenset({step}))
        w.line(" ".join(f"SOON({p} + {LANES} * {step} + {AHEAD});" for p in self.pointers.values()))
        w.open(f"if ({LANES} * {step} + {LANES} <= size)", frozenset({v}), True)
        self.body()
        w.close()
        w.open(f"else for (int {v} = {LANES} * {step}; {v} < size; {v}++)", frozenset({v}))
        self.body()
        w.close()
        w.close()
