"""Gradient descent with momentum, T1."""

from __future__ import annotations

from typing import Any

from gradproof.derive.claims.sgd import DECAYED, PLACE

VELOCITY = f"vector_sum(vector_scaled(v, momentum), vector_scaled({DECAYED}, keep))"

CLAIMS: list[dict[str, Any]] = [
    {
        "claim": "T1 momentum velocity",
        "statement": "v_new = momentum*v + keep*(g + weight_decay*p)",
        "free": PLACE,
        "left": {"value": "v_new"},
        "right": {"tensor": VELOCITY},
    },
    {
        "claim": "T1 momentum",
        "statement": "p_new = p - lr*(momentum*v + keep*(g + weight_decay*p))",
        "free": PLACE,
        "left": {"value": "p_new"},
        "right": {"tensor": f"vector_minus(p, vector_scaled({VELOCITY}, lr))"},
    },
]
