"""The derivation as a text to read: each equation, each occurrence, each rule, each guard.

Nothing is derived here. What `adjoint`, `eliminate` and `simplify` did is put into words; formulas
stay nodes, so that a terminal and a paper can each print them in their way.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, TypeAlias

import sympy as sp

from gradproof.derive.adjoint import PREFIX, Occurrence, contributions, prepare
from gradproof.derive.eliminate import Solution, Step, eliminate_equation, solve
from gradproof.derive.errors import DefinitionError
from gradproof.derive.expr import Divides, Guard, NonNeg, Read, reads, substitute
from gradproof.derive.language import Definition, Equation
from gradproof.derive.show import aligned, latex
from gradproof.derive.simplify import Note
from gradproof.derive.system import System, derive

Words: TypeAlias = tuple[str | sp.Basic, ...]
Formula: TypeAlias = Any  # a SymPy node or an Equation


@dataclass(frozen=True)
class Passage:
    """Words, with formulas among them; then the formulas that they lead to, or a list."""

    words: Words
    formulas: tuple[Formula, ...] = ()
    items: tuple[Words, ...] = ()


@dataclass(frozen=True)
class Section:
    """A part of the derivation with its heading."""

    title: Words
    passages: tuple[Passage, ...]

    def _repr_markdown_(self) -> str:
        """Words with formulas, which a notebook typesets."""
        parts = [f"**{_markdown(self.title)}**"]
        for p in self.passages:
            parts.append(_markdown(p.words))
            if p.formulas:
                parts.append(f"$${aligned(p.formulas)}$$")
            if p.items:
                parts.append("\n".join(f"- {_markdown(item)}" for item in p.items))
        return "\n\n".join(filter(None, parts))


def _markdown(words: Words) -> str:
    r"""Words with formulas between dollar signs, and nothing else that Markdown would read.

    >>> _markdown(("a_b < ", sp.Symbol("x", integer=True)))
    'a\\_b \\< $x$'
    """
    special = r"([\\`*_{}\[\]<>#$|])"
    return "".join(
        f"${latex(w)}$" if isinstance(w, sp.Basic) else re.sub(special, r"\\\1", w) for w in words
    )


def operand(d: Definition, name: str) -> str:
    """The definition's letter for an operand, given that letter or the name users know it by.

    Errors: DefinitionError lists the operands with a gradient.

    >>> from gradproof.derive.registry import find
    >>> operand(find("conv2d"), "weight")
    'w'
    """
    shown = dict(d.names)
    for n in d.differentiable:
        if name in (n, shown.get(n)):
            return n
    known = ", ".join(f"{n} ({shown[n]})" if n in shown else n for n in d.differentiable)
    what = "has no gradient" if name in _known(d) else "is not an operand"
    raise DefinitionError(f"{d.name}: {name!r} {what}; operands with a gradient: {known or 'none'}")


def explain(d: Definition, wrt: str | None = None) -> Iterator[Section]:
    """The derivation of the gradients of an operator: all of them, or that of one operand.

    d: an operator. wrt: a letter of the definition. Returns the sections in reading order: the
    definition, the forward system where it was extended, one section per adjoint equation in
    reverse order of use, and the result.
    """
    system = derive(d)
    yield _definition(d)
    if system.raw is None:
        yield Section(("Gradient",), (Passage(("No operand has a gradient.",)),))
        return
    forward = prepare(d)
    added = [e for e in forward.equations if e not in d.equations]
    if added:
        yield _extended(added)
    for e in system.raw.equations:
        if e.target in _needed(system.raw, wrt):
            yield _gradient(system, forward, e)
    yield _result(system, wrt)


def _known(d: Definition) -> set[str]:
    return {t.name for t in d.tensors} | set(dict(d.names).values())


def _needed(raw: Definition, wrt: str | None) -> set[str]:
    """The adjoint equations that the gradient of `wrt` depends on."""
    needed = {PREFIX + wrt} if wrt else {e.target for e in raw.equations}
    for e in reversed(raw.equations):
        if e.target in needed:
            needed |= {r.tensor for r in reads(e.body)}
    return needed


# -- the parts ----------------------------------------------------------------------------------
def _definition(d: Definition) -> Section:
    passages = [Passage((" ".join(d.doc.split()),))] if d.doc else []
    passages.append(Passage(("The definition:",), d.equations))
    if d.derived:
        sizes = tuple(Equation(str(s), (), value) for s, value in d.derived)
        passages.append(Passage(("with the sizes",), sizes))
    for t in d.tensors:
        element = Read(t.name, *t.shape)
        if t.outside == "zero":
            passages.append(Passage((f"{t.name} has the shape ", element, "; outside it is 0.")))
        if t.outside == "skip":
            passages.append(
                Passage((f"{t.name} has the shape ", element, "; a maximum skips what is outside."))
            )
    shown = [f"{n} is {known}" for n, known in d.names]
    if shown:
        passages.append(Passage((f"In PyTorch's words, {', '.join(shown)}.",)))
    if d.differentiable:
        words = (
            f"{PREFIX}X, or dl/dX, is the gradient of the loss with respect to X; n' is a second "
            "index that runs as n does; a term counts only where all its guards hold, which stand "
            "in [brackets] or under the sum."
        )
        passages.append(Passage((words,)))
    return Section((f"Operator {d.name}",), tuple(passages))


def _extended(added: list[Equation]) -> Section:
    words = (
        "Reductions that a derivative contains get a name, and every maximum the position it is "
        "taken at: max f(j) = Σ [j = argmax] f(j). The forward pass then also has"
    )
    return Section(("The forward system, extended",), (Passage((words,), tuple(added)),))


def _gradient(system: System, forward: Definition, e: Equation) -> Section:
    raw = system.raw
    assert raw is not None
    name = e.target.removeprefix(PREFIX)
    parts = contributions(forward, name)
    passages: list[Passage] = []
    for k, (place, part) in enumerate(parts, 1):
        which = f"Occurrence {k} of {len(parts)}: " if len(parts) > 1 else ""
        passages.append(_chain_rule(which, place, Equation(e.target, e.indices, part)))
        passages += _solution(solve(part, raw.scope(e)))
    if forward.tensor(name).outside != "forbidden":
        words = f"Only elements inside {name} are asked for: what lies around it is not a variable."
        passages.append(Passage((words,)))
    gathered = eliminate_equation(raw, e)
    words = "All occurrences together:" if len(parts) > 1 else "So, as a gather:"
    passages.append(Passage((words,), (gathered,)))
    passages += [_note(n) for n in system.notes if n.target == e.target]
    return Section(("Gradient ", Read(e.target, *e.indices)), tuple(passages))


def _chain_rule(which: str, o: Occurrence, whole: Equation) -> Passage:
    words = (
        which,
        o.read,
        f" in the equation of {o.equation.target}. The chain rule, with one equation (a Kronecker "
        "delta) per subscript, over every place that reads the element:",
    )
    return Passage(words, (whole,))


def _solution(s: Solution) -> list[Passage]:
    out: list[Passage] = []
    renames: list[Step] = []
    for step in s.steps:
        if step.rule == "substitution" and step.found[0][1].is_Symbol:
            renames.append(step)  # n' = n and the like are told together
            continue
        out += _renames(renames)
        renames = []
        out.append(Passage(_words(step), (step.after,)))
    out += _renames(renames)
    return out + _guards(s)


def _renames(steps: list[Step]) -> list[Passage]:
    if not steps:
        return []
    pairs: list[str | sp.Basic] = []
    for step in steps:
        ((v, value),) = step.found
        pairs += [", " if pairs else "", v, " = ", value]
    return [Passage(("Substitution: put ", *pairs, "."), (steps[-1].after,))]


def _words(step: Step) -> Words:
    v, value = step.found[0]
    if step.rule == "split":
        return ("Split: ", v, " stands under a quotient by a divisor of its extent, so ", v, " = ",
                value, " is one-to-one.")  # fmt: skip
    assert step.solved is not None
    if step.rule == "mixed radix":
        return ("Mixed radix: ", step.solved, " has one solution, ", v, " = ", value, " and ",
                step.found[1][0], " = ", step.found[1][1], ".")  # fmt: skip
    if step.rule == "divisibility":
        divides = next(g for g in step.guards if isinstance(g, Divides))
        return ("Divisibility: ", step.solved, " has the one solution ", v, " = ", value,
                ", and only where ", divides, ".")  # fmt: skip
    if step.rule == "window":
        return ("Window: ", step.solved, " holds in one run of values, ", v, " = ", value, ".")
    return ("Substitution: ", step.solved, " gives ", v, " = ", value, ".")


def _guards(s: Solution) -> list[Passage]:
    origin = _origins(s)
    kept = tuple((g, " ", *origin.get(g, _own(g))) for g in s.kept)
    by_range = dict.fromkeys(g for g, because in s.dropped if because is None)
    implied: tuple[Words, ...] = tuple((g, ", by ", k) for g, k in s.dropped if k is not None)
    out = [Passage(("Guards that stay:",), items=kept)] if kept else []
    if by_range:
        plain = [part for g in by_range for part in ("; ", g)][1:]
        out.append(Passage(("Dropped, since the ranges of the indices imply them: ", *plain, ".")))
    if implied:
        out.append(Passage(("Dropped, since another guard implies them:",), items=implied))
    return out


def _own(g: Guard) -> Words:
    if isinstance(g, (Divides, NonNeg)):
        return ("(a guard of the definition)",)
    return ("(nothing to solve it for: it selects the terms)",)


def _origins(s: Solution) -> dict[Guard, Words]:
    """Guard -> why it is there; later substitutions change guards that came before."""
    out: dict[Guard, Words] = {}
    for step in s.steps:
        found = dict(step.found)
        out = {substitute(g, found): words for g, words in out.items()}
        for g in step.guards:
            v = next(iter(found))
            if isinstance(g, Divides):
                out[g] = ("(else no ", v, " fits)")
            else:
                sides = {step.guards[0]: "not negative", step.guards[-1]: "below its extent"}
                side = sides.get(g, "in the run")
                out[g] = ("(", v, f" is {side})")
    return out


def _note(n: Note) -> Passage:
    if n.finding == "vanishes":
        return Passage(("This is 0 for all values, so the gradient is left out:",), (n.before,))
    if n.finding == "unused":
        return Passage(("No gradient of an operand needs it: it is left out.",))
    assert n.after is not None
    words = "Sums that the forward pass has already computed, or that are 0, are put in:"
    return Passage((words,), (n.after,))


def _result(system: System, wrt: str | None) -> Section:
    backward = system.backward
    assert backward is not None
    needed = _needed(backward, wrt)
    equations = tuple(e for e in backward.equations if e.target in needed)
    saved = [n for n in system.saved if any(n in _reads(e) for e in equations)]
    words = "One element of a gradient per work-item; nothing is scattered."
    if saved:
        words += f" The backward pass reads {', '.join(saved)} from the forward pass."
    return Section(("Result",), (Passage((words,), equations),))


def _reads(e: Equation) -> set[str]:
    return {r.tensor for r in reads(e.body)}
