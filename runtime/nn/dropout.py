"""Dropout."""

from __future__ import annotations

from gradproof.runtime import functional as F
from gradproof.runtime.errors import ShapeError
from gradproof.runtime.nn.module import Module
from gradproof.runtime.tensor import Tensor


class Dropout(Module):
    """In training, zero each element with probability p and scale the others by 1/(1 - p).

    Any shape; in evaluation mode the identity. The mask follows from `manual_seed` alone.
    Srivastava et al., JMLR 2014. PyTorch: torch.nn.Dropout, without `inplace`.

    Errors: ShapeError for p outside [0, 1).

    >>> from gradproof.runtime.tensor import tensor
    >>> Dropout(0.5).eval()(tensor([1.0, 2.0])).numpy()
    array([1., 2.], dtype=float32)
    """

    def __init__(self, p: float = 0.5) -> None:
        super().__init__()
        if not 0 <= p < 1:  # also refuses NaN
            raise ShapeError(f"Dropout: p={p}, expected 0 <= p < 1")
        self.p = p

    def forward(self, input: Tensor) -> Tensor:
        """Drop elements, in training."""
        return F.dropout(input, self.p, self.training, label=self._label(input=input))

    def extra_repr(self) -> str:
        """The probability."""
        return f"p={self.p}"
