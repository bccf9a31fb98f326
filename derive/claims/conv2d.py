"""The lecture's claims about the convolution, F1 to G8, for all strides, dilations and paddings.

RH and RW are the remainders of the output length: E = S*(O - 1) + R with 0 <= R < S.
"""

from __future__ import annotations

from typing import Any

from gradproof.derive.claims.conv2d_phases import PHASES

Y_PLACE = [["n", "N"], ["k", "G*CG"], ["u", "H"], ["v", "W"]]
PADDED_PLACE = [["n", "N"], ["k", "G*CG"], ["u", "H + PT + PB"], ["v", "W + PL + PR"]]
Z_PLACE = [["n", "N"], ["o", "G*OG"], ["x", "OH"], ["y", "OW"]]
W_PLACE = [["o", "G*OG"], ["c", "CG"], ["i", "KH"], ["j", "KW"]]
Z_AND_Y = [*Z_PLACE, ["m", "N"], ["k", "G*CG"], ["u", "H"], ["v", "W"]]
TAPS = [["x", "OH"], ["y", "OW"], ["i", "KH"], ["j", "KW"]]
REMAINDERS = {
    "RH": "(H + PT + PB - DH*(KH - 1) - 1) % SH",
    "RW": "(W + PL + PR - DW*(KW - 1) - 1) % SW",
}
PLAIN = {"SH": 1, "SW": 1, "DH": 1, "DW": 1, "PT": 0, "PB": 0, "PL": 0, "PR": 0}
UNIT = {"SH": 1, "SW": 1, "DH": 1, "DW": 1}

STRIDE_ONE = "correlate(pad(Y, PT, PB, PL, PR), w, G, DH, DW)"
PADDED_GRADIENT = (
    "correlate(pad(upsample(grad_z, SH, SW), DH*(KH - 1), DH*(KH - 1) + RH, "
    "DW*(KW - 1), DW*(KW - 1) + RW), transpose(flip(w), G), G, DH, DW)"
)
INPUT_GRADIENT = (
    "correlate(pad(upsample(grad_z, SH, SW), DH*(KH - 1) - PT, DH*(KH - 1) - PB + RH, "
    "DW*(KW - 1) - PL, DW*(KW - 1) - PR + RW), transpose(flip(w), G), G, DH, DW)"
)
WEIGHT_GRADIENT = (
    "pad(keep(exchange(correlate(regroup(pad(Y, PT, PB, PL, PR), G), "
    "exchange(upsample(grad_z, SH, SW)), G, 1, 1)), DH, DW), 0, -(RH//DH), 0, -(RW//DW))"
)
PAIRS = (  # the sum over pairs (x', i) with S*x' + D*i = position
    "sum[r:OG, x:OH, y:OW, i:KH, j:KW]("
    "grad_z[n, k//CG*OG + r, x, y]*w[k//CG*OG + r, k % CG, i, j], "
    "SH*x + DH*i == {0}, SW*y + DW*j == {1})"
)


def every_position(
    axis: str, u: str, positions: str, seen: str, taps: str, outputs: str
) -> list[dict[str, Any]]:
    """Claim G3: position u of the padded map is seen, by cases: u < K, and u >= K - 1."""
    cases = [("first", f"{u} < {taps}", "0", u)]
    cases.append(("other", f"{u} >= {taps} - 1", f"({u} - {taps} + 1)", f"({taps} - 1)"))
    return [
        {
            "claim": f"G3 every position has a tap, {name} {axis}",
            "statement": f"at stride 1, where {case}, it is seen by output {x} through tap {i}",
            "fixed": UNIT,
            "free": [[u, positions]],
            "facts": [case],
            "goals": [
                seen.format(x=x, i=i),
                f"0 <= {x} and {x} < {outputs}",
                f"0 <= {i} and {i} < {taps}",
            ],
        }
        for name, case, x, i in cases
    ]


CLAIMS: list[dict[str, Any]] = [
    {
        "claim": "F1 forward",
        "statement": "z[n,o,x] = sum over c, i of w[o,c,i]*Y[n,c, S*x + D*i - P] + b[o], 0 outside",
        "free": Z_PLACE,
        "left": {"value": "z"},
        "right": {
            "text": "sum[c:CG, i:KH, j:KW](w[o, c, i, j]"
            "*where(0 <= SH*x + DH*i - PT < H and 0 <= SW*y + DW*j - PL < W, "
            "Y[n, o//OG*CG + c, SH*x + DH*i - PT, SW*y + DW*j - PL], 0)) + b[o]"
        },
    },
    {
        "claim": "F1 forward as a composition",
        "statement": "z = keep(correlate(pad(Y, P), w, dilation D), S) + b",
        "free": Z_PLACE,
        "left": {"value": "z"},
        "right": {"tensor": f"add_bias(keep({STRIDE_ONE}, SH, SW), b)"},
    },
    {
        "claim": "F2 influence",
        "statement": "Y[x] reaches z[x'] through tap i exactly when S*x' + D*i = x + P",
        "free": Z_AND_Y,
        "left": {"partial": ["z", "Y"]},
        "right": {
            "text": "sum[i:KH, j:KW](w[o, k % CG, i, j], n == m, o//OG == k//CG, "
            "SH*x + DH*i == u + PT, SW*y + DW*j == v + PL)"
        },
    },
    {
        "claim": "F2 influence at stride 1, no padding",
        "statement": "dz[o,x']/dY[c,x] = w[o, c, x - x'] where that is a tap, else 0",
        "fixed": PLAIN,
        "free": Z_AND_Y,
        "left": {"partial": ["z", "Y"]},
        "right": {
            "text": "where(n == m and o//OG == k//CG and 0 <= u - x and u - x < KH "
            "and 0 <= v - y and v - y < KW, w[o, k % CG, u - x, v - y], 0)"
        },
    },
    {
        "claim": "F2 coordinates add up",
        "statement": "at stride 1 the coordinates of z and w sum to those of Y",
        "fixed": PLAIN,
        "free": [*TAPS, ["u", "H"], ["v", "W"]],
        "facts": ["SH*x + DH*i == u + PT", "SW*y + DW*j == v + PL"],
        "goals": ["x + i == u", "y + j == v"],
    },
    {
        "claim": "G1 input gradient",
        "statement": "dloss/dY[x] = sum over o and the pairs (x', i) with S*x' + D*i = x + P of "
        "dloss/dz[o,x']*w[o,c,i]",
        "free": Y_PLACE,
        "left": {"adjoint": "Y"},
        "right": {"text": PAIRS.format("u + PT", "v + PL")},
    },
    {
        "claim": "G2 input gradient is a convolution",
        "statement": "dloss/dY = correlate(pad(upsample(dloss/dz, S), D(K-1)-P_b, D(K-1)-P_e+r), "
        "transpose(flip(w)), dilation D)",
        "where": REMAINDERS,
        "free": Y_PLACE,
        "left": {"adjoint": "Y"},
        "right": {"tensor": INPUT_GRADIENT},
    },
    {
        "claim": "G2 at stride 1, no padding",
        "statement": "dloss/dY = correlate(pad(dloss/dz, K-1), transpose(flip(w)))",
        "fixed": PLAIN,
        "free": Y_PLACE,
        "left": {"adjoint": "Y"},
        "right": {
            "tensor": "correlate(pad(grad_z, KH - 1, KH - 1, KW - 1, KW - 1), "
            "transpose(flip(w), G), G, 1, 1)"
        },
    },
    {
        "claim": "G3 size",
        "statement": "the padded map has S(O-1) + 1 + D(K-1) + r positions; without the padding, H",
        "where": REMAINDERS,
        "goals": [
            "SH*(OH - 1) + 1 + DH*(KH - 1) + RH == H + PT + PB",
            "SW*(OW - 1) + 1 + DW*(KW - 1) + RW == W + PL + PR",
            "SH*(OH - 1) + 1 + DH*(KH - 1) + RH - PT - PB == H",
            "SW*(OW - 1) + 1 + DW*(KW - 1) + RW - PL - PR == W",
            "RH >= 0 and RH < SH and RW >= 0 and RW < SW",
        ],
    },
    {
        "claim": "G3 size at stride 1",
        "statement": "the padded map has H_z + K - 1 positions",
        "fixed": UNIT,
        "goals": ["OH + KH - 1 == H + PT + PB", "OW + KW - 1 == W + PL + PR"],
    },
    *every_position("rows", "u", "H + PT + PB", "SH*{x} + DH*{i} == u", "KH", "OH"),
    *every_position("columns", "v", "W + PL + PR", "SW*{x} + DW*{i} == v", "KW", "OW"),
    {
        "claim": "G4 padding, forward",
        "statement": "z of Y is z of the padded Y, with padding 0",
        "free": Z_PLACE,
        "left": {"value": "z"},
        "right": {
            "text": "sum[c:CG, i:KH, j:KW](w[o, c, i, j]*pad(Y, PT, PB, PL, PR)"
            "[n, o//OG*CG + c, SH*x + DH*i, SW*y + DW*j]) + b[o]"
        },
    },
    {
        "claim": "G4 gradient of the padded map",
        "statement": "the sum over pairs with S*x' + D*i = u, for every u of the padded map, is "
        "correlate(pad(upsample(dloss/dz, S), D(K-1), D(K-1)+r), transpose(flip(w)), dilation D)",
        "where": REMAINDERS,
        "free": PADDED_PLACE,
        "left": {"text": PAIRS.format("u", "v")},
        "right": {"tensor": PADDED_GRADIENT},
    },
    {
        "claim": "G4 padding is deleted",
        "statement": "dloss/dY = the padded map's gradient without its padding",
        "where": REMAINDERS,
        "free": Y_PLACE,
        "left": {"adjoint": "Y"},
        "right": {"tensor": f"pad({PADDED_GRADIENT}, -PT, -PB, -PL, -PR)"},
    },
    {
        "claim": "G5 stride, forward",
        "statement": "stride S is stride 1, then keeping every S-th",
        "free": Z_PLACE,
        "left": {"value": "z"},
        "right": {"tensor": f"keep(add_bias({STRIDE_ONE}, b), SH, SW)"},
    },
    {
        "claim": "G6 gradient of keeping every S-th",
        "statement": "it is upsampling by S - 1 zeros, with r zeros at the end",
        "where": REMAINDERS,
        "free": [
            ["n", "N"],
            ["o", "G*OG"],
            ["u", "H + PT + PB - DH*(KH - 1)"],
            ["v", "W + PL + PR - DW*(KW - 1)"],
        ],
        "left": {"text": "sum[x:OH, y:OW](grad_z[n, o, x, y], SH*x == u, SW*y == v)"},
        "right": {"tensor": "pad(upsample(grad_z, SH, SW), 0, RH, 0, RW)"},
    },
    {
        "claim": "G6 the tail that no output saw",
        "statement": "dloss/dY[x] = 0 where x + P > S(O-1) + D(K-1), the last r positions",
        "free": Y_PLACE,
        "left": {"adjoint": "Y"},
        "right": {
            "text": "where(u + PT <= SH*(OH - 1) + DH*(KH - 1) and "
            f"v + PL <= SW*(OW - 1) + DW*(KW - 1), {PAIRS.format('u + PT', 'v + PL')}, 0)"
        },
    },
    {
        "claim": "G6 a position that no output saw, r = 0",
        "statement": "with dilation a position before the tail can be unseen: its gradient is 0",
        "where": REMAINDERS,
        "free": Y_PLACE,
        "facts": ["RH == 0", "RW == 0", "u + PT <= SH*(OH - 1) + DH*(KH - 1)"],
        "example": dict.fromkeys(("N", "G", "CG", "OG", "W", "KW", "SW", "DW", "OW"), 1)
        | dict.fromkeys(("PT", "PB", "PL", "PR", "n", "k", "v"), 0)
        | {"H": 6, "KH": 2, "SH": 3, "DH": 2, "OH": 2, "u": 1},
        "left": {"adjoint": "Y"},
    },
    {
        "claim": "G7 weight gradient",
        "statement": "dloss/dw[o,c,i] = sum over n, x of dloss/dz[n,o,x]*Y[n, c, S*x + D*i - P]",
        "free": W_PLACE,
        "left": {"adjoint": "w"},
        "right": {
            "text": "sum[n:N, x:OH, y:OW](grad_z[n, o, x, y]*pad(Y, PT, PB, PL, PR)"
            "[n, o//OG*CG + c, SH*x + DH*i, SW*y + DW*j])"
        },
    },
    {
        "claim": "G7 weight gradient is a correlation",
        "statement": "dloss/dw = correlate(pad(Y, P), upsample(dloss/dz, S)) with batch and "
        "channels exchanged, every D-th kept, the last r//D deleted",
        "where": REMAINDERS,
        "free": W_PLACE,
        "left": {"adjoint": "w"},
        "right": {"tensor": WEIGHT_GRADIENT},
    },
    {
        "claim": "G7 at stride 1, no padding",
        "statement": "dloss/dw = correlate(Y, dloss/dz) with batch and channels exchanged",
        "fixed": PLAIN,
        "free": W_PLACE,
        "left": {"adjoint": "w"},
        "right": {"tensor": "exchange(correlate(regroup(Y, G), exchange(grad_z), G, 1, 1))"},
    },
    {
        "claim": "G8 bias gradient",
        "statement": "dloss/db[o] = sum over n, x of dloss/dz[n,o,x]",
        "free": [["o", "G*OG"]],
        "left": {"adjoint": "b"},
        "right": {"tensor": "total_per_channel(grad_z)"},
    },
    *PHASES,
]
