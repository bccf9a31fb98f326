"""3-D convolution (claim F1 on three axes): correlation with stride, dilation, padding and groups.
PyTorch: torch.nn.Conv3d.
"""

from gradproof.derive.language import operator

conv3d = operator(
    "conv3d",
    """
    z[n,o,s,x,y] = sum[c,h,i,j](w[o,c,h,i,j] \
        * Y[n, o//OG*CG + c, ST*s + DT*h - PF, SH*x + DH*i - PT, SW*y + DW*j - PL]) + b[o]
    """,
    {
        "Y": "N, G*CG, T, H, W",
        "w": "G*OG, CG, KT, KH, KW",
        "b": "G*OG",
        "z": "N, G*OG, OT, OH, OW",
    },
    sizes={
        "OT": "(T + PF + PK - DT*(KT - 1) - 1)//ST + 1",
        "OH": "(H + PT + PB - DH*(KH - 1) - 1)//SH + 1",
        "OW": "(W + PL + PR - DW*(KW - 1) - 1)//SW + 1",
    },
    integers="PF PK PT PB PL PR",
    requires={
        "T + PF + PK - DT*(KT - 1) - 1 >= 0": "the kernel is deeper than the padded input",
        "H + PT + PB - DH*(KH - 1) - 1 >= 0": "the kernel is taller than the padded input",
        "W + PL + PR - DW*(KW - 1) - 1 >= 0": "the kernel is wider than the padded input",
    },
    outside={"Y": "zero"},
    optional={"b": 0},
    subscripts={"Y": "n k d u v"},
    names={"Y": "input", "w": "weight", "b": "bias", "z": "output"},
    doc="""
    N volumes, G groups of CG input and OG output channels, T x H x W voxels, KT x KH x KW taps;
    S, D: stride and dilation per axis (T, H, W); PF, PK, PT, PB, PL, PR: padding in front, at the
    back, above, below, left, right.
    """,
)
