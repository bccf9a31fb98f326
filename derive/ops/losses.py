"""Absolute error, and binary cross-entropy of logits. PyTorch: torch.nn.L1Loss, BCEWithLogitsLoss.

-log sigmoid(a) = log(1 + exp(-|a|)) + max(-a, 0) never overflows.
"""

from gradproof.derive.language import operator

NAMES = {"a": "input", "t": "target"}

l1 = operator(
    "l1",
    "loss = sum[i](where(a[i] < t[i], t[i] - a[i], where(a[i] > t[i], a[i] - t[i], 0))) / divisor",
    {"a": "T", "t": "T"},
    scalars={"divisor": "real"},
    names=NAMES,
    doc="T elements; divisor is T for the mean and 1 for the sum. The derivative at a = t is 0.",
)

bce_with_logits = operator(
    "bce_with_logits",
    """
    p[n,c] = where(a[n,c] < 0, log(1 + exp(a[n,c])) - a[n,c], log(1 + exp(-a[n,c])))
    loss = sum[n,c](w[n,c] * ((1 - t[n,c]) * a[n,c] \
           + (1 + (v[c] - 1) * t[n,c]) * p[n,c])) / divisor
    """,
    {"a": "N, C", "t": "N, C", "w": "N, C", "v": "C"},
    scalars={"divisor": "real"},
    optional={"w": 1, "v": 1},
    constant=("w", "v"),
    names=NAMES | {"w": "weight", "v": "pos_weight"},
    doc="N samples, C classes; p = -log sigmoid(a); divisor is N*C for the mean, 1 for the sum.",
)
