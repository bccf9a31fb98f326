"""The proofs as a text to read: which terms correspond, what each obligation says, what it took.

The recorded certificates are checked once more, and the checker is listened to.
"""

from __future__ import annotations

import ast
import json
import operator
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

import sympy as sp

from gradproof.derive.checker import (
    Certificates,
    Fact,
    Operator,
    Poly,
    Source,
    freeze,
    ranges_at,
    show,
    sub,
    substitute,
    var,
)
from gradproof.derive.explain import Passage, Section, Words
from gradproof.derive.expr import Guard, IsZero, NonNeg, Philox, Quo, Read, Rem, integer


@dataclass
class Bijection:
    """One pair of sums: the indices of the one, those of the other, and the maps between them."""

    where: str
    source: Any
    loops: Any
    guards: Any
    entry: Any
    read: Callable[[str], Poly]


@dataclass
class Obligation:
    """One obligation: its place, what was to be shown, and the size of its certificate."""

    where: str
    goals: list[Fact]
    steps: list[Any]
    size: int


@dataclass(eq=False)
class Listener(Certificates):
    """The checker's certificates, with a note of what was checked."""

    record: Any
    bijections: list[Bijection] = field(default_factory=list)
    obligations: list[Obligation] = field(default_factory=list)

    def __post_init__(self) -> None:
        super().__init__(self.record)

    def search(self, key: str, facts: list[Fact], goals: list[Fact], where: str) -> list[Any]:
        """Note the obligation, and what its certificate is."""
        steps = super().search(key, facts, goals, where)
        size = len(json.dumps(self.proofs[key]))
        self.obligations.append(Obligation(where, goals, steps, size))
        return steps

    def reindex(
        self, where: str, facts: list[Fact], source: Any, loops: Any, guards: Any, m: Any
    ) -> Poly:
        """Note the bijection."""
        self.bijections.append(Bijection(where, source, loops, guards, m, self.integer))
        return super().reindex(where, facts, source, loops, guards, m)


def proofs(record: Any, entry: Any, text: str, named: Any, operand: str) -> Iterator[Section]:
    """What is proved of the gradient of one operand: its kernel, then the claims about it.

    record, entry, text: the operator's certificates, its entry in the manifest, its kernels.
    Errors: Refused where a certificate does not hold.
    """
    listener = Listener(record)
    ledger = Operator(record, entry, Source(entry["file"], text), listener).check(named)
    yield from story(listener, ledger, entry, operand)


def story(listener: Listener, ledger: list[Any], entry: Any, operand: str) -> Iterator[Section]:
    """The same, of a ledger that the listener has heard being made."""
    record = listener.record
    kernels = [k for k, e in entry["kernels"].items() if e["target"] == f"grad_{operand}"]
    for kernel in kernels:
        rows = [r for r in ledger if r["claim"].startswith(f"{kernel}.")]
        missing = [r["why"] for r in rows if "why" in r and _kind(r) == "equation"]
        if missing:
            yield Section((f"{kernel}: not proved, tested",), (Passage((missing[0],)),))
        elif rows:
            yield _kernel(listener, kernel, [r for r in rows if "why" not in r])
    named_rows = {r["claim"]: r for r in ledger}
    vanished = [r for r in ledger if r["claim"].endswith("=0") and "why" not in r]
    if vanished:
        items = tuple((f"{r['statement']} ({_took(r)})",) for r in vanished)
        yield Section(
            ("Proof: what vanishes",), (Passage(("No kernel computes these:",), (), items),)
        )
    sides = ({"adjoint": operand}, {"value": f"grad_{operand}"})
    about = [c for c in record["claims"] if c.get("left") in sides or c.get("right") in sides]
    for claim in (c for c in about if "fixed" not in c):
        yield _claim(listener, claim, named_rows[claim["claim"]])
    special = tuple(
        (f"{_case(row)} ({_took(row)})",)
        for c in about
        if (row := named_rows[c["claim"]])
        if "fixed" in c
    )
    if special:
        title = "Proof: schedules and special sizes"
        yield Section((title,), (Passage(("Also proved:",), (), special),))


def _case(row: Any) -> str:
    return ", ".join(filter(None, [row["claim"], row.get("given", "")]))


def _kernel(listener: Listener, kernel: str, rows: list[Any]) -> Section:
    words = (
        f"The checker forms the adjoint from the recorded definition, reads the text of {kernel}, "
        "and shows that both add the same terms."
    )
    passages = [Passage((words,))]
    for b in listener.bijections:
        if b.where.split(", sum")[0].endswith(f": {kernel}"):
            passages += _bijection(listener, b)
    what = {
        "once": "every element is written by exactly one work-item",
        "range": "every read is inside its tensor or guarded",
        "int32": "no integer overflows 32 bits",
    }
    also = tuple((what[k], " (", _took(r), ")") for r in rows if (k := _kind(r)) in what)
    return Section(
        (f"Proof: {kernel} computes it",), (*passages, Passage(("Also proved:",), (), also))
    )


def _kind(row: Any) -> str:
    return str(row["claim"]).rpartition(".")[2]


def _claim(listener: Listener, claim: Any, row: Any) -> Section:
    passages = [Passage((claim["statement"],))]
    for b in listener.bijections:
        if b.where.split(", sum")[0] == claim["claim"]:
            passages += _bijection(listener, b)
    passages.append(Passage((f"Status: {row['status']}; {_took(row)}.",)))
    return Section((f"Proof: {claim['claim']}",), tuple(passages))


def _bijection(listener: Listener, b: Bijection) -> list[Passage]:
    there = tuple((node(i), " = ", node(e)) for i, e in b.entry["map"].items())
    back = tuple((node(i), " = ", node(e)) for i, e in b.entry["back"].items())
    start: Words = ("The derivative adds over ", *_loops(b.source[1]), "; the other side over ")
    out = [Passage((*start, *_loops(b.loops), ". Terms correspond:"), (), there)]
    if back:
        out.append(Passage(("and back:",), (), back))
    for direction, words in (
        ("there", "From the ranges and guards of the other side it follows that"),
        ("back", "From the ranges and equations of the derivative it follows that"),
    ):
        meaning = _meaning(b, direction)
        found = [o for o in listener.obligations if o.where == f"{b.where}, {direction}"]
        for o in found[:1]:
            items = tuple((guard(g), *meaning.get((g[0], freeze(g[1])), ())) for g in o.goals)
            took = f"({len(o.steps)} steps, {o.size:,} bytes)"
            out.append(Passage((f"{words} {took}",), (), items))
    return out


def _meaning(b: Bijection, direction: str) -> dict[Any, Words]:
    """What each obligation of a direction says, in words."""
    there = {i: b.read(e) for i, e in b.entry["map"].items()}
    back = {i: b.read(e) for i, e in b.entry["back"].items()}
    _, loops, guards, _ = b.source
    if direction == "there":
        maps, ranged, conditions, home = there, loops, guards, (b.loops, back)
        side = "the derivative"
    else:
        maps, ranged, conditions, home = back, b.loops, b.guards, (loops, there)
        side = "the other side"
    out: dict[Any, Words] = {}
    for i, e in ranged:
        low, high = ranges_at([(maps[i], substitute(dict(e), maps))])
        out[low[0], freeze(low[1])] = (" (", node(i), " is not negative)")
        out[high[0], freeze(high[1])] = (" (", node(i), " is below its extent)")
    for kind, g in conditions:
        words: Words = (" (a condition of ", side, ": ", guard((kind, dict(g))), ")")
        out[kind, freeze(substitute(dict(g), maps))] = words
    for i, _ in home[0]:
        returned = sub(substitute(home[1][i], maps), var(i))
        out["==", freeze(returned)] = (" (there and back, ", node(i), " is itself again)")
    for _, a, c in b.entry.get("rewrite", []):
        out["==", freeze(sub(b.read(a), b.read(c)))] = (" (the same element is read)",)
    return out


def _loops(loops: Iterable[Any]) -> Words:
    parts: list[str | sp.Basic] = []
    for i, e in loops:
        parts += [", " if parts else "", node(i), " < ", node(show(dict(e)))]
    return tuple(parts) or ("a single term",)


def _took(row: Any) -> str:
    return f"degree {row['degree']}, {row['steps']} steps, {row['bytes']:,} bytes"


def guard(f: Fact) -> Guard:
    """A fact of the checker as a guard of the index language."""
    return (NonNeg if f[0] == ">=" else IsZero)(node(show(dict(freeze(f[1])))))


def node(text: str) -> sp.Basic:
    """An integer expression of the checker as a node of the index language.

    >>> node("((k)//(CG)) + OG*o")
    OG*o + (k)//(CG)
    """
    return _node(ast.parse(text, mode="eval").body)


def _node(n: ast.expr) -> sp.Basic:
    match n:
        case ast.Name(id=name):
            return integer(name)
        case ast.Constant(value=int(value)):
            return sp.Integer(value)
        case ast.UnaryOp(op=ast.USub(), operand=a):
            return -_node(a)
        case ast.BinOp(left=a, op=op, right=b):
            x, y = _node(a), _node(b)
            table: dict[type[ast.operator], Callable[[Any, Any], Any]] = {
                ast.Add: operator.add,
                ast.Sub: operator.sub,
                ast.Mult: operator.mul,
                ast.Div: operator.truediv,
                ast.FloorDiv: Quo,
                ast.Mod: Rem,
            }
            return table[type(op)](x, y)
        case ast.Subscript(value=ast.Name(id=name), slice=s):
            return Read(name, *map(_node, s.elts if isinstance(s, ast.Tuple) else [s]))
        case ast.Call(func=ast.Name(id="philox"), args=args):
            return Philox(*map(_node, args))
    raise ValueError(f"no integer expression: {ast.unparse(n)!r}")
