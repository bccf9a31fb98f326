"""Nodes for matrix products, normalisation and softmax."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from gradproof.runtime.onnx.graph import Value
from gradproof.runtime.onnx.step import Made, Step


def _linear(s: Step) -> Made:
    bias = [s.shaped("b")] if s.given("b") else []
    return s.node("Gemm", [s.shaped("Y"), s.shaped("w"), *bias], s.result(), transB=1)


def _bmm(s: Step) -> Made:
    return s.node("MatMul", [s.shaped("A"), s.shaped("B")], s.result())


def _softmax(op_type: str) -> Callable[[Step], Made]:
    def build(s: Step) -> Made:
        a, axes = s.divided("a", 1)
        return s.node(op_type, [a], a.shape, axis=axes[1].start)

    return build


# -- normalisation --------------------------------------------------------------------------------
def _filled(s: Step, channels: int, value: float) -> Value:
    return s.graph.array(np.full(channels, value, s.graph.kind))


def _parameters(s: Step, channels: int) -> list[Value]:
    """Weight and bias; ones and zeros where they are left out."""
    weight = s.shaped("gamma") if s.given("gamma") else _filled(s, channels, 1)
    return [weight, s.shaped("beta") if s.given("beta") else _filled(s, channels, 0)]


def _batch_norm_inference(s: Step) -> Made:
    x, _ = s.divided("X", 0, 1)
    inputs = [x, *_parameters(s, s.size("C")), s.shaped("mean"), s.shaped("var")]
    return s.node("BatchNormalization", inputs, x.shape, epsilon=s.scalar("eps"))


def _instance_norm(s: Step) -> Made:
    x = s.shaped("X")
    inputs = [x, *_parameters(s, s.size("C"))]
    return s.node("InstanceNormalization", inputs, x.shape, epsilon=s.scalar("eps"))


def _batch_norm(s: Step) -> Made:
    """By the batch's own statistics, for a layer without running ones: an instance norm over the
    samples as positions."""
    x = s.shaped("X")
    n, c, length = x.shape
    moved = s.node("Transpose", [x], (c, n, length), perm=[1, 0, 2])
    rows = s.graph.reshaped(moved, (*s.graph.fixed([1]), c, _times(n, length)))
    inputs = [rows, *_parameters(s, s.size("C"))]
    y = s.node("InstanceNormalization", inputs, rows.shape, epsilon=s.scalar("eps"))
    back = s.graph.reshaped(y, moved.shape)
    return s.node("Transpose", [back], x.shape, perm=[1, 0, 2])


def _times(a: tuple[int, ...], b: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(p * q for p, q in zip(a, b, strict=True))


def _group_norm(s: Step) -> Made:
    """An instance norm whose channels are the groups; then weight and bias for each channel."""
    x = s.shaped("X")
    n, g, cg, length = x.shape
    groups = s.size("G")
    rows = s.graph.reshaped(x, (n, g, _times(cg, length)))
    inputs = [rows, _filled(s, groups, 1), _filled(s, groups, 0)]
    y = s.node("InstanceNormalization", inputs, rows.shape, epsilon=s.scalar("eps"))
    y = s.graph.reshaped(y, x.shape)
    for op_type, name in (("Mul", "gamma"), ("Add", "beta")):
        if s.given(name):
            parameter = s.graph.reshaped(s.value(name), (g, cg, *s.graph.fixed([1])))
            y = s.node(op_type, [y, parameter], y.shape)
    return y


def _layer_norm(s: Step) -> Made:
    x, axes = s.divided("X")
    shape = x.shape[axes[1].start :]
    ones = np.ones([d[0] for d in shape], s.graph.kind)
    weight = s.graph.reshaped(s.value("gamma"), shape) if s.given("gamma") else s.graph.array(ones)
    bias = [s.graph.reshaped(s.value("beta"), shape)] if s.given("beta") else []
    return s.node(
        "LayerNormalization",
        [x, weight, *bias],
        x.shape,
        axis=axes[1].start,
        epsilon=s.scalar("eps"),
        stash_type=s.graph.onnx.helper.np_dtype_to_tensor_dtype(s.graph.kind),
    )


def _local_response_norm(s: Step) -> Made:
    """ONNX's LRN centres an even window on another channel than PyTorch does, so only an odd one
    is an LRN; x (k + alpha mean(x²))**-beta otherwise, the mean being an average pool."""
    size, before = s.size("K"), s.size("P")
    alpha, beta, k = s.scalar("alpha"), s.scalar("beta"), s.scalar("k")
    if size == 2 * before + 1:
        y, _ = s.divided("Y", 0, 1)
        if len(y.shape) != 4:  # onnxruntime's LRN takes images
            y = s.graph.reshaped(y, (*s.shaped("Y").shape, *s.graph.fixed([1])))
        return s.node("LRN", [y], y.shape, alpha=alpha, beta=beta, bias=k, size=size)
    y = s.shaped("Y")
    n, c, length = y.shape
    flat = s.graph.reshaped(s.node("Mul", [y, y], y.shape), (n, *s.graph.fixed([1]), c, length))
    pads = [before, 0, size - 1 - before, 0]
    window: Sequence[int] = [size, 1]
    m = s.node(
        "AveragePool", [flat], flat.shape, kernel_shape=window, pads=pads, count_include_pad=1
    )
    m = s.node("Mul", [s.graph.reshaped(m, y.shape), s.number(alpha)], y.shape)
    m = s.node("Add", [m, s.number(k)], y.shape)
    return s.node("Div", [y, s.node("Pow", [m, s.number(beta)], y.shape)], y.shape)


BUILDERS: Mapping[str, Callable[[Step], Made]] = {
    "linear": _linear,
    "bmm": _bmm,
    "softmax": _softmax("Softmax"),
    "log_softmax": _softmax("LogSoftmax"),
    "batch_norm": _batch_norm,
    "batch_norm_inference": _batch_norm_inference,
    "instance_norm": _instance_norm,
    "group_norm": _group_norm,
    "layer_norm": _layer_norm,
    "local_response_norm": _local_response_norm,
}
