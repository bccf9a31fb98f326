"""Gradients made shorter, all by one factor, or limited one by one.
PyTorch: torch.nn.utils.clip_grad_norm_, clip_grad_value_.
"""

from gradproof.derive.language import operator

add_squares = operator(
    "add_squares",
    "z = t + sum[i](g[i] * g[i])",
    {"g": "T", "t": ""},
    constant=("g", "t"),
    doc="t plus the squares of T elements.",
)

clip_norm = operator(
    "clip_norm",
    """
    norm = sqrt(t)
    h[i] = where(norm + eps <= limit, g[i], g[i] * limit / (norm + eps))
    """,
    {"g": "T", "t": ""},
    outputs=("norm", "h"),
    scalars={"limit": "real", "eps": "real"},
    constant=("g", "t"),
    doc="T elements of a whole whose squares add up to t; eps avoids a quotient by zero.",
)

clip_value = operator(
    "clip_value",
    "h[i] = where(g[i] < -limit, -limit, where(g[i] > limit, limit, g[i]))",
    {"g": "T"},
    scalars={"limit": "real"},
    constant=("g",),
    doc="T elements, limited to -limit..limit; NaN stays NaN.",
)
