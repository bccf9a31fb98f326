"""Convolutions: forward, input gradient and weight gradient each; and first layers, fused."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from benchmarks.measure.contest import Case, Contest, Part, traffic
from benchmarks.measure.sides import contest


@dataclass(frozen=True)
class Conv:
    """A convolution of N images, C channels, H x W pixels to O channels by K x K taps."""

    n: int
    c: int
    size: int
    o: int
    k: int = 3
    stride: int = 1
    pad: int = 1
    groups: int = 1

    @property
    def image(self) -> tuple[int, ...]:
        """The input's shape."""
        return self.n, self.c, self.size, self.size

    @property
    def weight(self) -> tuple[int, ...]:
        """The weight's shape."""
        return self.o, self.c // self.groups, self.k, self.k

    @property
    def result(self) -> tuple[int, ...]:
        """The output's shape.

        >>> Conv(8, 3, 224, 64, 7, 2, 3).result
        (8, 64, 112, 112)
        """
        out = (self.size + 2 * self.pad - self.k) // self.stride + 1
        return self.n, self.o, out, out

    @property
    def flops(self) -> float:
        """Of the forward pass, and of each gradient: the same products in another order.

        >>> Conv(1, 2, 4, 3).flops == 2 * (3 * 4 * 4) * (2 * 3 * 3)
        True
        """
        return 2.0 * math.prod(self.result) * math.prod(self.weight[1:])

    def apply(self, functional: Any, t: Mapping[str, Any]) -> Any:
        """The convolution of x with w, and b where it is given."""
        w, b = t["w"], t.get("b")
        more = {"stride": self.stride, "padding": self.pad, "groups": self.groups}
        return functional.conv2d(t["x"], w, b, **more)

    def __str__(self) -> str:
        kind = f"{self.k}×{self.k}" + (f" stride {self.stride}" if self.stride > 1 else "")
        change = "" if self.o == self.c else f"→{self.o}"
        depthwise = "depthwise " if self.groups == self.c > 1 else ""
        return f"{depthwise}{kind}, {self.n}×{self.c}{change}×{self.size}²"


def three(conv: Conv, floor: float, target: float) -> Iterator[Case]:
    """Forward, dX and dW of a convolution without bias."""
    operands = {"x": conv.image, "w": conv.weight}
    base = Case(str(conv), conv.apply, operands, conv.result, conv.flops)
    base = replace(base, bytes=traffic(conv.image, conv.weight, conv.result))
    base = replace(base, floor=floor, target=target)
    yield replace(base, name=f"{conv}, forward")
    yield replace(base, name=f"{conv}, dX", part="backward", wanted=("x",))
    yield replace(base, name=f"{conv}, dW", part="backward", wanted=("w",))


WINOGRAD = (Conv(16, 64, 32, 64), Conv(16, 128, 16, 128), Conv(4, 64, 112, 64))
WINOGRAD_SMALL = (Conv(32, 32, 16, 32), Conv(32, 64, 8, 64))
EDGES = (Conv(32, 16, 32, 16), Conv(16, 256, 14, 256))
OTHERS = (
    Conv(16, 64, 56, 64, 1, 1, 0),
    Conv(16, 256, 14, 256, 1, 1, 0),
    Conv(16, 64, 56, 128, 3, 2, 1),
    Conv(16, 128, 28, 256, 3, 2, 1),
    Conv(8, 64, 27, 192, 5, 1, 2),
    Conv(8, 3, 224, 64, 7, 2, 3),
)
# (convolution, window of the max pool): LeNet's two, and first layers of networks on colour images
FIRST = (
    (Conv(64, 1, 28, 6, 5, 1, 2), 2),
    (Conv(64, 6, 14, 16, 5, 1, 0), 2),
    (Conv(64, 1, 28, 16, 3, 1, 1), 2),
    (Conv(64, 3, 32, 16, 3, 1, 1), 2),
    (Conv(4, 3, 112, 64, 3, 1, 1), 2),
)


def first_layer(conv: Conv, window: int) -> Iterator[Case]:
    """Convolution with bias, ReLU and max pool: forward, and forward with all gradients."""
    out = conv.result[2] // window
    result = (conv.n, conv.o, out, out)
    name = f"{conv} + ReLU + pool {window}"

    def formula(functional: Any, t: Mapping[str, Any]) -> Any:
        return functional.max_pool2d(functional.relu(conv.apply(functional, t)), window)

    operands = {"x": conv.image, "w": conv.weight, "b": (conv.o,)}
    base = Case(name, formula, operands, result, conv.flops, floor=3.0, target=10.0)
    moved = traffic(conv.image, conv.weight, result)
    yield replace(base, name=f"{name}, forward", bytes=moved)
    # the images of a first layer need no gradient
    wanted = ("w", "b") if conv.c in (1, 3) else ("x", "w", "b")
    part: Part = "both"
    moved += traffic(conv.image, conv.weight, result, *([conv.image] if "x" in wanted else []))
    flops = conv.flops * (3 if "x" in wanted else 2)
    name = f"{name}, forward + backward"
    yield replace(base, name=name, part=part, wanted=wanted, bytes=moved, flops=flops)


def contests() -> Iterator[Contest]:
    """Every row of `layers`."""
    cases: list[Case] = []
    for group, floor, target in (
        ((*WINOGRAD, *WINOGRAD_SMALL), 2.0, 2.6),
        (EDGES, 1.6, 2.0),
        (OTHERS, 0.95, 1.1),
    ):
        for conv in group:
            cases += three(conv, floor, target)
    for case in three(WINOGRAD[0], 1.3, 1.8):
        cases.append(replace(case, name=f"{case.name}, accurate", precision="accurate"))
    for conv, window in FIRST:
        cases += first_layer(conv, window)
    return map(contest, cases)
