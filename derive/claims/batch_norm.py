"""Batch normalisation in training, B1 and B2, and the variance that the running average takes, B3.

The batch has N*L values per channel, a product of sizes that no claim fixes. mean and var are the
stored batch statistics, and stand for their own formulas, which B1 states.
"""

from __future__ import annotations

from typing import Any

PLACE = [["n", "N"], ["c", "C"], ["l", "L"]]
CHANNEL = [["c", "C"]]
CENTRED = "minus(X, spread(mean, N, L))"
SQUARES = f"channel_sums(times({CENTRED}, {CENTRED}))"
UNIT = "normalise(X, mean, var, eps)"
PROJECTED = (
    "minus(minus(scaled(grad_y, N*L), spread(channel_sums(grad_y), N, L)), "
    f"times({UNIT}, spread(channel_sums(times(grad_y, {UNIT})), N, L)))"
)
VARIANTS = {
    "batch_norm": (True, True),
    "batch_norm_without_gamma": (False, True),
    "batch_norm_without_beta": (True, False),
    "batch_norm_without_gamma_without_beta": (False, False),
}


def _output(gamma: bool, beta: bool) -> str:
    text = f"times(spread(gamma, N, L), {UNIT})" if gamma else UNIT
    return f"plus({text}, spread(beta, N, L))" if beta else text


def _input_gradient(gamma: bool) -> str:
    text = f"times(spread(deviate(var, eps), N, L), {PROJECTED})"
    text = f"times(spread(gamma, N, L), {text})" if gamma else text
    return f"scaled({text}, inv(N*L))"


def _of_variant(variant: str, gamma: bool, beta: bool) -> list[dict[str, Any]]:
    """The output and the gradients, with or without weight and bias."""
    suffix = variant.removeprefix("batch_norm").replace("_", " ")
    weight, bias = "gamma*" if gamma else "", " + beta" if beta else ""
    found: list[dict[str, Any]] = [
        {
            "claim": f"B1 output{suffix}",
            "statement": f"y = {weight}(X - mean)/sqrt(var + eps){bias}",
            "variant": variant,
            "free": PLACE,
            "left": {"value": "y"},
            "right": {"tensor": _output(gamma, beta)},
        },
        {
            "claim": f"B2 input gradient{suffix}",
            "statement": f"dloss/dX = {weight}1/(m*sqrt(var + eps)) * (m*g - sum g - u*sum(g*u)), "
            "u = (X - mean)/sqrt(var + eps), m = N*L, g = dloss/dy",
            "variant": variant,
            "free": PLACE,
            "left": {"adjoint": "X"},
            "right": {"tensor": _input_gradient(gamma)},
        },
    ]
    if gamma:
        found.append(
            {
                "claim": f"B2 weight gradient{suffix}",
                "statement": "dloss/dgamma = sum of g*(X - mean)/sqrt(var + eps)",
                "variant": variant,
                "free": CHANNEL,
                "left": {"adjoint": "gamma"},
                "right": {"tensor": f"channel_sums(times(grad_y, {UNIT}))"},
            }
        )
    if beta:
        found.append(
            {
                "claim": f"B2 bias gradient{suffix}",
                "statement": "dloss/dbeta = sum of g",
                "variant": variant,
                "free": CHANNEL,
                "left": {"adjoint": "beta"},
                "right": {"tensor": "channel_sums(grad_y)"},
            }
        )
    return found


STATISTICS: list[dict[str, Any]] = [
    {
        "claim": "B1 mean",
        "statement": "mean = (sum of X)/m, m = N*L",
        "free": CHANNEL,
        "left": {"value": "mean"},
        "right": {"tensor": "vector_scaled(channel_sums(X), inv(N*L))"},
    },
    {
        "claim": "B1 biased variance",
        "statement": "var = (sum of (X - mean)^2)/m",
        "free": CHANNEL,
        "left": {"value": "var"},
        "right": {"tensor": f"vector_scaled({SQUARES}, inv(N*L))"},
    },
    {
        "claim": "B1 variance by moments",
        "statement": "var = mean of X^2 - (mean of X)^2",
        "free": CHANNEL,
        "left": {"value": "var"},
        "right": {"text": "inv(N*L)*channel_sums(times(X, X))[c] - mean[c]**2"},
    },
    {
        "claim": "B2 centred values",
        "statement": "the sum of X - mean is 0: through the variance, the mean has no gradient",
        "free": CHANNEL,
        "left": {"tensor": f"channel_sums({CENTRED})"},
        "right": {"text": "0"},
    },
    {
        "claim": "B3 unbiased divisor",
        "statement": "m - 1 >= 1 where m >= 2",
        "facts": ["N*L >= 2"],
        "goals": ["N*L - 1 >= 1"],
    },
    {
        "claim": "B3 unbiased variance",
        "statement": "m/(m - 1)*var = (sum of (X - mean)^2)/(m - 1) where m >= 2",
        "facts": ["N*L >= 2"],
        "free": CHANNEL,
        "left": {"text": "N*L*inv(N*L - 1)*var[c]"},
        "right": {"tensor": f"vector_scaled({SQUARES}, inv(N*L - 1))"},
    },
]

CLAIMS = STATISTICS + [c for v, parts in VARIANTS.items() for c in _of_variant(v, *parts)]
