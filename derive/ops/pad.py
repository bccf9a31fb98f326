"""Padding along one axis: with a number, by reflection, by the edge. Several axes are padded one
after the other. PyTorch: torch.nn.functional.pad; for numbers, a negative padding crops.
"""

from gradproof.derive.language import operator

SHAPES = {"Y": "A, H, B", "z": "A, OH, B"}
SIZES = {"OH": "H + PT + PB"}
NAMES = {"Y": "input", "z": "output"}
DOC = "Along H of an array A x H x B; PT elements before and PB behind."

pad_constant = operator(
    "pad_constant",
    """
    z[i,x,j] = sum[u](Y[i,u,j], u == x - PT) + sum[u:1](value, x < PT) \
             + sum[u:1](value, x >= H + PT)
    """,
    SHAPES,
    sizes=SIZES,
    integers="PT PB",
    requires={"H + PT + PB >= 1": "nothing is left of the input"},
    scalars={"value": "real"},
    names=NAMES,
    doc=DOC,
)
pad_reflect = operator(
    "pad_reflect",
    """
    z[i,x,j] = sum[u](Y[i,u,j], u == x - PT) + sum[u](Y[i,u,j], u == PT - x, x < PT) \
             + sum[u](Y[i,u,j], u == 2*H - 2 + PT - x, x >= H + PT)
    """,
    SHAPES,
    sizes=SIZES,
    at_least={"PT": 0, "PB": 0},
    requires={
        "PT <= H - 1": "the padding before is not shorter than the input",
        "PB <= H - 1": "the padding behind is not shorter than the input",
    },
    names=NAMES,
    doc=DOC + " The edge itself is not repeated.",
)
pad_replicate = operator(
    "pad_replicate",
    """
    z[i,x,j] = sum[u](Y[i,u,j], u == x - PT) + sum[u](Y[i,u,j], u == 0, x < PT) \
             + sum[u](Y[i,u,j], u == H - 1, x >= H + PT)
    """,
    SHAPES,
    sizes=SIZES,
    at_least={"PT": 0, "PB": 0},
    names=NAMES,
    doc=DOC,
)
