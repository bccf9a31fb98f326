"""What a system knows about itself: sums that already have a name, gradients that vanish.

- A sum that an equation of the system defines is that tensor: sum over c of exp(a - m) is s.
  So sum over n, l of (X - mean) is N*L*mean - N*L*mean = 0 in batch norm.
- A gradient that is 0 for all values is dropped: softmax's maximum only shifts, and its gradient
  grad/N - s*grad/(N*s) vanishes. It is found here, not declared.
- An equation that no output needs is dropped.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import permutations

import sympy as sp

from gradproof.derive.expr import Read, Reduce, reads, reduces, substitute
from gradproof.derive.language import Definition, Equation


@dataclass(frozen=True)
class Note:
    """What was found about one equation: `before` became `after` (None: it is left out)."""

    target: str
    finding: str
    before: Equation
    after: Equation | None


def simplify(backward: Definition, forward: Definition) -> tuple[Definition, tuple[Note, ...]]:
    """The eliminated backward system with known sums named and vanishing gradients gone, and a
    note for every change."""
    known = list(_named_sums(forward.equations))
    notes: list[Note] = []
    pointwise = [e for e in forward.equations if not reduces(e.body)]
    kept: list[Equation] = []
    vanished: set[str] = set()
    for e in backward.equations:
        gone = {r: sp.Integer(0) for r in reads(e.body) if r.tensor in vanished}
        first = replace(e, body=substitute(e.body, gone))
        e = replace(e, body=_fold(_zero_sums(first.body), known))
        if e.body != first.body:
            notes.append(Note(e.target, "known sums", first, e))
        if e.target not in backward.outputs and _vanishes(e, [*pointwise, *kept]):
            vanished.add(e.target)
            notes.append(Note(e.target, "vanishes", e, None))
            continue
        kept.append(e)
        if not reduces(e.body):
            pointwise.append(e)
    needed = prune(replace(backward, equations=tuple(kept)), backward.outputs)
    used = {e.target for e in needed.equations}
    notes += [Note(e.target, "unused", e, None) for e in kept if e.target not in used]
    return needed, tuple(notes)


def prune(d: Definition, outputs: Iterable[str]) -> Definition:
    """The part of a system that `outputs` depend on, with only the tensors that it touches."""
    wanted, kept = set(outputs), []
    for e in reversed(d.equations):
        if e.target in wanted:
            kept.append(e)
            wanted |= {r.tensor for r in reads(e.body)}
    kept.reverse()
    used = wanted & {t.name for t in d.tensors}
    return replace(
        d,
        equations=tuple(kept),
        tensors=tuple(t for t in d.tensors if t.name in used),
        inputs=tuple(n for n in d.inputs if n in used),
        outputs=tuple(n for n in d.outputs if n in used),
    )


def _named_sums(equations: Iterable[Equation]) -> Iterator[tuple[Equation, Reduce, sp.Expr]]:
    """Equations T = k * sum, as (equation, sum, T/k)."""
    for e in equations:
        inner = reduces(e.body)
        if len(inner) == 1 and inner[0].kind == "sum":
            factor = sp.cancel(e.body / inner[0])
            if not factor.has(Reduce):
                yield e, inner[0], Read(e.target, *e.indices) / factor


def _zero_sums(body: sp.Expr) -> sp.Expr:
    return substitute(body, {r: sp.Integer(0) for r in reduces(body) if r.body == 0})


def _fold(body: sp.Expr, known: list[tuple[Equation, Reduce, sp.Expr]]) -> sp.Expr:
    found = {}
    for r in reduces(body):
        named = _named(r, known) if r.kind == "sum" else None
        if named is not None:
            found[r] = named
    return sp.expand_mul(substitute(body, found)) if found else body


def _named(r: Reduce, known: list[tuple[Equation, Reduce, sp.Expr]]) -> sp.Expr | None:
    """The sum term by term, if every term is a known sum or a constant; else None."""
    if r.guards or not r.indices:
        return None
    total: sp.Expr = sp.Integer(0)
    for term in sp.Add.make_args(_products(r.body)):
        bound = set(r.bound)
        factors = sp.Mul.make_args(term)
        outside = sp.Mul(*[f for f in factors if not f.free_symbols & bound])
        inside = sp.Mul(*[f for f in factors if f.free_symbols & bound])
        value = (
            sp.Mul(*[n for _, n in r.indices])
            if inside == 1
            else _match(Reduce("sum", r.indices, (), inside), known)
        )
        if value is None:
            return None
        total += outside * value
    return _products(total)


def _products(e: sp.Expr) -> sp.Expr:
    """A sum of products; exp(a - m) stays one factor."""
    return sp.expand(e, power_exp=False, power_base=False, log=False)


def _match(r: Reduce, known: list[tuple[Equation, Reduce, sp.Expr]]) -> sp.Expr | None:
    for e, sum_, value in known:
        if len(sum_.indices) != len(r.indices) or sum_.guards:
            continue
        for order in permutations(sum_.indices):
            if [n for _, n in order] != [n for _, n in r.indices]:
                continue
            bound = dict(zip((i for i, _ in order), r.bound, strict=True))
            for outer in permutations(sorted(r.free_symbols, key=str), len(e.indices)):
                mapping = {**bound, **dict(zip(e.indices, outer, strict=True))}
                if sum_.body.xreplace(mapping) == r.body:
                    return value.xreplace(dict(zip(e.indices, outer, strict=True)))
    return None


def _vanishes(e: Equation, pointwise: list[Equation]) -> bool:
    """The right side is 0 identically, after equations without sums are written in."""
    body = e.body
    if reduces(body):
        return False
    definitions = {p.target: p for p in pointwise if not reduces(p.body)}
    while inline := {r: definitions[r.tensor] for r in reads(body) if r.tensor in definitions}:
        body = substitute(
            body,
            {
                r: p.body.xreplace(dict(zip(p.indices, r.subscripts, strict=True)))
                for r, p in inline.items()
            },
        )
    return bool(sp.cancel(sp.together(sp.expand(body))) == 0)
