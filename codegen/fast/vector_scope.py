"""Text in nested scopes, where each load and each subexpression is defined as far out as it can be.

A scope binds loops. A read is loaded in the outermost scope that binds the loops of its address; a
factor of a product that does not change in the innermost scope is computed outside. Sums keep their
terms in order: regrouping them could cancel.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import sympy as sp

from gradproof.codegen.fast.affine import Affine
from gradproof.codegen.fast.invariants import worth
from gradproof.codegen.fast.values import condition_text, index_text, value_text


@dataclass
class Scope:
    """One pair of braces: `loops` bound by its header, what it defines, its text."""

    loops: frozenset[str]
    vector: bool = False
    known: dict[str, bool] = field(default_factory=dict)  # name -> whether it is a vector
    temporary: dict[sp.Expr, sp.Symbol] = field(default_factory=dict)
    lines: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Load:
    """A read: its C pointer and address, and the tests without which it leaves the memory."""

    pointer: str
    address: Affine
    whole: bool
    tests: tuple[Affine, ...] = ()  # each of these is >= 0 inside


class Writer:
    """Builds the text of a kernel's body.

    loads: by name of the symbol; split: variables that are an affine expression of loops; lane:
    the loop whose 16 neighbours are one vector, in scopes that bind it so; whole: symbols that are
    integers; scalars: names of the kernel's arguments.
    """

    def __init__(
        self,
        loads: Mapping[str, Load],
        split: Mapping[str, Affine],
        whole: frozenset[str],
        scalars: frozenset[str],
    ) -> None:
        self.loads, self.split, self.whole = loads, split, whole
        self.stack = [Scope(frozenset(), known=dict.fromkeys(scalars, False))]
        self.lane: str | None = None
        self.steps: Affine = Affine()
        self.counter = 0

    # -- scopes -----------------------------------------------------------------------------------
    def open(self, header: str, loops: frozenset[str] = frozenset(), vector: bool = False) -> None:
        """A scope behind `header`; vector: the lane is bound as a vector."""
        self.stack.append(Scope(loops, vector))
        self.stack[-1].lines.append(f"{header} {{" if header else "{")

    def close(self) -> None:
        """The end of the innermost scope."""
        scope = self.stack.pop()
        head, *lines = scope.lines
        self.stack[-1].lines += [head, *("    " + x for x in lines), "}"]

    def line(self, text: str) -> None:
        """A statement in the innermost scope."""
        self.stack[-1].lines.append(text)

    def know(self, name: str, vector: bool) -> None:
        """A variable that the innermost scope declares."""
        self.stack[-1].known[name] = vector

    def fresh(self, stem: str) -> str:
        """A name that was not used."""
        self.counter += 1
        return f"{stem}{self.counter}"

    @property
    def here(self) -> int:
        """The depth of the innermost scope."""
        return len(self.stack) - 1

    def in_lanes(self) -> bool:
        """Whether the lane is a vector here."""
        return any(s.vector for s in self.stack)

    def depth(self, loops: frozenset[str]) -> int:
        """The outermost scope that binds all of these loops."""
        missing = set(loops)
        for d, s in enumerate(self.stack):
            missing -= s.loops
            if not missing:
                return d
        raise KeyError(f"unbound: {sorted(missing)}")

    # -- definitions ------------------------------------------------------------------------------
    def need(self, name: str) -> int:
        """The depth at which a symbol is defined; it is defined now where it was not."""
        for d in range(len(self.stack) - 1, -1, -1):
            if name in self.stack[d].known:
                return d
        if name in self.loads:
            return self._load(name, self.loads[name])
        value = self.split.get(name, Affine.of(name))
        d = self.depth(value.loops)
        vector = self.in_lanes() and value.coefficient(self.lane or "") != 0
        if name in self.split or vector:
            kind = "MASKV" if vector else "int"
            self._define(d, f"const {kind} {name} = {self.integer(value, vector)};", name, vector)
        return d

    def _define(self, d: int, text: str, name: str, vector: bool) -> None:
        self.stack[d].lines.append(text)
        self.stack[d].known[name] = vector

    def integer(self, p: Affine, vector: bool = False) -> str:
        """An index; vector: with one value for each lane."""
        if not self.in_lanes() or self.lane is None:
            return str(p)
        k = p.coefficient(self.lane)
        base = p.substitute({self.lane: self.steps})
        return f"{base} + {k} * LANE" if vector else str(base)

    def _load(self, name: str, load: Load) -> int:
        loops = load.address.loops.union(*(t.loops for t in load.tests))
        d = self.depth(loops)
        lane = self.lane if self.in_lanes() else None
        vector = lane is not None and lane in loops
        if vector and any(t.coefficient(lane or "") for t in load.tests):
            self._load_lanes(d, name, load)
            return d
        kind = ("MASKV" if load.whole else "REALV") if vector else "int" if load.whole else "REAL"
        at = self.integer(load.address)
        text = f"{load.pointer}[{at}]"
        if vector and load.address.coefficient(lane or ""):
            text = f"{'LOADED_WHOLE' if load.whole else 'LOADED'}({load.pointer}, {at})"
        if load.tests:
            tests = " && ".join(f"{self.integer(t)} >= 0" for t in load.tests)
            text = f"{tests} ? {text} : ({kind})(0)"
        self._define(d, f"const {kind} {name} = {text};", name, vector)
        return d

    def _load_lanes(self, d: int, name: str, load: Load) -> None:
        """All 16 at once where the first and the last are inside, one by one elsewhere."""
        kind, single = ("MASKV", "MASK") if load.whole else ("REALV", "REAL")
        lane = self.lane or ""
        at, k = self.integer(load.address), load.address.coefficient(lane)
        ends = [Affine(end) + t.substitute({lane: self.steps}) for t in load.tests
                for end in {0, 15 * t.coefficient(lane)}]  # fmt: skip
        each = [f"{self.integer(t)} + {t.coefficient(lane)} * l >= 0" for t in load.tests]
        full = "LOADED_WHOLE" if load.whole else "LOADED"
        self.stack[d].lines += [
            f"{kind} {name};",
            f"if ({' && '.join(f'{e} >= 0' for e in ends)})",
            f"    {name} = {full}({load.pointer}, {at});",
            "else",
            "    for (int l = 0; l < 16; l++)",
            f"        (({single} *)&{name})[l] = {' && '.join(each)}"
            f" ? {load.pointer}[{at} + {k} * l] : 0;",
        ]  # fmt: skip
        self.stack[d].known[name] = True

    # -- expressions ------------------------------------------------------------------------------
    def vectors(self) -> frozenset[str]:
        """The names that are vectors."""
        return frozenset(n for s in self.stack for n, vector in s.known.items() if vector)

    def is_vector(self, *es: sp.Basic) -> bool:
        """Whether an expression is a vector; all its symbols are defined now."""
        names = {str(s) for e in es for s in e.free_symbols}
        for n in sorted(names):
            self.need(n)
        return bool(names & self.vectors())

    def value(self, e: sp.Expr) -> str:
        """The C text of an expression, what does not change here computed outside."""
        e = self._hoisted(e, self.here)
        self.is_vector(e)
        return value_text(e, {}, self.vectors(), self.whole)

    def whole_value(self, e: sp.Expr) -> str:
        """The C text of an integer expression."""
        self.is_vector(e)
        return index_text(e, {})

    def condition(self, conditions: tuple[sp.Basic, ...]) -> str:
        """The C text of comparisons that all hold."""
        self.is_vector(*conditions)
        return condition_text(conditions, {}, self.vectors(), self.whole)

    def _level(self, e: sp.Basic) -> int:
        return max(map(self.need, sorted(map(str, e.free_symbols))), default=0)

    def _hoisted(self, e: sp.Expr, here: int) -> sp.Expr:
        if not worth(e) or self._whole(e):
            return e
        level = self._level(e)
        if level < here:
            return self._temporary(e, level)
        if isinstance(e, sp.Piecewise):
            pairs = [(self._hoisted(v, here), self._comparison(c, here)) for v, c in e.args]
            return sp.Piecewise(*pairs, evaluate=False)
        if e.is_Mul:
            outer = sp.Mul(*[f for f in e.args if self._level(f) < here])
            if worth(outer):
                inner = [f for f in e.args if self._level(f) >= here]
                named = self._temporary(outer, self._level(outer))
                return sp.Mul(named, *[self._hoisted(f, here) for f in inner])
        return e.func(*[self._hoisted(a, here) for a in e.args])

    def _comparison(self, c: sp.Basic, here: int) -> sp.Basic:
        """A condition of a case, its sides hoisted like the values, so that both share them."""
        if isinstance(c, sp.And | sp.Or):
            return c.func(*[self._comparison(x, here) for x in c.args])
        if not isinstance(c, sp.core.relational.Relational):
            return c
        return c.func(*[self._hoisted(x, here) for x in c.args], evaluate=False)

    def _temporary(self, e: sp.Expr, level: int) -> sp.Expr:
        if self._whole(e):
            return e
        if e not in self.stack[level].temporary:
            inner = self._hoisted(e, level)
            name, vector = self.fresh("h"), self.is_vector(inner)
            text = value_text(inner, {}, self.vectors(), self.whole)
            kind = "REALV" if vector else "REAL"
            self._define(level, f"const {kind} {name} = {text};", name, vector)
            self.stack[level].temporary[e] = sp.Symbol(name, real=True)
        return self.stack[level].temporary[e]

    def _whole(self, e: sp.Expr) -> bool:
        return all(s.is_integer or str(s) in self.whole for s in e.free_symbols)
