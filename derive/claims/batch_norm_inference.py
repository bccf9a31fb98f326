"""Batch normalisation in inference, B3: mean and var are the running statistics, and constant."""

from __future__ import annotations

from typing import Any

from gradproof.derive.claims.batch_norm import CHANNEL, PLACE, UNIT, VARIANTS, _output

SCALED = "times(spread(deviate(var, eps), N, L), grad_y)"


def _of_variant(variant: str, gamma: bool, beta: bool) -> list[dict[str, Any]]:
    """The output and the gradients, with or without weight and bias."""
    suffix = variant.removeprefix("batch_norm").replace("_", " ")
    weight, bias = "gamma*" if gamma else "", " + beta" if beta else ""
    common = {"variant": variant.replace("batch_norm", "batch_norm_inference", 1)}
    found: list[dict[str, Any]] = [
        {
            "claim": f"B3 inference{suffix}",
            "statement": f"y = {weight}(X - running_mean)/sqrt(running_var + eps){bias}",
            "free": PLACE,
            "left": {"value": "y"},
            "right": {"tensor": _output(gamma, beta)},
        },
        {
            "claim": f"B3 inference input gradient{suffix}",
            "statement": f"dloss/dX = {weight}g/sqrt(running_var + eps)",
            "free": PLACE,
            "left": {"adjoint": "X"},
            "right": {"tensor": f"times(spread(gamma, N, L), {SCALED})" if gamma else SCALED},
        },
    ]
    if gamma:
        found.append(
            {
                "claim": f"B3 inference weight gradient{suffix}",
                "statement": "dloss/dgamma = sum of g*(X - running_mean)/sqrt(running_var + eps)",
                "free": CHANNEL,
                "left": {"adjoint": "gamma"},
                "right": {"tensor": f"channel_sums(times(grad_y, {UNIT}))"},
            }
        )
    if beta:
        found.append(
            {
                "claim": f"B3 inference bias gradient{suffix}",
                "statement": "dloss/dbeta = sum of g",
                "free": CHANNEL,
                "left": {"adjoint": "beta"},
                "right": {"tensor": "channel_sums(grad_y)"},
            }
        )
    return [{**c, **common} for c in found]


CLAIMS = [c for v, parts in VARIANTS.items() for c in _of_variant(v, *parts)]
