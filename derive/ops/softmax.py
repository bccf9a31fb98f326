"""Softmax and its logarithm along one axis, stable by the row's maximum.
PyTorch: torch.nn.Softmax, LogSoftmax.

The maximum only shifts: that its gradient vanishes is found by the derivation.
"""

from gradproof.derive.language import operator

NAMES = {"a": "input", "y": "output"}
DOC = "Along C of an array M x C x L."

softmax = operator(
    "softmax",
    """
    m[i,l] = max[c](a[i,c,l])
    s[i,l] = sum[c](exp(a[i,c,l] - m[i,l]))
    y[i,c,l] = exp(a[i,c,l] - m[i,l]) / s[i,l]
    """,
    {"a": "M, C, L"},
    names=NAMES,
    doc=DOC,
)

log_softmax = operator(
    "log_softmax",
    """
    m[i,l] = max[c](a[i,c,l])
    s[i,l] = sum[c](exp(a[i,c,l] - m[i,l]))
    y[i,c,l] = a[i,c,l] - m[i,l] - log(s[i,l])
    """,
    {"a": "M, C, L"},
    names=NAMES,
    doc=DOC,
)
