"""What a system knows about itself: sums that already have a name, gradients that vanish.

- A sum that an equation of the system defines is that tensor: sum over c of exp(a - m) is s.
  So sum over n, l of (X - mean) is N*L*mean - N*L*mean = 0 in batch norm.
- A gradient that is 0 for all values is dropped: softmax's maximum only shifts, and its gradient
  grad/N - s*grad/(N*s) vanishes. It is found here, not declared.
- An equation that no output needs is dropped.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import permutations, product

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
    known = list(_named_sums(forward))
    notes: list[Note] = []
    pointwise = [e for e in forward.equations if not reduces(e.body)]
    kept: list[Equation] = []
    vanished: set[str] = set()
    for e in backward.equations:
        gone = {r: sp.Integer(0) for r in reads(e.body) if r.tensor in vanished}
        first = replace(e, body=substitute(e.body, gone))
        extents = dict(zip(e.indices, backward.tensor(e.target).shape, strict=True))
        e = replace(e, body=_fold(_zero_sums(first.body), known, extents))
        if e.body != first.body:
            notes.append(Note(e.target, "known sums", first, e))
        if e.target not in backward.outputs and _vanishes(e, [*pointwise, *kept]):
            vanished.add(e.target)
            notes.append(Note(e.target, "vanishes", e, None))
            continue
        kept.append(e)
        if not reduces(e.body):
            pointwise.append(e)
    backward = _with_folded(replace(backward, equations=tuple(kept)), forward)
    needed = prune(backward, backward.outputs)
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


@dataclass(frozen=True)
class _Known:
    """T = factor * sum, so the sum is `value` = T/factor, for indices below `shape`."""

    equation: Equation
    shape: tuple[sp.Expr, ...]
    sum: Reduce
    value: sp.Expr


def _named_sums(forward: Definition) -> Iterator[_Known]:
    """Equations T = factor * sum, where the factor is a number or a size and so is not 0."""
    sizes = {s for s, bound in forward.lower if bound >= 1} | {s for s, _ in forward.derived}
    for e in forward.equations:
        inner = reduces(e.body)
        if len(inner) == 1 and inner[0].kind == "sum" and not inner[0].guards:
            factor = sp.cancel(e.body / inner[0])
            if not factor.has(Reduce, Read) and _never_zero(factor, sizes):
                shape = forward.tensor(e.target).shape
                yield _Known(e, shape, inner[0], Read(e.target, *e.indices) / factor)


def _never_zero(factor: sp.Expr, sizes: set[sp.Symbol]) -> bool:
    """A product of numbers and powers of sizes that are at least 1."""
    bases = [f.as_base_exp()[0] for f in sp.Mul.make_args(factor)]
    return all(b in sizes or (b.is_Rational and b != 0) for b in bases)


def _with_folded(backward: Definition, forward: Definition) -> Definition:
    """Forward tensors that folding brought in are inputs of the backward system too."""
    used = {r.tensor for e in backward.equations for r in reads(e.body)}
    names = {t.name for t in backward.tensors}
    new = [t for t in forward.tensors if t.name in used and t.name not in names]
    return replace(
        backward,
        tensors=(*new, *backward.tensors),
        inputs=(*(t.name for t in new), *backward.inputs),
    )


def _zero_sums(body: sp.Expr) -> sp.Expr:
    return substitute(body, {r: sp.Integer(0) for r in reduces(body) if r.body == 0})


def _fold(body: sp.Expr, known: list[_Known], extents: Mapping[sp.Symbol, sp.Expr]) -> sp.Expr:
    found = {}
    for r in reduces(body):
        named = _named(r, known, extents) if r.kind == "sum" else None
        if named is not None:
            found[r] = named
    return sp.expand_mul(substitute(body, found)) if found else body


def _named(r: Reduce, known: list[_Known], extents: Mapping[sp.Symbol, sp.Expr]) -> sp.Expr | None:
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
            else _match(Reduce("sum", r.indices, (), inside), known, extents)
        )
        if value is None:
            return None
        total += outside * value
    return _products(total)


def _products(e: sp.Expr) -> sp.Expr:
    """A sum of products; exp(a - m) stays one factor."""
    return sp.expand(e, power_exp=False, power_base=False, log=False)


def _match(r: Reduce, known: list[_Known], extents: Mapping[sp.Symbol, sp.Expr]) -> sp.Expr | None:
    """A known sum of the same terms over the same range, for indices within the tensor's shape."""
    free = [i for i in sorted(r.free_symbols, key=str) if i in extents]
    for k in known:
        for order, outer in product(
            permutations(k.sum.indices), permutations(free, len(k.equation.indices))
        ):
            same = [n for _, n in order] == [n for _, n in r.indices]
            if not same or [extents[i] for i in outer] != list(k.shape):
                continue
            renamed = dict(zip(k.equation.indices, outer, strict=True))
            bound = dict(zip((i for i, _ in order), r.bound, strict=True))
            if k.sum.body.xreplace({**bound, **renamed}) == r.body:
                return k.value.xreplace(renamed)
    return None


def _vanishes(e: Equation, pointwise: list[Equation]) -> bool:
    """The right side is 0 identically, after equations without sums are written in.

    Cases are not: SymPy has no end where a condition holds a case distinction."""
    body = e.body
    if reduces(body):
        return False
    plain = [p for p in pointwise if not reduces(p.body) and not p.body.has(sp.Piecewise)]
    definitions = {p.target: p for p in plain}
    while inline := {r: definitions[r.tensor] for r in reads(body) if r.tensor in definitions}:
        body = substitute(
            body,
            {
                r: p.body.xreplace(dict(zip(p.indices, r.subscripts, strict=True)))
                for r, p in inline.items()
            },
        )
    return bool(sp.cancel(sp.together(sp.expand(body))) == 0)
