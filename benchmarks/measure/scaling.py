"""How cost grows: one convolution over batches, and over sizes; a line through the times."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from benchmarks.measure.contest import Contest
from benchmarks.measure.layers import Conv, three
from benchmarks.measure.sides import contest

BASE = Conv(8, 64, 32, 64)
BATCHES = (1, 2, 4, 8, 16, 32)
EXTENTS = (8, 16, 32, 64, 96)
BATCH, SIZE = "batch", "size"


def contests() -> Iterator[Contest]:
    """The forward pass, its name saying what varies; the FLOPs are the horizontal axis of both."""
    for batch in BATCHES:
        yield _forward(replace(BASE, n=batch), f"{BATCH} {batch}")
    for extent in EXTENTS:
        yield _forward(replace(BASE, size=extent), f"{SIZE} {extent}")


def fits(rows: Sequence[Mapping[str, Any]]) -> dict[str, dict[str, float]]:
    """For each axis and side, the exponent e of time ~ FLOPs**e by least squares; 1 is linear.

    >>> rows = [{"name": f"batch {n}: z", "flops": n, "ours_ms": 2 * n, "best": "A",
    ...          "torch_ms": {"A": n * n}} for n in (1, 2, 4)]
    >>> {side: round(e, 6) for side, e in fits(rows)["batch"].items()}
    {'gradproof': 1.0, 'PyTorch': 2.0}
    """
    found: dict[str, dict[str, float]] = {}
    for axis in (BATCH, SIZE):
        chosen = [r for r in rows if r["name"].startswith(axis) and r["ours_ms"]]
        if len(chosen) < 2:
            continue
        flops = [r["flops"] for r in chosen]
        found[axis] = {"gradproof": _exponent(flops, [r["ours_ms"] for r in chosen])}
        if all(r["best"] for r in chosen):
            best = [r["torch_ms"][r["best"]] for r in chosen]
            found[axis]["PyTorch"] = _exponent(flops, best)
    return found


def _exponent(flops: Sequence[float], times: Sequence[float]) -> float:
    return float(np.polyfit(np.log(flops), np.log(times), 1)[0])


def _forward(conv: Conv, what: str) -> Contest:
    case = next(three(conv, 0.0, 0.0))
    return contest(replace(case, name=f"{what}: {case.name}", floor=None, target=None))
