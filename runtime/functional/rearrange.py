"""Operations that only move elements, or give the same ones another shape."""

from __future__ import annotations

import math
from collections.abc import Sequence

from gradproof.runtime.arguments import check_tensor
from gradproof.runtime.autograd import apply
from gradproof.runtime.errors import GradproofError, ShapeError
from gradproof.runtime.functional.shapes import axes, axis
from gradproof.runtime.manifest import operators
from gradproof.runtime.tensor import Tensor


def reshape(input: Tensor, shape: Sequence[int], *, label: str = "reshape") -> Tensor:
    """The same elements in another shape; one extent may be -1. Copies nothing. As torch.reshape.

    Errors: ShapeError where the numbers of elements differ.

    >>> import gradproof as gp
    >>> gp.functional.reshape(gp.tensor([[1.0, 2.0], [3.0, 4.0]]), (-1,)).shape
    (4,)
    """
    check_tensor(input, "input", label)
    try:
        return input.reshape(shape)
    except GradproofError as error:
        raise ShapeError(f"{label}: {error}") from None


def unsqueeze(input: Tensor, dim: int, *, label: str = "unsqueeze") -> Tensor:
    """One more dimension, of extent 1, before dimension `dim`. Copies nothing.

    dim: from -ndim - 1 to ndim. As torch.unsqueeze. Errors: ShapeError for a wrong `dim`.

    >>> import gradproof as gp
    >>> gp.functional.unsqueeze(gp.tensor([1.0, 2.0]), 1).shape
    (2, 1)
    """
    check_tensor(input, "input", label)
    k = axis(dim, (*input.shape, 1), label)
    return input.reshape(*input.shape[:k], 1, *input.shape[k:])


def squeeze(
    input: Tensor, dim: int | Sequence[int] | None = None, *, label: str = "squeeze"
) -> Tensor:
    """Without the dimensions `dim` whose extent is 1, of all by default. Copies nothing.

    As torch.squeeze. Errors: ShapeError for a wrong `dim`.

    >>> import gradproof as gp
    >>> gp.functional.squeeze(gp.tensor([[[1.0], [2.0]]])).shape
    (2,)
    """
    check_tensor(input, "input", label)
    dims = axes(dim, input.shape, label)
    return input.reshape([n for k, n in enumerate(input.shape) if n != 1 or k not in dims])


def transpose(input: Tensor, dim0: int, dim1: int, *, label: str = "transpose") -> Tensor:
    """Dimensions `dim0` and `dim1` exchanged. As torch.transpose, which is always a view.

    Copies where elements move, but not past extents of 1. Errors: ShapeError for a wrong dimension;
    DTypeError where integers would move.

    >>> import gradproof as gp
    >>> gp.functional.transpose(gp.tensor([[1.0, 2.0]]), 0, 1).numpy().tolist()
    [[1.0], [2.0]]
    """
    check_tensor(input, "input", label)
    a = axis(dim0, input.shape, label, "dim0")
    b = axis(dim1, input.shape, label, "dim1")
    dims = list(range(input.ndim))
    dims[a], dims[b] = b, a
    return _permuted(input, dims, label)


def permute(input: Tensor, *dims: int | Sequence[int], label: str = "permute") -> Tensor:
    """The dimensions in the order `dims`. As torch.permute, which is always a view.

    Copies where elements move, but not past extents of 1. Errors: ShapeError where `dims` does not
    name each dimension once; DTypeError where integers would move.

    >>> import numpy as np, gradproof as gp
    >>> gp.functional.permute(gp.tensor(np.zeros((2, 3, 4))), (1, 2, 0)).shape
    (3, 4, 2)
    """
    check_tensor(input, "input", label)
    given = dims[0] if len(dims) == 1 and isinstance(dims[0], tuple | list) else dims
    order = [axis(d, input.shape, label, "dims") for d in given]
    if sorted(order) != list(range(input.ndim)):
        raise ShapeError(
            f"{label}: dims={tuple(given)}, expected each dimension of {input.shape} once"
        )
    return _permuted(input, order, label)


def _permuted(t: Tensor, order: Sequence[int], label: str) -> Tensor:
    """Dimensions in another order, by as few exchanges of two as possible.

    Those of extent 1 do not count, and those that stay neighbours count as one.
    """
    shape = [t.shape[d] for d in order]
    blocks = _blocks([d for d in order if t.shape[d] != 1])
    lie = sorted(blocks)  # as they lie in memory, until they lie as `blocks`
    out = t
    for a, block in enumerate(blocks):
        b = lie.index(block)
        if a != b:
            out = _exchange(out, [math.prod(t.shape[d] for d in x) for x in lie], a, b, label)
            lie[a], lie[b] = lie[b], lie[a]
    return out.reshape(shape)


def _blocks(order: Sequence[int]) -> list[list[int]]:
    """Runs of dimensions that follow each other in `order` as they do when sorted.

    >>> _blocks([0, 2, 3, 1])
    [[0], [2, 3], [1]]
    """
    place = {d: k for k, d in enumerate(sorted(order))}
    blocks: list[list[int]] = []
    for d in order:
        if blocks and place[d] == place[blocks[-1][-1]] + 1:
            blocks[-1].append(d)
        else:
            blocks.append([d])
    return blocks


def _exchange(t: Tensor, extents: Sequence[int], a: int, b: int, label: str) -> Tensor:
    """Exchange dimensions a < b of `t`, whose extents are these; its shape is lost."""
    between, after = extents[a + 1 : b], extents[b + 1 :]
    five = (math.prod(extents[:a]), extents[a], math.prod(between), extents[b], math.prod(after))
    return apply(operators()["transpose"], {"Y": t.reshape(five)}, label=label)["z"]
