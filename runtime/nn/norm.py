"""Batch normalisation."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
from numpy.typing import DTypeLike, NDArray

from gradproof.runtime import functional as F
from gradproof.runtime.arguments import float_dtype, integer
from gradproof.runtime.dispatch import host_effect
from gradproof.runtime.errors import GradproofError, ShapeError
from gradproof.runtime.nn.module import Module
from gradproof.runtime.tensor import Parameter, Tensor, tensor


class Norm(Module):
    """What batch and instance normalisation share: parameters and running statistics."""

    _inputs: ClassVar[dict[int, str]]  # number of dimensions -> their names

    weight: Parameter | None
    bias: Parameter | None
    running_mean: Tensor | None
    running_var: Tensor | None
    num_batches_tracked: NDArray[np.int64] | None

    def __init__(
        self,
        num_features: int,
        eps: float = 1e-5,
        momentum: float | None = 0.1,
        affine: bool = True,
        track_running_stats: bool = True,
        *,
        dtype: DTypeLike = "float32",
    ) -> None:
        super().__init__()
        layer = type(self).__name__
        self.num_features = integer(layer, "num_features", num_features)
        if not eps >= 0:
            raise GradproofError(f"{layer}: eps={eps}, expected a number from 0")
        if momentum is not None and not 0 <= momentum <= 1:
            raise GradproofError(f"{layer}: momentum={momentum}, expected 0 to 1, or None")
        self.eps, self.momentum = eps, momentum
        self.affine, self.track_running_stats = affine, track_running_stats
        kind = float_dtype(layer, dtype)
        zeros, ones = np.zeros(self.num_features, kind), np.ones(self.num_features, kind)
        for name, start in (("weight", ones), ("bias", zeros)):
            own = Parameter(start, label=f"{layer}: {name}") if affine else None
            self.register_parameter(name, own)
        tracked = track_running_stats
        self.register_buffer("running_mean", tensor(zeros) if tracked else None)
        self.register_buffer("running_var", tensor(ones) if tracked else None)
        # on the host: no kernel reads it, and the state dict has it as int64
        self.register_buffer("num_batches_tracked", np.zeros((), np.int64) if tracked else None)

    def _check(self, input: Tensor, label: str) -> None:
        if input.ndim not in self._inputs:
            expected = " or ".join(self._inputs.values())
            raise ShapeError(
                f"{label}: input has {input.ndim} dimensions (shape {input.shape}),"
                f" expected {expected}"
            )
        if input.shape[1] != self.num_features:
            raise ShapeError(
                f"{label}: input of shape {input.shape} has {input.shape[1]} channels,"
                f" expected num_features={self.num_features}"
            )

    def extra_repr(self) -> str:
        """As torch.nn.BatchNorm2d."""
        return (
            f"{self.num_features}, eps={self.eps}, momentum={self.momentum},"
            f" affine={self.affine}, track_running_stats={self.track_running_stats}"
        )


class _BatchNorm(Norm):
    def forward(self, input: Tensor) -> Tensor:
        """Normalise: by the batch in training or without running statistics, else by those."""
        label = self._label(input=input)
        self._check(input, label)
        without = self.training and not self.track_running_stats
        output = F.batch_norm(
            input,
            None if without else self.running_mean,
            None if without else self.running_var,
            self.weight,
            self.bias,
            self.training or self.running_mean is None,
            self._cumulative if self.momentum is None else self.momentum,
            self.eps,
            label=label,
        )
        if self.training and self.track_running_stats:
            host_effect(self._count)  # also when a recorded step is replayed
        return output

    def _cumulative(self) -> float:
        """The weight of batch k in the average of k batches, 1/k; asked before it is counted."""
        return 1 / (int(self.num_batches_tracked or 0) + 1)

    def _count(self) -> None:
        count = self.num_batches_tracked
        if count is not None:
            count += 1  # in place: the registered array


class BatchNorm1d(_BatchNorm):
    """(x - mean) / sqrt(variance + eps) · weight + bias, for each channel C.

    Shapes: input and output (N, C) or (N, C, L); weight, bias, running_mean and running_var (C,).
    In training, mean and variance are the batch's, and running statistics move by `momentum`
    towards them (None: the average of all batches); in evaluation those are used. Without
    `track_running_stats` always the batch's are; without `affine` weight is 1 and bias 0.
    dtype: float32 or float64. Ioffe and Szegedy, ICML 2015. PyTorch: torch.nn.BatchNorm1d.

    Errors: ShapeError for another number of dimensions or channels, DTypeError for another
    dtype, GradproofError for eps or momentum out of range.

    >>> BatchNorm1d(3)
    BatchNorm1d(3, eps=1e-05, momentum=0.1, affine=True, track_running_stats=True)
    """

    _inputs: ClassVar[dict[int, str]] = {2: "(N, C)", 3: "(N, C, L)"}


class BatchNorm2d(_BatchNorm):
    """As `BatchNorm1d`, for images. Shapes: input and output (N, C, H, W).

    Errors: as `BatchNorm1d`. PyTorch: torch.nn.BatchNorm2d.

    >>> from gradproof.runtime.tensor import tensor
    >>> BatchNorm2d(3)(tensor([[1.0, 2.0, 3.0]]))
    Traceback (most recent call last):
    gradproof.runtime.errors.ShapeError: BatchNorm2d: input has 2 dimensions (shape (1, 3)), \
expected (N, C, H, W)
    """

    _inputs: ClassVar[dict[int, str]] = {4: "(N, C, H, W)"}


class BatchNorm3d(_BatchNorm):
    """As `BatchNorm1d`, for volumes. Shapes: input and output (N, C, D, H, W).

    Errors: as `BatchNorm1d`. PyTorch: torch.nn.BatchNorm3d.

    >>> BatchNorm3d(2, affine=False)
    BatchNorm3d(2, eps=1e-05, momentum=0.1, affine=False, track_running_stats=True)
    """

    _inputs: ClassVar[dict[int, str]] = {5: "(N, C, D, H, W)"}
