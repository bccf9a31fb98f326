"""What must hold of a definition before anything is derived from it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import sympy as sp

from gradproof.derive.bounds import Scope, nonneg
from gradproof.derive.errors import DefinitionError
from gradproof.derive.expr import Guard, NonNeg, Read, Reduce, reduces
from gradproof.derive.language import OUTSIDE, Definition, Equation


def check(d: Definition) -> Definition:
    """Return `d` unchanged, or raise a DefinitionError that names the operator and the place."""
    seen = set(d.inputs)
    for t in d.tensors:
        if t.outside not in OUTSIDE:
            raise DefinitionError(f"{d.name}: outside {t.name} is {t.outside!r}, not in {OUTSIDE}")
    for name in (*d.outputs, *dict(d.optional), *d.constant):
        if name not in {t.name for t in d.tensors}:
            raise DefinitionError(f"{d.name}: there is no tensor {name!r}")
    for e in d.equations:
        if e.target in seen:
            raise DefinitionError(f"{d.name}: {e.target} is defined twice, or read and defined")
        for read, scope, guards in walk(e.body, d.scope(e), ()):
            if read.tensor not in seen:
                raise DefinitionError(
                    f"{d.name}: {e.target} reads {read.tensor} before it is defined; a recurrence "
                    "is outside the language"
                )
            _in_bounds(d, e, read, scope, guards)
        for r in reduces(e.body):
            if any(reduces(part) for part in (r.body, *r.guards)):
                raise DefinitionError(f"{d.name}: {e.target} nests reductions; name the inner one")
        seen.add(e.target)
    return d


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
    """p >= 0 follows from the ranges of the indices, or from one guard and those ranges."""
    p, scope = _label_reads_as_indices(p, scope, d)
    if nonneg(p, scope):
        return True
    return any(isinstance(g, NonNeg) and nonneg(p - g.args[0], scope) for g in guards)


def _label_reads_as_indices(
    p: sp.Expr, scope: Scope, d: Definition
) -> tuple[sp.Expr, Scope]:
    for r in sorted(p.atoms(Read), key=sp.default_sort_key):
        values = d.tensor(r.tensor).values
        if values is not None:
            stand_in = sp.Symbol(f"_{r.tensor}", integer=True)
            p = p.xreplace({r: stand_in})
            scope = scope.with_indices({stand_in: values})
    return p, scope


def _in_bounds(
    d: Definition, e: Equation, read: Read, scope: Scope, guards: tuple[Guard, ...]
) -> None:
    tensor = d.tensor(read.tensor)
    if tensor.outside != "forbidden":
        return
    for s, extent in zip(read.subscripts, tensor.shape, strict=True):
        for p, side in ((s, "below 0"), (extent - 1 - s, f"beyond {extent} - 1")):
            if not implied(p, scope, guards, d):
                raise DefinitionError(
                    f"{d.name}: in {e.target}, subscript {s} of {read} may fall {side}; "
                    f"add a guard, or declare outside={{{read.tensor!r}: 'zero'}}"
                )
