"""Batched matrix product. PyTorch: torch.bmm."""

from gradproof.derive.language import operator

bmm = operator(
    "bmm",
    "z[b,i,j] = sum[k](A[b,i,k] * B[b,k,j])",
    {"A": "N, I, K", "B": "N, K, J"},
    names={"A": "input", "B": "mat2", "z": "output"},
    doc="N products of an I x K with a K x J matrix.",
)
