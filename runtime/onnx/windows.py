"""Nodes for convolutions and pooling."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from gradproof.runtime.functional import conv as conv_sizes
from gradproof.runtime.functional import conv_transpose as transpose_sizes
from gradproof.runtime.onnx.graph import Value
from gradproof.runtime.onnx.moves import padded
from gradproof.runtime.onnx.step import Made, Step

KERNEL = {1: ("K",), 2: ("KH", "KW"), 3: ("KT", "KH", "KW")}  # sizes of conv1d, 2d, 3d


def _pads(s: Step, before: Sequence[str], after: Sequence[str]) -> list[int]:
    return [s.size(n) for n in (*before, *after)]


def _conv(s: Step) -> Made:
    names = conv_sizes.NAMES[len(s.operation.operands["Y"].shape) - 2]
    pads = _pads(s, [n[2] for n in names], [n[3] for n in names])
    y = s.shaped("Y")
    if min(pads) < 0:  # it crops, which ONNX's Conv does not
        y, pads = padded(s, y, pads), [0] * len(pads)
    bias = [s.shaped("b")] if s.given("b") else []
    return s.node(
        "Conv",
        [y, s.shaped("w"), *bias],
        s.result(),
        kernel_shape=[s.size(n) for n in KERNEL[len(names)]],
        strides=[s.size(n[0]) for n in names],
        dilations=[s.size(n[1]) for n in names],
        pads=pads,
        group=s.size("G"),
    )


def _conv_transpose(s: Step) -> Made:
    axes = len(s.operation.operands["Y"].shape) - 2
    names = transpose_sizes.NAMES[-axes:]
    bias = [s.shaped("b")] if s.given("b") else []
    return s.node(
        "ConvTranspose",
        [s.shaped("Y"), s.shaped("w"), *bias],
        s.result(),
        kernel_shape=[d[0] for d in s.shaped("w").shape[2:]],
        strides=[s.size(n[0]) for n in names],
        dilations=[s.size(n[1]) for n in names],
        pads=_pads(s, [n[2] for n in names], [n[3] for n in names]),
        output_padding=[s.size(n[4]) for n in names],
        group=s.size("G"),
    )


def _pool(s: Step, op_type: str, y: Value, pads: Sequence[int], **attributes: Any) -> Made:
    return s.node(
        op_type,
        [y],
        s.result(),
        kernel_shape=[s.size("KH"), s.size("KW")],
        strides=[s.size("SH"), s.size("SW")],
        pads=pads,
        **attributes,
    )


def _pool_pads(s: Step) -> list[int]:
    return _pads(s, ["PT", "PL"], ["PB", "PR"])


def _max_pool(s: Step) -> Made:
    """Where ceil_mode and dilation make a padding as long as the window, which programs refuse for
    MaxPool, it is a node of its own."""
    y, pads = s.shaped("Y"), _pool_pads(s)
    window = [s.size("KH"), s.size("KW")]
    if any(p >= k for p, k in zip(pads, [*window, *window], strict=True)):
        y, pads = padded(s, y, pads, fill=-math.inf), [0] * 4
    return _pool(s, "MaxPool", y, pads, dilations=[s.size("DH"), s.size("DW")])


def _avg_pool(s: Step) -> Made:
    counted = s.operation.operator.name == "avg_pool2d"
    pads = _pool_pads(s)
    return _pool(s, "AveragePool", s.shaped("Y"), pads, count_include_pad=int(counted))


def _adaptive(s: Step) -> Made:
    """Means over windows that cover the image: as one pool where they are equal, else as products
    with matrices of weights, one for each axis."""
    y, high, wide = s.shaped("Y"), s.size("OH"), s.size("OW")
    rows, columns = s.size("H"), s.size("W")
    if (high, wide) == (rows, columns):
        return y
    if (high, wide) == (1, 1):
        return s.node("GlobalAveragePool", [y], s.result())
    if rows % high == columns % wide == 0:
        window = [rows // high, columns // wide]
        return s.node("AveragePool", [y], s.result(), kernel_shape=window, strides=window)
    weights = s.graph.array(_means(rows, high).astype(s.graph.kind))
    y = s.node("MatMul", [weights, y], (*y.shape[:2], *s.graph.fixed([high, columns])))
    weights = s.graph.array(_means(columns, wide).T.astype(s.graph.kind))
    return s.node("MatMul", [y, weights], s.result())


def _means(extent: int, wanted: int) -> np.ndarray[Any, Any]:
    """Row x: the weights of the window floor(x E/O) .. ceil((x+1) E/O) - 1.

    >>> _means(3, 2)
    array([[0.5, 0.5, 0. ],
           [0. , 0.5, 0.5]])
    """
    out = np.zeros((wanted, extent))
    for x in range(wanted):
        start, stop = x * extent // wanted, -(-(x + 1) * extent // wanted)
        out[x, start:stop] = 1 / (stop - start)
    return out


BUILDERS: Mapping[str, Callable[[Step], Made]] = {
    **{f"conv{n}d": _conv for n in (1, 2, 3)},
    **{f"conv_transpose{n}d": _conv_transpose for n in (1, 2, 3)},
    "max_pool2d": _max_pool,
    "avg_pool2d": _avg_pool,
    "avg_pool2d_valid": _avg_pool,
    "adaptive_avg_pool2d": _adaptive,
}
