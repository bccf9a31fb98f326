"""Batch normalisation (claims B1, B3). PyTorch: torch.nn.BatchNorm1d, BatchNorm2d.

Training is a system of equations; its reverse pass, claim B2, is derived through the system.
"""

from gradproof.derive.language import operator

SHAPES = {"X": "N, C, L", "gamma": "C", "beta": "C"}
NAMES = {"X": "input", "gamma": "weight", "beta": "bias", "y": "output"}

batch_norm = operator(
    "batch_norm",
    """
    mean[c] = sum[n,l](X[n,c,l]) / (N*L)
    var[c] = sum[n,l]((X[n,c,l] - mean[c])**2) / (N*L)
    y[n,c,l] = gamma[c] * (X[n,c,l] - mean[c]) / sqrt(var[c] + eps) + beta[c]
    """,
    SHAPES,
    scalars={"eps": "real"},
    optional={"gamma": 1, "beta": 0},
    names=NAMES,
    doc="N samples, C channels, L positions (H*W for images, 1 for vectors); biased variance.",
)

batch_norm_inference = operator(
    "batch_norm_inference",
    "y[n,c,l] = gamma[c] * (X[n,c,l] - mean[c]) / sqrt(var[c] + eps) + beta[c]",
    SHAPES | {"mean": "C", "var": "C"},
    scalars={"eps": "real"},
    optional={"gamma": 1, "beta": 0},
    constant=("mean", "var"),
    names=NAMES | {"mean": "running_mean", "var": "running_var"},
    doc="With the running mean and variance in place of the batch's.",
)

running_average = operator(
    "running_average",
    "new[c] = (1 - momentum) * old[c] + momentum * unbias * batch[c]",
    {"old": "C", "batch": "C"},
    scalars={"momentum": "real", "unbias": "real"},
    constant=("old", "batch"),
    doc="Running statistics; unbias is m/(m-1) for the variance of m values and 1 for the mean.",
)
