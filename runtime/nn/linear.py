"""Linear layers, the flattening before them, and the identity."""

from __future__ import annotations

import math
from collections.abc import Sequence

from numpy.typing import DTypeLike

from gradproof.runtime import functional as F
from gradproof.runtime.arguments import float_dtype, integer, whole
from gradproof.runtime.errors import ShapeError
from gradproof.runtime.nn.init import kaiming_uniform
from gradproof.runtime.nn.module import Module
from gradproof.runtime.tensor import Parameter, Tensor


class Linear(Module):
    """y = x Aᵀ + b.

    Shapes: input (..., in_features), output (..., out_features), weight A (out_features,
    in_features), bias b (out_features,) or None. dtype: float32 or float64.
    PyTorch: torch.nn.Linear.

    Errors: ShapeError for sizes below 1, DTypeError for another dtype; in calls, what
    `functional.linear` raises.

    >>> Linear(4, 2, bias=False)
    Linear(in_features=4, out_features=2, bias=False)
    """

    weight: Parameter
    bias: Parameter | None

    def __init__(
        self,
        in_features: int,
        out_features: int,
        bias: bool = True,
        *,
        dtype: DTypeLike = "float32",
    ) -> None:
        super().__init__()
        self.in_features = integer("Linear", "in_features", in_features)
        self.out_features = integer("Linear", "out_features", out_features)
        kind = float_dtype("Linear", dtype)
        shape = (self.out_features, self.in_features)
        start = kaiming_uniform(shape, self.in_features, kind, label="Linear: weight")
        self.weight = Parameter(start, label="Linear: weight")
        self.register_parameter("bias", None)
        if bias:
            start = kaiming_uniform(shape[:1], self.in_features, kind)
            self.bias = Parameter(start, label="Linear: bias")

    def forward(self, input: Tensor) -> Tensor:
        """(..., in_features) -> (..., out_features)."""
        return F.linear(input, self.weight, self.bias, label=self._label(input=input))

    def extra_repr(self) -> str:
        """As torch.nn.Linear."""
        return (
            f"in_features={self.in_features}, out_features={self.out_features},"
            f" bias={self.bias is not None}"
        )


class Identity(Module):
    """The input, unchanged; arguments are ignored. PyTorch: torch.nn.Identity.

    >>> from gradproof.runtime.tensor import tensor
    >>> Identity(54, unused=0.1)(tensor([1.0])).numpy()
    array([1.], dtype=float32)
    """

    def __init__(self, *args: object, **kwargs: object) -> None:
        super().__init__()

    def forward(self, input: Tensor) -> Tensor:
        """Give the input back."""
        self._label(input=input)
        return input


class Flatten(Module):
    """Merge the dimensions `start_dim` to `end_dim` into one; all but the first by default.

    Shapes: (N, C, H, W) -> (N, C·H·W). Copies nothing. PyTorch: torch.nn.Flatten.

    Errors: ShapeError for dimensions that the input does not have.

    >>> from gradproof.runtime.tensor import tensor
    >>> Flatten()(tensor([[[1.0, 2.0], [3.0, 4.0]]])).shape
    (1, 4)
    """

    def __init__(self, start_dim: int = 1, end_dim: int = -1) -> None:
        super().__init__()
        self.start_dim, self.end_dim = start_dim, end_dim

    def forward(self, input: Tensor) -> Tensor:
        """Merge the dimensions."""
        label = self._label(input=input)
        try:
            return input.flatten(self.start_dim, self.end_dim)
        except ShapeError as error:
            raise ShapeError(f"{label}: {error}") from error

    def extra_repr(self) -> str:
        """As torch.nn.Flatten."""
        return f"start_dim={self.start_dim}, end_dim={self.end_dim}"


class Unflatten(Module):
    """Split dimension `dim` into several; one of them may be -1, and follows from the others.

    Shapes: (N, C·H·W) -> (N, C, H, W) for dim=1. Copies nothing. PyTorch: torch.nn.Unflatten;
    names in place of numbers are left out. Errors: ShapeError for sizes that do not fit.

    >>> from gradproof.runtime.tensor import tensor
    >>> Unflatten(1, (2, -1))(tensor([[1.0, 2.0, 3.0, 4.0]])).shape
    (1, 2, 2)
    """

    def __init__(self, dim: int, unflattened_size: Sequence[int]) -> None:
        super().__init__()
        layer, sizes = type(self).__name__, unflattened_size
        found = [whole(n) for n in sizes] if isinstance(sizes, tuple | list) else []
        wrong = any(n is None or n < -1 for n in found) or found.count(-1) > 1
        if whole(dim) is None or not found or wrong:
            raise ShapeError(
                f"{layer}: dim={dim!r}, unflattened_size={sizes!r}, expected an integer and a "
                "tuple of sizes, one of which may be -1"
            )
        self.dim, self.unflattened_size = dim, tuple(sizes)

    def forward(self, input: Tensor) -> Tensor:
        """Split the dimension."""
        label, sizes, rank = self._label(input=input), self.unflattened_size, input.ndim
        if not -rank <= self.dim < rank:
            raise ShapeError(f"{label}: dim={self.dim}, but input has shape {input.shape}")
        at = self.dim % rank
        known = math.prod(n for n in sizes if n != -1)
        extent = input.shape[at]
        if not (known and extent % known == 0 if -1 in sizes else known == extent):
            raise ShapeError(
                f"{label}: dimension {self.dim} of input {input.shape} has {extent} elements, "
                f"which do not make {sizes}"
            )
        split = tuple(extent // known if n == -1 else n for n in sizes)
        return input.reshape(*input.shape[:at], *split, *input.shape[at + 1 :])

    def extra_repr(self) -> str:
        """As torch.nn.Unflatten."""
        return f"dim={self.dim}, unflattened_size={self.unflattened_size}"
