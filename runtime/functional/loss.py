"""Losses that compare two tensors of one shape: from a batch to one number."""

from __future__ import annotations

from gradproof.runtime.arguments import check_tensor, divisor
from gradproof.runtime.autograd import apply
from gradproof.runtime.errors import ShapeError
from gradproof.runtime.manifest import operators
from gradproof.runtime.tensor import Tensor


def mse_loss(
    input: Tensor, target: Tensor, *, reduction: str = "mean", label: str = "mse_loss"
) -> Tensor:
    """Squared error, the mean over all elements or their sum, as torch.nn.functional.mse_loss.

    Two tensors of equal shape; returns a tensor without dimensions. Without reduction="none".
    Errors: ShapeError where the shapes differ: nothing is broadcast; ShapeError for another
    reduction; DTypeError.

    >>> import gradproof as gp
    >>> gp.functional.mse_loss(gp.tensor([1.0, 2.0]), gp.tensor([1.0, 4.0])).item()
    2.0
    """
    return _compare("mse", input, target, reduction, label)


def l1_loss(
    input: Tensor, target: Tensor, *, reduction: str = "mean", label: str = "l1_loss"
) -> Tensor:
    """Absolute error, the mean over all elements or their sum, as torch.nn.functional.l1_loss.

    Two tensors of equal shape; returns a tensor without dimensions. The derivative is 0 where
    both are equal. Errors: as `mse_loss`.

    >>> import gradproof as gp
    >>> gp.functional.l1_loss(gp.tensor([1.0, 2.0]), gp.tensor([1.0, 4.0])).item()
    1.0
    """
    return _compare("l1", input, target, reduction, label)


def binary_cross_entropy_with_logits(
    input: Tensor,
    target: Tensor,
    weight: Tensor | None = None,
    *,
    reduction: str = "mean",
    pos_weight: Tensor | None = None,
    label: str = "binary_cross_entropy_with_logits",
) -> Tensor:
    """-weight (pos_weight t log p + (1 - t) log(1 - p)) with p = sigmoid(input), t the target.

    input, target, weight: equal shapes, not empty; pos_weight: one number for each position of the
    last dimension, or one for all. Returns a tensor without dimensions. As
    torch.nn.functional.binary_cross_entropy_with_logits, without reduction="none". Errors:
    ShapeError: nothing else is broadcast; DTypeError.

    >>> import gradproof as gp
    >>> t = gp.tensor([0.0])
    >>> round(gp.functional.binary_cross_entropy_with_logits(t, t).item(), 4)
    0.6931
    """
    _check_equal(input, target, "target", label)
    if weight is not None:
        _check_equal(input, weight, "weight", label)
    last = input.shape[-1] if input.ndim else 1
    if pos_weight is not None:
        check_tensor(pos_weight, "pos_weight", label)
        last = 1 if pos_weight.size == 1 else last
        if pos_weight.shape not in ((), (1,), (last,)):
            raise ShapeError(
                f"{label}: pos_weight has shape {pos_weight.shape}, expected ({last},) "
                f"for input {input.shape}, or one number"
            )
    operands = {
        "a": input.reshape(-1, last),
        "t": target.reshape(-1, last),
        "w": None if weight is None else weight.reshape(-1, last),
        "v": None if pos_weight is None else pos_weight.reshape(last),
    }
    scalars = {"divisor": divisor(input.size, reduction, label)}
    return apply(operators()["bce_with_logits"], operands, {}, scalars, label=label)["loss"]


def _compare(operator: str, input: Tensor, target: Tensor, reduction: str, label: str) -> Tensor:
    _check_equal(input, target, "target", label)
    scalars = {"divisor": divisor(input.size, reduction, label)}
    operands = {"a": input.reshape(-1), "t": target.reshape(-1)}
    return apply(operators()[operator], operands, {}, scalars, label=label)["loss"]


def _check_equal(input: Tensor, other: Tensor, name: str, label: str) -> None:
    check_tensor(input, "input", label)
    check_tensor(other, name, label)
    if input.shape != other.shape:
        raise ShapeError(
            f"{label}: shapes {input.shape} and {other.shape} ({name}) differ; nothing is broadcast"
        )
