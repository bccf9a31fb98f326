"""Maximum over windows (claim L1): the first maximum in row-major order among the taps inside the
image wins, also when all are -inf; NaN counts as the maximum. PyTorch: torch.nn.MaxPool2d.
"""

from gradproof.derive.language import operator

max_pool2d = operator(
    "max_pool2d",
    "z[n,c,x,y] = max[i:KH, j:KW](Y[n, c, SH*x + DH*i - PT, SW*y + DW*j - PL])",
    {"Y": "N, C, H, W", "z": "N, C, OH, OW"},
    sizes={
        "OH": "(H + PT + PB - DH*(KH - 1) - 1)//SH + 1",
        "OW": "(W + PL + PR - DW*(KW - 1) - 1)//SW + 1",
    },
    integers="PT PB PL PR",
    requires={
        "H + PT + PB - DH*(KH - 1) - 1 >= 0": "the window is taller than the padded input",
        "W + PL + PR - DW*(KW - 1) - 1 >= 0": "the window is wider than the padded input",
    },
    outside={"Y": "skip"},
    subscripts={"Y": "n c u v"},
    names={"Y": "input", "z": "output"},
    doc="Windows of KH x KW taps; strides, dilations and paddings as in conv2d.",
)
