"""Pooling: one number from each window of a signal, an image or a volume."""

from __future__ import annotations

from typing import ClassVar

from gradproof.runtime import functional as F
from gradproof.runtime.arguments import Extents, extents
from gradproof.runtime.nn.module import Module
from gradproof.runtime.tensor import Tensor


class _Pool(Module):
    """What all windows share: kernel_size, stride and padding."""

    _axes: ClassVar[int]

    def _configure(self, kernel_size: Extents, stride: Extents | None, padding: Extents) -> None:
        """Check what is given and keep it as given; in calls, no window may lie in the padding."""
        self.kernel_size, self.padding = kernel_size, padding
        self.stride = kernel_size if stride is None else stride
        for name, least in (("kernel_size", 1), ("stride", 1), ("padding", 0)):
            extents(type(self).__name__, name, getattr(self, name), self._axes, least)

    def extra_repr(self) -> str:
        """As torch.nn.AvgPool2d."""
        return f"kernel_size={self.kernel_size}, stride={self.stride}, padding={self.padding}"


class _MaxPool(_Pool):
    def __init__(
        self,
        kernel_size: Extents,
        stride: Extents | None = None,
        padding: Extents = 0,
        dilation: Extents = 1,
        *,
        ceil_mode: bool = False,
    ) -> None:
        super().__init__()
        self._configure(kernel_size, stride, padding)
        extents(type(self).__name__, "dilation", dilation, self._axes)
        self.dilation, self.ceil_mode = dilation, ceil_mode

    def forward(self, input: Tensor) -> Tensor:
        """(N, C, *extents) -> (N, C, *extents')."""
        pool = {1: F.max_pool1d, 2: F.max_pool2d, 3: F.max_pool3d}[self._axes]
        return pool(
            input,
            self.kernel_size,
            self.stride,
            self.padding,
            self.dilation,
            self.ceil_mode,
            label=self._label(input=input),
        )

    def extra_repr(self) -> str:
        """As torch.nn.MaxPool2d."""
        return f"{super().extra_repr()}, dilation={self.dilation}, ceil_mode={self.ceil_mode}"


class MaxPool2d(_MaxPool):
    """The largest element of each window.

    Shapes: input (N, C, H, W), output (N, C, H', W') with
    H' = floor((H + 2 padding - dilation (kernel_size - 1) - 1) / stride) + 1, or with `ceil_mode`
    the ceiling, without windows that begin in the padding after the image. stride: kernel_size by
    default. Padding is never the maximum. PyTorch: torch.nn.MaxPool2d, without `return_indices`.

    Errors: ShapeError for sizes that are no integers in range; in calls, what
    `functional.max_pool2d` raises.

    >>> MaxPool2d(2)
    MaxPool2d(kernel_size=2, stride=2, padding=0, dilation=1, ceil_mode=False)
    """

    _axes: ClassVar[int] = 2


class MaxPool1d(_MaxPool):
    """As `MaxPool2d`, for signals. Shapes: input (N, C, L), output (N, C, L').

    Errors: as `MaxPool2d`. PyTorch: torch.nn.MaxPool1d, without `return_indices`.

    >>> MaxPool1d(3, stride=2)
    MaxPool1d(kernel_size=3, stride=2, padding=0, dilation=1, ceil_mode=False)
    """

    _axes: ClassVar[int] = 1


class MaxPool3d(_MaxPool):
    """As `MaxPool2d`, for volumes. Shapes: input (N, C, D, H, W), output (N, C, D', H', W').

    Errors: as `MaxPool2d`. PyTorch: torch.nn.MaxPool3d, without `return_indices`.

    >>> MaxPool3d((1, 2, 2))
    MaxPool3d(kernel_size=(1, 2, 2), stride=(1, 2, 2), padding=0, dilation=1, ceil_mode=False)
    """

    _axes: ClassVar[int] = 3


class _AvgPool(_Pool):
    def __init__(
        self,
        kernel_size: Extents,
        stride: Extents | None = None,
        padding: Extents = 0,
        ceil_mode: bool = False,
        count_include_pad: bool = True,
    ) -> None:
        super().__init__()
        self._configure(kernel_size, stride, padding)
        self.ceil_mode, self.count_include_pad = ceil_mode, count_include_pad

    def forward(self, input: Tensor) -> Tensor:
        """(N, C, *extents) -> (N, C, *extents')."""
        pool = {1: F.avg_pool1d, 2: F.avg_pool2d, 3: F.avg_pool3d}[self._axes]
        return pool(
            input,
            self.kernel_size,
            self.stride,
            self.padding,
            self.ceil_mode,
            self.count_include_pad,
            label=self._label(input=input),
        )


class AvgPool2d(_AvgPool):
    """The mean of each window.

    Shapes: input (N, C, H, W), output (N, C, H', W') with
    H' = floor((H + 2 padding - kernel_size) / stride) + 1, or with `ceil_mode` the ceiling, without
    windows that begin in the padding after the image. stride: kernel_size by default.
    count_include_pad: whether the mean counts the padding's zeros. PyTorch: torch.nn.AvgPool2d,
    without `divisor_override`.

    Errors: ShapeError for sizes that are no integers in range; in calls, what
    `functional.avg_pool2d` raises.

    >>> AvgPool2d(3, stride=2)
    AvgPool2d(kernel_size=3, stride=2, padding=0)
    """

    _axes: ClassVar[int] = 2


class AvgPool1d(_AvgPool):
    """As `AvgPool2d`, for signals. Shapes: input (N, C, L), output (N, C, L').

    Errors: as `AvgPool2d`. PyTorch: torch.nn.AvgPool1d.

    >>> AvgPool1d(4)
    AvgPool1d(kernel_size=4, stride=4, padding=0)
    """

    _axes: ClassVar[int] = 1


class AvgPool3d(_AvgPool):
    """As `AvgPool2d`, for volumes. Shapes: input (N, C, D, H, W), output (N, C, D', H', W').

    Errors: as `AvgPool2d`. PyTorch: torch.nn.AvgPool3d, without `divisor_override`.

    >>> AvgPool3d(2)
    AvgPool3d(kernel_size=2, stride=2, padding=0)
    """

    _axes: ClassVar[int] = 3


class _AdaptiveAvgPool(Module):
    _axes: ClassVar[int]

    def __init__(self, output_size: Extents) -> None:
        super().__init__()
        extents(type(self).__name__, "output_size", output_size, self._axes)
        self.output_size = output_size

    def forward(self, input: Tensor) -> Tensor:
        """(N, C, *extents) -> (N, C, *output_size)."""
        pools = {1: F.adaptive_avg_pool1d, 2: F.adaptive_avg_pool2d, 3: F.adaptive_avg_pool3d}
        return pools[self._axes](input, self.output_size, label=self._label(input=input))

    def extra_repr(self) -> str:
        """As torch.nn.AdaptiveAvgPool2d."""
        return f"output_size={self.output_size}"


class AdaptiveAvgPool2d(_AdaptiveAvgPool):
    """The mean of each of `output_size` windows that together cover the image.

    Shapes: input (N, C, H, W), output (N, C, *output_size); window i of P covers rows
    floor(i H / P) to ceil((i + 1) H / P) - 1. With output_size 1 it is global average pooling.
    PyTorch: torch.nn.AdaptiveAvgPool2d, without None in output_size.

    Errors: ShapeError for an output_size below 1; in calls, what
    `functional.adaptive_avg_pool2d` raises.

    >>> AdaptiveAvgPool2d((1, 1))
    AdaptiveAvgPool2d(output_size=(1, 1))
    """

    _axes: ClassVar[int] = 2


class AdaptiveAvgPool1d(_AdaptiveAvgPool):
    """As `AdaptiveAvgPool2d`, for signals. Shapes: input (N, C, L), output (N, C, output_size).

    Errors: as `AdaptiveAvgPool2d`. PyTorch: torch.nn.AdaptiveAvgPool1d.

    >>> AdaptiveAvgPool1d(3)
    AdaptiveAvgPool1d(output_size=3)
    """

    _axes: ClassVar[int] = 1


class AdaptiveAvgPool3d(_AdaptiveAvgPool):
    """As `AdaptiveAvgPool2d`, for volumes. Shapes: input (N, C, D, H, W), output
    (N, C, *output_size).

    Errors: as `AdaptiveAvgPool2d`. PyTorch: torch.nn.AdaptiveAvgPool3d, without None in
    output_size.

    >>> AdaptiveAvgPool3d(1)
    AdaptiveAvgPool3d(output_size=1)
    """

    _axes: ClassVar[int] = 3
