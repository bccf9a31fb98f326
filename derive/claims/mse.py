"""Squared error. divisor is T for the mean and 1 for the sum."""

from __future__ import annotations

from typing import Any

PLACE = [["i", "T"]]

CLAIMS: list[dict[str, Any]] = [
    {
        "claim": "L1 squared error",
        "statement": "loss = (sum of (a - t)^2)/divisor",
        "free": [],
        "left": {"value": "loss"},
        "right": {"text": "inv(divisor)*dot(vector_minus(a, t), vector_minus(a, t))[()]"},
    },
    {
        "claim": "L1 squared error, gradient of the input",
        "statement": "dloss/da = 2(a - t)/divisor",
        "free": PLACE,
        "left": {"adjoint": "a"},
        "right": {"tensor": "vector_scaled(vector_minus(a, t), 2*grad_loss[()]*inv(divisor))"},
    },
    {
        "claim": "L1 squared error, gradient of the target",
        "statement": "dloss/dt = 2(t - a)/divisor",
        "free": PLACE,
        "left": {"adjoint": "t"},
        "right": {"tensor": "vector_scaled(vector_minus(t, a), 2*grad_loss[()]*inv(divisor))"},
    },
    {
        "claim": "T1 mean reduction",
        "statement": "dloss/da = 2(a - t)/T where divisor = T: the division is in the gradient",
        "fixed": {"divisor": "T"},
        "free": PLACE,
        "left": {"adjoint": "a"},
        "right": {"tensor": "vector_scaled(vector_minus(a, t), 2*grad_loss[()]*inv(T))"},
    },
]
