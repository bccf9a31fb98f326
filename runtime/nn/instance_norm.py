"""Instance normalisation."""

from __future__ import annotations

from typing import ClassVar

from numpy.typing import DTypeLike

from gradproof.runtime import functional as F
from gradproof.runtime.nn.norm import Norm
from gradproof.runtime.tensor import Tensor


class _InstanceNorm(Norm):
    momentum: float

    def __init__(
        self,
        num_features: int,
        eps: float = 1e-5,
        momentum: float = 0.1,
        affine: bool = False,
        track_running_stats: bool = False,
        *,
        dtype: DTypeLike = "float32",
    ) -> None:
        super().__init__(num_features, eps, momentum, affine, track_running_stats, dtype=dtype)

    def forward(self, input: Tensor) -> Tensor:
        """Normalise by the input itself, in evaluation by running statistics if there are any."""
        label = self._label(input=input)
        self._check(input, label)
        return F.instance_norm(
            input,
            self.running_mean,
            self.running_var,
            self.weight,
            self.bias,
            self.training or self.running_mean is None,
            self.momentum,
            self.eps,
            label=label,
        )


class InstanceNorm1d(_InstanceNorm):
    """(x - mean) / sqrt(variance + eps) · weight + bias, for each channel of each sample.

    Shapes: input and output (N, C, L); weight, bias, running_mean and running_var (C,).
    With `affine` weight and bias are parameters, else 1 and 0. With `track_running_stats` running
    statistics move by `momentum` towards the samples' mean statistics in training and normalise in
    evaluation. dtype: float32 or float64. Ulyanov, Vedaldi and Lempitsky 2016.
    PyTorch: torch.nn.InstanceNorm1d, without input (C, L); num_batches_tracked stays 0 there too.

    Errors: ShapeError for another number of dimensions or channels or for channels of one element,
    DTypeError for another dtype, GradproofError for eps or momentum out of range.

    >>> InstanceNorm1d(3)
    InstanceNorm1d(3, eps=1e-05, momentum=0.1, affine=False, track_running_stats=False)
    """

    _inputs: ClassVar[dict[int, str]] = {3: "(N, C, L)"}


class InstanceNorm2d(_InstanceNorm):
    """As `InstanceNorm1d`, for images. Shapes: input and output (N, C, H, W).

    Errors: as `InstanceNorm1d`. PyTorch: torch.nn.InstanceNorm2d.

    >>> list(InstanceNorm2d(3, affine=True).state_dict())
    ['weight', 'bias']
    """

    _inputs: ClassVar[dict[int, str]] = {4: "(N, C, H, W)"}


class InstanceNorm3d(_InstanceNorm):
    """As `InstanceNorm1d`, for volumes. Shapes: input and output (N, C, D, H, W).

    Errors: as `InstanceNorm1d`. PyTorch: torch.nn.InstanceNorm3d.

    >>> list(InstanceNorm3d(3).parameters())
    []
    """

    _inputs: ClassVar[dict[int, str]] = {5: "(N, C, D, H, W)"}
