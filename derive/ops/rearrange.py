"""Operators that only move elements: two axes exchanged, a part taken, two arrays joined, rows
looked up. PyTorch: torch.transpose, slicing, torch.cat, torch.nn.Embedding.
"""

from gradproof.derive.language import operator

NAMES = {"Y": "input", "z": "output"}

transpose = operator(
    "transpose",
    "z[i,b,j,a,k] = Y[i,a,j,b,k]",
    {"Y": "I, A, J, B, K"},
    names=NAMES,
    doc="Axes A and B of an array I x A x J x B x K change places.",
)
slice_axis = operator(
    "slice_axis",
    "z[i,x,j] = Y[i, F + S*x, j]",
    {"Y": "A, H, B", "z": "A, X, B"},
    at_least={"F": 0},
    requires={"H - 1 - F - S*(X - 1) >= 0": "the slice ends beyond the input"},
    subscripts={"Y": "i u j"},
    names=NAMES,
    doc="X elements F, F + S, F + 2*S, ... along H of an array A x H x B.",
)
cat = operator(
    "cat",
    "z[i,x,j] = Y[i,x,j] + R[i,x - H,j]",
    {"Y": "A, H, B", "R": "A, K, B", "z": "A, OH, B"},
    sizes={"OH": "H + K"},
    outside={"Y": "zero", "R": "zero"},
    names=NAMES | {"R": "other"},
    doc="Arrays A x H x B and A x K x B behind each other along H.",
)
embedding = operator(
    "embedding",
    "z[n,k] = w[t[n],k]",
    {"w": "V, K", "t": "N"},
    labels={"t": "V"},
    names={"w": "weight", "t": "input", "z": "output"},
    doc="Row t[n] of V rows of K elements, for N labels.",
)
embedding_padding = operator(
    "embedding_padding",
    "z[n,k] = where(t[n] == padding, p[t[n],k], w[t[n],k])",
    {"w": "V, K", "p": "V, K", "t": "N"},
    labels={"t": "V"},
    integers="padding",
    constant=("p",),
    names={"w": "weight", "p": "fixed", "t": "input", "z": "output"},
    doc="As embedding; p is w again, so that the row `padding` gets no gradient.",
)
