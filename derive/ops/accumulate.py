"""Gradients of several batches added up before an update."""

from gradproof.derive.language import operator

accumulate = operator(
    "accumulate",
    "a_new[i] = where(first > 0, g[i], a[i] + g[i])",
    {"a": "T", "g": "T"},
    scalars={"first": "real"},
    constant=("a", "g"),
    doc="T elements; in the first of several batches what was in a before does not count.",
)
