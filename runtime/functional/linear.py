"""Products with a matrix of weights."""

from __future__ import annotations

from gradproof.runtime.arguments import check_rank, check_tensor
from gradproof.runtime.autograd import apply
from gradproof.runtime.errors import ShapeError
from gradproof.runtime.manifest import operators
from gradproof.runtime.tensor import Tensor


def linear(
    input: Tensor, weight: Tensor, bias: Tensor | None = None, *, label: str = "linear"
) -> Tensor:
    """input @ weight.T + bias, as torch.nn.functional.linear.

    input (..., in_features); weight (out_features, in_features); bias (out_features,) or None;
    returns (..., out_features). Errors: ShapeError names `label` and both numbers of features.

    >>> import gradproof as gp
    >>> gp.functional.linear(gp.tensor([[1.0, 2.0]]), gp.tensor([[3.0, 4.0]])).numpy().tolist()
    [[11.0]]
    """
    check_tensor(input, "input", label)
    check_rank(weight, 2, "weight", label)
    if not input.ndim:
        raise ShapeError(f"{label}: input has no dimensions, expected (..., in_features)")
    if input.shape[-1] != weight.shape[1]:
        raise ShapeError(
            f"{label}: input of shape {input.shape} has {input.shape[-1]} features, "
            f"expected {weight.shape[1]} (weight {weight.shape})"
        )
    rows = input if input.ndim == 2 else input.reshape(-1, input.shape[-1])
    out = apply(operators()["linear"], {"Y": rows, "w": weight, "b": bias}, label=label)["z"]
    return out if input.ndim == 2 else out.reshape(*input.shape[:-1], weight.shape[0])
