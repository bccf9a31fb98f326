"""Gradient descent with Nesterov's momentum, T1."""

from __future__ import annotations

from typing import Any

from gradproof.derive.claims.sgd import DECAYED, PLACE
from gradproof.derive.claims.sgd_momentum import VELOCITY

AHEAD = f"vector_sum({DECAYED}, vector_scaled({VELOCITY}, momentum))"

CLAIMS: list[dict[str, Any]] = [
    {
        "claim": "T1 Nesterov velocity",
        "statement": "v_new = momentum*v + keep*(g + weight_decay*p)",
        "free": PLACE,
        "left": {"value": "v_new"},
        "right": {"tensor": VELOCITY},
    },
    {
        "claim": "T1 Nesterov",
        "statement": "p_new = p - lr*(g + weight_decay*p + momentum*v_new)",
        "free": PLACE,
        "left": {"value": "p_new"},
        "right": {"tensor": f"vector_minus(p, vector_scaled({AHEAD}, lr))"},
    },
]
