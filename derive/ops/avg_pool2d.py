"""Mean over windows (claim L1), counting the padding or not. PyTorch: torch.nn.AvgPool2d."""

from gradproof.derive.language import operator

SIZES = {"OH": "(H + PT + PB - KH)//SH + 1", "OW": "(W + PL + PR - KW)//SW + 1"}
SHAPES = {"Y": "N, C, H, W", "z": "N, C, OH, OW"}
REQUIRES = {
    "H + PT + PB - KH >= 0": "the window is taller than the padded input",
    "W + PL + PR - KW >= 0": "the window is wider than the padded input",
}
NAMES = {"Y": "input", "z": "output"}

avg_pool2d = operator(
    "avg_pool2d",
    "z[n,c,x,y] = sum[i:KH, j:KW](Y[n, c, SH*x + i - PT, SW*y + j - PL]) / (KH*KW)",
    SHAPES,
    sizes=SIZES,
    integers="PT PB PL PR",
    requires=REQUIRES,
    outside={"Y": "zero"},
    subscripts={"Y": "n c u v"},
    names=NAMES,
    doc="The padding counts as zeros: every window divides by KH*KW.",
)

avg_pool2d_valid = operator(
    "avg_pool2d_valid",
    """
    count[x,y] = sum[i:KH, j:KW](1, 0 <= SH*x + i - PT < H, 0 <= SW*y + j - PL < W)
    z[n,c,x,y] = sum[i:KH, j:KW](Y[n, c, SH*x + i - PT, SW*y + j - PL]) / count[x,y]
    """,
    SHAPES | {"count": "OH, OW"},
    sizes=SIZES,
    integers="PT PB PL PR",
    requires=REQUIRES,
    outside={"Y": "zero"},
    subscripts={"Y": "n c u v"},
    names=NAMES,
    doc="The padding does not count: a window divides by the number of its taps in the image.",
)
