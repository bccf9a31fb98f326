"""The lecture's claims about the convolution, F1 to G8, for all strides, dilations and paddings.

RH and RW are the remainders of the output length: E = S*(O - 1) + R with 0 <= R < S.
"""

from __future__ import annotations

from typing import Any

Y_PLACE = [["n", "N"], ["k", "G*CG"], ["u", "H"], ["v", "W"]]
REMAINDERS = {
    "RH": "(H + PT + PB - DH*(KH - 1) - 1) % SH",
    "RW": "(W + PL + PR - DW*(KW - 1) - 1) % SW",
}
INPUT_GRADIENT = (
    "correlate(pad(upsample(grad_z, SH, SW), DH*(KH - 1) - PT, DH*(KH - 1) - PB + RH, "
    "DW*(KW - 1) - PL, DW*(KW - 1) - PR + RW), transpose(flip(w), G), G, DH, DW)"
)

CLAIMS: list[dict[str, Any]] = [
    {
        "claim": "G2 input gradient is a convolution",
        "statement": "dloss/dY = correlate(pad(upsample(dloss/dz, S), D(K-1)-P_b, D(K-1)-P_e+r), "
        "transpose(flip(w)), dilation D)",
        "where": REMAINDERS,
        "free": Y_PLACE,
        "left": {"adjoint": "Y"},
        "right": {"tensor": INPUT_GRADIENT},
    },
]
