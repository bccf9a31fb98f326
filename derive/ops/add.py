"""Residual addition."""

from gradproof.derive.language import operator

add = operator(
    "add",
    "z[i] = Y[i] + R[i]",
    {"Y": "T", "R": "T", "z": "T"},
    names={"Y": "input", "R": "other", "z": "output"},
    doc="T elements.",
)
