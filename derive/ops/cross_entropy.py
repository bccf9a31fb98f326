"""Cross-entropy with class weights, label smoothing and a label that is left out; and the same of
log-probabilities. PyTorch: torch.nn.CrossEntropyLoss and NLLLoss, whose mean divides by the sum of
the labels' weights.

A sample with label t has the loss (1 - smoothing) * w[t] * (-log p[t])
+ smoothing / C * sum over c of w[c] * (-log p[c]); one whose label is `ignore` has none.
"""

from gradproof.derive.language import operator

cross_entropy = operator(
    "cross_entropy",
    """
    m[n] = max[c](a[n,c])
    s[n] = sum[c](exp(a[n,c] - m[n]))
    d[n,c] = log(s[n]) - (a[n,c] - m[n])
    mass[n] = where(t[n] == ignore, 0, sum[c](w[c], c == t[n]))
    hard[n] = where(t[n] == ignore, 0, sum[c](w[c] * d[n,c], c == t[n]))
    soft[n] = where(t[n] == ignore, 0, sum[c](w[c] * d[n,c]) / C)
    weights = sum[n](mass[n])
    loss = sum[n]((1 - smoothing) * hard[n] + smoothing * soft[n]) \
           / (mean * weights + 1 - mean)
    """,
    {"a": "N, C", "t": "N", "w": "C"},
    labels={"t": ""},
    integers="ignore",
    scalars={"smoothing": "real", "mean": "real"},
    optional={"w": 1},
    constant=("w",),
    names={"a": "input", "t": "target", "w": "weight"},
    doc="N samples, C classes, label t[n]; mean is 1 for the weighted mean and 0 for the sum.",
)

nll = operator(
    "nll",
    """
    mass[n] = where(t[n] == ignore, 0, sum[c](w[c], c == t[n]))
    hard[n] = where(t[n] == ignore, 0, sum[c](w[c] * a[n,c], c == t[n]))
    weights = sum[n](mass[n])
    loss = -sum[n](hard[n]) / (mean * weights + 1 - mean)
    """,
    {"a": "N, C", "t": "N", "w": "C"},
    labels={"t": ""},
    integers="ignore",
    scalars={"mean": "real"},
    optional={"w": 1},
    constant=("w",),
    names={"a": "input", "t": "target", "w": "weight"},
    doc="N samples, C classes, label t[n]; mean is 1 for the weighted mean and 0 for the sum.",
)
