"""The fully connected layer (claim L1). PyTorch: torch.nn.Linear."""

from gradproof.derive.language import operator

linear = operator(
    "linear",
    "z[n,o] = sum[k](Y[n,k] * w[o,k]) + b[o]",
    {"Y": "N, K", "w": "O, K", "b": "O", "z": "N, O"},
    optional={"b": 0},
    names={"Y": "input", "w": "weight", "b": "bias", "z": "output"},
    doc="N samples, K input features, O output features.",
)
