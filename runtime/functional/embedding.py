"""Rows of a table, looked up by number."""

from __future__ import annotations

from gradproof.runtime.arguments import check_rank, check_tensor, whole
from gradproof.runtime.autograd import apply
from gradproof.runtime.errors import DTypeError, ShapeError
from gradproof.runtime.manifest import operators
from gradproof.runtime.tensor import Tensor


def embedding(
    input: Tensor, weight: Tensor, padding_idx: int | None = None, *, label: str = "embedding"
) -> Tensor:
    """weight[i] for each i in `input`, as torch.nn.functional.embedding.

    input: int32 of any shape, values 0..V-1; weight (V, K); returns (*input.shape, K).
    padding_idx: this row gets no gradient; negative ones count from the end. Without `max_norm`,
    `scale_grad_by_freq` and `sparse`. Errors: ShapeError; DTypeError for another type than int32;
    DataError names a value out of range.

    >>> import gradproof as gp
    >>> rows = gp.tensor([[1.0, 2.0], [3.0, 4.0]])
    >>> gp.functional.embedding(gp.tensor([1, 1, 0]), rows).numpy().tolist()
    [[3.0, 4.0], [3.0, 4.0], [1.0, 2.0]]
    """
    check_tensor(input, "input", label)
    check_rank(weight, 2, "weight", label)
    if input.dtype.name != "int32":
        raise DTypeError(f"{label}: input has dtype {input.dtype}, expected int32")
    name, sizes = "embedding", {}
    operands = {"w": weight, "t": input.reshape(-1)}
    if padding_idx is not None:
        name, sizes = "embedding_padding", {"padding": row(padding_idx, weight.shape[0], label)}
        operands["p"] = weight.detach()
    out = apply(operators()[name], operands, sizes, label=label)["z"]
    return out.reshape(*input.shape, weight.shape[1])


def row(padding_idx: object, rows: int, label: str) -> int:
    """`padding_idx` counted from 0. Errors: ShapeError where there is no such row.

    >>> row(-1, 10, "embedding")
    9
    """
    k = whole(padding_idx)
    if k is None or not -rows <= k < rows:
        raise ShapeError(
            f"{label}: padding_idx={padding_idx!r}, expected an integer from {-rows} to {rows - 1}"
        )
    return k % rows
