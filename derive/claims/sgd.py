"""Gradient descent, T1: theta <- theta - eta*g. The division by the number of samples is in g,
where the loss is a mean (see softmax_cross_entropy); the optimizer does not repeat it.
"""

from __future__ import annotations

from typing import Any

PLACE = [["i", "T"]]
DECAYED = "vector_sum(g, vector_scaled(p, weight_decay))"

CLAIMS: list[dict[str, Any]] = [
    {
        "claim": "T1 gradient descent",
        "statement": "p_new = p - lr*g, without weight decay",
        "fixed": {"weight_decay": 0},
        "free": PLACE,
        "left": {"value": "p_new"},
        "right": {"tensor": "vector_minus(p, vector_scaled(g, lr))"},
    },
    {
        "claim": "T1 weight decay",
        "statement": "p_new = p - lr*(g + weight_decay*p)",
        "free": PLACE,
        "left": {"value": "p_new"},
        "right": {"tensor": f"vector_minus(p, vector_scaled({DECAYED}, lr))"},
    },
    {
        "claim": "T1 weight decay shrinks",
        "statement": "p_new = (1 - lr*weight_decay)*p - lr*g",
        "free": PLACE,
        "left": {"value": "p_new"},
        "right": {
            "tensor": "vector_minus(vector_scaled(p, 1 - lr*weight_decay), vector_scaled(g, lr))"
        },
    },
]
