"""Dropout, L1: the gradient passes the same mask and the same scale."""

from __future__ import annotations

from typing import Any

PLACE = [["i", "T"]]
MASK = "key0, key1, call, threshold, scale"

CLAIMS: list[dict[str, Any]] = [
    {
        "claim": "L1 dropout",
        "statement": "z = scale*Y where philox(key, i, call) >= threshold, else 0",
        "free": PLACE,
        "left": {"value": "z"},
        "right": {"tensor": f"kept(Y, {MASK})"},
    },
    {
        "claim": "L1 dropout gradient",
        "statement": "dloss/dY = scale*dloss/dz where philox(key, i, call) >= threshold, else 0",
        "free": PLACE,
        "left": {"adjoint": "Y"},
        "right": {"tensor": f"kept(grad_z, {MASK})"},
    },
]
