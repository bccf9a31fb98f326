"""Random points and directions for the adjoint identity, away from branches, where nothing rounds.

An operator that does not round is a polynomial between its branches: integers are drawn at which no
sum exceeds the significand and, where it has branches, that lie far apart and so never tie.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Any

import numpy as np

from gradproof.cli.cases import Case, evaluate_forward, fill
from gradproof.cli.exactness import degree, fits, has_branches, is_exact, span_of
from gradproof.derive.adjoint import PREFIX
from gradproof.derive.arithmetic import HIGH, Array
from gradproof.derive.errors import DefinitionError
from gradproof.derive.language import Definition
from gradproof.derive.machine import Machine
from gradproof.derive.rounding import FORMATS, Bounded, Bounds

INTEGERS = 10  # attempts with integers before data that rounds
JITTER = 64  # data that rounds is moved by up to 7/64, so that no two elements tie
TINY = HIGH.mpf(2) ** -60  # a step in 60 digits, from which a slope is right to 36 of them


@dataclass(frozen=True)
class Line:
    """A point Y and a direction v: operands as they are, and by name how they move."""

    case: Case
    direction: Mapping[str, Array]
    exact: bool  # nothing rounds at the points of the line that are needed

    def at(self, t: Any) -> dict[str, Array]:
        """The operands Y + t*v."""
        moved = {n: self.case.operands[n] + t * v for n, v in self.direction.items()}
        return {**self.case.operands, **moved}

    def only(self, operand: str) -> Line:
        """The line along which only one operand moves."""
        return replace(self, direction={operand: self.direction[operand]})


def draw_line(
    d: Definition, machine: Machine, rng: np.random.Generator, dtype: str, attempt: int = 0
) -> Line:
    """A random point and direction; later attempts lie farther from branches, or differ in kind.

    Where no integers are found whose sums fit `dtype`: numbers that round. Errors: DefinitionError
    where the data will not do, for a branch on the line or sums that might round.
    """
    exact = is_exact(d) and attempt < INTEGERS
    case = fill(d, machine, rng, plain=is_exact(d) or attempt < 2)
    case = replace(case, cotangents={n: _nonzero(rng, 4, u) for n, u in case.cotangents.items()})
    line = _integers(d, case, rng, attempt) if exact else _fractions(d, case, rng)
    if exact:
        _check_exact(d, line, dtype)
    if has_branches(d):
        _check_branches(d, line, dtype)
    return line


def central_weights(order: int) -> dict[int, Fraction]:
    """Weights c with p'(0) = sum over t of c[t] * p(t), for every polynomial p of that degree.

    They are the slopes at 0 of Lagrange's polynomials on the points -m, ..., m with 2*m >= order.

    >>> {t: str(w) for t, w in central_weights(2).items()}
    {-1: '-1/2', 1: '1/2'}
    """
    m = max(1, -(-order // 2))
    points = range(-m, m + 1)
    weights = {}
    for t in points:
        others = [s for s in points if s not in (0, t)]
        if t:  # p(0) has weight 0: the points lie symmetrically
            top, bottom = math.prod(-s for s in others), math.prod(t - s for s in others)
            weights[t] = Fraction(top, bottom * t)
    return weights


def _integers(d: Definition, case: Case, rng: np.random.Generator, attempt: int) -> Line:
    """Small integers; where there are branches, distinct ones far apart: odd multiples of a gap."""
    direction = {n: _nonzero(rng, 2, case.operands[n]) for n in d.differentiable}
    if not has_branches(d):
        return Line(case, direction, exact=True)
    gap = 4 * max(central_weights(degree(d))) * 2 ** (attempt // 2)
    reals = [n for n in d.inputs if d.tensor(n).dtype == "real"]
    count = sum(case.operands[n].size for n in reals)
    pool = iter((gap * (2 * rng.permutation(count) + 1 - count + count % 2)).tolist())
    spread = {}
    for n in reals:
        a = case.operands[n]
        spread[n] = np.array([next(pool) for _ in range(a.size)], np.int64).reshape(a.shape)
    return Line(replace(case, operands={**case.operands, **spread}), direction, exact=True)


def _fractions(d: Definition, case: Case, rng: np.random.Generator) -> Line:
    """Numbers beside those of the case, and a direction of +1 and -1."""
    moved = {n: case.operands[n] + _jitter(rng, case.operands[n].shape) for n in d.differentiable}
    direction = {n: _nonzero(rng, 1, case.operands[n]) for n in d.differentiable}
    return Line(replace(case, operands={**case.operands, **moved}), direction, exact=False)


def _nonzero(rng: np.random.Generator, largest: int, like: Array) -> Array:
    """Integers from -largest to largest without 0, in the shape of another array."""
    signs: Array = rng.choice([-1, 1], like.shape)
    return rng.integers(1, largest + 1, like.shape) * signs


def _jitter(rng: np.random.Generator, shape: tuple[int, ...]) -> Array:
    return rng.integers(-7, 8, shape) / JITTER


def _check_exact(d: Definition, line: Line, dtype: str) -> None:
    """Errors: DefinitionError where a sum on the line might not fit the significand of `dtype`."""
    case, m = line.case, max(central_weights(degree(d)))
    ends = [line.at(-m), line.at(m)]
    spans = {n: span_of({x for e in ends for x in e[n].ravel().tolist()}) for n in ends[0]}
    spans |= {PREFIX + n: span_of(set(g.ravel().tolist())) for n, g in case.cotangents.items()}
    if not fits(d, case.sizes, spans, case.scalars, dtype):
        raise DefinitionError(f"{d.name}: sums of this data might round in {dtype}")


def _check_branches(d: Definition, line: Line, dtype: str) -> None:
    """Errors: DefinitionError where a comparison may turn out differently along the line.

    Every operand becomes a number with an error, which is how far it moves; a comparison that
    such an error could change is refused by the arithmetic itself.
    """
    reach = max(central_weights(degree(d))) if line.exact else float(TINY)
    numbers = Bounds(FORMATS[dtype])
    operands = dict(line.case.operands)
    for n, v in line.direction.items():
        a = numbers.array(operands[n])
        for at in np.ndindex(a.shape):
            x: Any = a[at]
            a[at] = Bounded(x.value, float(reach * abs(v[at])), numbers.format)
        operands[n] = a
    evaluate_forward(d, replace(line.case, operands=operands), numbers)
