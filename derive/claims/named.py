"""The named operators of the lecture's closed forms, each defined at index level.

A closed form such as `correlate(pad(upsample(g)), transpose(flip(w)))` has no subscripts: they are
here. Arguments are tensors with their shapes, then sizes; reads outside a tensor that is marked
"zero" are 0.
"""

from __future__ import annotations

from typing import Any

from gradproof.derive.claims.form import named
from gradproof.derive.claims.layers import LAYERS

IMAGE = ["N", "C", "H", "W"]
GROUPED = ["N", "G*CG", "H", "W"]
FILTER = ["O", "CG", "KH", "KW"]
GROUPED_FILTER = ["G*OG", "CG", "KH", "KW"]

NAMED: dict[str, Any] = LAYERS | {
    "correlate": named(
        "z[n,o,x,y] = sum of Y[n, c, x + DH*i, y + DW*j]*w[o,c,i,j], in G groups",
        {"Y": GROUPED, "w": GROUPED_FILTER},
        "G DH DW",
        ["N", "G*OG", "H - DH*(KH - 1)", "W - DW*(KW - 1)"],
        "n o x y",
        "sum[c:CG, i:KH, j:KW](Y[n, o//OG*CG + c, x + DH*i, y + DW*j]*w[o, c, i, j])",
        positive="G CG OG DH DW",
    ),
    "transpose": named(
        "input and output channels of each group exchanged",
        {"w": GROUPED_FILTER},
        "G",
        ["G*CG", "OG", "KH", "KW"],
        "k r i j",
        "w[k//CG*OG + r, k % CG, i, j]",
        positive="G CG OG",
    ),
    "flip": named(
        "the filter turned by 180 degrees",
        {"w": FILTER},
        "",
        FILTER,
        "o c i j",
        "w[o, c, KH - 1 - i, KW - 1 - j]",
    ),
    "upsample": named(
        "SH - 1 and SW - 1 zeros between neighbours",
        {"Y": IMAGE},
        "SH SW",
        ["N", "C", "SH*(H - 1) + 1", "SW*(W - 1) + 1"],
        "n c x y",
        "where(x % SH == 0 and y % SW == 0, Y[n, c, x//SH, y//SW], 0)",
        positive="SH SW",
    ),
    "pad": named(
        "zeros around the image; a negative number crops",
        {"Y": IMAGE},
        "PT PB PL PR",
        ["N", "C", "H + PT + PB", "W + PL + PR"],
        "n c x y",
        "Y[n, c, x - PT, y - PL]",
        outside={"Y": "zero"},
    ),
    "keep": named(
        "every SH-th row and every SW-th column, from the first on",
        {"Y": IMAGE},
        "SH SW",
        ["N", "C", "(H - 1)//SH + 1", "(W - 1)//SW + 1"],
        "n c x y",
        "Y[n, c, SH*x, SW*y]",
        positive="SH SW",
    ),
    "exchange": named(
        "batch and channels exchanged",
        {"Y": IMAGE},
        "",
        ["C", "N", "H", "W"],
        "c n x y",
        "Y[n, c, x, y]",
    ),
    "regroup": named(
        "batch and the channels of each group exchanged",
        {"Y": GROUPED},
        "G",
        ["CG", "G*N", "H", "W"],
        "c m x y",
        "Y[m % N, m//N*CG + c, x, y]",
        positive="G CG N",
    ),
    "add_bias": named(
        "z[n,c,x,y] + b[c]",
        {"Y": IMAGE, "b": ["C"]},
        "",
        IMAGE,
        "n c x y",
        "Y[n, c, x, y] + b[c]",
    ),
    "total_per_channel": named(
        "the sum over batch and positions",
        {"Y": IMAGE},
        "",
        ["C"],
        "c",
        "sum[n:N, x:H, y:W](Y[n, c, x, y])",
    ),
}
