"""Layer, group and instance normalisation: batch norm's formula over other sets of elements.
PyTorch: torch.nn.LayerNorm, GroupNorm, InstanceNorm1d to 3d.
"""

from gradproof.derive.language import operator

NAMES = {"X": "input", "gamma": "weight", "beta": "bias", "y": "output"}

layer_norm = operator(
    "layer_norm",
    """
    mean[m] = sum[l](X[m,l]) / L
    var[m] = sum[l]((X[m,l] - mean[m])**2) / L
    y[m,l] = gamma[l] * (X[m,l] - mean[m]) / sqrt(var[m] + eps) + beta[l]
    """,
    {"X": "M, L", "gamma": "L", "beta": "L"},
    scalars={"eps": "real"},
    optional={"gamma": 1, "beta": 0},
    names=NAMES,
    doc="M rows of L elements, each normalised by its own mean and biased variance.",
)

group_norm = operator(
    "group_norm",
    """
    mean[n,g] = sum[c,l](X[n,g,c,l]) / (CG*L)
    var[n,g] = sum[c,l]((X[n,g,c,l] - mean[n,g])**2) / (CG*L)
    y[n,g,c,l] = gamma[g,c] * (X[n,g,c,l] - mean[n,g]) / sqrt(var[n,g] + eps) + beta[g,c]
    """,
    {"X": "N, G, CG, L", "gamma": "G, CG", "beta": "G, CG"},
    scalars={"eps": "real"},
    optional={"gamma": 1, "beta": 0},
    names=NAMES,
    doc="N samples, G groups of CG channels, L positions; one mean and variance for each group.",
)

instance_norm = operator(
    "instance_norm",
    """
    mean[n,c] = sum[l](X[n,c,l]) / L
    var[n,c] = sum[l]((X[n,c,l] - mean[n,c])**2) / L
    y[n,c,l] = gamma[c] * (X[n,c,l] - mean[n,c]) / sqrt(var[n,c] + eps) + beta[c]
    """,
    {"X": "N, C, L", "gamma": "C", "beta": "C"},
    scalars={"eps": "real"},
    optional={"gamma": 1, "beta": 0},
    names=NAMES,
    doc="N samples, C channels, L positions; one mean and variance for each sample's channel.",
)
