"""Local response normalisation across channels, as AlexNet has it (Krizhevsky, Sutskever, Hinton
2012, section 3.3). PyTorch: torch.nn.LocalResponseNorm, which divides alpha by the window's size.
"""

from gradproof.derive.language import operator

local_response_norm = operator(
    "local_response_norm",
    """
    s[n,c,l] = k + alpha * sum[j:K](Y[n, c + j - P, l]**2) / K
    z[n,c,l] = Y[n,c,l] * exp(-beta * log(s[n,c,l]))
    """,
    {"Y": "N, C, L", "s": "N, C, L"},
    outside={"Y": "zero"},
    at_least={"P": 0},
    scalars={"alpha": "real", "beta": "real", "k": "real"},
    subscripts={"Y": "n u l"},
    names={"Y": "input", "z": "output"},
    doc="N images, C channels, L positions; each sees K channels, from P before it on. s**-beta.",
)
