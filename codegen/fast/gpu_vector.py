"""Everything on a GPU that is no product of matrices: a work-item for each element of the target.

Neighbouring work-items take neighbouring elements, so that what they read and write is fetched
together. Short sums run inside a work-item. Long ones are a tree: a work-group for each element,
whose work-items take every n-th term and then add up in pairs; no sum is a chain of more than 256
terms, so the error grows like the sum of the stages, not like the number of terms.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import prod

import sympy as sp

from gradproof.codegen.fast.gpu_matrix import digits
from gradproof.codegen.fast.gpu_tiles import ITEMS
from gradproof.codegen.fast.kernel import FastKernel
from gradproof.codegen.fast.layout import Layout
from gradproof.codegen.fast.moments import are_moments
from gradproof.codegen.fast.nest import Nest, Reduction
from gradproof.codegen.fast.strided import strided
from gradproof.codegen.fast.vector import Schedule
from gradproof.codegen.fast.vector_group import grouped
from gradproof.codegen.fast.vector_sums import PIECE, Set, Sums, reduce_set

GROUPS = 4096  # at most so many work-groups; each goes on with the next elements
LONG = 128  # terms from which a work-group shares a sum,
MANY = 32768  # unless there are so many elements and the sums are shorter than
LONGER = 2048


def gpu_vector_kernel(
    name: str,
    nests: Sequence[Nest],
    layouts: Mapping[str, Layout],
    whole: frozenset[str] = frozenset(),
    items: int = ITEMS,
) -> FastKernel:
    """One kernel for nests with equal loops. A nest may read the element that an earlier one
    computes; `whole`: tensors of integers; items: work-items that a group may have.

    Errors: those of `vector_kernel`.

    >>> from gradproof.derive.ops.relu import relu
    >>> from gradproof.codegen.fast.specialise import specialise
    >>> nests = specialise(relu, relu.equations[0], {"T": 1000})
    >>> flat = Layout.row_major((1000,))
    >>> kernel = gpu_vector_kernel("relu", nests, {"Y": flat, "z": flat})
    >>> kernel.groups, kernel.local
    (4, 256)
    """
    group = grouped(name, nests)
    s = strided(group.whole, layouts, masked=True)
    if s is None:
        used = ", ".join(map(str, (group.whole.out, *group.whole.reads)))
        raise ValueError(f"{name}: no affine addresses on these layouts: {used}")
    terms = max((prod(e for _, e in r.loops) for r in s.reductions), default=1)
    elements = prod(e for _, e in s.loops)
    short = terms < LONG or (elements >= MANY and terms < LONGER)
    made = (_Elements if short else _Tree)(name, group, s, layouts, whole)
    made.local = items
    return made.kernel()


def gpu_moments_kernel(
    name: str, mean: Nest, var: Nest, layouts: Mapping[str, Layout], items: int = ITEMS
) -> FastKernel | None:
    """Mean and variance as one kernel, see `moments_kernel`: the mean relative to the first term,
    then the squared deviations from it; None where the nests are nothing like that.

    >>> from gradproof.derive.ops.batch_norm import batch_norm
    >>> from gradproof.codegen.fast.specialise import specialise
    >>> sizes = {"N": 4, "C": 32, "L": 64}
    >>> pair = [specialise(batch_norm, e, sizes)[0] for e in batch_norm.equations[:2]]
    >>> layouts = {"X": Layout.row_major((4, 32, 64)),
    ...            "mean": Layout.row_major((32,)), "var": Layout.row_major((32,))}
    >>> gpu_moments_kernel("moments", *pair, layouts).groups
    32
    """
    if mean.loops != var.loops:
        return None
    try:
        group = grouped(name, (mean, var))
    except ValueError:
        return None
    s = strided(group.whole, layouts, masked=True) if are_moments(group) else None
    if s is None:
        return None
    made = _Moments(name, group, s, layouts, frozenset())
    made.local = items
    return made.kernel()


class _Elements(Schedule):
    """A work-item computes an element, sums and all."""

    def _lane(self) -> None:
        return None

    def _outer(self) -> int:
        loops = sorted(self.s.loops, key=lambda x: -abs(self.s.out.coefficient(x[0])))
        elements = prod(n for _, n in loops)
        groups = max(1, min(GROUPS, -(-elements // self._per_group())))
        self._declare()
        bound = frozenset(v for v, _ in loops)
        first, step = self._first(), groups * self._per_group()
        header = f"for (int element_ = {first}; element_ < {elements}; element_ += {step})"
        self.w.open(header, bound)
        for v, text in digits("element_", loops).items():
            self.w.line(f"const int {v} = {text};")
        self.body()
        self.w.close()
        return groups

    def _per_group(self) -> int:
        return self.local

    def _first(self) -> str:
        return "get_global_id(0)"

    def _declare(self) -> None:
        """What stands ahead of the loop over elements."""

    def along(self, loops: object, used: object) -> None:
        """No loop runs in lanes."""


class _Tree(_Elements):
    """A work-group computes an element; every work-item then knows the sum."""

    def _per_group(self) -> int:
        return 1

    def _first(self) -> str:
        return "get_group_id(0)"

    def _declare(self) -> None:
        for k, r in enumerate(self.s.reductions):
            if self._is_tree(r):
                self.w.line(f"__local REAL tree{k}_[{self.local}];")
                if r.kind == "argmax":
                    self.w.line(f"__local int tree{k}_place[{self.local}];")
        self.w.line("const int item_ = get_local_id(0);")

    def _is_tree(self, r: Reduction) -> bool:
        return prod(n for _, n in r.loops) > 1

    def _reduce(self, found: Set) -> None:
        if not self._is_tree(found.members[0][1]):
            reduce_set(self.w, found, None)
            return
        w, terms = self.w, prod(n for _, n in found.loops)
        own = Sums(w, found, [w.fresh(f"own{k}_") for k, _ in found.members])
        own.declare()
        self._terms(own, found, terms)
        for (k, r), name in zip(found.members, own.names, strict=True):
            for line in self._joined(k, r, name):
                w.line(line)
            w.know(f"a{k}", False)

    def _terms(self, own: Sums, found: Set, terms: int) -> None:
        """Every `local`-th term, in runs that are added up one by one."""
        w, run = self.w, PIECE * self.local
        names, first, end = own.names, "item_", str(terms)
        if terms > run:
            w.open(f"for (int run_ = 0; run_ < {terms}; run_ += {run})")
            names = own.partial(own.names, found.loops)
            first, end = "run_ + item_", f"min(run_ + {run}, {terms})"
        w.open(f"for (int term_ = {first}; term_ < {end}; term_ += {self.local})",
               frozenset(v for v, _ in found.loops))  # fmt: skip
        for v, text in digits("term_", found.loops).items():
            w.line(f"const int {v} = {text};")
        own.around((), names, found.guards)
        w.close()
        if terms > run:
            own.add(own.names, names)
            w.close()

    def _joined(self, k: int, r: Reduction, name: str) -> list[str]:
        """What all work-items have, joined in pairs; after the last barrier the tree is free."""
        tree, place = f"tree{k}_", f"tree{k}_place"
        half = [f"for (int half_ = {self.local // 2}; half_ > 0; half_ /= 2) {{",
                "    if (item_ < half_) {"]  # fmt: skip
        end = ["    }", "    barrier(CLK_LOCAL_MEM_FENCE);", "}"]
        mine, other = f"{tree}[item_]", f"{tree}[item_ + half_]"
        barrier = "barrier(CLK_LOCAL_MEM_FENCE);"
        if r.kind == "argmax":
            start = [f"{mine} = {name}_value;", f"{place}[item_] = {name};", barrier]
            last = [f"const int a{k} = {place}[0];", barrier]
            return [*start, *half, *("        " + x for x in _positions(tree, place)), *end, *last]
        if r.kind == "sum":
            join = [f"{mine} += {other};"]
        else:
            join = [f"const REAL term_ = {other};",
                    f"if (term_ > {mine} || term_ != term_) {mine} = term_;"]  # fmt: skip
        start = [f"{mine} = {name};", barrier]
        last = [f"const REAL a{k} = {tree}[0];", barrier]
        return [*start, *half, *("        " + x for x in join), *end, *last]

    def put(self, text: str) -> None:
        """By the first work-item, after all have read what it overwrites."""
        if self._in_place:
            self.w.line("barrier(CLK_LOCAL_MEM_FENCE);")
        self.w.line(f"if (item_ == 0) {text}")

    @property
    def _in_place(self) -> bool:
        """Whether some target is read before it is written."""
        parts, rs = self.group.parts, self.s.reductions
        values = [*(p.value for p in parts), *(e for r in rs for e in (r.term, *r.conditions))]
        used = {str(x) for e in values for x in e.free_symbols}
        return any(f"r{p.place}" in used for p in parts)


class _Moments(_Tree):
    """The sum of what exceeds the first term, then the squared deviations from the mean."""

    def body(self) -> None:
        """Both targets of one element."""
        w, (first, second) = self.w, self.s.reductions
        base, count = sp.Symbol("base_", real=True), prod(n for _, n in first.loops)
        w.line("REAL base_;")
        w.know("base_", False)
        w.open("", frozenset(v for v, _ in first.loops))
        for v, _ in first.loops:
            w.line(f"const int {v} = 0;")
        w.line(f"base_ = {w.value(first.term)};")
        w.close()
        loops = self.order([0])
        self._reduce(Set(loops, ((0, Reduction("sum", loops, first.term - base)),)))
        self.store(0, self.group.parts[0], f"base_ + a0 / (REAL){count}")
        self._reduce(Set(self.order([1]), ((1, second),)))
        self.store(1, self.group.parts[1])


def _positions(tree: str, place: str) -> list[str]:
    """The largest, and of equal ones the first; a NaN counts as the largest."""
    return [
        f"const REAL term_ = {tree}[item_ + half_], most_ = {tree}[item_];",
        f"const int at_ = {place}[item_ + half_], first_ = {place}[item_];",
        "const int equal_ = term_ == most_ || (term_ != term_ && most_ != most_);",
        "const int more_ = term_ > most_ || (term_ != term_ && most_ == most_);",
        "if (at_ >= 0 && (first_ < 0 || more_ || (equal_ && at_ < first_))) {",
        f"    {tree}[item_] = term_;",
        f"    {place}[item_] = at_;",
        "}",
    ]
