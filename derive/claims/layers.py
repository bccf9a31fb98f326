"""Named operators of the closed forms of everything but the convolution.

Batches are N x C x L, matrices N x K; real parameters such as eps are written like sizes.
"""

from __future__ import annotations

from typing import Any

from gradproof.derive.claims.form import named

BATCH = ["N", "C", "L"]
IMAGE = ["N", "C", "H", "W"]

Operators = dict[str, dict[str, Any]]

BATCHES: Operators = {
    "channel_sums": named(
        "per channel, the sum over the batch",
        {"t": BATCH},
        "",
        ["C"],
        "c",
        "sum[n:N, l:L](t[n, c, l])",
    ),
    "spread": named(
        "a number per channel, at every place of a batch of N x C x L",
        {"v": ["C"]},
        "N L",
        BATCH,
        "n c l",
        "v[c]",
    ),
    "times": named(
        "the product, element by element",
        {"s": BATCH, "t": BATCH},
        "",
        BATCH,
        "n c l",
        "s[n, c, l]*t[n, c, l]",
    ),
    "minus": named(
        "the difference, element by element",
        {"s": BATCH, "t": BATCH},
        "",
        BATCH,
        "n c l",
        "s[n, c, l] - t[n, c, l]",
    ),
    "plus": named(
        "the sum, element by element",
        {"s": BATCH, "t": BATCH},
        "",
        BATCH,
        "n c l",
        "s[n, c, l] + t[n, c, l]",
    ),
    "scaled": named(
        "q times the batch",
        {"t": BATCH},
        "q",
        BATCH,
        "n c l",
        "q*t[n, c, l]",
    ),
    "vector_scaled": named(
        "q times the vector",
        {"v": ["C"]},
        "q",
        ["C"],
        "c",
        "q*v[c]",
    ),
    "vector_sum": named(
        "the sum of two vectors",
        {"u": ["C"], "v": ["C"]},
        "",
        ["C"],
        "c",
        "u[c] + v[c]",
    ),
    "normalise": named(
        "(X - mean)/sqrt(var + eps) per channel",
        {"X": BATCH, "mean": ["C"], "var": ["C"]},
        "eps",
        BATCH,
        "n c l",
        "(X[n, c, l] - mean[c])*inv(sqrt(var[c] + eps))",
    ),
    "deviate": named(
        "1/sqrt(var + eps) per channel",
        {"var": ["C"]},
        "eps",
        ["C"],
        "c",
        "inv(sqrt(var[c] + eps))",
    ),
}

MATRICES: Operators = {
    "matmul": named(
        "the product of two matrices",
        {"a": ["N", "K"], "b": ["K", "M"]},
        "",
        ["N", "M"],
        "n m",
        "sum[k:K](a[n, k]*b[k, m])",
    ),
    "matrix_transpose": named(
        "rows and columns exchanged",
        {"a": ["N", "K"]},
        "",
        ["K", "N"],
        "k n",
        "a[n, k]",
    ),
    "add_to_rows": named(
        "a vector added to every row",
        {"a": ["N", "K"], "b": ["K"]},
        "",
        ["N", "K"],
        "n k",
        "a[n, k] + b[k]",
    ),
    "sum_of_rows": named(
        "the sum of all rows",
        {"a": ["N", "K"]},
        "",
        ["K"],
        "k",
        "sum[n:N](a[n, k])",
    ),
    "matrix_scaled": named(
        "q times the matrix",
        {"a": ["N", "K"]},
        "q",
        ["N", "K"],
        "n k",
        "q*a[n, k]",
    ),
    "matrix_minus": named(
        "the difference of two matrices",
        {"a": ["N", "K"], "b": ["N", "K"]},
        "",
        ["N", "K"],
        "n k",
        "a[n, k] - b[n, k]",
    ),
    "softmax": named(
        "exp(a) in each row, divided by its sum over the row",
        {"a": ["N", "C"]},
        "",
        ["N", "C"],
        "n c",
        "exp(a[n, c])*inv(sum[k:C](exp(a[n, k])))",
    ),
    "shifted": named(
        "a number per row taken from every element of it",
        {"a": ["N", "C"], "m": ["N"]},
        "",
        ["N", "C"],
        "n c",
        "a[n, c] - m[n]",
    ),
    "onehot": named(
        "1 at each row's label, else 0",
        {"t": ["N"]},
        "C",
        ["N", "C"],
        "n c",
        "where(t[n] == c, 1, 0)",
        positive="C",
        integer="t",
    ),
}

VECTORS: Operators = {
    "vector_minus": named(
        "the difference of two vectors",
        {"u": ["C"], "v": ["C"]},
        "",
        ["C"],
        "c",
        "u[c] - v[c]",
    ),
    "vector_times": named(
        "the products, element by element",
        {"u": ["C"], "v": ["C"]},
        "",
        ["C"],
        "c",
        "u[c]*v[c]",
    ),
    "over_root": named(
        "u/(q*sqrt(v) + e), element by element",
        {"u": ["C"], "v": ["C"]},
        "q e",
        ["C"],
        "c",
        "u[c]*inv(q*sqrt(v[c]) + e)",
    ),
    "dot": named(
        "the sum of the products, element by element",
        {"u": ["C"], "v": ["C"]},
        "",
        [],
        "",
        "sum[c:C](u[c]*v[c])",
    ),
    "where_positive": named(
        "s where t > 0, else 0",
        {"s": ["T"], "t": ["T"]},
        "",
        ["T"],
        "i",
        "where(t[i] <= 0, 0, s[i])",
    ),
    "kept": named(
        "scale*t where the mask's word is at least the threshold, else 0",
        {"t": ["T"]},
        "key0 key1 call threshold scale",
        ["T"],
        "i",
        "where(philox(key0, key1, i, call) >= threshold, scale*t[i], 0)",
    ),
}

WINDOWS: Operators = {
    "ones": named(
        "C filters of KH x KW ones, one for each channel",
        {},
        "C KH KW",
        ["C", "1", "KH", "KW"],
        "c k i j",
        "1",
        positive="C KH KW",
    ),
    "image_scaled": named(
        "q times the image", {"Y": IMAGE}, "q", IMAGE, "n c u v", "q*Y[n, c, u, v]"
    ),
    "taps": named(
        "the number of taps of each window that lie inside the image",
        {},
        "OH OW H W KH KW SH SW PT PL",
        ["OH", "OW"],
        "x y",
        "sum[i:KH, j:KW](1, 0 <= SH*x + i - PT < H, 0 <= SW*y + j - PL < W)",
    ),
    "divided": named(
        "each window's value divided by the number in it",
        {"z": IMAGE, "count": ["H", "W"]},
        "",
        IMAGE,
        "n c x y",
        "z[n, c, x, y]*inv(count[x, y])",
    ),
}

ROWS = "u >= x*H//OH, u <= ((x + 1)*H + OH - 1)//OH - 1"
COLUMNS = "v >= y*W//OW, v <= ((y + 1)*W + OW - 1)//OW - 1"
HEIGHT = "(((x + 1)*H + OH - 1)//OH - x*H//OH)"
WIDTH = "(((y + 1)*W + OW - 1)//OW - y*W//OW)"
OUTPUT = ["N", "C", "OH", "OW"]

POOLS: Operators = {
    "even_means": named(
        "means over OH x OW windows that cover the image evenly",
        {"Y": IMAGE},
        "OH OW",
        OUTPUT,
        "n c x y",
        f"inv({HEIGHT})*inv({WIDTH})*sum[u:H, v:W](Y[n, c, u, v], {ROWS}, {COLUMNS})",
        positive="OH OW",
    ),
    "even_spread": named(
        "each window's value divided by its size, summed over the windows around a pixel",
        {"z": OUTPUT},
        "H W",
        IMAGE,
        "n c u v",
        f"sum[x:OH, y:OW](z[n, c, x, y]*inv({HEIGHT})*inv({WIDTH}), {ROWS}, {COLUMNS})",
        positive="H W OH OW",
    ),
    "scatter": named(
        "each window's value to the tap i = p//KW, j = p % KW at its position p",
        {"g": OUTPUT, "p": OUTPUT},
        "H W KH KW SH SW DH DW PT PL",
        IMAGE,
        "n c u v",
        "sum[x:OH, y:OW](g[n, c, x, y], 0 <= p[n, c, x, y], p[n, c, x, y] <= KH*KW - 1, "
        "SH*x + DH*(p[n, c, x, y]//KW) - PT == u, SW*y + DW*(p[n, c, x, y] % KW) - PL == v)",
        positive="KW",
        integer="p",
    ),
}

LAYERS: Operators = BATCHES | MATRICES | VECTORS | WINDOWS | POOLS
