"""Products, differences and the like, element by element; nothing is broadcast.
PyTorch: torch.mul, sub, div, and arithmetic with a number.
"""

from gradproof.derive.language import operator

NAMES = {"Y": "input", "R": "other", "z": "output"}
SHAPES = {"Y": "T", "R": "T"}

sub = operator("sub", "z[i] = Y[i] - R[i]", SHAPES, names=NAMES, doc="T elements.")
mul = operator("mul", "z[i] = Y[i] * R[i]", SHAPES, names=NAMES, doc="T elements.")
div = operator("div", "z[i] = Y[i] / R[i]", SHAPES, names=NAMES, doc="T elements.")
affine = operator(
    "affine",
    "z[i] = (factor * Y[i] + shift) / divisor",
    {"Y": "T"},
    scalars={"factor": "real", "shift": "real", "divisor": "real"},
    names={"Y": "input", "z": "output"},
    doc="T elements; a tensor times a number, plus a number, over a number.",
)
reciprocal = operator(
    "reciprocal",
    "z[i] = factor / Y[i]",
    {"Y": "T"},
    scalars={"factor": "real"},
    names={"Y": "input", "z": "output"},
    doc="T elements; a number over a tensor.",
)
