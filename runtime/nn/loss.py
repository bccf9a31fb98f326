"""Losses: from a batch to one number."""

from __future__ import annotations

from typing import Literal

from gradproof.runtime import functional as F
from gradproof.runtime.errors import ShapeError
from gradproof.runtime.nn.module import Module
from gradproof.runtime.tensor import Tensor

Reduction = Literal["mean", "sum"]


class _Loss(Module):
    """A loss that is averaged or summed."""

    def __init__(self, *, reduction: Reduction = "mean") -> None:
        super().__init__()
        if reduction not in ("mean", "sum"):
            raise ShapeError(
                f"{type(self).__name__}: reduction={reduction!r}, expected 'mean' or 'sum'"
            )
        self.reduction: Reduction = reduction


class CrossEntropyLoss(_Loss):
    """-log softmax(input)[target], averaged or summed over the batch.

    Shapes: input (N, C), unnormalised; target (N,), integers from 0 to C - 1; output ().
    PyTorch: torch.nn.CrossEntropyLoss, without class weights, ignored labels and smoothing.

    Errors: ShapeError for another reduction; in calls, what `functional.cross_entropy`
    raises, such as DataError for a label out of range.

    >>> from gradproof.runtime.tensor import tensor
    >>> round(CrossEntropyLoss()(tensor([[0.0, 0.0]]), tensor([1])).item(), 4)
    0.6931
    """

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        """(N, C) and (N,) -> ()."""
        return F.cross_entropy(
            input, target, self.reduction, label=self._label(input=input, target=target)
        )


class MSELoss(_Loss):
    """(input - target)², averaged or summed over all elements.

    Shapes: input and target equal; output (). PyTorch: torch.nn.MSELoss.

    Errors: ShapeError for another reduction; ShapeError for unequal shapes.

    >>> from gradproof.runtime.tensor import tensor
    >>> MSELoss()(tensor([1.0, 2.0]), tensor([1.0, 4.0])).item()
    2.0
    """

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        """Two tensors of one shape -> ()."""
        return F.mse_loss(
            input, target, self.reduction, label=self._label(input=input, target=target)
        )
