"""Softmax with cross-entropy (claim L1), stable by the row's maximum. PyTorch: CrossEntropyLoss.

The maximum only shifts: that its gradient vanishes is found by the derivation.
"""

from gradproof.derive.language import operator

softmax_cross_entropy = operator(
    "softmax_cross_entropy",
    """
    m[n] = max[c](a[n,c])
    s[n] = sum[c](exp(a[n,c] - m[n]))
    loss = sum[n](log(s[n]) + m[n] - a[n,t[n]]) / divisor
    """,
    {"a": "N, C", "t": "N"},
    labels={"t": "C"},
    scalars={"divisor": "real"},
    names={"a": "input", "t": "target"},
    doc="N samples, C classes, label t[n]; divisor is N for the mean and 1 for the sum.",
)
