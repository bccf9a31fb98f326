"""Matrix products."""

from __future__ import annotations

import math

from gradproof.runtime.arguments import check_rank, check_tensor
from gradproof.runtime.autograd import apply
from gradproof.runtime.errors import ShapeError
from gradproof.runtime.manifest import operators
from gradproof.runtime.tensor import Tensor


def bmm(input: Tensor, mat2: Tensor, *, label: str = "bmm") -> Tensor:
    """One matrix product for each sample: (N, I, K) and (N, K, J) to (N, I, J). As torch.bmm.

    Errors: ShapeError for other numbers of dimensions or extents that do not fit; DTypeError.

    >>> import gradproof as gp
    >>> a = gp.tensor([[[1.0, 2.0]], [[3.0, 4.0]]])
    >>> gp.functional.bmm(a, gp.functional.transpose(a, 1, 2)).numpy().tolist()
    [[[5.0]], [[25.0]]]
    """
    check_rank(input, 3, "input", label)
    check_rank(mat2, 3, "mat2", label)
    return _product(input, mat2, label)


def matmul(input: Tensor, other: Tensor, *, label: str = "matmul") -> Tensor:
    """The matrix product of the last two dimensions: (..., I, K) and (..., K, J) to (..., I, J).

    The leading dimensions, if any, are equal. As torch.matmul, without vectors and without
    broadcasting: a matrix for all samples is `functional.linear`'s weight. Errors: as `bmm`.

    >>> import gradproof as gp
    >>> (gp.tensor([[1.0, 2.0]]) @ gp.tensor([[3.0], [4.0]])).numpy().tolist()
    [[11.0]]
    """
    check_tensor(input, "input", label)
    check_tensor(other, "other", label)
    if input.ndim != other.ndim or input.ndim < 2:
        raise ShapeError(
            f"{label}: shapes {input.shape} and {other.shape}, "
            "expected the same number of dimensions, at least 2; nothing is broadcast"
        )
    return _product(input, other, label)


def _product(a: Tensor, b: Tensor, label: str) -> Tensor:
    *batch, rows, inner = a.shape
    *others, inner_b, columns = b.shape
    if batch != others or inner != inner_b:
        raise ShapeError(
            f"{label}: shapes {a.shape} and {b.shape} do not multiply, "
            f"expected {(*batch, inner, columns)} for the second"
        )
    n = math.prod(batch)
    operands = {"A": a.reshape(n, rows, inner), "B": b.reshape(n, inner, columns)}
    out = apply(operators()["bmm"], operands, label=label)["z"]
    return out.reshape(*batch, rows, columns)
