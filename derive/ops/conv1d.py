"""1-D convolution (claim F1 on one axis): correlation with stride, dilation, padding and groups.
PyTorch: torch.nn.Conv1d.
"""

from gradproof.derive.language import operator

conv1d = operator(
    "conv1d",
    "z[n,o,x] = sum[c,i](w[o,c,i] * Y[n, o//OG*CG + c, S*x + D*i - PL]) + b[o]",
    {"Y": "N, G*CG, L", "w": "G*OG, CG, K", "b": "G*OG", "z": "N, G*OG, OL"},
    sizes={"OL": "(L + PL + PR - D*(K - 1) - 1)//S + 1"},
    integers="PL PR",
    requires={
        "L + PL + PR - D*(K - 1) - 1 >= 0": "the kernel is longer than the padded input",
    },
    outside={"Y": "zero"},
    optional={"b": 0},
    subscripts={"Y": "n k u"},
    names={"Y": "input", "w": "weight", "b": "bias", "z": "output"},
    doc="""
    N signals, G groups of CG input and OG output channels, L positions, K taps; S, D: stride and
    dilation; PL, PR: padding before and after.
    """,
)
