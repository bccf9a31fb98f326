"""Nodes for operators that work element by element, in whatever shape their input has."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

from gradproof.runtime.onnx.graph import Value
from gradproof.runtime.onnx.step import Made, Step


def _as(op_type: str) -> Callable[[Step], Made]:
    def build(s: Step) -> Made:
        y = s.value("Y")
        return s.node(op_type, [y], y.shape)

    return build


def _of_two(op_type: str) -> Callable[[Step], Made]:
    def build(s: Step) -> Made:
        y = s.value("Y")
        return s.node(op_type, [y, s.graph.reshaped(s.value("R"), y.shape)], y.shape)

    return build


def _leaky_relu(s: Step) -> Made:
    y = s.value("Y")
    return s.node("LeakyRelu", [y], y.shape, alpha=s.scalar("slope"))


def _times_sigmoid(s: Step, y: Value, u: Value) -> Value:
    return s.node("Mul", [y, s.node("Sigmoid", [u], y.shape)], y.shape)


def _silu(s: Step) -> Made:
    y = s.value("Y")
    return _times_sigmoid(s, y, y)


def _gelu(s: Step) -> Made:
    """x (1 + erf(x / sqrt(2))) / 2"""
    y = s.value("Y")
    scaled = s.node("Div", [y, s.number(math.sqrt(2))], y.shape)
    erf = s.node("Erf", [scaled], y.shape)
    twice = s.node("Mul", [y, s.node("Add", [erf, s.number(1)], y.shape)], y.shape)
    return s.node("Mul", [twice, s.number(0.5)], y.shape)


def _gelu_tanh(s: Step) -> Made:
    """x sigmoid(u), u = 2 scale x (1 + 0.044715 x²)"""
    y = s.value("Y")
    square = s.node("Mul", [y, y], y.shape)
    inner = s.node("Mul", [square, s.number(0.044715)], y.shape)
    inner = s.node("Add", [inner, s.number(1)], y.shape)
    inner = s.node("Mul", [inner, y], y.shape)
    u = s.node("Mul", [inner, s.number(2 * s.scalar("scale"))], y.shape)
    return _times_sigmoid(s, y, u)


def _softplus(s: Step) -> Made:
    """log(1 + exp(beta x)) / beta, and x where beta x > threshold"""
    y, beta = s.value("Y"), s.number(s.scalar("beta"))
    scaled = s.node("Mul", [y, beta], y.shape)
    soft = s.node("Div", [s.node("Softplus", [scaled], y.shape), beta], y.shape)
    large = s.node("Greater", [scaled, s.number(s.scalar("threshold"))], y.shape)
    return s.node("Where", [large, y, soft], y.shape)


def _affine(s: Step) -> Made:
    """(factor x + shift) / divisor, without what changes nothing"""
    y = s.value("Y")
    for op_type, name, neutral in (
        ("Mul", "factor", 1),
        ("Add", "shift", 0),
        ("Div", "divisor", 1),
    ):
        if s.scalar(name) != neutral:
            y = s.node(op_type, [y, s.number(s.scalar(name))], y.shape)
    return y


def _reciprocal(s: Step) -> Made:
    y = s.value("Y")
    return s.node("Div", [s.number(s.scalar("factor")), y], y.shape)


BUILDERS: Mapping[str, Callable[[Step], Made]] = {
    "relu": _as("Relu"),
    "sigmoid": _as("Sigmoid"),
    "tanh": _as("Tanh"),
    "leaky_relu": _leaky_relu,
    "silu": _silu,
    "gelu": _gelu,
    "gelu_tanh": _gelu_tanh,
    "softplus": _softplus,
    "add": _of_two("Add"),
    "sub": _of_two("Sub"),
    "mul": _of_two("Mul"),
    "div": _of_two("Div"),
    "affine": _affine,
    "reciprocal": _reciprocal,
}
