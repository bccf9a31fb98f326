"""<JVP, delta> = <d, VJP> through conv -> batch norm -> ReLU -> conv, in exact rationals.

The left side is forward-mode differentiation with dual numbers; it shares nothing with the adjoint
but the definitions. Batch norm's root is rational: both channels have the same variance v (the
second filter is minus the first), and eps = (v + 1)**2 - v, so sqrt(v + eps) = v + 1.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
import pytest

from gradproof.derive.adjoint import PREFIX
from gradproof.derive.arithmetic import Fractions
from gradproof.derive.interpret import evaluate
from gradproof.derive.registry import find
from gradproof.derive.system import derive

IMAGE = {"N": 2, "G": 1, "CG": 2, "KH": 2, "KW": 2, "SH": 1, "SW": 1, "DH": 1, "DW": 1}
FIRST = IMAGE | {"OG": 2, "H": 3, "W": 3, "PT": 0, "PB": 0, "PL": 0, "PR": 0}
SECOND = IMAGE | {"OG": 3, "H": 2, "W": 2, "PT": 1, "PB": 0, "PL": -1, "PR": 2, "SW": 2}
# operator, sizes, operands by name in the data or None for the layer before, and the output
LAYERS = (
    ("conv2d", FIRST, {"Y": "image", "w": "w1", "b": "b1"}, "z", (2, 2, 2, 2)),
    (
        "batch_norm",
        {"N": 2, "C": 2, "L": 4},
        {"X": None, "gamma": "gamma", "beta": "beta"},
        "y",
        (2, 2, 4),
    ),
    ("relu", {"T": 16}, {"Y": None}, "z", (16,)),
    ("conv2d", SECOND, {"Y": None, "w": "w2", "b": "b2"}, "z", (2, 3, 2, 1)),
)
BEFORE = {"batch_norm": (2, 2, 4), "relu": (16,), "conv2d": (2, 2, 2, 2)}
SHAPES = {
    "image": (2, 2, 3, 3),
    "w1": (2, 2, 2, 2),
    "b1": (2,),
    "gamma": (2,),
    "beta": (2,),
    "w2": (3, 2, 2, 2),
    "b2": (3,),
}


@dataclass(frozen=True, eq=False)
class Dual:
    """value + tangent * t with t**2 = 0."""

    value: Fraction
    tangent: Fraction

    def numbers(self):
        return Duals()

    def __add__(self, other):
        return Dual(self.value + other.value, self.tangent + other.tangent)

    def __mul__(self, other):
        tangent = self.value * other.tangent + self.tangent * other.value
        return Dual(self.value * other.value, tangent)

    def __le__(self, other):
        return self.value <= other.value


class Duals(Fractions):
    """(v + t)**e = v**e + e * v**(e-1) * t, where v**e is rational."""

    def element(self, x):
        return x if isinstance(x, Dual) else Dual(Fraction(x), Fraction(0))

    def power(self, base, exponent):
        e = Fraction(int(exponent.p), int(exponent.q))
        value = super().power(np.array([b.value for b in base], object), exponent)
        pairs = zip(base, value, strict=True)
        return np.array([Dual(v, e * v / b.value * b.tangent) for b, v in pairs], object)


def operands_of(layer, data, before):
    """A layer's operands: data by name, and the output of the layer before, reshaped."""
    name, _, names, _, _ = layer
    return {n: data[k] if k else before.reshape(BEFORE[name]) for n, k in names.items()}


def forward(data, scalars):
    """The network's output, and every layer's operands."""
    out, operands = None, []
    for layer in LAYERS:
        name, sizes, _, output, shape = layer
        operands.append(operands_of(layer, data, out))
        given = {n: x for n, x in scalars.items() if name == "batch_norm"}
        out = evaluate(find(name), sizes, operands[-1], given)[output]
        assert out.shape == shape
    return out, operands


def vjp(data, scalars, cotangent):
    """Gradients by data name, layer by layer from the eliminated adjoints."""
    _, operands = forward(data, scalars)
    gradients = {}
    for layer, given in zip(reversed(LAYERS), reversed(operands), strict=True):
        name, sizes, names, output, shape = layer
        system = derive(find(name))
        some = {n: x for n, x in scalars.items() if name == "batch_norm"}
        known = given | evaluate(system.forward, sizes, given, some)
        known[PREFIX + output] = cotangent.reshape(shape)
        found = evaluate(system.backward, sizes, known, some)
        for operand, key in names.items():
            if key is None:
                cotangent = found[PREFIX + operand]
            else:
                gradients[key] = found[PREFIX + operand]
    return gradients


def point(rng):
    """Random rational data at which batch norm's root is rational, and that eps."""
    numbers = Fractions()
    data = {n: numbers.array(rng.integers(-3, 4, s)) for n, s in SHAPES.items()}
    data["w1"][1] = -data["w1"][0]
    maps = evaluate(find("conv2d"), FIRST, operands_of(LAYERS[0], data, None))["z"]
    values = maps[:, 0].ravel()
    mean = sum(values) / len(values)
    variance = sum((v - mean) ** 2 for v in values) / len(values)
    return data, {"eps": (variance + 1) ** 2 - variance}


def inner(a, b):
    return sum((x * y for x, y in zip(a.flat, b.flat, strict=True)), Fraction(0))


def sides(rng):
    """<JVP, delta> and <d, VJP> at a random point, for a random direction and cotangent."""
    data, scalars = point(rng)
    numbers = Fractions()
    direction = {n: numbers.array(rng.integers(-3, 4, s)) for n, s in SHAPES.items()}
    dual = {n: np.empty(s, object) for n, s in SHAPES.items()}
    for n, s in SHAPES.items():
        for at in np.ndindex(s):
            dual[n][at] = Dual(data[n][at], direction[n][at])
    out, _ = forward(dual, scalars)
    tangent = np.array([d.tangent for d in out.flat], object)
    delta = numbers.array(rng.integers(-3, 4, out.shape))
    gradients = vjp(data, scalars, delta)
    return inner(tangent, delta), sum(inner(direction[n], gradients[n]) for n in SHAPES)


@pytest.mark.parametrize("seed", range(5))
def test_the_identity_is_exact(seed):
    left, right = sides(np.random.default_rng(seed))
    assert isinstance(left, Fraction)
    assert left == right != 0


def test_a_wrong_adjoint_breaks_it(monkeypatch):
    """Without the gradient through the variance the two sides differ."""
    system = derive(find("batch_norm"))
    zero = [
        dataclasses.replace(e, body=0 * e.body) if e.target == "grad_var" else e
        for e in system.backward.equations
    ]
    wrong = dataclasses.replace(
        system, backward=dataclasses.replace(system.backward, equations=tuple(zero))
    )
    right = derive
    monkeypatch.setitem(
        globals(), "derive", lambda d: wrong if d.name == "batch_norm" else right(d)
    )
    left, other = sides(np.random.default_rng(0))
    assert left != other
