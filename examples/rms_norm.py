"""RMS normalisation (Zhang, Sennrich: Root Mean Square Layer Normalization, 2019) as an operator.

gradproof derive examples/rms_norm.py
gradproof verify examples/rms_norm.py
python examples/rms_norm.py
"""

import numpy as np

import gradproof as gp

rms_norm = gp.operator(
    "rms_norm",
    """
    square[m] = sum[l](X[m,l]**2) / L
    y[m,l] = gamma[l] * X[m,l] / sqrt(square[m] + eps)
    """,
    {"X": "M, L", "gamma": "L"},
    scalars={"eps": "real"},
    names={"X": "input", "gamma": "weight", "y": "output"},
    doc="M rows of L elements, each divided by the root of its mean square.",
)
normalise = gp.compile(rms_norm)


class RMSNorm(gp.nn.Module):
    """torch.nn.RMSNorm over the last dimension: input (..., features)."""

    def __init__(self, features: int, eps: float = 1e-6) -> None:
        super().__init__()
        self.weight = gp.nn.Parameter(np.ones(features, np.float32))
        self.eps = eps

    def forward(self, input: gp.Tensor) -> gp.Tensor:
        """(..., features) -> (..., features)."""
        rows = input.reshape(-1, self.weight.shape[0])
        return normalise(rows, self.weight, eps=self.eps).reshape(*input.shape)


def main() -> None:
    """Normalise three numbers, and check the gradients against finite differences."""
    x = gp.tensor([[3.0, 4.0, 0.0]])
    print(RMSNorm(3)(x))
    print(gp.check_gradients(lambda x, w: normalise(x, w, eps=1e-6), x, gp.tensor(np.ones(3))))


if __name__ == "__main__":
    main()
