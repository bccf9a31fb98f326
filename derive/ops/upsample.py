"""Enlarging images. PyTorch: torch.nn.Upsample, torch.nn.functional.interpolate.

Nearest: output x shows input floor(x*H/OH). Linear: output x lies at input (A*x + B)/M, which is
floor(...) = q and a rest r/M, and mixes the elements q and q + 1, kept inside the image, with the
weights 1 - r/M and r/M. Pixel centres on each other (align_corners=False): A = 2*H, B = H - OH,
M = 2*OH; corners on each other: A = H - 1, B = 0, M = OH - 1.
"""

from gradproof.derive.language import operator

NAMES = {"Y": "input", "z": "output"}

upsample_nearest = operator(
    "upsample_nearest",
    "z[i,x,y] = Y[i, x*H//OH, y*W//OW]",
    {"Y": "C, H, W", "z": "C, OH, OW"},
    subscripts={"Y": "c u v"},
    names=NAMES,
    doc="C images of H x W to OH x OW pixels.",
)
upsample_linear = operator(
    "upsample_linear",
    """
    z[i,x,j] = sum[u]((1 - (A*x + B)%M / M) * Y[i,u,j], u == (A*x + B)//M) \
             + sum[u]((A*x + B)%M / M * Y[i,u,j], u == (A*x + B)//M + 1) \
             + sum[u]((1 - (A*x + B)%M / M) * Y[i,u,j], u == 0, A*x + B < 0) \
             + sum[u]((A*x + B)%M / M * Y[i,u,j], u == H - 1, A*x + B >= M*(H - 1))
    """,
    {"Y": "C, H, K", "z": "C, OH, K"},
    integers="B",
    requires={
        "B + M >= 0": "the first output lies more than one element before the input",
        "M*H - 1 - A*(OH - 1) - B >= 0": "the last output lies more than one element behind",
    },
    subscripts={"Y": "c u k"},
    names=NAMES,
    doc="Along H of an array C x H x K, to OH elements.",
)
