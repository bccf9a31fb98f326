"""Residual addition, L1: both operands take the gradient as it is."""

from __future__ import annotations

from typing import Any

PLACE = [["i", "T"]]

CLAIMS: list[dict[str, Any]] = [
    {
        "claim": "L1 residual addition",
        "statement": "z = Y + R",
        "free": PLACE,
        "left": {"value": "z"},
        "right": {"tensor": "vector_sum(Y, R)"},
    },
    {
        "claim": "L1 residual addition, gradient of the input",
        "statement": "dloss/dY = dloss/dz",
        "free": PLACE,
        "left": {"adjoint": "Y"},
        "right": {"tensor": "grad_z"},
    },
    {
        "claim": "L1 residual addition, gradient of the other",
        "statement": "dloss/dR = dloss/dz",
        "free": PLACE,
        "left": {"adjoint": "R"},
        "right": {"tensor": "grad_z"},
    },
]
