"""Differentiation: from a definition to the definition of its gradients.

For a scalar loss and t[i] = f(..., X[s(i, j)], ...), summed over j or not, the chain rule says,
per occurrence of X,

    dloss/dX[p] = sum over i, j of [s(i, j) = p] * dloss/dt[i] * df/dX[s(i, j)],

and the contributions of all occurrences add. The Kronecker delta stays as the guard s - p = 0: the
adjoint is again a definition in the index language. `eliminate` turns it into loops.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace

import sympy as sp

from gradproof.derive.errors import DefinitionError
from gradproof.derive.expr import (
    Guard,
    IsZero,
    Read,
    Reduce,
    fresh,
    integer,
    reads,
    reduces,
    substitute,
)
from gradproof.derive.language import Definition, Equation, Tensor
from gradproof.derive.names import refusal

PREFIX = "grad_"


@dataclass(frozen=True)
class Occurrence:
    """One place where an operand is read: the loops and guards around it, and the local slope.

    `shape` gives the extents of the equation's own indices, `bound` the reduction's indices."""

    equation: Equation
    shape: tuple[sp.Expr, ...]
    read: Read
    bound: tuple[tuple[sp.Symbol, sp.Expr], ...]
    guards: tuple[Guard, ...]
    slope: sp.Expr


def prepare(d: Definition) -> Definition:
    """The forward system in the form that differentiation reads.

    Every reduction that a derivative of its equation contains gets a name, and every maximum the
    position it was taken at: max_j f(j) = sum over j of [j = argmax_j f(j)] * f(j).
    """
    moving = active(d)
    equations: list[Equation] = []
    tensors = list(d.tensors)
    for e in d.equations:
        named, e = _name_nonlinear(e, d, moving)
        for extra in (*named, e):
            equations.append(extra)
            if extra is not e:
                tensors.append(Tensor(extra.target, d.tensor(e.target).shape))
            for position in _positions(extra):
                equations.append(position)
                tensors.append(Tensor(position.target, d.tensor(e.target).shape, "int"))
    return replace(d, tensors=tuple(tensors), equations=tuple(equations))


def adjoint(d: Definition) -> Definition:
    """Gradients of every differentiable input, given those of the outputs, as a definition.

    d: a prepared definition. Returns the system `grad_X[p] = ...` in reverse order of use; its
    inputs are the forward tensors it reads and the cotangents `grad_<output>`.
    An output of integers has no cotangent. Errors: DefinitionError where an output is read by
    another equation.
    """
    moving = active(d)
    check_outputs(d)
    equations: list[Equation] = []
    for name in [*reversed([e.target for e in d.equations]), *d.differentiable]:
        if name in moving and name not in d.outputs:
            equations.append(_gradient(d, name))
    grads = [Tensor(PREFIX + t.name, t.shape) for t in d.tensors if t.dtype == "real"]
    computed = {e.target for e in equations}
    known = {t.name: t for t in (*d.tensors, *grads)}
    used = {r.tensor for e in equations for r in reads(e.body)}
    inputs = [n for n in known if n in used and n not in computed]
    return replace(
        d,
        name=f"{d.name}_backward",
        tensors=tuple(known[n] for n in (*inputs, *(e.target for e in equations))),
        inputs=tuple(inputs),
        outputs=tuple(PREFIX + n for n in d.differentiable),
        equations=tuple(equations),
        optional=(),
        constant=(),
    )


def check_outputs(d: Definition) -> None:
    """No equation with a gradient reads an output. Errors: DefinitionError names both."""
    moving = active(d)
    for e in (e for e in d.equations if e.target in moving):
        again = {r.tensor for r in reads(e.body)} & moving & set(d.outputs)
        if again:
            raise DefinitionError(
                f"{d.name}: {e.target} reads {', '.join(sorted(again))}, which is an output too; "
                "name it apart, so that its gradient and its cotangent are two tensors"
            )


def active(d: Definition) -> set[str]:
    """The real tensors that depend on a differentiable input: all others have no gradient."""
    found = set(d.differentiable)
    for e in d.equations:
        if d.tensor(e.target).dtype == "real" and found & {r.tensor for r in reads(e.body)}:
            found.add(e.target)
    return found


def occurrences(d: Definition, operand: str) -> Iterator[Occurrence]:
    """Every place where the system reads `operand`, with the derivative there."""
    for e in d.equations:
        target = d.tensor(e.target)
        if target.dtype == "real":
            yield from _slopes(e, target.shape, operand)


def positional(e: Equation) -> sp.Expr:
    """The right side with each maximum written as the sum that picks its position."""

    def pick(k: int, r: Reduce) -> Reduce:
        chosen = Read(_position_name(e, k), *e.indices)
        return Reduce("sum", r.indices, (*r.guards, IsZero(row_major(r.indices) - chosen)), r.body)

    maxima = [r for r in reduces(e.body) if r.kind == "max"]
    return substitute(e.body, {r: pick(k, r) for k, r in enumerate(maxima)})


def row_major(indices: Iterable[tuple[sp.Symbol, sp.Expr]]) -> sp.Expr:
    """The position of a tuple of indices: (i*KH + ...) in Horner's form, expanded."""
    position: sp.Expr = sp.Integer(0)
    for i, extent in indices:
        position = position * extent + i
    return sp.expand(position)


def _slopes(e: Equation, shape: tuple[sp.Expr, ...], operand: str) -> Iterator[Occurrence]:
    body = positional(e)
    outer = {r: sp.Symbol(f"_R{k}", real=True) for k, r in enumerate(reduces(body))}
    flat = substitute(body, outer)
    for read in (r for r in reads(flat) if r.tensor == operand):
        yield Occurrence(e, shape, read, (), (), _diff(flat, read).xreplace(_back(outer)))
    for r, stand_in in outer.items():
        weight = sp.diff(flat, stand_in)
        for read in (o for o in reads(r.body) if o.tensor == operand):
            slope = weight.xreplace(_back(outer)) * _diff(r.body, read)
            if slope != 0:
                yield Occurrence(e, shape, read, r.indices, r.guards, slope)


def _diff(e: sp.Expr, read: Read) -> sp.Expr:
    x = sp.Symbol("_x", real=True)
    return sp.diff(e.xreplace({read: x}), x).xreplace({x: read})


def _back(names: Mapping[sp.Basic, sp.Symbol]) -> dict[sp.Symbol, sp.Basic]:
    return {v: k for k, v in names.items()}


def contributions(d: Definition, operand: str) -> list[tuple[Occurrence, Reduce]]:
    """Every occurrence of an operand with its part of the gradient; the parts add."""
    places = list(occurrences(d, operand))
    p = _operand_indices(d, operand, places)
    return [(o, _contribution(o, p)) for o in places]


def _gradient(d: Definition, operand: str) -> Equation:
    parts = contributions(d, operand)
    p = _operand_indices(d, operand, [o for o, _ in parts])
    return Equation(PREFIX + operand, p, sp.Add(*[part for _, part in parts]))


def _contribution(o: Occurrence, p: tuple[sp.Symbol, ...]) -> Reduce:
    """sum over the loops around one occurrence of [subscripts = p] * cotangent * slope."""
    around = (*zip(o.equation.indices, o.shape, strict=True), *o.bound)
    loops = [i for i, _ in around]
    taken = {str(i) for i in (*p, *loops)}
    rename: dict[sp.Basic, sp.Basic] = {}
    for i in loops:
        if i in p:
            rename[i] = integer(fresh(str(i), taken))
            taken.add(str(rename[i]))
    deltas = [IsZero(s.xreplace(rename) - q) for s, q in zip(o.read.subscripts, p, strict=True)]
    guards = [*deltas, *(g.xreplace(rename) for g in o.guards)]
    cotangent = Read(PREFIX + o.equation.target, *o.equation.indices)
    bound = [(i.xreplace(rename), extent) for i, extent in around]
    # Folded, a case with slope 0 is 0 even where the cotangent is infinite: not 0 * inf = NaN.
    term = sp.piecewise_fold(cotangent * o.slope)
    return Reduce("sum", bound, guards, term.xreplace(rename))


def _operand_indices(
    d: Definition, operand: str, places: list[Occurrence]
) -> tuple[sp.Symbol, ...]:
    """Readable names for the gradient's own indices: the one used in the definition, else h for
    an extent H, else p0, p1, ...; never the name of a tensor, a scalar or a size."""
    names = {t.name for t in d.tensors} | {s for s, _ in d.scalars}
    taken = names | {str(s) for s in (*d.sizes, *(s for s, _ in d.derived))}
    chosen: list[str] = []
    for k, extent in enumerate(d.tensor(operand).shape):
        plain = [str(o.read.subscripts[k]) for o in places if o.read.subscripts[k].is_Symbol]
        lower = [str(extent).lower()] if extent.is_Symbol else []
        given = [letters[k]] if (letters := dict(d.subscripts).get(operand)) else []
        options = [*given, *plain, *lower, f"p{k}"]
        chosen.append(next(n for n in options if n not in (*taken, *chosen) and not refusal(n)))
    return tuple(map(integer, chosen))


def _name_nonlinear(
    e: Equation, d: Definition, moving: set[str]
) -> tuple[list[Equation], Equation]:
    """Give an equation of its own to every reduction that stands in a slope of `e`."""
    outer = {r: sp.Symbol(f"_R{k}", real=True) for k, r in enumerate(reduces(e.body))}
    flat = substitute(e.body, outer)
    around = [_diff(flat, x) for x in reads(flat) if x.tensor in moving]
    slopes = [*around, *(sp.diff(flat, stand_in) for stand_in in outer.values())]
    needed = set().union(*(slope.free_symbols for slope in slopes))
    taken = {t.name for t in d.tensors}
    named: list[Equation] = []
    for r, stand_in in outer.items():
        if stand_in in needed:
            name = fresh(f"{e.target}_{r.kind}{len(named)}", taken)
            taken.add(name)
            named.append(Equation(name, e.indices, r))
            e = replace(e, body=substitute(e.body, {r: Read(name, *e.indices)}))
    return named, e


def _positions(e: Equation) -> list[Equation]:
    maxima = [r for r in reduces(e.body) if r.kind == "max"]
    return [
        Equation(_position_name(e, k), e.indices, Reduce("argmax", r.indices, r.guards, r.body))
        for k, r in enumerate(maxima)
    ]


def _position_name(e: Equation, k: int) -> str:
    return f"{e.target}_argmax" + (str(k) if k else "")
