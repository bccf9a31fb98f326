"""Normalisation of each sample by itself: over its last axes, groups of channels, neighbours."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import DTypeLike

from gradproof.runtime import functional as F
from gradproof.runtime.arguments import float_dtype, integer
from gradproof.runtime.errors import ShapeError
from gradproof.runtime.functional.layer_norm import check_strengths, normalized_extents
from gradproof.runtime.functional.norm import check_eps
from gradproof.runtime.nn.module import Module
from gradproof.runtime.tensor import Parameter, Tensor


class LayerNorm(Module):
    """(x - mean) / sqrt(variance + eps) · weight + bias, over the last axes.

    Shapes: input and output (*, *normalized_shape); weight and bias normalized_shape; without
    `elementwise_affine` weight is 1 and bias 0, without `bias` bias alone is.
    dtype: float32 or float64. Ba, Kiros and Hinton 2016. PyTorch: torch.nn.LayerNorm.

    Errors: ShapeError for a normalized_shape or eps out of range; DTypeError for another dtype; in
    calls, what `functional.layer_norm` raises.

    >>> LayerNorm((3, 4))
    LayerNorm((3, 4), eps=1e-05, elementwise_affine=True, bias=True)
    """

    weight: Parameter | None
    bias: Parameter | None

    def __init__(
        self,
        normalized_shape: int | Sequence[int],
        eps: float = 1e-5,
        elementwise_affine: bool = True,
        bias: bool = True,
        *,
        dtype: DTypeLike = "float32",
    ) -> None:
        super().__init__()
        self.normalized_shape = normalized_extents(normalized_shape, "LayerNorm")
        check_eps(eps, "LayerNorm")
        self.eps, self.elementwise_affine = eps, elementwise_affine
        parameters = (elementwise_affine, elementwise_affine and bias)
        _set_parameters(self, self.normalized_shape, parameters, dtype)

    def forward(self, input: Tensor) -> Tensor:
        """(*, *normalized_shape) -> the same shape."""
        label = self._label(input=input)
        return F.layer_norm(
            input, self.normalized_shape, self.weight, self.bias, self.eps, label=label
        )

    def extra_repr(self) -> str:
        """As torch.nn.LayerNorm."""
        return (
            f"{self.normalized_shape}, eps={self.eps}, "
            f"elementwise_affine={self.elementwise_affine}, bias={self.bias is not None}"
        )


class GroupNorm(Module):
    """(x - mean) / sqrt(variance + eps) · weight + bias, over groups of neighbouring channels.

    Shapes: input and output (N, num_channels, *); weight and bias (num_channels,); without `affine`
    weight is 1 and bias 0. dtype: float32 or float64. Wu and He, ECCV 2018.
    PyTorch: torch.nn.GroupNorm.

    Errors: ShapeError where num_groups does not divide num_channels, or eps is out of range;
    DTypeError for another dtype; in calls, what `functional.group_norm` raises.

    >>> GroupNorm(2, 6)
    GroupNorm(2, 6, eps=1e-05, affine=True)
    """

    weight: Parameter | None
    bias: Parameter | None

    def __init__(
        self,
        num_groups: int,
        num_channels: int,
        eps: float = 1e-5,
        affine: bool = True,
        *,
        dtype: DTypeLike = "float32",
    ) -> None:
        super().__init__()
        self.num_groups = integer("GroupNorm", "num_groups", num_groups)
        self.num_channels = integer("GroupNorm", "num_channels", num_channels)
        if num_channels % num_groups:
            raise ShapeError(
                f"GroupNorm: num_groups={num_groups} does not divide num_channels={num_channels}"
            )
        check_eps(eps, "GroupNorm")
        self.eps, self.affine = eps, affine
        _set_parameters(self, (self.num_channels,), (affine, affine), dtype)

    def forward(self, input: Tensor) -> Tensor:
        """(N, num_channels, *) -> the same shape."""
        label = self._label(input=input)
        if input.ndim < 2 or input.shape[1] != self.num_channels:
            raise ShapeError(
                f"{label}: input has shape {input.shape}, expected (N, {self.num_channels}, …)"
            )
        return F.group_norm(input, self.num_groups, self.weight, self.bias, self.eps, label=label)

    def extra_repr(self) -> str:
        """As torch.nn.GroupNorm."""
        return f"{self.num_groups}, {self.num_channels}, eps={self.eps}, affine={self.affine}"


class LocalResponseNorm(Module):
    """x / (k + alpha m)**beta, m the mean square of `size` neighbouring channels.

    Shapes: input and output (N, C, L), or with more axes; `functional.local_response_norm` tells
    which channels. Krizhevsky, Sutskever and Hinton, NeurIPS 2012. PyTorch:
    torch.nn.LocalResponseNorm.

    Errors: ShapeError for size below 1, negative alpha or k; in calls, for fewer dimensions.

    >>> LocalResponseNorm(5)
    LocalResponseNorm(5, alpha=0.0001, beta=0.75, k=1.0)
    """

    def __init__(self, size: int, alpha: float = 1e-4, beta: float = 0.75, k: float = 1.0) -> None:
        super().__init__()
        self.size = integer("LocalResponseNorm", "size", size)
        check_strengths(alpha, beta, k, "LocalResponseNorm")
        self.alpha, self.beta, self.k = alpha, beta, k

    def forward(self, input: Tensor) -> Tensor:
        """(N, C, L, …) -> the same shape."""
        label = self._label(input=input)
        return F.local_response_norm(input, self.size, self.alpha, self.beta, self.k, label=label)

    def extra_repr(self) -> str:
        """As torch.nn.LocalResponseNorm."""
        return f"{self.size}, alpha={self.alpha}, beta={self.beta}, k={self.k}"


def _set_parameters(
    layer: LayerNorm | GroupNorm,
    shape: tuple[int, ...],
    wanted: tuple[bool, bool],
    dtype: DTypeLike,
) -> None:
    """Weight 1 and bias 0 of `shape`, or None where not wanted."""
    kind = float_dtype(type(layer).__name__, dtype)
    starts = (np.ones(shape, kind), np.zeros(shape, kind))
    for name, start, present in zip(("weight", "bias"), starts, wanted, strict=True):
        layer.register_parameter(
            name, Parameter(start, label=f"{type(layer).__name__}: {name}") if present else None
        )
