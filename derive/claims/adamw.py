"""AdamW, T1: Adam's step, and a decay that the averages do not scale."""

from __future__ import annotations

from typing import Any

from gradproof.derive.claims.adam import STEP, mean, square
from gradproof.derive.claims.sgd import PLACE

CLAIMS: list[dict[str, Any]] = [
    {
        "claim": "T1 AdamW mean",
        "statement": "m_new = beta1*m + new1*g",
        "free": PLACE,
        "left": {"value": "m_new"},
        "right": {"tensor": mean("g")},
    },
    {
        "claim": "T1 AdamW square",
        "statement": "v_new = beta2*v + new2*g^2",
        "free": PLACE,
        "left": {"value": "v_new"},
        "right": {"tensor": square("g")},
    },
    {
        "claim": "T1 AdamW",
        "statement": "p_new = (1 - lr*weight_decay)*p - rate*m_new/(scale*sqrt(v_new) + eps)",
        "free": PLACE,
        "left": {"value": "p_new"},
        "right": {"tensor": f"vector_minus(vector_scaled(p, 1 - lr*weight_decay), {STEP})"},
    },
]
