"""Other operators: depthwise convolution, linear layer, softmax cross-entropy, Adam."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np

from benchmarks.measure import ours, theirs
from benchmarks.measure.contest import Array, Case, Contest, Side, traffic
from benchmarks.measure.layers import Conv, three
from benchmarks.measure.sides import contest

FLOOR, TARGET = 0.9, 1.2
DEPTHWISE = Conv(16, 128, 28, 128, 3, 1, 1, groups=128)
ROWS, INPUTS, OUTPUTS = 256, 1024, 1024
SAMPLES, CLASSES = 2048, 1000
ADAM_SHAPE, ADAM_COUNT = (256, 256, 3, 3), 4
ADAM: dict[str, Any] = {"lr": 1e-3}
ADAM_KINDS: dict[str, dict[str, Any]] = {
    "for-loop": {"foreach": False},
    "foreach": {"foreach": True},
    "fused": {"fused": True},
}
ADAM_FLOPS, ADAM_TENSORS = 12.0, 7  # reads p, g, m, v; writes p, m, v


def linear() -> Iterator[Case]:
    """A linear layer's forward pass and gradients, 2 * ROWS * INPUTS * OUTPUTS operations each."""
    x, w, z = (ROWS, INPUTS), (OUTPUTS, INPUTS), (ROWS, OUTPUTS)
    name = f"linear, {ROWS}×{INPUTS}→{OUTPUTS}"

    def formula(functional: Any, t: Mapping[str, Any]) -> Any:
        return functional.linear(t["x"], t["w"], t["b"])

    operands = {"x": x, "w": w, "b": (OUTPUTS,)}
    base = Case(name, formula, operands, z, 2.0 * ROWS * INPUTS * OUTPUTS, bytes=traffic(x, w, z))
    base = replace(base, floor=FLOOR, target=TARGET)
    yield replace(base, name=f"{name}, forward")
    yield replace(base, name=f"{name}, dX", part="backward", wanted=("x",))
    yield replace(base, name=f"{name}, dW", part="backward", wanted=("w", "b"))


def cross_entropy() -> Iterator[Case]:
    """Softmax with cross-entropy: the loss, and the loss with the gradient of the logits."""
    a = (SAMPLES, CLASSES)
    name = f"softmax cross-entropy, {SAMPLES}×{CLASSES}"

    def formula(functional: Any, t: Mapping[str, Any]) -> Any:
        return functional.cross_entropy(t["a"], t["t"])

    operands = {"a": a, "t": (SAMPLES,)}
    base = Case(name, formula, operands, (), 5.0 * SAMPLES * CLASSES, labels={"t": CLASSES})
    base = replace(base, floor=FLOOR, target=TARGET)
    yield replace(base, name=f"{name}, forward", bytes=traffic(a))
    more: dict[str, Any] = {"part": "both", "wanted": ("a",), "bytes": traffic(a, a, a)}
    yield replace(base, name=f"{name}, forward + backward", **more)


def adam() -> Contest:
    """One step of Adam over a few weights; PyTorch's three implementations."""
    elements = ADAM_COUNT * int(np.prod(ADAM_SHAPE))
    sides: dict[str, Side] = {}
    reference: Side = partial(ours.AdamJob, dtype="float64", **ADAM)
    if theirs.installed():
        sides = {n: partial(theirs.AdamJob, **ADAM, **more) for n, more in ADAM_KINDS.items()}
        reference = partial(theirs.AdamJob, dtype="float64", **ADAM)
    return Contest(
        f"Adam step, {elements / 1e6:.1f} M parameters",
        _adam_data,
        partial(ours.AdamJob, **ADAM),
        sides,
        reference,
        flops=ADAM_FLOPS * elements,
        bytes=traffic(*[(elements,)] * ADAM_TENSORS),
        floor=FLOOR,
        target=TARGET,
        allowed=1e-3,  # of a change of 1e-3 in parameters near 1, which are rounded to 6e-8
    )


def _adam_data(rng: np.random.Generator) -> dict[str, Array]:
    names = [f"{kind}{k}" for k in range(ADAM_COUNT) for kind in "pg"]
    return {n: np.asarray(rng.standard_normal(ADAM_SHAPE), np.float32) for n in names}


def contests() -> Iterator[Contest]:
    """Every row of `ops`."""
    yield from map(contest, three(DEPTHWISE, FLOOR, TARGET))
    yield from map(contest, linear())
    yield from map(contest, cross_entropy())
    yield adam()
