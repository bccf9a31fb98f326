"""The adjoint identity <J v, u> = <v, J^T u> on a device: forward kernels against backward kernels.

The right side is what the backward kernels compute. The left side is the derivative at t = 0 of

    phi(t) = <f(Y + t*v), u>,

taken from values of the forward kernels, so that no derivative is written by hand. For an operator
that does not round, phi is a polynomial between branches, and on integers the derivative is a
rational combination of values at t = -m, ..., m: both sides are equal, or a kernel is wrong.

Elsewhere the left side is D = (phi(h) - phi(-h)) / 2h. What D lacks to phi'(0) follows from the
definition in 60 digits, and what rounding adds has a bound (gradproof.derive.rounding):

    |D - (D_exact - phi'_exact(0)) - <v, J^T u>| <= sum |u| e / 2h + sum |v| e.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Any

import numpy as np

from gradproof.cli.cases import UNUSABLE, Case, evaluate_both, evaluate_forward
from gradproof.cli.exactness import degree
from gradproof.cli.lines import TINY, Line, central_weights, draw_line
from gradproof.derive.adjoint import PREFIX
from gradproof.derive.arithmetic import HIGH, Array, HighPrecision
from gradproof.derive.errors import DefinitionError
from gradproof.derive.language import Definition
from gradproof.derive.machine import Machine
from gradproof.derive.rounding import FORMATS, Bounded, Bounds
from gradproof.runtime.device import Device
from gradproof.runtime.errors import DeviceError, GradproofError
from gradproof.runtime.manifest import Operator, Variant
from gradproof.runtime.selftest import run_forward, run_kernels

TRIES = 20
EMPTY = 3  # tries to find data at which the derivative is not 0: there a factor would not show
STEPS = (2.0**-3, 2.0**-5, 2.0**-7)  # for an operator that rounds: the first that it has values at


@dataclass(frozen=True)
class Sides:
    """Both sides, from the device, and how far apart rounding may drive them (exact: 0)."""

    forward: Any
    backward: Any
    allowed: Any

    @property
    def agree(self) -> bool:
        """Whether the identity holds."""
        return bool(abs(self.forward - self.backward) <= self.allowed)

    @property
    def share(self) -> float:
        """The difference as a part of what is allowed."""
        return float(abs(self.forward - self.backward) / self.allowed) if self.allowed else 0.0


@dataclass(frozen=True)
class Kernels:
    """One variant of an operator on a device, in one dtype and form."""

    operator: Operator
    variant: Variant
    device: Device
    dtype: str
    form: str

    def forward(self, line: Line, t: float) -> dict[str, Array]:
        """The outputs at a point of the line."""
        case = line.case
        found = run_forward(
            self.operator, self.variant, line.at(t), case.sizes, case.scalars,
            dtype=self.dtype, device=self.device, form=self.form,
        )  # fmt: skip
        return {n: found[n] for n in self.variant.outputs}

    def gradients(self, case: Case) -> dict[str, Array]:
        """The gradient of every differentiable operand."""
        results = run_kernels(
            self.operator, self.variant, case.operands, case.cotangents, case.sizes, case.scalars,
            dtype=self.dtype, device=self.device, form=self.form,
        )  # fmt: skip
        found = {r.target: r.values for r in results}
        return {n: found[PREFIX + n] for n in self.variant.differentiable}


def check(
    d: Definition, kernels: Kernels, machine: Machine, rng: np.random.Generator
) -> tuple[Line, Sides]:
    """The identity at random data of given sizes, where no branch is near and nothing overflows.

    Errors: DefinitionError where chance finds no such data, with the last reason; DeviceError where
    a kernel computes no finite number.
    """
    reason: object = ""
    for attempt in range(TRIES):
        try:
            line = draw_line(d, machine, rng, kernels.dtype, attempt)
            sides = compare(d, kernels, line)
            if sides.forward or sides.backward or attempt >= EMPTY:
                return line, sides
        except UNUSABLE as error:
            if isinstance(error, GradproofError):
                raise
            reason = error
    raise DefinitionError(f"{d.name}: no data away from kinks in {TRIES} tries: {reason}")


def compare(d: Definition, kernels: Kernels, line: Line) -> Sides:
    """Both sides of the identity. Errors: DeviceError where a kernel gives no finite number."""
    if not line.exact:
        return _within_bound(d, kernels, line)
    weights = central_weights(degree(d))
    values = {t: _phi(kernels.forward(line, t), line.case) for t in weights}
    forward = sum((w * values[t] for t, w in weights.items()), Fraction(0))
    return Sides(forward, _backward(kernels, line), 0)


# --- operators that round ---


def _within_bound(d: Definition, kernels: Kernels, line: Line) -> Sides:
    numbers = Bounds(FORMATS[kernels.dtype])
    slope, doubt = _exact_slope(d, line), _gradients_doubt(d, line, numbers)
    h, truth = _ends(d, line, numbers)
    device = [_phi(kernels.forward(line, t), line.case) for t in (-h, h)]
    measured = _high(device[1] - device[0]) / (2 * h)
    lacking = (truth[1].value - truth[0].value) / (2 * h) - slope
    allowed = doubt + HIGH.mpf(truth[0].error + truth[1].error) / (2 * h)
    return Sides(measured - lacking, _high(_backward(kernels, line)), allowed)


def _ends(d: Definition, line: Line, numbers: Bounds) -> tuple[float, list[Bounded]]:
    """The widest step at which the operator has values, and phi there on both sides."""
    for h in STEPS[:-1]:
        with contextlib.suppress(*UNUSABLE):
            return h, [_bounded_phi(d, line, t, numbers) for t in (-h, h)]
    h = STEPS[-1]
    return h, [_bounded_phi(d, line, t, numbers) for t in (-h, h)]


def _gradients_doubt(d: Definition, line: Line, numbers: Bounds) -> Any:
    """sum |v| e: how far rounding may drive the right side."""
    found = evaluate_both(d, line.case, numbers)
    total = HIGH.mpf(0)
    for n, direction in line.direction.items():
        for v, x in zip(direction.ravel().tolist(), found[PREFIX + n].ravel(), strict=True):
            total += abs(v) * x.error
    if not HIGH.isfinite(total):
        raise DefinitionError(f"{d.name}: a gradient without a rounding bound")
    return total


def _bounded_phi(d: Definition, line: Line, t: float, numbers: Bounds) -> Bounded:
    """phi(t), exact, and by how much the outputs' rounding errors may move it."""
    found = evaluate_forward(d, replace(line.case, operands=line.at(t)), numbers)[1]
    value, error = HIGH.mpf(0), 0.0
    for n, u in line.case.cotangents.items():
        for x, weight in zip(found[n].ravel(), u.ravel().tolist(), strict=True):
            value, error = value + weight * x.value, error + abs(weight) * x.error
    if not math.isfinite(error):
        raise DefinitionError(f"{d.name}: a value without a rounding bound")
    return Bounded(value, error, numbers.format)


def _exact_slope(d: Definition, line: Line) -> Any:
    """phi'(0) in 60 digits, from the definition alone."""
    ends = []
    for t in (-TINY, TINY):
        moved = {n: HighPrecision().array(line.case.operands[n]) + t * v
                 for n, v in line.direction.items()}  # fmt: skip
        case = replace(line.case, operands={**line.case.operands, **moved})
        found = evaluate_forward(d, case, HighPrecision())[1]
        ends.append(
            sum(np.sum(found[n] * u) for n, u in line.case.cotangents.items()) + HIGH.mpf(0)
        )
    return (ends[1] - ends[0]) / (2 * TINY)


# --- sums over what a device computed, without rounding ---


def _backward(kernels: Kernels, line: Line) -> Fraction:
    gradients = kernels.gradients(line.case)
    return sum((_inner(gradients[n], v) for n, v in line.direction.items()), Fraction(0))


def _phi(outputs: Mapping[str, Array], case: Case) -> Fraction:
    return sum((_inner(outputs[n], u) for n, u in case.cotangents.items()), Fraction(0))


def _inner(computed: Array, weights: Array) -> Fraction:
    """Errors: DeviceError where an element that counts is not finite."""
    total = Fraction(0)
    for x, weight in zip(computed.ravel().tolist(), weights.ravel().tolist(), strict=True):
        if weight and not math.isfinite(x):
            raise DeviceError(f"a kernel computed {x}")
        total += Fraction(x) * weight if weight else 0
    return total


def _high(x: Fraction) -> Any:
    return HIGH.mpf(x.numerator) / x.denominator
