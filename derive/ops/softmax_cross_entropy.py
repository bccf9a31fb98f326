"""Softmax with cross-entropy (claim L1), stable by the row's maximum. PyTorch: CrossEntropyLoss.

The maximum only shifts: that its gradient vanishes is found by the derivation. It is taken from the
label's logit first, so that large logits do not cancel against each other.
"""

from gradproof.derive.language import operator

softmax_cross_entropy = operator(
    "softmax_cross_entropy",
    """
    m[n] = max[c](a[n,c])
    s[n] = sum[c](exp(a[n,c] - m[n]))
    d[n] = a[n,t[n]] - m[n]
    loss = sum[n](log(s[n]) - d[n]) / divisor
    """,
    {"a": "N, C", "t": "N"},
    labels={"t": "C"},
    scalars={"divisor": "real"},
    names={"a": "input", "t": "target"},
    doc="N samples, C classes, label t[n]; divisor is N for the mean and 1 for the sum.",
)
