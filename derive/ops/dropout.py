"""Dropout with a published counter-based generator: the same mask for a seed on every device.

Element i of call number `call` is kept when the 32-bit word philox(key0, key1, i, call) is at least
`threshold` = p * 2^32, and scaled by 1/(1-p). PyTorch: torch.nn.Dropout (another generator).
"""

from gradproof.derive.language import operator

dropout = operator(
    "dropout",
    "z[i] = where(philox(key0, key1, i, call) >= threshold, scale * Y[i], 0)",
    {"Y": "T", "z": "T"},
    scalars={
        "key0": "uint",
        "key1": "uint",
        "call": "uint",
        "threshold": "uint",
        "scale": "real",
    },
    names={"Y": "input", "z": "output"},
    doc="T elements.",
)
