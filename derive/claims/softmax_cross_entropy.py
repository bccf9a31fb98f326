"""Softmax with cross-entropy, L1. divisor is N for the mean and 1 for the sum.

The kernels take the row's maximum m from the logits first. It only shifts them, and by
exp(p + q) = exp(p)*exp(q) the shift cancels: the closed forms do not know of it.
"""

from __future__ import annotations

from typing import Any

LOGITS = [["n", "N"], ["c", "C"]]
SCALE = "grad_loss[()]*inv(divisor)"
SHIFTED = "softmax(shifted(a, m))"

CLAIMS: list[dict[str, Any]] = [
    {
        "claim": "L1 cross-entropy",
        "statement": "loss = (sum over the samples of log(s) - d)/divisor",
        "free": [],
        "left": {"value": "loss"},
        "right": {"text": "inv(divisor)*sum[n:N](log(s[n]) - d[n])"},
    },
    {
        "claim": "L1 cross-entropy, the label's logit",
        "statement": "d = a[t] - m",
        "free": [["n", "N"]],
        "left": {"value": "d"},
        "right": {"text": "shifted(a, m)[n, t[n]]"},
    },
    {
        "claim": "L1 cross-entropy, the row's sum",
        "statement": "s = sum of exp(a - m)",
        "free": [["n", "N"]],
        "left": {"value": "s"},
        "right": {"text": "sum[c:C](exp(shifted(a, m)[n, c]))"},
    },
    {
        "claim": "L1 softmax is free of shifts",
        "statement": "softmax(a - m) = softmax(a) for a number m per row",
        "free": LOGITS,
        "left": {"tensor": SHIFTED},
        "right": {"tensor": "softmax(a)"},
    },
    {
        "claim": "L1 cross-entropy gradient, shifted",
        "statement": "dloss/da = (exp(a - m)/sum of exp(a - m) - onehot(t))/divisor",
        "free": LOGITS,
        "left": {"value": "grad_a"},
        "right": {"tensor": f"matrix_scaled(matrix_minus({SHIFTED}, onehot(t, C)), {SCALE})"},
    },
    {
        "claim": "L1 cross-entropy gradient",
        "statement": "dloss/da = (softmax(a) - onehot(t))/divisor",
        "free": LOGITS,
        "left": {"value": "grad_a"},
        "right": {"tensor": f"matrix_scaled(matrix_minus(softmax(a), onehot(t, C)), {SCALE})"},
    },
]
