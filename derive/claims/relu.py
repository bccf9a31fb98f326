"""The rectifier, L1: 0 at 0, and with derivative 0 there."""

from __future__ import annotations

from typing import Any

PLACE = [["i", "T"]]

CLAIMS: list[dict[str, Any]] = [
    {
        "claim": "L1 relu",
        "statement": "z = Y where Y > 0, else 0",
        "free": PLACE,
        "left": {"value": "z"},
        "right": {"tensor": "where_positive(Y, Y)"},
    },
    {
        "claim": "L1 relu gradient",
        "statement": "dloss/dY = dloss/dz where Y > 0, else 0",
        "free": PLACE,
        "left": {"adjoint": "Y"},
        "right": {"tensor": "where_positive(grad_z, Y)"},
    },
]
