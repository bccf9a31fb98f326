"""2-D convolution as the lecture writes it (claim F1): correlation with stride, dilation, padding
per side, and groups. PyTorch: torch.nn.Conv2d.
"""

from gradproof.derive.language import operator

conv2d = operator(
    "conv2d",
    """
    z[n,o,x,y] = sum[c,i,j](w[o,c,i,j] \
                            * Y[n, o//OG*CG + c, SH*x + DH*i - PT, SW*y + DW*j - PL]) + b[o]
    """,
    {
        "Y": "N, G*CG, H, W",
        "w": "G*OG, CG, KH, KW",
        "b": "G*OG",
        "z": "N, G*OG, OH, OW",
    },
    sizes={
        "OH": "(H + PT + PB - DH*(KH - 1) - 1)//SH + 1",
        "OW": "(W + PL + PR - DW*(KW - 1) - 1)//SW + 1",
    },
    integers="PT PB PL PR",
    requires={
        "H + PT + PB - DH*(KH - 1) - 1 >= 0": "the kernel is taller than the padded input",
        "W + PL + PR - DW*(KW - 1) - 1 >= 0": "the kernel is wider than the padded input",
    },
    outside={"Y": "zero"},
    optional={"b": 0},
    subscripts={"Y": "n k u v"},
    names={"Y": "input", "w": "weight", "b": "bias", "z": "output"},
    doc="""
    N images, G groups of CG input and OG output channels, H x W pixels, KH x KW taps;
    S, D: stride and dilation per axis (H, W); PT, PB, PL, PR: padding above, below, left, right.
    """,
)
