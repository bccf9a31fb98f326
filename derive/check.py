"""What must hold of a definition before anything is derived from it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice, product

import sympy as sp

from gradproof.derive.adjoint import check_outputs
from gradproof.derive.bounds import Scope, nonneg, positive
from gradproof.derive.errors import DefinitionError
from gradproof.derive.expr import (
    Divides,
    Guard,
    IsZero,
    NonNeg,
    Quo,
    Read,
    Reduce,
    Rem,
    reads,
    reduces,
    substitute,
)
from gradproof.derive.language import OUTSIDE, SCALARS, Definition, Equation
from gradproof.derive.names import check_names
from gradproof.derive.unsigned import check_unsigned

TRIES = 500  # size tuples, and then settings, that are tried for an example


def check(d: Definition) -> Definition:
    """Return `d` unchanged, or raise a DefinitionError that names the operator and the place."""
    check_names(d)
    _declarations(d)
    seen = set(d.inputs)
    for e in d.equations:
        if e.target in seen:
            raise DefinitionError(f"{d.name}: {e.target} is defined twice")
        _divisors(d, f"in {e.target}", e.body, d.scope(e))
        required = tuple(r.guard for r in d.requires)
        alone = reads(substitute(e.body, dict.fromkeys(reduces(e.body), sp.Integer(0))))
        for read, scope, guards in walk(e.body, d.scope(e), required):
            if read.tensor not in seen:
                raise DefinitionError(_out_of_order(d, e, read.tensor))
            outside = d.tensor(read.tensor).outside
            if outside == "forbidden" or (outside == "skip" and read in alone):
                _in_bounds(d, e, read, scope, guards)
        _extents(d, e, required)
        for r in reduces(e.body):
            _skips_only_in_maxima(d, e, r)
            if any(reduces(part) for part in (r.body, *r.guards)):
                raise DefinitionError(
                    f"{d.name}: {e.target} has a reduction inside a reduction; give the inner one "
                    "an equation of its own"
                )
        seen.add(e.target)
    check_unsigned(d)
    _everything_is_used(d)
    check_outputs(d)
    return d


def _extents(d: Definition, e: Equation, required: tuple[Guard, ...]) -> None:
    """No index runs to a number that may be negative; a tensor's extents are positive."""
    known = {n for t in d.tensors for n in t.shape}
    for r in e.body.atoms(Reduce):
        for i, extent in r.indices:
            if extent not in known and not implied(extent, d.scope(e), required, d):
                at = example(extent, d.scope(e), required, d)
                raise DefinitionError(
                    f"{d.name}: in {e.target}, index {i} runs to {extent}, which may be negative"
                    f"{f' (it is at {at})' if at else ''}; add a condition to requires"
                )


def _out_of_order(d: Definition, e: Equation, name: str) -> str:
    """Why an equation cannot read a tensor: it comes later, or needs this one itself."""
    needs = {q.target: {r.tensor for r in reads(q.body)} for q in d.equations}
    below, pending = set(), [name]
    while pending:
        tensor = pending.pop()
        if tensor not in below:
            below.add(tensor)
            pending += needs.get(tensor, set())
    text = f"{d.name}: {e.target} reads {name} before it is defined; a recurrence is outside the "
    if name == e.target or e.target not in below:
        return f"{text}language"
    return f"{text}language, and {name} needs {e.target}"


def _skips_only_in_maxima(d: Definition, e: Equation, r: Reduce) -> None:
    """What a maximum does not look at would have to be a number in a sum."""
    skipped = [x for x in reads(r) if d.tensor(x.tensor).outside == "skip"]
    if r.kind == "sum" and skipped:
        raise DefinitionError(
            f"{d.name}: in {e.target}, {skipped[0]} stands in a sum, but outside "
            f"{skipped[0].tensor} is 'skip', which only a maximum can do; declare 'zero'"
        )


def _everything_is_used(d: Definition) -> None:
    """An operand or a scalar without any effect is a mistake."""
    used = {r.tensor for e in d.equations for r in reads(e.body)}
    symbols = {str(s) for e in d.equations for s in e.body.free_symbols}
    for name in d.inputs:
        if name not in used:
            raise DefinitionError(f"{d.name}: operand {name} is never used: no equation reads it")
    for name, _ in d.scalars:
        if name not in symbols:
            raise DefinitionError(f"{d.name}: scalar {name} is never used")
    parts = [n for t in d.tensors for n in (*t.shape, t.values) if n is not None]
    parts += [value for _, value in d.derived] + [r.guard for r in d.requires]
    symbols |= {str(s) for part in parts for s in part.free_symbols}
    for size in (*d.sizes, *(s for s, _ in d.derived)):
        if str(size) not in symbols:
            raise DefinitionError(
                f"{d.name}: size {size} is never used: in no shape, equation or condition"
            )
    needed = set(d.outputs)
    for e in reversed(d.equations):
        if e.target not in needed:
            raise DefinitionError(f"{d.name}: {e.target} is never used: no output needs it")
        needed |= {r.tensor for r in reads(e.body)}


def _declarations(d: Definition) -> None:
    """What stands beside the equations speaks of tensors and sizes that exist."""
    tensors = {t.name for t in d.tensors}
    for t in d.tensors:
        if t.outside not in OUTSIDE:
            raise DefinitionError(f"{d.name}: outside {t.name} is {t.outside!r}, not in {OUTSIDE}")
    named = (*d.outputs, *dict(d.optional), *d.constant, *dict(d.subscripts), *dict(d.names))
    for name in named:
        if name not in tensors:
            raise DefinitionError(f"{d.name}: there is no tensor {name!r}")
    for name in dict(d.optional):
        if name not in d.inputs:
            raise DefinitionError(f"{d.name}: optional {name} is defined by an equation")
    for name in d.outputs:
        if name in d.inputs:
            raise DefinitionError(f"{d.name}: output {name} is not defined by an equation")
    for name, letters in d.subscripts:
        rank = len(d.tensor(name).shape)
        if len(letters) != rank or len(set(letters)) != rank:
            raise DefinitionError(
                f"{d.name}: subscripts of {name} are {' '.join(letters)!r}, expected {rank} letters"
            )
    for name, kind in d.scalars:
        if kind not in SCALARS:
            raise DefinitionError(f"{d.name}: scalar {name} is {kind!r}, not in {SCALARS}")
    known = {*d.sizes, *(s for s, _ in d.derived)}
    for size, _ in d.lower:
        if size not in known:
            raise DefinitionError(f"{d.name}: at_least names {size}, which is no size")
    scope = d.scope()
    for s, value in d.derived:
        _divisors(d, f"in size {s}", value, scope)
    for r in d.requires:
        _divisors(d, f"in condition {r.guard}", r.guard, scope)


def _divisors(d: Definition, place: str, e: sp.Basic, scope: Scope) -> None:
    """`//`, `%` and `c divides p` are defined for positive divisors."""
    divisors = {a.args[1] for a in e.atoms(Quo, Rem)} | {g.args[0] for g in e.atoms(Divides)}
    inner = scope.with_indices({i: n for r in e.atoms(Reduce) for i, n in r.indices})
    for c in sorted(divisors, key=sp.default_sort_key):
        if not positive(c, inner):
            raise DefinitionError(f"{d.name}: {place}, the divisor {c} may be 0 or negative")


def walk(
    e: sp.Basic, scope: Scope, guards: tuple[Guard, ...]
) -> Iterator[tuple[Read, Scope, tuple[Guard, ...]]]:
    """Every read below `e` with the indices and the guards that hold where it stands."""
    if isinstance(e, Reduce):
        inner = scope.with_indices(dict(e.indices))
        for part in (*e.guards, e.body):
            yield from walk(part, inner, guards + e.guards)
        return
    if isinstance(e, Read):
        yield e, scope, guards
    for a in e.args:
        yield from walk(a, scope, guards)


def implied(p: sp.Expr, scope: Scope, guards: Iterable[Guard], d: Definition) -> bool:
    """p >= 0 follows from the ranges of the indices, or from one guard and those ranges; with the
    derived sizes as they are, or with what they are derived from."""
    (p, *known), scope = _label_reads_as_indices((p, *guards), scope, d)
    found = [g.args[0] for g in known if isinstance(g, NonNeg)]
    derived = {s: _written_out(e, d) for s, e in d.derived}
    wide = Scope({i: n.xreplace(derived) for i, n in scope.extents.items()}, scope.lower)
    return any(
        nonneg(part, scope) or nonneg(part.xreplace(derived), wide)
        for part in (p, *(p - g for g in found))
    )


def _written_out(e: sp.Expr, d: Definition) -> sp.Expr:
    """A derived size in sizes that are given."""
    for s, value in reversed(d.derived):
        e = e.xreplace({s: value})
    return e


def _label_reads_as_indices(
    parts: Iterable[sp.Basic], scope: Scope, d: Definition
) -> tuple[list[sp.Basic], Scope]:
    """Expressions with a symbol of its own for each label that they read, and its range."""
    parts = list(parts)
    found = {r for part in parts for r in reads(part) if d.tensor(r.tensor).values is not None}
    named = {r: sp.Symbol(str(r), integer=True) for r in found}
    ranges = {s: d.tensor(r.tensor).values for r, s in named.items()}
    return [part.xreplace(named) for part in parts], scope.with_indices(ranges)


def _in_bounds(
    d: Definition, e: Equation, read: Read, scope: Scope, guards: tuple[Guard, ...]
) -> None:
    tensor = d.tensor(read.tensor)
    for s, extent in zip(read.subscripts, tensor.shape, strict=True):
        sides = ((s, "below 0"), (extent - 1 - s, f"beyond {extent} - 1"))
        open_sides = [(p, side) for p, side in sides if not implied(p, scope, guards, d)]
        found = [(side, example(p, scope, guards, d)) for p, side in open_sides]
        if found:
            side, at = next((pair for pair in found if pair[1]), ("", ""))
            what = (
                f"may fall {side} (it does at {at})"
                if at
                else f"is not seen to stay below {extent}"
            )
            if not at and len(found) == 1:
                what = f"may fall {found[0][0]}"
            raise DefinitionError(
                f"{d.name}: in {e.target}, subscript {s} of {read} {what}; "
                f"add a guard, or declare outside={{{read.tensor!r}: 'zero'}}"
            )


def example(p: sp.Expr, scope: Scope, guards: Iterable[Guard], d: Definition) -> str:
    """Small sizes and indices at which the guards hold and p < 0; "" where none was found.

    >>> from gradproof.derive.expr import integer
    >>> from gradproof.derive.ops.relu import relu
    >>> i, T = map(integer, "iT")
    >>> example(T - 2 - i, Scope({i: T}, {T: 1}), (), relu)
    'T = 1, i = 0'
    """
    (p, *known), scope = _label_reads_as_indices((p, *guards), scope, d)
    conditions = [g for g in known if not g.atoms(Read)]
    sizes, indices = _named_in([p, *conditions], scope, d)
    for values in islice(_settings(sizes, indices, scope, d), TRIES):
        if p.subs(values).is_negative and all(_holds(g, values) for g in conditions):
            return ", ".join(f"{s} = {values[s]}" for s in (*sizes, *indices))
    return ""


def _named_in(
    parts: list[sp.Basic], scope: Scope, d: Definition
) -> tuple[list[sp.Symbol], list[sp.Symbol]]:
    """The sizes and the indices that some expressions rest on."""
    derived, found = dict(d.derived), set()
    pending = [s for part in parts for s in part.free_symbols]
    pending += [s for r in d.requires for s in r.guard.free_symbols]
    while pending:
        s = pending.pop()
        if s not in found:
            found.add(s)
            more = [scope.extents.get(s), derived.get(s)]
            pending += [t for e in more if e is not None for t in e.free_symbols]
    names = sorted(found, key=str)
    indices = [s for s in names if s in scope.extents]
    return [s for s in names if s not in indices and s not in derived], indices


def _settings(
    sizes: list[sp.Symbol], indices: list[sp.Symbol], scope: Scope, d: Definition
) -> Iterator[dict[sp.Symbol, sp.Integer]]:
    """Values for the sizes and for the indices in their ranges, small ones first."""
    lower = [scope.lower.get(s, -1) for s in sizes]
    choices = sorted(product(range(3), repeat=min(len(sizes), 9)), key=sum)
    for more in choices[:TRIES]:
        values = {s: sp.Integer(b + k) for s, b, k in zip(sizes, lower, more, strict=False)}
        values |= {s: e.subs(values) for s, e in d.derived if e.free_symbols <= set(values)}
        known = [r.guard for r in d.requires if r.guard.free_symbols <= set(values)]
        known += [NonNeg(s - b) for s, b in scope.lower.items() if s in values]
        if all(_holds(g, values) for g in known):
            extents = [scope.extents[i].subs(values) for i in indices]
            if all(n.is_Integer for n in extents):
                for at in product(*(_first(int(n)) for n in extents)):
                    yield values | dict(zip(indices, at, strict=True))


def _first(extent: int) -> list[sp.Integer]:
    """The values of an index, as many as are tried."""
    return [sp.Integer(k) for k in range(min(extent, TRIES))]


def _holds(g: Guard, values: dict[sp.Symbol, sp.Integer]) -> bool:
    """Whether a guard is certainly true at some values."""
    parts = [a.subs(values) for a in g.args]
    if isinstance(g, NonNeg):
        return bool(parts[0].is_nonnegative)
    if isinstance(g, IsZero):
        return bool(parts[0].is_zero)
    return bool(parts[1].is_Integer and parts[1] % parts[0] == 0)
