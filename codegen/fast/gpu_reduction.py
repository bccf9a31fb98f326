"""Long sums on a GPU: a tree in local memory, and pieces where there are few of them.

A work-group takes one element: its work-items take every n-th term, in runs of 256, and then add up
in pairs. Where the elements are too few for a large device (sixteen channels of a batch), each sum
is cut in pieces for as many groups, and a second kernel joins them.
"""

from __future__ import annotations

from math import prod

import sympy as sp

from gradproof.codegen.fast.gpu_elements import Elements, Scratch
from gradproof.codegen.fast.gpu_matrix import digits
from gradproof.codegen.fast.kernel import FastKernel
from gradproof.codegen.fast.nest import Reduction
from gradproof.codegen.fast.vector_sums import Set, Sums, reduce_set

RUN = 256  # terms that a work-item adds up one by one
BASE, CENTER = sp.Symbol("base_", real=True), sp.Symbol("center_", real=True)


class Tree(Elements):
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
        w, run = self.w, RUN * self.local
        names, (begin, end, most) = own.names, self._range_of(terms)
        first = "item_" if begin == "0" else f"{begin} + item_"
        runs = most > run
        if runs:
            w.open(f"for (int run_ = {begin}; run_ < {end}; run_ += {run})")
            names = own.partial(own.names, found.loops)
            first, end = "run_ + item_", f"min(run_ + {run}, {end})"
        w.open(f"for (int term_ = {first}; term_ < {end}; term_ += {self.local})",
               frozenset(v for v, _ in found.loops))  # fmt: skip
        for v, text in digits("term_", found.loops).items():
            w.line(f"const int {v} = {text};")
        own.around((), names, found.guards)
        w.close()
        if runs:
            own.add(own.names, names)
            w.close()

    def _range_of(self, terms: int) -> tuple[str, str, int]:
        """The first term, the one behind the last, and how many there are at most."""
        return "0", str(terms), terms

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

    def sums(self, k: int, term: sp.Expr) -> None:
        """The sum of a term over the loops of reduction k, as a<k>."""
        loops = self.order([k])
        self._reduce(Set(loops, ((k, Reduction("sum", loops, term)),)))

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


class Pieces(Tree):
    """A work-group sums a piece of the terms of an element; `Joined` adds up the pieces."""

    scratch: Scratch = ("", 0)

    @property
    def length(self) -> int:
        """Terms of a piece; the last one has at least one."""
        terms = prod(n for _, n in self.s.reductions[0].loops)
        return -(-terms // self.pieces)

    def _range_of(self, terms: int) -> tuple[str, str, int]:
        return "begin_", "end_", self.length

    def _bounds(self) -> None:
        terms = prod(n for _, n in self.s.reductions[0].loops)
        self.w.line(f"const int begin_ = piece_ * {self.length};")
        self.w.line(f"const int end_ = min(begin_ + {self.length}, {terms});")

    def kernel(self) -> FastKernel:
        """The kernel of the pieces."""
        groups = self._outer()
        values = [e for r in self.s.reductions for e in (r.term, *r.conditions)]
        return self.rendered(groups, values, (), self.scratch)

    def body(self) -> None:
        """All sums of one piece."""
        self._bounds()
        for found in self._sets(0):
            self._reduce(found)
        for k in range(len(self.s.reductions)):
            self.keep(k, f"a{k}")

    def keep(self, k: int, value: str) -> None:
        """Number k of this piece, for the kernel that joins them."""
        at = f"{k * self.pieces * self.elements} + piece_ * {self.elements} + element_"
        self.w.line(f"if (item_ == 0) {self.scratch[0]}[{at}] = {value};")


class Joined(Elements):
    """A work-item adds up the pieces of an element and stores what comes of them."""

    scratch: Scratch = ("", 0)
    count = 1  # pieces
    length = 1  # terms of a piece

    def kernel(self) -> FastKernel:
        """The kernel that joins them."""
        groups = self._outer()
        values = [p.value for p in self.group.parts]
        outs = [p.out.tensor for p in self.group.parts]
        return self.rendered(groups, values, outs, self.scratch)

    def piece(self, k: int) -> str:
        """Number k of piece `piece_`."""
        at = f"{k * self.count * self.elements} + piece_ * {self.elements} + place_"
        return f"{self.scratch[0]}[{at}]"

    def body(self) -> None:
        """The sums, then the targets."""
        for k in range(len(self.s.reductions)):
            self.w.line(f"REAL a{k} = 0;")
            self.w.line(f"for (int piece_ = 0; piece_ < {self.count}; piece_++)")
            self.w.line(f"    a{k} += {self.piece(k)};")
            self.w.know(f"a{k}", False)
        for k, p in enumerate(self.group.parts):
            self.store(k, p)


class Moments(Tree):
    """The sum of what exceeds the first term, then the squared deviations from the mean."""

    def body(self) -> None:
        """Both targets of one element."""
        first_term(self, "0")
        first, second = self.s.reductions
        count = prod(n for _, n in first.loops)
        self.sums(0, first.term - BASE)
        self.store(0, self.group.parts[0], f"base_ + a0 / (REAL){count}")
        self.sums(1, second.term)
        self.store(1, self.group.parts[1])


class MomentPieces(Pieces):
    """Mean and sum of squared deviations of each piece."""

    def body(self) -> None:
        """Relative to the first term of the piece: x - x0, and then (x - x0) - c."""
        self._bounds()
        first_term(self, "begin_")
        term = self.s.reductions[0].term
        self.sums(0, term - BASE)
        self.w.line("const REAL center_ = a0 / (REAL)(end_ - begin_);")
        self.w.know("center_", False)
        apart = sp.Add(sp.Add(term, -BASE, evaluate=False), -CENTER, evaluate=False)
        self.sums(1, sp.Pow(apart, 2, evaluate=False))
        self.keep(0, "base_ + center_")
        self.keep(1, "a1")


class MomentsJoined(Joined):
    """Pieces are merged by the formula of Chan, Golub and LeVeque, see `moments.py`."""

    def body(self) -> None:
        """Both targets of one element."""
        w, terms = self.w, prod(n for _, n in self.s.reductions[0].loops)
        w.line("REAL mean_ = 0, a1 = 0, count_ = 0;")
        w.open(f"for (int piece_ = 0; piece_ < {self.count}; piece_++)")
        w.line(f"const REAL more_ = min({self.length}, {terms} - piece_ * {self.length});")
        w.line("const REAL share_ = more_ / (count_ + more_);")
        w.line(f"const REAL apart_ = {self.piece(0)} - mean_;")
        w.line("mean_ += apart_ * share_;")
        w.line(f"a1 += {self.piece(1)} + apart_ * apart_ * (count_ * share_);")
        w.line("count_ += more_;")
        w.close()
        w.know("a1", False)
        self.store(0, self.group.parts[0], "mean_")
        self.store(1, self.group.parts[1])


def first_term(made: Tree, number: str) -> None:
    """The term to which all others are taken relative, as `base_`."""
    w, (first, *_) = made.w, made.s.reductions
    loops = made.order([0])
    w.line("REAL base_;")
    w.know("base_", False)
    w.open("", frozenset(v for v, _ in loops))
    for v, text in digits(number, loops).items():
        w.line(f"const int {v} = {text};")
    w.line(f"base_ = {w.value(first.term)};")
    w.close()


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
