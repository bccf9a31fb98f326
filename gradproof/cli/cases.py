"""Random cases for any definition, what its kernels must compute there, and the comparison.

An operator made of +, *, max and comparisons is computed without any rounding on small integers:
its kernels must agree exactly. For the others the bound of every element follows from the
definition and the data (gradproof.derive.rounding).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from gradproof.cli.exactness import fits, has_fractions, is_exact, span_of
from gradproof.cli.random_sizes import random_sizes
from gradproof.derive.adjoint import PREFIX, prepare
from gradproof.derive.arithmetic import HIGH, Array, Fractions, HighPrecision, Integers, Numbers
from gradproof.derive.errors import DefinitionError
from gradproof.derive.interpret import evaluate, gradients
from gradproof.derive.language import Definition
from gradproof.derive.machine import Machine
from gradproof.derive.rounding import FORMATS, Bounded, Bounds
from gradproof.derive.system import derive

TRIES = 400
PLAIN = 4  # tries with integers of both signs before an operator gets data of other kinds
SCALARS = (0.25, 0.5, 1.0, 2.0)
# What data without meaning for the operator gives: a root of a negative number, a division by 0.
UNUSABLE = (DefinitionError, ArithmeticError, ValueError)


@dataclass(frozen=True)
class Case:
    """Sizes, operands (small integers), cotangents by real output, scalars (powers of two)."""

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
        triples = zip(
            computed.ravel().tolist(), self.values.ravel(), self.errors.ravel(), strict=True
        )
        shares = [float(abs(HIGH.mpf(c) - v)) / e for c, v, e in triples if e and _finite(c)]
        return max((s for s in shares if math.isfinite(s)), default=0.0)


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
    left to chance, such as those that a tiled kernel asks for. Data for which the operator has no
    value (a logarithm of a negative number) is drawn again, of another kind. Errors:
    DefinitionError where chance finds no valid case, with the last reason.
    """
    reason: object = ""
    for attempt in range(TRIES):
        machine = random_sizes(d, rng, largest, work, fixed or {})
        try:
            case = fill(d, machine, rng, plain=is_exact(d) or attempt < PLAIN)
            return case, expected(d, case, dtype)
        except UNUSABLE as error:
            reason = error  # a window without an element, a division by 0
    raise DefinitionError(f"{d.name}: no valid data in {TRIES} tries: {reason}")


def fill(d: Definition, machine: Machine, rng: np.random.Generator, *, plain: bool) -> Case:
    """Random data for sizes; `plain`: integers from -4 to 4 for every operand."""
    operands = {}
    for n in d.inputs:
        t, shape = d.tensor(n), machine.shapes[n]
        if t.values is not None:
            operands[n] = rng.integers(0, machine.extent(t.values), shape)
        elif plain or t.dtype == "int":
            operands[n] = rng.integers(-4, 5, shape)
        else:
            operands[n] = _of_some_kind(rng, shape)
    real = (n for n in d.outputs if d.tensor(n).dtype == "real")
    cotangents = {n: rng.integers(-4, 5, machine.shapes[n]) for n in real}
    scalars: dict[str, float | int] = {
        n: float(rng.choice(SCALARS)) if t == "real" else int(rng.integers(2**32))
        for n, t in d.scalars
    }
    sizes = {str(s): machine.sizes[s] for s in d.sizes}
    return Case(sizes, operands, cotangents, scalars)


def _of_some_kind(rng: np.random.Generator, shape: tuple[int, ...]) -> Array:
    """Any integers, positive ones, numbers between 0 and 1, or between -1 and 1."""
    kind = int(rng.integers(4))
    if kind < 2:
        return rng.integers((-4, 1)[kind], 5, shape)
    return rng.integers((1, -7)[kind - 2], 8, shape) / 8


def expected(d: Definition, case: Case, dtype: str) -> dict[str, Expected]:
    """Every tensor that the kernels compute, forward and backward, by target.

    Forward tensors and the gradients of the operands come from the definition, the latter by
    scattering; only gradients of intermediate tensors, and the order of roundings, from the
    eliminated derivation.
    Errors: DefinitionError where a value is not finite, or beyond the range of `dtype`.
    """
    exact = computes_exactly(d, case, dtype)
    numbers: Numbers = exact_numbers(d) if exact else Bounds(FORMATS[dtype])
    found = evaluate_both(d, case, numbers)
    direct = _by_definition(d, case, numbers if exact else HighPrecision())
    if exact:
        return {n: Expected(v, None) for n, v in (found | direct).items()}
    truth = {n: direct.get(n, _exact_part(a)) for n, a in found.items()}
    wanted = {n: Expected(truth[n], _errors(a)) for n, a in found.items()}
    _check_range(d, wanted, dtype)
    return wanted


def computes_exactly(d: Definition, case: Case, dtype: str) -> bool:
    """Whether no kernel rounds on this data."""
    if not is_exact(d):
        return False
    spans = {n: span_of(set(a.ravel().tolist())) for n, a in case.operands.items()}
    spans |= {PREFIX + n: span_of(set(g.ravel().tolist())) for n, g in case.cotangents.items()}
    return fits(d, case.sizes, spans, case.scalars, dtype)


def exact_numbers(d: Definition) -> Numbers:
    """The numbers in which an exact operator is evaluated."""
    return Fractions() if has_fractions(d) else Integers()


def evaluate_forward(
    d: Definition, case: Case, numbers: Numbers
) -> tuple[dict[str, Array], dict[str, Array]]:
    """The operands in one kind of number, and the forward tensors."""
    real = {n: d.tensor(n).dtype == "real" for n in d.inputs}
    operands = {n: numbers.array(a) if real[n] else a for n, a in case.operands.items()}
    return operands, evaluate(derive(d).forward, case.sizes, operands, case.scalars)


def evaluate_both(d: Definition, case: Case, numbers: Numbers) -> dict[str, Array]:
    """Forward and backward, eliminated as the kernels are, in one kind of number."""
    operands, forward = evaluate_forward(d, case, numbers)
    backward = derive(d).backward
    if backward is None:
        return forward
    cotangents = {PREFIX + n: numbers.array(g) for n, g in case.cotangents.items()}
    known = operands | forward | cotangents
    return forward | evaluate(backward, case.sizes, known, case.scalars)


def _by_definition(d: Definition, case: Case, numbers: Numbers) -> dict[str, Array]:
    """What no elimination has touched: the gradients of the operands by scattering, and the forward
    tensors where the derivation eliminated something there too."""
    real = {n: d.tensor(n).dtype == "real" for n in d.inputs}
    operands = {n: numbers.array(a) if real[n] else a for n, a in case.operands.items()}
    found = {}
    prepared, computed = prepare(d), derive(d).forward
    if any(e not in prepared.equations for e in computed.equations):
        found = evaluate(d, case.sizes, operands, case.scalars)
    if d.differentiable:
        cotangents = {n: numbers.array(g) for n, g in case.cotangents.items()}
        direct = gradients(d, case.sizes, operands, cotangents, case.scalars)
        found |= {PREFIX + n: g for n, g in direct.items()}
    return {n: a for n, a in found.items() if n in _targets(d)}


def _targets(d: Definition) -> set[str]:
    """The tensors that kernels compute."""
    system = derive(d)
    parts = [system.forward, *([system.backward] if system.backward else [])]
    return {e.target for part in parts for e in part.equations}


def _exact_part(a: Array) -> Array:
    if a.dtype != object:
        return a
    out = np.empty(a.shape, object)
    for at in np.ndindex(a.shape):
        x: Any = a[at]
        out[at] = x.value
    return out


def _errors(a: Array) -> Array | None:
    flat = [x.error if isinstance(x, Bounded) else 0.0 for x in a.ravel()]
    return np.array(flat).reshape(a.shape)


def _check_range(d: Definition, wanted: Mapping[str, Expected], dtype: str) -> None:
    """Errors: DefinitionError where a kernel could not hold a value: nothing could be compared."""
    limit = float(np.finfo(dtype).max)
    for name, e in wanted.items():
        for value, error in zip(e.values.ravel(), e.errors.ravel(), strict=True):  # type: ignore[union-attr]
            if not abs(value) + error <= limit:
                raise DefinitionError(f"{d.name}: {name} has the value {float(value)}")


def _finite(x: float | int) -> bool:
    return math.isfinite(x)


def _agree(got: Any, value: Any, allowed: float) -> bool:
    if got != got or value != value:
        return bool(got != got and value != value)
    if allowed == 0.0 or got in (float("inf"), float("-inf")):
        return bool(got == value)
    return bool(abs(HIGH.mpf(got) - value) <= allowed)
