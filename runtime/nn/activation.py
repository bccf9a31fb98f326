"""Activation functions."""

from __future__ import annotations

from gradproof.runtime import functional as F
from gradproof.runtime.nn.module import Module
from gradproof.runtime.tensor import Tensor


class ReLU(Module):
    """max(x, 0), element by element; any shape. PyTorch: torch.nn.ReLU, without `inplace`.

    Errors: DTypeError for an input of integers.

    >>> from gradproof.runtime.tensor import tensor
    >>> ReLU()(tensor([-1.0, 2.0])).numpy()
    array([0., 2.], dtype=float32)
    """

    def forward(self, input: Tensor) -> Tensor:
        """Apply max(x, 0)."""
        return F.relu(input, label=self._label(input=input))
