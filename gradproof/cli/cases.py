"""Random cases for any definition, what its kernels must compute there, and the comparison.

An operator made of +, *, max and comparisons is computed without any rounding on small integers:
its kernels must agree exactly. For the others the bound of every element follows from the
definition and the data (gradproof.derive.rounding).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import sympy as sp

from gradproof.derive.adjoint import PREFIX
from gradproof.derive.arithmetic import HIGH, Array, Fractions, HighPrecision, Integers, Numbers
from gradproof.derive.errors import DefinitionError
from gradproof.derive.expr import reduces
from gradproof.derive.interpret import evaluate, gradients
from gradproof.derive.language import Definition
from gradproof.derive.machine import Machine
from gradproof.derive.rounding import FORMATS, Bounded, Bounds
from gradproof.derive.system import derive

TRIES = 2000
PADDINGS = (-1, 3)  # sizes that may be any integer are drawn from -1, 0, 1, 2
SCALARS = (0.25, 0.5, 1.0, 2.0)


@dataclass(frozen=True)
class Case:
    """Sizes, operands (small integers), cotangents by output, scalars (powers of two)."""

    sizes: Mapping[str, int]
    operands: Mapping[str, Array]
    cotangents: Mapping[str, Array]
    scalars: Mapping[str, float | int]


@dataclass(frozen=True)
class Expected:
    """What a kernel must compute: the exact values, and the error that each may have."""

    values: Array
    errors: Array | None  # None: no error at all

    def first_difference(self, computed: Array) -> tuple[tuple[int, ...], Any, Any, float] | None:
        """(place, computed, expected, allowed error) of an element that is wrong, if any."""
        for at in np.ndindex(computed.shape):
            got, value = computed[at].item(), self.values[at]
            allowed = 0.0 if self.errors is None else float(self.errors[at])
            if not _agree(got, value, allowed):
                return at, got, value, allowed
        return None

    def share_of_bound(self, computed: Array) -> float:
        """The largest error as a part of what is allowed; 0 where nothing is."""
        if self.errors is None or not computed.size:
            return 0.0
        pairs = zip(
            computed.ravel().tolist(), self.values.ravel(), self.errors.ravel(), strict=True
        )
        return max(float(abs(HIGH.mpf(c) - v)) / e if e else 0.0 for c, v, e in pairs)


@cache
def is_exact(d: Definition) -> bool:
    """Whether no kernel of the operator divides, takes a root or calls a function."""
    system = derive(d)
    parts = [system.forward, *([system.backward] if system.backward else [])]
    bodies = [e.body for part in parts for e in part.equations]
    return not any(_rounds(b) for b in bodies)


def draw(
    d: Definition,
    rng: np.random.Generator,
    largest: int,
    work: int,
    dtype: str,
    fixed: Mapping[str, int] | None = None,
) -> tuple[Case, dict[str, Expected]]:
    """A random case with sizes up to `largest`, and what its kernels must compute.

    work: the most index tuples that one sum of the definition may visit. fixed: sizes that are not
    left to chance, such as those that a tiled kernel asks for. Errors: DefinitionError
    where chance finds no valid case, with the last reason.
    """
    reason: object = f"more than {work} index tuples"
    for _ in range(TRIES):
        try:
            case = _attempt(d, rng, largest, work, fixed or {})
            if case is not None:
                _forward(d, case, _numbers(d, dtype))
        except DefinitionError as error:
            reason = error  # sizes that do not go together, a window without an element
            continue
        if case is not None:
            return case, expected(d, case, dtype)
    raise DefinitionError(f"{d.name}: no valid sizes up to {largest} in {TRIES} tries: {reason}")


def expected(d: Definition, case: Case, dtype: str) -> dict[str, Expected]:
    """Every tensor that the kernels compute, forward and backward, by target.

    The gradients of the operands come from the definition by scattering; only gradients of
    intermediate tensors, and the order of roundings, from the eliminated derivation.
    """
    numbers = _numbers(d, dtype)
    found = _values(d, case, numbers, scatter=is_exact(d))
    if is_exact(d):
        return {n: Expected(v, None) for n, v in found.items()}
    truth = _values(d, case, HighPrecision(), scatter=True)
    return {n: Expected(truth[n], _errors(a)) for n, a in found.items()}


def _numbers(d: Definition, dtype: str) -> Numbers:
    """What the operator is computed in: exact numbers where possible, else rounding bounds."""
    if not is_exact(d):
        return Bounds(FORMATS[dtype])
    return Fractions() if any(t == "real" for _, t in d.scalars) else Integers()


def _forward(
    d: Definition, case: Case, numbers: Numbers
) -> tuple[dict[str, Array], dict[str, Array]]:
    """The operands in one kind of number, and the forward tensors."""
    real = {n: d.tensor(n).dtype == "real" for n in d.inputs}
    operands = {n: numbers.array(a) if real[n] else a for n, a in case.operands.items()}
    return operands, evaluate(derive(d).forward, case.sizes, operands, case.scalars)


def _values(d: Definition, case: Case, numbers: Numbers, *, scatter: bool) -> dict[str, Array]:
    """Forward and backward in one kind of number; `scatter`: gradients from the definition."""
    operands, forward = _forward(d, case, numbers)
    backward = derive(d).backward
    if backward is None:
        return forward
    cotangents = {n: numbers.array(g) for n, g in case.cotangents.items()}
    known = operands | forward | {PREFIX + n: g for n, g in cotangents.items()}
    out = forward | evaluate(backward, case.sizes, known, case.scalars)
    if scatter:
        direct = gradients(d, case.sizes, operands, cotangents, case.scalars)
        out |= {PREFIX + n: g for n, g in direct.items()}
    return out


def _attempt(
    d: Definition, rng: np.random.Generator, largest: int, work: int, fixed: Mapping[str, int]
) -> Case | None:
    lower = {str(s): bound for s, bound in d.lower}
    sizes = {
        str(s): _small(rng, lower[str(s)], largest)
        if str(s) in lower
        else int(rng.integers(*PADDINGS))
        for s in d.sizes
    } | dict(fixed)
    machine = Machine.sized(d, sizes)
    if _visits(machine) > work:
        return None
    scalars: dict[str, float | int] = {
        n: float(rng.choice(SCALARS)) if t == "real" else int(rng.integers(2**32))
        for n, t in d.scalars
    }
    operands = {}
    for n in d.inputs:
        t, shape = d.tensor(n), machine.shapes[n]
        low, high = (-4, 5) if t.values is None else (0, machine.extent(t.values))
        operands[n] = rng.integers(low, high, shape)
    cotangents = {n: rng.integers(-4, 5, machine.shapes[n]) for n in d.outputs}
    return Case(sizes, operands, cotangents, scalars)


def _small(rng: np.random.Generator, low: int, high: int) -> int:
    """A size from low to high, small ones more often: most conditions on sizes want H >= K."""
    return low + int(max(high + 1 - low, 1) * rng.uniform() ** 2)


def _visits(machine: Machine) -> int:
    """The largest number of index tuples that one equation visits."""
    largest = 0
    for e in machine.definition.equations:
        elements = math.prod(machine.shapes[e.target])
        loops = [math.prod(machine.extent(n) for _, n in r.indices) for r in reduces(e.body)]
        largest = max(largest, elements * max(loops, default=1))
    return largest


def _rounds(body: sp.Basic) -> bool:
    powers = [p for p in body.atoms(sp.Pow) if not (p.exp.is_Integer and p.exp > 0)]
    return bool(powers) or body.has(sp.exp, sp.log, sp.tanh, sp.erf)


def _errors(a: Array) -> Array | None:
    flat = [x.error if isinstance(x, Bounded) else 0.0 for x in a.ravel()]
    return np.array(flat).reshape(a.shape)


def _agree(got: Any, value: Any, allowed: float) -> bool:
    if got != got or value != value:
        return bool(got != got and value != value)
    if allowed == 0.0 or got in (float("inf"), float("-inf")):
        return bool(got == value)
    return bool(abs(HIGH.mpf(got) - value) <= allowed)
