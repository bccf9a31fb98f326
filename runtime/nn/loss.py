"""Losses: from a batch to one number."""

from __future__ import annotations

from typing import Literal

from gradproof.runtime import functional as F
from gradproof.runtime.arguments import check_tensor, number
from gradproof.runtime.errors import ShapeError
from gradproof.runtime.nn.module import Module
from gradproof.runtime.tensor import Tensor

Reduction = Literal["mean", "sum"]


class _Loss(Module):
    """A loss that is averaged or summed; the tensors it weights with are buffers, as in PyTorch."""

    def __init__(self, reduction: Reduction, **weights: Tensor | None) -> None:
        super().__init__()
        layer = type(self).__name__
        if reduction not in ("mean", "sum"):
            raise ShapeError(f"{layer}: reduction={reduction!r}, expected 'mean' or 'sum'")
        self.reduction: Reduction = reduction
        for name, weight in weights.items():
            if weight is not None:
                check_tensor(weight, name, layer)
            self.register_buffer(name, weight)


class CrossEntropyLoss(_Loss):
    """-log softmax(input)[target], averaged or summed over the batch.

    Shapes: input (N, C), unnormalised; target (N,), integers from 0 to C - 1 or ignore_index; also
    (C,) with (), and (N, C, d1, ...) with (N, d1, ...); weight (C,) or None; output ().
    The arguments are those of `functional.cross_entropy`. PyTorch: torch.nn.CrossEntropyLoss,
    without probabilities as target and reduction="none".

    Errors: ShapeError for another reduction or label_smoothing, DTypeError for a weight that is no
    Tensor; in calls, what `functional.cross_entropy` raises, such as DataError for a label out of
    range.

    >>> from gradproof.runtime.tensor import tensor
    >>> round(CrossEntropyLoss()(tensor([[0.0, 0.0]]), tensor([1])).item(), 4)
    0.6931
    """

    weight: Tensor | None

    def __init__(
        self,
        weight: Tensor | None = None,
        *,
        ignore_index: int = -100,
        reduction: Reduction = "mean",
        label_smoothing: float = 0.0,
    ) -> None:
        super().__init__(reduction, weight=weight)
        if not 0.0 <= number(label_smoothing, "label_smoothing", "CrossEntropyLoss") <= 1.0:
            raise ShapeError(
                f"CrossEntropyLoss: label_smoothing={label_smoothing}, expected 0 to 1"
            )
        self.ignore_index, self.label_smoothing = ignore_index, label_smoothing

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        """(N, C) and (N,) -> ()."""
        return F.cross_entropy(
            input,
            target,
            self.weight,
            ignore_index=self.ignore_index,
            reduction=self.reduction,
            label_smoothing=self.label_smoothing,
            label=self._label(input=input, target=target),
        )


class NLLLoss(_Loss):
    """-input[target], for log-probabilities, averaged or summed over the batch.

    Shapes, `weight`, `ignore_index` and errors: as `CrossEntropyLoss`, which takes logits.
    PyTorch: torch.nn.NLLLoss, without reduction="none".

    >>> from gradproof.runtime.tensor import tensor
    >>> NLLLoss()(tensor([[-1.0, -2.0]]), tensor([1])).item()
    2.0
    """

    weight: Tensor | None

    def __init__(
        self,
        weight: Tensor | None = None,
        *,
        ignore_index: int = -100,
        reduction: Reduction = "mean",
    ) -> None:
        super().__init__(reduction, weight=weight)
        self.ignore_index = ignore_index

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        """(N, C) and (N,) -> ()."""
        return F.nll_loss(
            input,
            target,
            self.weight,
            ignore_index=self.ignore_index,
            reduction=self.reduction,
            label=self._label(input=input, target=target),
        )


class MSELoss(_Loss):
    """(input - target)², averaged or summed over all elements.

    Shapes: input and target equal; output (). PyTorch: torch.nn.MSELoss.

    Errors: ShapeError for another reduction; ShapeError for unequal shapes.

    >>> from gradproof.runtime.tensor import tensor
    >>> MSELoss()(tensor([1.0, 2.0]), tensor([1.0, 4.0])).item()
    2.0
    """

    def __init__(self, *, reduction: Reduction = "mean") -> None:
        super().__init__(reduction)

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        """Two tensors of one shape -> ()."""
        label = self._label(input=input, target=target)
        return F.mse_loss(input, target, reduction=self.reduction, label=label)


class L1Loss(_Loss):
    """|input - target|, averaged or summed over all elements; its derivative where equal is 0.

    Shapes: input and target equal; output (). PyTorch: torch.nn.L1Loss.

    Errors: ShapeError for another reduction; ShapeError for unequal shapes.

    >>> from gradproof.runtime.tensor import tensor
    >>> L1Loss()(tensor([1.0, 2.0]), tensor([1.0, 4.0])).item()
    1.0
    """

    def __init__(self, *, reduction: Reduction = "mean") -> None:
        super().__init__(reduction)

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        """Two tensors of one shape -> ()."""
        label = self._label(input=input, target=target)
        return F.l1_loss(input, target, reduction=self.reduction, label=label)


class BCEWithLogitsLoss(_Loss):
    """Binary cross-entropy of sigmoid(input), averaged or summed over all elements.

    Shapes: input, target and weight (or None) equal; pos_weight: (C,) for the last dimension C, one
    number, or None; output (). It never overflows. PyTorch: torch.nn.BCEWithLogitsLoss, without
    other broadcasting and reduction="none".

    Errors: ShapeError for another reduction, DTypeError for a weight that is no Tensor; in calls,
    what `functional.binary_cross_entropy_with_logits` raises.

    >>> from gradproof.runtime.tensor import tensor
    >>> BCEWithLogitsLoss()(tensor([1000.0]), tensor([1.0])).item()
    0.0
    """

    weight: Tensor | None
    pos_weight: Tensor | None

    def __init__(
        self,
        weight: Tensor | None = None,
        *,
        reduction: Reduction = "mean",
        pos_weight: Tensor | None = None,
    ) -> None:
        super().__init__(reduction, weight=weight, pos_weight=pos_weight)

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        """Two tensors of one shape -> ()."""
        return F.binary_cross_entropy_with_logits(
            input,
            target,
            self.weight,
            reduction=self.reduction,
            pos_weight=self.pos_weight,
            label=self._label(input=input, target=target),
        )
