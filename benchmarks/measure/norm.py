"""Batch normalisation with ReLU in training: forward, backward, and both."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from benchmarks.measure.contest import Case, Contest, traffic
from benchmarks.measure.sides import contest

SHAPES = ((32, 64, 32, 32), (20, 100, 32, 32))
# by element: mean, variance, normalise; backward: two sums, and the combination
FORWARD_FLOPS, BACKWARD_FLOPS = 7.0, 10.0


def batch_norm_relu(functional: Any, t: Mapping[str, Any]) -> Any:
    """ReLU of the batch norm of x, with the batch's own statistics."""
    y = functional.batch_norm(t["x"], None, None, t["gamma"], t["beta"], training=True)
    return functional.relu(y)


def cases(shape: tuple[int, int, int, int]) -> Iterator[Case]:
    """Forward reads x and writes y; backward reads the cotangent and x and writes dX."""
    n, c, size, _ = shape
    elements = n * c * size * size
    operands = {"x": shape, "gamma": (c,), "beta": (c,)}
    wanted = ("x", "gamma", "beta")
    base = Case("", batch_norm_relu, operands, shape, 0.0, floor=1.1, target=1.4)
    name = f"batch norm + ReLU, {n}×{c}×{size}²"
    forward, backward = traffic(shape, shape), traffic(shape, shape, shape)
    yield replace(base, name=f"{name}, forward", flops=FORWARD_FLOPS * elements, bytes=forward)
    flops = BACKWARD_FLOPS * elements
    more: dict[str, Any] = {"part": "backward", "wanted": wanted, "flops": flops}
    yield replace(base, name=f"{name}, backward", bytes=backward, **more)
    more |= {"part": "both", "flops": (FORWARD_FLOPS + BACKWARD_FLOPS) * elements}
    yield replace(base, name=f"{name}, forward + backward", bytes=forward + backward, **more)


def contests() -> Iterator[Contest]:
    """Every row of `norm`."""
    return (contest(case) for shape in SHAPES for case in cases(shape))
