"""Adam, T1. `rate` and `scale` correct averages that start at 0: see derive/ops/adam.py."""

from __future__ import annotations

from typing import Any

from gradproof.derive.claims.sgd import DECAYED, PLACE


def mean(gradient: str) -> str:
    """The running average of the gradient."""
    return f"vector_sum(vector_scaled(m, beta1), vector_scaled({gradient}, new1))"


def square(gradient: str) -> str:
    """The running average of its square."""
    squared = f"vector_times({gradient}, {gradient})"
    return f"vector_sum(vector_scaled(v, beta2), vector_scaled({squared}, new2))"


# what is taken from the parameters, but for a decay of their own
STEP = "vector_scaled(over_root(m_new, v_new, scale, eps), rate)"


CLAIMS: list[dict[str, Any]] = [
    {
        "claim": "T1 Adam mean",
        "statement": "m_new = beta1*m + new1*(g + weight_decay*p)",
        "free": PLACE,
        "left": {"value": "m_new"},
        "right": {"tensor": mean(DECAYED)},
    },
    {
        "claim": "T1 Adam square",
        "statement": "v_new = beta2*v + new2*(g + weight_decay*p)^2",
        "free": PLACE,
        "left": {"value": "v_new"},
        "right": {"tensor": square(DECAYED)},
    },
    {
        "claim": "T1 Adam",
        "statement": "p_new = p - rate*m_new/(scale*sqrt(v_new) + eps)",
        "free": PLACE,
        "left": {"value": "p_new"},
        "right": {"tensor": f"vector_minus(p, {STEP})"},
    },
]
