"""Average pooling that does not count the padding, L1: each window divides by the number of its
taps in the image, which is at least 1 where the padding is smaller than the window.
"""

from __future__ import annotations

from typing import Any

from gradproof.derive.claims.avg_pool2d import (
    INPUT,
    OUTPUT,
    REMAINDERS,
    window_sum,
    window_sum_gradient,
)
from gradproof.derive.claims.windows import length_claims, tap_claims

CLAIMS: list[dict[str, Any]] = [
    {
        "claim": "L1 average pool without padding",
        "statement": "z = keep(correlate(pad(Y), ones), S)/count",
        "free": OUTPUT,
        "left": {"value": "z"},
        "right": {"tensor": f"divided({window_sum('Y')}, count)"},
    },
    {
        "claim": "L1 average pool without padding, count",
        "statement": "count = the window sum of an image of ones: the taps inside the image",
        "free": [["x", "OH"], ["y", "OW"]],
        "left": {"value": "count"},
        "right": {"tensor": "taps(OH, OW, H, W, KH, KW, SH, SW, PT, PL)"},
    },
    {
        "claim": "L1 average pool without padding, gradient",
        "statement": "dloss/dY = correlate(pad(upsample(dloss/dz/count, S), K-1-P_b, K-1-P_e+r), "
        "ones)",
        "where": REMAINDERS,
        "free": INPUT,
        "left": {"adjoint": "Y"},
        "right": {"tensor": window_sum_gradient("divided(grad_z, count)")},
    },
    *length_claims("average pool of valid taps", dilated=False),
    *tap_claims("average pool", dilated=False),
]
