"""Squared error. PyTorch: torch.nn.MSELoss."""

from gradproof.derive.language import operator

mse = operator(
    "mse",
    "loss = sum[i]((a[i] - t[i])**2) / divisor",
    {"a": "T", "t": "T"},
    scalars={"divisor": "real"},
    names={"a": "input", "t": "target"},
    doc="T elements; divisor is T for the mean and 1 for the sum.",
)
