"""Mean over OH x OW windows that cover the image evenly. PyTorch: torch.nn.AdaptiveAvgPool2d.

Window x of axis H holds the rows from floor(x*H/OH) up to, but without, ceil((x+1)*H/OH).
"""

from gradproof.derive.language import operator

adaptive_avg_pool2d = operator(
    "adaptive_avg_pool2d",
    """
    z[n,c,x,y] = sum[u,v](Y[n,c,u,v], x*H//OH <= u < ((x+1)*H + OH - 1)//OH, \
                          y*W//OW <= v < ((y+1)*W + OW - 1)//OW) \
                 / ((((x+1)*H + OH - 1)//OH - x*H//OH) * (((y+1)*W + OW - 1)//OW - y*W//OW))
    """,
    {"Y": "N, C, H, W", "z": "N, C, OH, OW"},
    subscripts={"Y": "n c u v"},
    names={"Y": "input", "z": "output"},
    doc="OH x OW windows over H x W pixels.",
)
