"""What `Tensor` does by operators: arithmetic, indexing, and methods named as in PyTorch.

Each calls the function of `gradproof.runtime.functional` whose name it has; shapes and errors are
said there. The functions need Tensor, so they are imported when they are called.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

if TYPE_CHECKING:
    from gradproof.runtime.functional.indexing import Key
    from gradproof.runtime.functional.reduction import Maximum
    from gradproof.runtime.tensor import Tensor

    Operand: TypeAlias = Tensor | float
    Axes: TypeAlias = int | Sequence[int] | None

# `self` is a Tensor, for no other class has this one as its base; mypy wants a protocol for it.
# mypy: disable-error-code="misc"


class TensorMethods:
    """The part of `Tensor` that computes.

    Operators take two tensors of equal shapes, or a tensor and a number; nothing is broadcast, and
    none changes its operands: `t += 1` makes a new tensor.

    >>> import gradproof as gp
    >>> t = gp.tensor([[1.0, 2.0], [3.0, 4.0]])
    >>> (1 - t * t / 2).numpy().tolist()
    [[0.5, -1.0], [-3.5, -7.0]]
    >>> (t @ t)[0, ::2].numpy().tolist(), t.sum(dim=1).numpy().tolist()
    ([7.0], [3.0, 7.0])
    """

    __array_ufunc__ = None  # an array to the left of an operator leaves it to the tensor

    def __array__(
        self: Tensor, dtype: Any = None, copy: bool | None = None
    ) -> np.ndarray[Any, Any]:
        """For `numpy.asarray`: a copy on the host."""
        if copy is False:
            raise ValueError("a tensor's elements are copied to the host")
        return self.numpy().astype(dtype or self.dtype, copy=False)

    # -- arithmetic -----------------------------------------------------------------------------
    def __add__(self: Tensor, other: Operand) -> Tensor:
        from gradproof.runtime.functional import add

        return add(self, other)

    def __radd__(self: Tensor, other: float) -> Tensor:
        return self + other

    def __sub__(self: Tensor, other: Operand) -> Tensor:
        from gradproof.runtime.functional import sub

        return sub(self, other)

    def __rsub__(self: Tensor, other: float) -> Tensor:
        from gradproof.runtime.functional.arithmetic import affine

        return affine(self, -1.0, other, label="sub")

    def __mul__(self: Tensor, other: Operand) -> Tensor:
        from gradproof.runtime.functional import mul

        return mul(self, other)

    def __rmul__(self: Tensor, other: float) -> Tensor:
        return self * other

    def __truediv__(self: Tensor, other: Operand) -> Tensor:
        from gradproof.runtime.functional import div

        return div(self, other)

    def __rtruediv__(self: Tensor, other: float) -> Tensor:
        from gradproof.runtime.functional.arithmetic import reciprocal

        return reciprocal(self, other, label="div")

    def __neg__(self: Tensor) -> Tensor:
        from gradproof.runtime.functional import neg

        return neg(self)

    def __matmul__(self: Tensor, other: Tensor) -> Tensor:
        from gradproof.runtime.functional import matmul

        return matmul(self, other)

    def matmul(self: Tensor, other: Tensor) -> Tensor:
        """The matrix product; see `functional.matmul`."""
        return self @ other

    def bmm(self: Tensor, mat2: Tensor) -> Tensor:
        """The matrix product of each sample; see `functional.bmm`."""
        from gradproof.runtime.functional import bmm

        return bmm(self, mat2)

    # -- parts ----------------------------------------------------------------------------------
    def __getitem__(self: Tensor, key: Key | tuple[Key, ...]) -> Tensor:
        from gradproof.runtime.functional.indexing import index

        return index(self, key)

    def __iter__(self: Tensor) -> Iterator[Tensor]:
        return (self[k] for k in range(len(self)))

    # -- reductions -----------------------------------------------------------------------------
    def sum(self: Tensor, dim: Axes = None, keepdim: bool = False) -> Tensor:
        """The sum over some dimensions, or all; see `functional.sum`."""
        from gradproof.runtime.functional.reduction import sum

        return sum(self, dim, keepdim)

    def mean(self: Tensor, dim: Axes = None, keepdim: bool = False) -> Tensor:
        """The mean over some dimensions, or all; see `functional.mean`."""
        from gradproof.runtime.functional import mean

        return mean(self, dim, keepdim)

    def amax(self: Tensor, dim: Axes = None, keepdim: bool = False) -> Tensor:
        """The maximum over some dimensions, or all; see `functional.amax`."""
        from gradproof.runtime.functional import amax

        return amax(self, dim, keepdim)

    def max(self: Tensor, dim: int | None = None, keepdim: bool = False) -> Tensor | Maximum:
        """The maximum of all, or (values, indices) along one; see `functional.max`."""
        from gradproof.runtime.functional.reduction import max

        return max(self, dim, keepdim)

    def argmax(self: Tensor, dim: int | None = None, keepdim: bool = False) -> Tensor:
        """Where the first maximum is; see `functional.argmax`."""
        from gradproof.runtime.functional import argmax

        return argmax(self, dim, keepdim)

    # -- shapes ---------------------------------------------------------------------------------
    def transpose(self: Tensor, dim0: int, dim1: int) -> Tensor:
        """Two dimensions exchanged; see `functional.transpose`."""
        from gradproof.runtime.functional import transpose

        return transpose(self, dim0, dim1)

    def permute(self: Tensor, *dims: int | Sequence[int]) -> Tensor:
        """The dimensions in another order; see `functional.permute`."""
        from gradproof.runtime.functional import permute

        return permute(self, *dims)

    def unsqueeze(self: Tensor, dim: int) -> Tensor:
        """One more dimension, of extent 1; see `functional.unsqueeze`."""
        from gradproof.runtime.functional import unsqueeze

        return unsqueeze(self, dim)

    def squeeze(self: Tensor, dim: Axes = None) -> Tensor:
        """Without the dimensions of extent 1; see `functional.squeeze`."""
        from gradproof.runtime.functional import squeeze

        return squeeze(self, dim)

    # -- activations ----------------------------------------------------------------------------
    def relu(self: Tensor) -> Tensor:
        """max(self, 0)."""
        from gradproof.runtime.functional import relu

        return relu(self)

    def sigmoid(self: Tensor) -> Tensor:
        """1 / (1 + exp(-self))."""
        from gradproof.runtime.functional import sigmoid

        return sigmoid(self)

    def tanh(self: Tensor) -> Tensor:
        """The hyperbolic tangent."""
        from gradproof.runtime.functional import tanh

        return tanh(self)

    def softmax(self: Tensor, dim: int) -> Tensor:
        """Positive numbers whose sum along `dim` is 1; see `functional.softmax`."""
        from gradproof.runtime.functional import softmax

        return softmax(self, dim)

    def log_softmax(self: Tensor, dim: int) -> Tensor:
        """The logarithm of `softmax`."""
        from gradproof.runtime.functional import log_softmax

        return log_softmax(self, dim)
