"""The running statistics of batch normalisation, B3. unbias is m/(m - 1) for the variance of m
values, which makes it the unbiased one (see batch_norm), and 1 for the mean.
"""

from __future__ import annotations

from typing import Any

CHANNEL = [["c", "C"]]

CLAIMS: list[dict[str, Any]] = [
    {
        "claim": "B3 running average",
        "statement": "new = (1 - momentum)*old + momentum*unbias*batch",
        "free": CHANNEL,
        "left": {"value": "new"},
        "right": {
            "tensor": "vector_sum(vector_scaled(old, 1 - momentum), "
            "vector_scaled(batch, momentum*unbias))"
        },
    },
    {
        "claim": "B3 step towards the batch",
        "statement": "new - old = momentum*(unbias*batch - old)",
        "free": CHANNEL,
        "left": {"value": "new"},
        "right": {"text": "old[c] + momentum*(unbias*batch[c] - old[c])"},
    },
]
