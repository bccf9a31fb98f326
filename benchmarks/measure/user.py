"""Operators as a user writes them, compiled by `gp.compile`, beside PyTorch's own."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from benchmarks.measure.contest import Case, Contest, Formula, traffic
from benchmarks.measure.layers import Conv
from benchmarks.measure.ours import user_function
from benchmarks.measure.sides import contest

FLOOR, TARGET = 1 / 1.5, 1.0
IMAGES = Conv(16, 128, 28, 128, 3, 1, 1, groups=128)
SIGNALS, CHANNELS, LENGTH, TAPS = 16, 128, 512, 5
ROWS, FEATURES = 4096, 512
BATCHES, EXTENT = 32, 128

depthwise = user_function(
    {
        "name": "my_depthwise",
        "equations": "z[n,c,x,y] = sum[i,j](w[c,i,j] * Y[n, c, x + i - P, y + j - P])",
        "tensors": {"Y": "N, C, H, W", "w": "C, K, K", "z": "N, C, OH, OW"},
        "sizes": {"OH": "H + 2*P - K + 1", "OW": "W + 2*P - K + 1"},
        "integers": "P",
        "requires": {
            "H + 2*P - K >= 0": "the kernel is taller than the padded input",
            "W + 2*P - K >= 0": "the kernel is wider than the padded input",
        },
        "outside": {"Y": "zero"},
    }
)
conv1d = user_function(
    {
        "name": "my_conv1d",
        "equations": "z[n,o,x] = sum[c,i](w[o,c,i] * Y[n, c, x + i - P])",
        "tensors": {"Y": "N, C, L", "w": "O, C, K", "z": "N, O, OL"},
        "sizes": {"OL": "L + 2*P - K + 1"},
        "integers": "P",
        "requires": {"L + 2*P - K >= 0": "the kernel is longer than the padded input"},
        "outside": {"Y": "zero"},
    }
)
layer_norm = user_function(
    {
        "name": "my_layer_norm",
        "equations": """
        mean[m] = sum[l](X[m,l]) / L
        var[m] = sum[l]((X[m,l] - mean[m])**2) / L
        y[m,l] = gamma[l] * (X[m,l] - mean[m]) / sqrt(var[m] + eps) + beta[l]
        """,
        "tensors": {"X": "M, L", "gamma": "L", "beta": "L"},
        "scalars": {"eps": "real"},
    }
)
bmm = user_function(
    {
        "name": "my_bmm",
        "equations": "z[b,i,k] = sum[j](A[b,i,j] * B[b,j,k])",
        "tensors": {"A": "N, I, J", "B": "N, J, K"},
    }
)


def both_ways(base: Case, wanted: tuple[str, ...], flops: float) -> Iterator[Case]:
    """Forward, then the gradients of all operands; each gradient of a product costs as much."""
    base = replace(base, floor=FLOOR, target=TARGET)
    yield replace(base, name=f"user's {base.name}, forward", flops=flops)
    operands = base.operands.values()
    moved = traffic(*operands, base.result, *operands)
    name = f"user's {base.name}, backward"
    more: dict[str, Any] = {"part": "backward", "wanted": wanted, "bytes": moved}
    yield replace(base, name=name, flops=2 * flops, **more)


def cases() -> Iterator[Case]:
    """Depthwise convolution, 1-D convolution, layer norm, batched matrix product."""
    weight = (IMAGES.c, IMAGES.k, IMAGES.k)

    def grouped(functional: Any, t: Mapping[str, Any]) -> Any:
        w = t["w"].reshape(IMAGES.weight)
        return functional.conv2d(t["x"], w, None, padding=1, groups=IMAGES.c)

    base = _case(
        str(IMAGES),
        grouped,
        {"x": IMAGES.image, "w": weight},
        IMAGES.result,
        lambda _, t: depthwise(t["x"], t["w"], P=1),
    )
    yield from both_ways(base, ("x", "w"), IMAGES.flops)

    signals, taps = (SIGNALS, CHANNELS, LENGTH), (CHANNELS, CHANNELS, TAPS)
    base = _case(
        f"conv1d {TAPS}, {SIGNALS}×{CHANNELS}×{LENGTH}",
        lambda f, t: f.conv1d(t["x"], t["w"], None, padding=TAPS // 2),
        {"x": signals, "w": taps},
        signals,
        lambda _, t: conv1d(t["x"], t["w"], P=TAPS // 2),
    )
    yield from both_ways(base, ("x", "w"), 2.0 * SIGNALS * LENGTH * CHANNELS**2 * TAPS)

    rows, row = (ROWS, FEATURES), (FEATURES,)
    base = _case(
        f"layer norm, {ROWS}×{FEATURES}",
        lambda f, t: f.layer_norm(t["x"], row, t["gamma"], t["beta"], 1e-5),
        {"x": rows, "gamma": row, "beta": row},
        rows,
        lambda _, t: layer_norm(t["x"], t["gamma"], t["beta"], eps=1e-5),
    )
    yield from both_ways(base, ("x", "gamma", "beta"), 7.0 * ROWS * FEATURES)

    square = (BATCHES, EXTENT, EXTENT)
    base = _case(
        f"bmm, {BATCHES}×{EXTENT}²",
        lambda _, t: t["a"].bmm(t["b"]),
        {"a": square, "b": square},
        square,
        lambda _, t: bmm(t["a"], t["b"]),
    )
    yield from both_ways(base, ("a", "b"), 2.0 * BATCHES * EXTENT**3)


def contests() -> Iterator[Contest]:
    """Every row of `user`."""
    return map(contest, cases())


def _case(
    name: str,
    formula: Formula,
    operands: Mapping[str, tuple[int, ...]],
    result: tuple[int, ...],
    written: Formula,
) -> Case:
    moved = traffic(*operands.values(), result)
    return Case(name, formula, operands, result, 0.0, ours=written, bytes=moved)
