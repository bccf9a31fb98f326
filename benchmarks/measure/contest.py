"""What is timed: the same work on both sides, with data, a reference, and its cost."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
Arrays = Mapping[str, Array]
# (functions of torch.nn.functional's names, tensors by name) -> result
Formula = Callable[[Any, Mapping[str, Any]], Any]
Part = Literal["forward", "backward", "both"]

COTANGENT = "cotangent"
ALLOWED = 1e-4  # of an output's largest magnitude: some thousand roundings
BYTES = 4


class Unavailable(Exception):
    """A side cannot take part; the text says why."""


class Job(Protocol):
    """One side's work, on data that stay where that side wants them."""

    def put(self, arrays: Arrays) -> None:
        """New data in place of the old, with what has to be computed from them beforehand."""

    def poison(self) -> None:
        """Overwrite every output with NaN, so that one that is not written shows."""

    def run(self) -> None:
        """The work that is timed; returns when it is done."""

    def get(self) -> dict[str, Array]:
        """The outputs, as PyTorch lays them out without channels_last."""


@runtime_checkable
class MeasuresMemory(Protocol):
    """A job that can say what memory its work takes."""

    def peak_bytes(self) -> int:
        """At most at one time, beside what is there before and after: gradients, temporaries."""


Side = Callable[[Arrays], Job]


@dataclass(frozen=True)
class Contest:
    """One row: how both sides and the reference are made from data, and what the work costs.

    flops: additions and multiplications; bytes: each operand read once, each result written once.
    floor, target: ratios to the best of PyTorch. allowed: an output's error, relative to its
    largest magnitude.
    """

    name: str
    draw: Callable[[np.random.Generator], dict[str, Array]]
    ours: Side
    theirs: Mapping[str, Side]
    reference: Side
    flops: float
    bytes: float = 0.0
    floor: float | None = None
    target: float | None = None
    allowed: float = ALLOWED


@dataclass(frozen=True)
class Case:
    """A contest on one formula, the same text for both sides: its value, or its gradients.

    operands: name -> shape; labels: name -> number of classes, of integer operands; result: shape.
    part: "forward", "backward" (the gradients of `wanted`, after a forward pass that is not
    timed), or "both". ours: our side's formula where it is another, that of a user's operator;
    precision: of our plan.
    """

    name: str
    formula: Formula
    operands: Mapping[str, tuple[int, ...]]
    result: tuple[int, ...]
    flops: float
    part: Part = "forward"
    wanted: tuple[str, ...] = ()
    labels: Mapping[str, int] = field(default_factory=dict)
    ours: Formula | None = None
    precision: str = "fast"
    bytes: float = 0.0
    floor: float | None = None
    target: float | None = None

    def draw(self, rng: np.random.Generator) -> dict[str, Array]:
        """Fresh operands: standard normal float32, labels uniform; and the result's cotangent."""
        shapes = dict(self.operands)
        if self.part != "forward":
            shapes[COTANGENT] = self.result
        found: dict[str, Array] = {}
        for name, shape in shapes.items():
            if name in self.labels:
                found[name] = rng.integers(0, self.labels[name], shape, np.int32)
            else:
                found[name] = np.asarray(rng.standard_normal(shape), np.float32)
        return found


def traffic(*shapes: tuple[int, ...]) -> float:
    """Bytes of float32 tensors of these shapes.

    >>> traffic((2, 3), (4,))
    40.0
    """
    return float(BYTES * sum(math.prod(shape) for shape in shapes))
