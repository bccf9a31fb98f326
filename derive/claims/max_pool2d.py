"""Maximum pooling, L1: the gradient goes to the first maximum in row-major order.

Position p = KW*i + j is tap (i, j) of the window: the order of positions is the lexicographic one
of taps. That a window has a tap is the host's to check (the manifest's "windows").
"""

from __future__ import annotations

from typing import Any

from gradproof.derive.claims.windows import length_claims, tap_claims

OUTPUT = [["n", "N"], ["c", "C"], ["x", "OH"], ["y", "OW"]]
INPUT = [["n", "N"], ["c", "C"], ["u", "H"], ["v", "W"]]
TAP = [["i", "KH"], ["j", "KW"]]
TAPS = [*TAP, ["k", "KH"], ["l", "KW"]]
WINDOW = "[i:KH, j:KW](Y[n, c, SH*x + DH*i - PT, SW*y + DW*j - PL], "
INSIDE = "0 <= SH*x + DH*i - PT < H, 0 <= SW*y + DW*j - PL < W)"

VALUES: list[dict[str, Any]] = [
    {
        "claim": "L1 maximum",
        "statement": "z = the maximum over the taps inside the image",
        "free": OUTPUT,
        "left": {"value": "z"},
        "right": {"text": f"max{WINDOW}{INSIDE}"},
    },
    {
        "claim": "L1 position of the maximum",
        "statement": "z_argmax = KW*i + j for the first maximum among the taps inside the image",
        "free": OUTPUT,
        "left": {"value": "z_argmax"},
        "right": {"text": f"argmax{WINDOW}{INSIDE}"},
    },
    {
        "claim": "L1 maximum gradient",
        "statement": "dloss/dY = dloss/dz scattered to (S*x + D*i - P) for z_argmax = KW*i + j",
        "free": INPUT,
        "left": {"adjoint": "Y"},
        "right": {
            "tensor": "scatter(grad_z, z_argmax, H, W, KH, KW, SH, SW, DH, DW, PT, PL)",
        },
    },
]

ORDER: list[dict[str, Any]] = [
    {
        "claim": "L1 position is in range",
        "statement": "0 <= KW*i + j < KH*KW",
        "free": TAP,
        "goals": ["0 <= KW*i + j", "KW*i + j <= KH*KW - 1"],
    },
    {
        "claim": "L1 tap of a position",
        "statement": "i = p//KW and j = p % KW are the tap of position p",
        "free": [["p", "KH*KW"]],
        "goals": [
            "0 <= p//KW",
            "p//KW <= KH - 1",
            "0 <= p % KW",
            "p % KW <= KW - 1",
            "KW*(p//KW) + p % KW == p",
        ],
    },
    {
        "claim": "L1 position of a tap",
        "statement": "(KW*i + j)//KW = i and (KW*i + j) % KW = j",
        "free": TAP,
        "goals": ["(KW*i + j)//KW == i", "(KW*i + j) % KW == j"],
    },
    {
        "claim": "L1 position determines the tap",
        "statement": "KW*i + j = KW*k + l: i = k and j = l",
        "free": TAPS,
        "facts": ["KW*i + j == KW*k + l"],
        "goals": ["i == k", "j == l"],
    },
    {
        "claim": "L1 an earlier row comes first",
        "statement": "i < k: KW*i + j < KW*k + l",
        "free": TAPS,
        "facts": ["i <= k - 1"],
        "goals": ["KW*i + j <= KW*k + l - 1"],
    },
    {
        "claim": "L1 an earlier column of a row comes first",
        "statement": "i = k, j < l: KW*i + j < KW*k + l",
        "free": TAPS,
        "facts": ["i == k", "j <= l - 1"],
        "goals": ["KW*i + j <= KW*k + l - 1"],
    },
    {
        "claim": "L1 a smaller position is no later row",
        "statement": "KW*i + j < KW*k + l: i <= k",
        "free": TAPS,
        "facts": ["KW*i + j <= KW*k + l - 1"],
        "goals": ["i <= k"],
    },
    {
        "claim": "L1 a smaller position in a row is an earlier column",
        "statement": "KW*i + j < KW*k + l, i = k: j < l",
        "free": TAPS,
        "facts": ["KW*i + j <= KW*k + l - 1", "i == k"],
        "goals": ["j <= l - 1"],
    },
]

CLAIMS = [
    *VALUES,
    *ORDER,
    *length_claims("maximum", dilated=True),
    *tap_claims("maximum", dilated=True),
]
