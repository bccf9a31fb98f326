"""The fully connected layer, L1, as products of matrices."""

from __future__ import annotations

from typing import Any

OUTPUT = [["n", "N"], ["o", "O"]]
PRODUCT = "matmul(Y, matrix_transpose(w))"

CLAIMS: list[dict[str, Any]] = [
    {
        "claim": "L1 linear",
        "statement": "z = Y w' + b",
        "free": OUTPUT,
        "left": {"value": "z"},
        "right": {"tensor": f"add_to_rows({PRODUCT}, b)"},
    },
    {
        "claim": "L1 linear without b",
        "statement": "z = Y w'",
        "variant": "linear_without_b",
        "free": OUTPUT,
        "left": {"value": "z"},
        "right": {"tensor": PRODUCT},
    },
    {
        "claim": "L1 linear input gradient",
        "statement": "dloss/dY = dloss/dz w",
        "free": [["n", "N"], ["k", "K"]],
        "left": {"adjoint": "Y"},
        "right": {"tensor": "matmul(grad_z, w)"},
    },
    {
        "claim": "L1 linear weight gradient",
        "statement": "dloss/dw = (dloss/dz)' Y",
        "free": [["o", "O"], ["k", "K"]],
        "left": {"adjoint": "w"},
        "right": {"tensor": "matmul(matrix_transpose(grad_z), Y)"},
    },
    {
        "claim": "L1 linear bias gradient",
        "statement": "dloss/db = the sum of the rows of dloss/dz",
        "free": [["o", "O"]],
        "left": {"adjoint": "b"},
        "right": {"tensor": "sum_of_rows(grad_z)"},
    },
]
