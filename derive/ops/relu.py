"""The rectifier, 0 at 0 and with derivative 0 there; NaN stays NaN. PyTorch: torch.nn.ReLU."""

from gradproof.derive.language import operator

relu = operator(
    "relu",
    "z[i] = where(Y[i] <= 0, 0, Y[i])",
    {"Y": "T", "z": "T"},
    names={"Y": "input", "z": "output"},
    doc="T elements.",
)
