"""The reverse pass of an operator as an operator of its own, so that it can be derived again.

With z = f(Y, w) and the cotangent zbar of z, the reverse pass computes Ybar = zbar * df/dY and
wbar = zbar * df/dw. Read as equations in Y, w and zbar it is again a definition in the index
language: its gradients are the second derivatives of f, and its reverse pass leads to the third.

Names follow the bar notation: Xbar is the gradient of X, or the cotangent where X is an output.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import replace
from functools import cache
from itertools import count

import sympy as sp
from sympy.core.symbol import Str

from gradproof.derive.adjoint import PREFIX, occurrences, prepare
from gradproof.derive.eliminate import eliminate_equation
from gradproof.derive.errors import DefinitionError
from gradproof.derive.expr import IsZero, Read, Reduce, integer, reduces, substitute
from gradproof.derive.language import Definition, Equation, Tensor
from gradproof.derive.names import MADE, check_names
from gradproof.derive.simplify import prune
from gradproof.derive.system import System, derive

# an index that elimination made, or that a next derivation would make again
INDEX_MADE = re.compile("|".join(m.format(".*") for m in MADE["index"]) + "|.*_")


@cache
def backward_definition(d: Definition) -> Definition:
    """The reverse pass of `d`: from its operands and a cotangent per output to its gradients.

    The inputs are the operands that a gradient reads and then the cotangents, in the order of the
    outputs, of those that any gradient reads; the outputs are the gradients of the
    differentiable operands, in their order. An operand of which the gradients are piecewise
    constant (ReLU's input) is declared constant.
    The equations are those of the forward pass that the gradients read, and the eliminated
    adjoint's: chain rule, see `adjoint` and `eliminate`.
    Errors: DefinitionError where nothing is differentiable.

    >>> from gradproof.derive.registry import find
    >>> d = backward_definition(find("linear"))
    >>> d.inputs, d.outputs
    (('Y', 'w', 'zbar'), ('Ybar', 'wbar', 'bbar'))
    """
    system = derive(d)
    if system.backward is None:
        raise DefinitionError(f"{d.name}: no operand has a gradient")
    names = _new_names(d, system)
    cotangents = [names[PREFIX + n] for n in d.outputs if d.tensor(n).dtype == "real"]
    whole = _joined(d, system, names)
    outputs = tuple(names[PREFIX + n] for n in d.differentiable)
    needed = prune(replace(whole, inputs=(*d.inputs, *cotangents), outputs=outputs), outputs)
    clean = _declared(d, replace(needed, equations=_reindexed(needed)), names)
    check_names(clean)
    return replace(clean, constant=(*clean.constant, *_flat(clean)))


def _new_names(d: Definition, system: System) -> dict[str, str]:
    """A name for every gradient and cotangent, and for the positions of maxima."""
    assert system.backward is not None
    tensors = [*system.forward.tensors, *system.backward.tensors]
    taken = _taken(d, [t.name for t in (*d.tensors, *tensors)])
    positions = [t.name for t in system.forward.tensors if t.name.endswith("_argmax")]
    # outputs and operands first: theirs are the names that users see
    gradients = [PREFIX + n for n in (*d.outputs, *d.differentiable)]
    gradients += [t.name for t in tensors if t.name.startswith(PREFIX)]
    found: dict[str, str] = {}
    for name in dict.fromkeys(gradients):
        found[name] = _numbered(name.removeprefix(PREFIX) + "bar", taken)
        taken.add(found[name])
    for name in positions:
        found[name] = _numbered(name.removesuffix("_argmax") + "_at", taken)
        taken.add(found[name])
    return found


def _taken(d: Definition, more: Iterable[str]) -> set[str]:
    """Every name that `d` uses, for whatever it is, and `more`."""
    sizes = {str(s) for s in (*d.sizes, *(s for s, _ in d.derived))}
    letters = {i for _, subscripts in d.subscripts for i in subscripts}
    return {*more, *sizes, *dict(d.scalars), *letters, *map(str, _indices(d.equations))}


def _indices(equations: Iterable[Equation]) -> list[sp.Symbol]:
    found: set[sp.Symbol] = set()
    for e in equations:
        found |= set(e.indices) | {i for r in e.body.atoms(Reduce) for i in r.bound}
    return sorted(found, key=str)


def _numbered(name: str, taken: set[str]) -> str:
    """`name`, or with a number from 2 behind it."""
    return next(n for k in count(1) if (n := name + (str(k) if k > 1 else "")) not in taken)


def _joined(d: Definition, system: System, names: Mapping[str, str]) -> Definition:
    """The forward system and the reverse one after it, under the new names."""
    assert system.backward is not None
    equations = [
        *system.forward.equations,
        *(_readable(system, e) for e in system.backward.equations),
    ]
    tensors = {t.name: t for t in (*system.forward.tensors, *system.backward.tensors)}
    tensors |= {PREFIX + n: Tensor(PREFIX + n, d.tensor(n).shape) for n in d.outputs}
    spelled = {Str(old): Str(new) for old, new in names.items()}
    return replace(
        d,
        name=f"{d.name}_backward",
        tensors=tuple(replace(t, name=names.get(n, n)) for n, t in tensors.items()),
        equations=tuple(
            Equation(names.get(e.target, e.target), e.indices, e.body.xreplace(spelled))
            for e in equations
        ),
    )


def _readable(system: System, e: Equation) -> Equation:
    """The raw adjoint's equation, where elimination had an equation of indices to solve.

    Over the deltas it reads as a transposed convolution does, and its own adjoint eliminates to
    a forward one. Otherwise, and where simplification found more, the equation as it is.
    """
    assert system.raw is not None
    raw = system.raw.equation(e.target)
    if eliminate_equation(system.raw, raw) != e:
        return e
    extents = dict(zip(e.indices, system.raw.tensor(e.target).shape, strict=True))
    short = {r: _without_renames(r, extents) for r in reduces(raw.body)}
    open_deltas = [
        g for r in short.values() for g in r.guards if isinstance(g, IsZero) and not g.has(Read)
    ]
    return replace(raw, body=substitute(raw.body, short)) if open_deltas else e


def _without_renames(r: Reduce, extents: Mapping[sp.Symbol, sp.Expr]) -> Reduce:
    """The sum without the loops of which the only term is at an index of the equation: i' = i."""
    loops = dict(r.indices)
    same: dict[sp.Basic, sp.Basic] = {}
    guards = []
    for g in r.guards:
        pair = [(v, q) for v in loops for q in extents if g in (IsZero(v - q), IsZero(q - v))]
        if pair and pair[0][0] not in same and loops[pair[0][0]] == extents[pair[0][1]]:
            same[pair[0][0]] = pair[0][1]
        else:
            guards.append(g)
    left = [(v, n) for v, n in r.indices if v not in same]
    return Reduce(r.kind, left, [g.xreplace(same) for g in guards], r.body.xreplace(same))


def _reindexed(d: Definition) -> tuple[Equation, ...]:
    """The equations with plain letters for the indices that elimination made: o_r becomes o1."""
    taken = _taken(d, [t.name for t in d.tensors])
    rename: dict[sp.Basic, sp.Symbol] = {}
    for i in _indices(d.equations):
        if INDEX_MADE.fullmatch(str(i)):
            new = next(n for k in count(1) if (n := f"{str(i)[0]}{k}") not in taken)
            rename[i] = integer(new)
            taken.add(new)
    return tuple(
        Equation(e.target, tuple(rename.get(i, i) for i in e.indices), e.body.xreplace(rename))
        for e in d.equations
    )


def _declared(d: Definition, backward: Definition, names: Mapping[str, str]) -> Definition:
    """What stands beside the equations, for the operands that are left and the cotangents."""
    used = {x for e in backward.equations for x in e.body.free_symbols}
    kept = {t.name for t in backward.tensors}
    gradients = {PREFIX + n: n for n in (*d.outputs, *d.differentiable)}
    shown = {n: s for n, s in d.names if n in backward.inputs}
    taken = _taken(backward, [*kept, *shown.values()])
    for g, n in gradients.items():
        shown[names[g]] = _numbered("grad_" + dict(d.names).get(n, n), taken)
        taken.add(shown[names[g]])
    letters = {names[PREFIX + n]: tuple(map(str, d.equation(n).indices)) for n in d.outputs}
    return replace(
        backward,
        scalars=tuple((n, kind) for n, kind in d.scalars if n in {str(x) for x in used}),
        optional=tuple(pair for pair in d.optional if pair[0] in backward.inputs),
        constant=tuple(n for n in d.constant if n in backward.inputs),
        subscripts=tuple(
            (n, s) for n, s in (dict(d.subscripts) | letters).items() if n in backward.inputs
        ),
        names=tuple((n, s) for n, s in shown.items() if n in kept),
        doc=f"The reverse pass of {d.name}. {d.doc}".strip(),
    )


def _flat(d: Definition) -> list[str]:
    """The operands in which the outputs are piecewise constant: every slope on the way is 0."""
    prepared = prepare(d)
    reached = set(d.outputs)
    before: dict[str, set[str]] = {}
    for t in prepared.tensors:
        if t.dtype == "real":
            for o in occurrences(prepared, t.name):
                if o.slope != 0:
                    before.setdefault(o.equation.target, set()).add(t.name)
    for e in reversed(prepared.equations):
        if e.target in reached:
            reached |= before.get(e.target, set())
    return [n for n in d.differentiable if n not in reached]
