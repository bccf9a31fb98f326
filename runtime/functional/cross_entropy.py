"""Losses of classification: from logits or log-probabilities and labels to one number."""

from __future__ import annotations

from gradproof.runtime.arguments import check_tensor, divisor, integer, number
from gradproof.runtime.autograd import apply
from gradproof.runtime.errors import DTypeError, ShapeError
from gradproof.runtime.functional.rearrange import permute
from gradproof.runtime.manifest import operators
from gradproof.runtime.tensor import Tensor

IGNORE = -100  # PyTorch's label of a sample that does not count


def cross_entropy(
    input: Tensor,
    target: Tensor,
    weight: Tensor | None = None,
    *,
    ignore_index: int = IGNORE,
    reduction: str = "mean",
    label_smoothing: float = 0.0,
    label: str = "cross_entropy",
) -> Tensor:
    """Softmax with cross-entropy against labels, as torch.nn.functional.cross_entropy.

    input (N, C) logits and target (N,), int32 in 0..C-1 or ignore_index; also (C,) and (), and
    (N, C, d1, ...) and (N, d1, ...). weight (C,): of the classes; it gets no gradient. Returns a
    tensor without dimensions: the sum, or the mean, which divides by the weights of the labels that
    are not ignored, and is NaN where there is none. label_smoothing s: the target is 1 - s of the
    label and s/C of each class. Without probabilities as target and reduction="none".

    A recorded step in which no label was ignored takes none at its replays either, unless
    ignore_index, weight or label_smoothing was given.
    Errors: ShapeError, DTypeError; DataError names a label out of range.

    >>> import gradproof as gp
    >>> logits = gp.tensor([[0.0, 0.0], [5.0, -3.0]])
    >>> round(gp.functional.cross_entropy(logits, gp.tensor([1, -100])).item(), 4)
    0.6931
    """
    rows, labels = _by_class(input, target, label)
    scale = divisor(labels.size, reduction, label)
    smoothing = number(label_smoothing, "label_smoothing", label)
    if not 0.0 <= smoothing <= 1.0:
        raise ShapeError(f"{label}: label_smoothing={smoothing}, expected 0 to 1")
    ignore = integer(label, "ignore_index", ignore_index, -(2**31) + 1)
    plain = weight is None and smoothing == 0.0 and ignore == IGNORE
    if plain and not _occurs(ignore, labels):
        operands = {"a": rows, "t": labels}
        op = operators()["softmax_cross_entropy"]
        return apply(op, operands, {}, {"divisor": scale}, label=label)["loss"]
    more = {"smoothing": smoothing}
    return _weighted("cross_entropy", rows, labels, weight, ignore, reduction, label, more)


def nll_loss(
    input: Tensor,
    target: Tensor,
    weight: Tensor | None = None,
    *,
    ignore_index: int = IGNORE,
    reduction: str = "mean",
    label: str = "nll_loss",
) -> Tensor:
    """-weight[t] * input[t] for log-probabilities and labels t, as torch.nn.functional.nll_loss.

    Shapes, reduction, ignored labels and errors: as `cross_entropy`.

    >>> import gradproof as gp
    >>> gp.functional.nll_loss(gp.tensor([[-1.0, -2.0]]), gp.tensor([1])).item()
    2.0
    """
    rows, labels = _by_class(input, target, label)
    ignore = integer(label, "ignore_index", ignore_index, -(2**31) + 1)
    return _weighted("nll", rows, labels, weight, ignore, reduction, label, {})


def _by_class(input: Tensor, target: Tensor, label: str) -> tuple[Tensor, Tensor]:
    """Logits as (samples, C), labels as (samples,)."""
    check_tensor(input, "input", label)
    check_tensor(target, "target", label)
    if target.dtype.name != "int32":
        raise DTypeError(f"{label}: target has dtype {target.dtype}, expected int32 labels")
    if not input.ndim:
        raise ShapeError(f"{label}: input has no dimensions, expected (N, C)")
    samples = input.shape[:1] + input.shape[2:] if input.ndim > 1 else ()
    if target.shape != samples:
        raise ShapeError(
            f"{label}: input has shape {input.shape}, target {target.shape}, "
            f"expected {samples} labels"
        )
    if input.ndim > 2:
        input = permute(input, 0, *range(2, input.ndim), 1, label=label)
    return input.reshape(-1, input.shape[-1]), target.reshape(-1)


def _occurs(ignored: int, labels: Tensor) -> bool:
    """Whether the smallest label is the negative one that is ignored, as far as they are known."""
    known = labels.storage.extremes
    return known is not None and known.low == ignored


def _weighted(
    operator: str,
    rows: Tensor,
    labels: Tensor,
    weight: Tensor | None,
    ignore: int,
    reduction: str,
    label: str,
    scalars: dict[str, float],
) -> Tensor:
    divisor(labels.size, reduction, label)  # its check alone: the kernel sums the weights itself
    mean = 1.0 if reduction == "mean" else 0.0
    labels.limit_values(rows.shape[1], label, ignore)
    operands = {"a": rows, "t": labels, "w": weight}
    sizes, op = {"ignore": ignore}, operators()[operator]
    return apply(op, operands, sizes, scalars | {"mean": mean}, label=label)["loss"]
