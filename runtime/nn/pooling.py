"""Pooling: one number from each window of an image."""

from __future__ import annotations

from gradproof.runtime import functional as F
from gradproof.runtime.arguments import pair
from gradproof.runtime.nn.module import Module
from gradproof.runtime.tensor import Tensor

Size = int | tuple[int, int]


class MaxPool2d(Module):
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

    def __init__(
        self,
        kernel_size: Size,
        stride: Size | None = None,
        padding: Size = 0,
        dilation: Size = 1,
        *,
        ceil_mode: bool = False,
    ) -> None:
        super().__init__()
        self.kernel_size = kernel_size
        self.stride = kernel_size if stride is None else stride
        self.padding, self.dilation, self.ceil_mode = padding, dilation, ceil_mode
        _check_sizes(self, "kernel_size", "stride", "dilation")

    def forward(self, input: Tensor) -> Tensor:
        """(N, C, H, W) -> (N, C, H', W')."""
        return F.max_pool2d(
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
        return (
            f"kernel_size={self.kernel_size}, stride={self.stride}, padding={self.padding},"
            f" dilation={self.dilation}, ceil_mode={self.ceil_mode}"
        )


class AvgPool2d(Module):
    """The mean of each window.

    Shapes: input (N, C, H, W), output (N, C, H', W') with
    H' = floor((H + 2 padding - kernel_size) / stride) + 1. stride: kernel_size by default.
    count_include_pad: whether the mean counts the padding's zeros. PyTorch: torch.nn.AvgPool2d,
    without `ceil_mode` and `divisor_override`.

    Errors: ShapeError for sizes that are no integers in range; in calls, what
    `functional.avg_pool2d` raises.

    >>> AvgPool2d(3, stride=2)
    AvgPool2d(kernel_size=3, stride=2, padding=0)
    """

    def __init__(
        self,
        kernel_size: Size,
        stride: Size | None = None,
        padding: Size = 0,
        *,
        count_include_pad: bool = True,
    ) -> None:
        super().__init__()
        self.kernel_size = kernel_size
        self.stride = kernel_size if stride is None else stride
        self.padding, self.count_include_pad = padding, count_include_pad
        _check_sizes(self, "kernel_size", "stride")

    def forward(self, input: Tensor) -> Tensor:
        """(N, C, H, W) -> (N, C, H', W')."""
        return F.avg_pool2d(
            input,
            self.kernel_size,
            self.stride,
            self.padding,
            self.count_include_pad,
            label=self._label(input=input),
        )

    def extra_repr(self) -> str:
        """As torch.nn.AvgPool2d."""
        return f"kernel_size={self.kernel_size}, stride={self.stride}, padding={self.padding}"


class AdaptiveAvgPool2d(Module):
    """The mean of each of `output_size` windows that together cover the image.

    Shapes: input (N, C, H, W), output (N, C, *output_size); window i of P covers rows
    floor(i H / P) to ceil((i + 1) H / P) - 1. PyTorch: torch.nn.AdaptiveAvgPool2d, without None
    in output_size.

    Errors: ShapeError for an output_size below 1; in calls, what
    `functional.adaptive_avg_pool2d` raises.

    >>> AdaptiveAvgPool2d((1, 1))
    AdaptiveAvgPool2d(output_size=(1, 1))
    """

    def __init__(self, output_size: Size) -> None:
        super().__init__()
        pair("AdaptiveAvgPool2d", "output_size", output_size)
        self.output_size = output_size

    def forward(self, input: Tensor) -> Tensor:
        """(N, C, H, W) -> (N, C, *output_size)."""
        return F.adaptive_avg_pool2d(input, self.output_size, label=self._label(input=input))

    def extra_repr(self) -> str:
        """As torch.nn.AdaptiveAvgPool2d."""
        return f"output_size={self.output_size}"


def _check_sizes(layer: MaxPool2d | AvgPool2d, *positive: str) -> None:
    """Check kernel_size, stride, …; half the kernel bounds the padding: no window lies in it."""
    kind = type(layer).__name__
    for name in positive:
        pair(kind, name, getattr(layer, name))
    pair(kind, "padding", layer.padding, least=0)
