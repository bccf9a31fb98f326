"""Nodes for operators that move elements, and for sums, means and maxima along an axis."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from gradproof.runtime.onnx.graph import Value
from gradproof.runtime.onnx.record import Shape
from gradproof.runtime.onnx.step import Made, Step, joined

AXES_AS_INPUT = 18  # from this opset on, ReduceMean and ReduceMax take their axes as an input


def _along(s: Step, name: str = "Y") -> tuple[Value, range]:
    """An operand A x H x B, and where its axis H is, as one axis."""
    value, axes = s.divided(name, 1)
    return value, axes[1]


LAST = 2**63 - 1  # ONNX: the end of an axis, whatever its extent


# -- one axis -------------------------------------------------------------------------------------
def padded(
    s: Step, y: Value, pads: Sequence[int], mode: str = "constant", fill: float = 0.0
) -> Value:
    """`y` longer or, below 0, shorter at both ends: all its last axes before, then all behind."""
    axes = range(len(y.shape) - len(pads) // 2, len(y.shape))
    before, after = list(pads[: len(axes)]), list(pads[len(axes) :])
    if max(pads) > 0:
        zeros = [0] * axes.start
        more = [[max(p, 0) for p in side] for side in (before, after)]
        shape = _longer(y.shape, axes, more)
        sides = s.integers([*zeros, *more[0], *zeros, *more[1]])
        inputs = [y, sides, s.number(fill)] if mode == "constant" else [y, sides]
        y = s.node("Pad", inputs, shape, mode=mode)
    if min(pads) < 0:
        less = [[min(p, 0) for p in side] for side in (before, after)]
        ends = [p or LAST for p in less[1]]
        bounds = ([-p for p in less[0]], ends, list(axes))
        y = s.node("Slice", [y, *map(s.integers, bounds)], _longer(y.shape, axes, less))
    return y


def _longer(shape: Shape, axes: range, by: Sequence[Sequence[int]]) -> Shape:
    """`shape` with its last axes longer by the two numbers of each."""
    last = [tuple(n + p + q for n in shape[k]) for k, p, q in zip(axes, *by, strict=True)]
    return (*shape[: axes.start], *last)


def _pad(mode: str) -> Callable[[Step], Made]:
    def build(s: Step) -> Made:
        y, axis = _along(s)
        behind = [0] * (len(y.shape) - axis.stop)
        pads = [s.size("PT"), *behind, s.size("PB"), *behind]
        fill = s.scalar("value") if mode == "constant" else 0.0
        return padded(s, y, pads, mode, fill)

    return build


def _slice(s: Step) -> Made:
    y, axis = _along(s)
    first, step, count = s.size("F"), s.size("S"), s.size("X")
    bounds = ([first], [first + step * (count - 1) + 1], [axis.start], [step])
    shape = joined(y.shape, axis, s.operation.sizes["X"])
    return s.node("Slice", [y, *map(s.integers, bounds)], shape)


def _cat(s: Step) -> Made:
    y, axis = _along(s)
    extent = s.operation.operands["R"].shape[1]
    other = s.graph.reshaped(s.value("R"), joined(y.shape, axis, extent))
    shape = joined(y.shape, axis, s.operation.sizes["OH"])
    return s.node("Concat", [y, other], shape, axis=axis.start)


def _transpose(s: Step) -> Made:
    y, (i, a, j, b, k) = s.divided("Y")
    order = [*i, *b, *j, *a, *k]
    return s.node("Transpose", [y], tuple(y.shape[d] for d in order), perm=order)


def _reduce(op_type: str) -> Callable[[Step], Made]:
    def build(s: Step) -> Made:
        y, axis = _along(s)
        return _reduced(s, op_type, y, axis)

    return build


def _reduced(s: Step, op_type: str, y: Value, axis: range) -> Value:
    shape = (*y.shape[: axis.start], *y.shape[axis.stop :])
    if op_type == "ReduceSum" or s.graph.opset >= AXES_AS_INPUT:
        return s.node(op_type, [y, s.integers([axis.start])], shape, keepdims=0)
    return s.node(op_type, [y], shape, axes=[axis.start], keepdims=0)


def _max_axis(s: Step) -> Made:
    """The maximum, and where the first one is: what was asked for."""
    y, axis = _along(s)
    made = {}
    if "z" in s.operation.results:
        made["z"] = _reduced(s, "ReduceMax", y, axis)
    if "z_argmax" in s.operation.results:
        shape = (*y.shape[: axis.start], *y.shape[axis.stop :])
        found = s.node("ArgMax", [y], shape, axis=axis.start, keepdims=0)
        int32 = s.graph.onnx.TensorProto.INT32
        made["z_argmax"] = s.node("Cast", [found], shape, to=int32)
    return made


# -- by position ----------------------------------------------------------------------------------
def _embedding(s: Step) -> Made:
    rows = s.value("t")
    shape = (*rows.shape, s.operation.sizes["K"])
    return s.node("Gather", [s.shaped("w"), rows], shape, axis=0)


def _upsample_nearest(s: Step) -> Made:
    """Rows and columns by number, which is exact for every ratio."""
    y, (_, rows, columns) = s.divided("Y", 1, 2)
    for axis, extent, wanted in ((rows.start, "H", "OH"), (columns.start, "W", "OW")):
        n, m = s.size(extent), s.size(wanted)
        if n != m:
            chosen = s.integers([x * n // m for x in range(m)])
            shape = joined(y.shape, range(axis, axis + 1), s.operation.sizes[wanted])
            y = s.node("Gather", [y, chosen], shape, axis=axis)
    return y


def _upsample_linear(s: Step) -> Made:
    """A product with the matrix of the weights, which is right for every ratio and corner."""
    y = s.shaped("Y")
    a, b, m, n = (s.size(name) for name in ("A", "B", "M", "H"))
    weights = s.graph.array(_mixture(a, b, m, n, s.size("OH")).astype(s.graph.kind))
    return s.node("MatMul", [weights, y], s.result())


def _mixture(a: int, b: int, m: int, extent: int, wanted: int) -> np.ndarray[Any, Any]:
    """Row x: the weights of the two elements around (A x + B)/M, kept inside.

    >>> _mixture(4, -2, 8, 2, 4).tolist()
    [[1.0, 0.0], [0.75, 0.25], [0.25, 0.75], [0.0, 1.0]]
    """
    out = np.zeros((wanted, extent))
    for x in range(wanted):
        q, r = divmod(a * x + b, m)
        for place, weight in ((q, 1 - r / m), (q + 1, r / m)):
            out[x, min(max(place, 0), extent - 1)] += weight
    return out


BUILDERS: Mapping[str, Callable[[Step], Made]] = {
    "pad_constant": _pad("constant"),
    "pad_reflect": _pad("reflect"),
    "pad_replicate": _pad("edge"),
    "slice_axis": _slice,
    "cat": _cat,
    "transpose": _transpose,
    "sum_axis": _reduce("ReduceSum"),
    "mean_axis": _reduce("ReduceMean"),
    "max_axis": _max_axis,
    "embedding": _embedding,
    "embedding_padding": _embedding,
    "upsample_nearest": _upsample_nearest,
    "upsample_linear": _upsample_linear,
}
