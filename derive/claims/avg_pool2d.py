"""Average pooling, L1: the convolution of every channel with ones, divided by their number.

RH and RW are the remainders of the output length: E = S*(O - 1) + R with 0 <= R < S.
"""

from __future__ import annotations

from typing import Any

from gradproof.derive.claims.windows import length_claims

OUTPUT = [["n", "N"], ["c", "C"], ["x", "OH"], ["y", "OW"]]
INPUT = [["n", "N"], ["c", "C"], ["u", "H"], ["v", "W"]]
REMAINDERS = {"RH": "(H + PT + PB - KH) % SH", "RW": "(W + PL + PR - KW) % SW"}
ONES = "ones(C, KH, KW), C, 1, 1"
BORDER = "KH - 1 - PT, KH - 1 - PB + RH, KW - 1 - PL, KW - 1 - PR + RW"


def window_sum(image: str) -> str:
    """The sum over each window, as a convolution that keeps every S-th output."""
    return f"keep(correlate(pad({image}, PT, PB, PL, PR), {ONES}), SH, SW)"


def window_sum_gradient(grad: str) -> str:
    """The gradient of `window_sum`: each window's gradient goes to all of its taps."""
    return f"correlate(pad(upsample({grad}, SH, SW), {BORDER}), {ONES})"


CLAIMS: list[dict[str, Any]] = [
    *length_claims("average pool", dilated=False),
    {
        "claim": "L1 average pool",
        "statement": "z = keep(correlate(pad(Y), ones), S)/(KH*KW)",
        "free": OUTPUT,
        "left": {"value": "z"},
        "right": {"tensor": f"image_scaled({window_sum('Y')}, inv(KH*KW))"},
    },
    {
        "claim": "L1 average pool gradient",
        "statement": "dloss/dY = correlate(pad(upsample(dloss/dz, S), K-1-P_b, K-1-P_e+r), ones)"
        "/(KH*KW)",
        "where": REMAINDERS,
        "free": INPUT,
        "left": {"adjoint": "Y"},
        "right": {"tensor": f"image_scaled({window_sum_gradient('grad_z')}, inv(KH*KW))"},
    },
]
