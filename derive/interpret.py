"""The meaning of a definition, by brute force: every index tuple is visited, nothing is rewritten.

This is the oracle for all that is derived or generated. It knows sums, guards and subscripts, and
shares no step with elimination, lowering or printing. Numbers are those of the operands: int64
(checked for overflow), float64, or objects: `fractions.Fraction`, mpmath reals, `Bounded`.

`gradients` scatters the chain rule's contributions occurrence by occurrence, without eliminating a
delta; `linear_gradient` needs no derivative at all, only an operator that is linear in the operand.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any

import numpy as np

from gradproof.derive.adjoint import PREFIX, Occurrence, occurrences, prepare
from gradproof.derive.arithmetic import Array, numbers_of
from gradproof.derive.language import Definition
from gradproof.derive.machine import Machine, Operands, Sizes


def evaluate(
    definition: Definition,
    sizes: Sizes,
    tensors: Operands,
    scalars: Mapping[str, Any] | None = None,
) -> dict[str, Array]:
    """Every tensor that the definition's equations compute, by name.

    sizes: all sizes that are not derived. tensors: the inputs, arrays or nested lists; all reals of
    one kind of number. An adjoint is a definition too: its inputs are saved tensors and cotangents.
    Errors: DefinitionError for a missing or misshapen operand, a size out of bounds, a read outside
    a tensor that forbids it, or an operation that the kind of number does not have.

    >>> from gradproof.derive.registry import find
    >>> evaluate(find("linear"), {"N": 1, "K": 2, "O": 1},
    ...          {"Y": [[1, 2]], "w": [[3, 4]], "b": [5]})["z"]
    array([[16]])
    """
    machine = Machine.of(definition, sizes, tensors, scalars or {})
    return {e.target: machine.equation(e.target) for e in definition.equations}


def gradients(
    definition: Definition,
    sizes: Sizes,
    tensors: Operands,
    cotangents: Operands,
    scalars: Mapping[str, Any] | None = None,
) -> dict[str, Array]:
    """The gradient of every differentiable operand, by operand; `cotangents`: one for each output
    that is real.

    Each occurrence of an operand adds cotangent * slope to the element that it reads, for all index
    tuples: dloss/dX[s(i, j)] += dloss/dt[i] * df/dX[s(i, j)]. Errors: as `evaluate`.

    >>> from gradproof.derive.registry import find
    >>> gradients(find("relu"), {"T": 2}, {"Y": [-1, 2]}, {"z": [3, 4]})["Y"]
    array([0, 4])
    """
    forward, places = _prepared(definition)
    machine = Machine.of(forward, sizes, tensors, scalars or {}, list(cotangents.values()))
    for e in forward.equations:
        machine.equation(e.target)
    for t in forward.tensors:
        if t.dtype == "real":
            given = cotangents[t.name] if t.name in definition.outputs else None
            machine.cotangent(t.name, given)
    for e in reversed(forward.equations):
        for operand, occurrence in places.get(e.target, ()):
            machine.scatter(operand, occurrence)
    return {n: machine.tensors[PREFIX + n] for n in definition.differentiable}


def linear_gradient(
    definition: Definition,
    operand: str,
    sizes: Sizes,
    tensors: Operands,
    cotangents: Operands,
    scalars: Mapping[str, Any] | None = None,
) -> Array:
    """The gradient of an operand in which the operator is affine, from its values alone.

    dX[p] = sum over z of g[z] * (z(X = e_p) - z(X = 0)), with e_p the basis vector of element p.
    """
    shape = np.shape(tensors[operand])
    kind = np.asarray(tensors[operand])

    def outputs(x: Array) -> dict[str, Array]:
        return evaluate(definition, sizes, {**tensors, operand: x}, scalars)

    numbers = numbers_of([kind])
    at_zero = outputs(numbers.zeros(shape))
    gradient = numbers.zeros(shape)
    for p in np.ndindex(shape):
        basis = numbers.zeros(shape)
        basis[p] = numbers.element(1)
        moved = outputs(basis)
        gradient[p] = sum(
            np.sum(np.asarray(g) * (moved[z] - at_zero[z])) for z, g in cotangents.items()
        )
    return gradient


@cache
def _prepared(
    d: Definition,
) -> tuple[Definition, dict[str, list[tuple[str, Occurrence]]]]:
    """The definition with maxima and non-linear sums named, and its occurrences by equation."""
    forward = prepare(d)
    places: dict[str, list[tuple[str, Occurrence]]] = {}
    for t in forward.tensors:
        if t.dtype == "real":
            for o in occurrences(forward, t.name):
                places.setdefault(o.equation.target, []).append((t.name, o))
    return forward, places
