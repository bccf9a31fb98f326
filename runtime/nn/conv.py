"""Convolution of signals, images and volumes."""

from __future__ import annotations

from typing import ClassVar

from numpy.typing import DTypeLike

from gradproof.runtime import functional as F
from gradproof.runtime.arguments import Extents, Padding, extents, float_dtype, integer, sides
from gradproof.runtime.errors import ArgumentError, ShapeError
from gradproof.runtime.nn.init import fan_in, kaiming_uniform
from gradproof.runtime.nn.module import Module
from gradproof.runtime.tensor import Parameter, Tensor


class Convolution(Module):
    """What all convolutions share, the transposed ones too: extents and initial values."""

    _axes: ClassVar[int]

    weight: Parameter
    bias: Parameter | None
    output_padding: tuple[int, ...] = ()

    def _configure(
        self,
        in_channels: int,
        out_channels: int,
        groups: int,
        kernel_size: Extents,
        stride: Extents,
        dilation: Extents,
    ) -> None:
        """Check what is given and keep it, the extents as one integer for each axis."""
        layer, axes = type(self).__name__, self._axes
        self.in_channels = integer(layer, "in_channels", in_channels)
        self.out_channels = integer(layer, "out_channels", out_channels)
        self.groups = integer(layer, "groups", groups)
        for name, channels in (("in_channels", in_channels), ("out_channels", out_channels)):
            if channels % groups:
                raise ShapeError(f"{layer}: groups={groups} does not divide {name}={channels}")
        self.kernel_size = extents(layer, "kernel_size", kernel_size, axes)
        self.stride = extents(layer, "stride", stride, axes)
        self.dilation = extents(layer, "dilation", dilation, axes)

    def _initialise(self, channels: tuple[int, int], bias: bool, dtype: DTypeLike) -> None:
        """Weight (*channels, *kernel_size) and bias, uniform within 1/√fan_in of 0."""
        layer = type(self).__name__
        kind = float_dtype(layer, dtype)
        shape = (*channels, *self.kernel_size)
        start = kaiming_uniform(shape, fan_in(shape), kind, label=f"{layer}: weight")
        self.weight = Parameter(start, label=f"{layer}: weight")
        self.register_parameter("bias", None)
        if bias:
            start = kaiming_uniform((self.out_channels,), fan_in(shape), kind)
            self.bias = Parameter(start, label=f"{layer}: bias")

    def _check_padding(self, padding: Padding) -> Padding:
        """`padding` as it is kept: a word, one integer for each axis, or two."""
        span = (0,) * self._axes  # only the form is checked
        around = sides(padding, span, self.stride, type(self).__name__, least=0)
        if isinstance(padding, str):
            return padding
        one_each = tuple(before for before, _ in around)
        two_each = isinstance(padding, tuple | list) and isinstance(padding[0], tuple | list)
        return around if two_each else one_each

    def extra_repr(self) -> str:
        """As torch.nn.Conv2d."""
        zeros, ones = (0,) * self._axes, (1,) * self._axes
        shown = {
            "kernel_size": self.kernel_size,
            "stride": self.stride,
            "padding": None if self.padding == zeros else self.padding,
            "dilation": None if self.dilation == ones else self.dilation,
            "output_padding": self.output_padding if any(self.output_padding) else None,
            "groups": None if self.groups == 1 else self.groups,
            "bias": False if self.bias is None else None,
        }
        options = (f"{name}={value}" for name, value in shown.items() if value is not None)
        return f"{self.in_channels}, {self.out_channels}, " + ", ".join(options)


class ConvNd(Convolution):
    """A convolution over `_axes` axes."""

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Extents,
        stride: Extents = 1,
        padding: Padding = 0,
        dilation: Extents = 1,
        groups: int = 1,
        bias: bool = True,
        padding_mode: str = "zeros",
        *,
        dtype: DTypeLike = "float32",
    ) -> None:
        super().__init__()
        if padding_mode != "zeros":
            raise ArgumentError(
                f"{type(self).__name__}: padding_mode={padding_mode!r}, expected 'zeros'; for "
                "another border put a layer that pads before this one, such as nn.ReflectionPad2d"
            )
        self._configure(in_channels, out_channels, groups, kernel_size, stride, dilation)
        self.padding = self._check_padding(padding)
        self._initialise((out_channels, in_channels // groups), bias, dtype)

    def forward(self, input: Tensor) -> Tensor:
        """(N, in_channels, *extents) -> (N, out_channels, *extents')."""
        convolve = {1: F.conv1d, 2: F.conv2d, 3: F.conv3d}[self._axes]
        return convolve(
            input,
            self.weight,
            self.bias,
            self.stride,
            self.padding,
            self.dilation,
            self.groups,
            label=self._label(input=input),
        )


class Conv2d(ConvNd):
    """Cross-correlation of images with `out_channels` kernels, plus a bias for each.

    Shapes: input (N, in_channels, H, W); output (N, out_channels, H', W') with
    H' = floor((H + padding_top + padding_bottom - dilation (kernel_size - 1) - 1) / stride) + 1;
    weight (out_channels, in_channels/groups, kH, kW); bias (out_channels,) or None.
    padding: of zeros, for both axes, for each, or ((top, bottom), (left, right)); "valid" is 0,
    "same" keeps H and W and needs stride 1. padding_mode: "zeros", for PyTorch's sake. dtype:
    float32 or float64. PyTorch: torch.nn.Conv2d, with padding_mode "zeros" only.

    Errors: ArgumentError for another padding_mode; ShapeError for sizes that are no integers in
    range or groups that do not divide the channels; DTypeError for another dtype; in calls, what
    `functional.conv2d` raises.

    >>> Conv2d(1, 6, 5, padding=2)
    Conv2d(1, 6, kernel_size=(5, 5), stride=(1, 1), padding=(2, 2))
    >>> Conv2d(3, 8, 3, groups=2)
    Traceback (most recent call last):
    gradproof.runtime.errors.ShapeError: Conv2d: groups=2 does not divide in_channels=3
    """

    _axes: ClassVar[int] = 2


class Conv1d(ConvNd):
    """As `Conv2d`, for signals. Shapes: input (N, in_channels, L), output (N, out_channels, L');
    weight (out_channels, in_channels/groups, kernel_size).

    padding: also ((before, after),). Errors: as `Conv2d`. PyTorch: torch.nn.Conv1d.

    >>> Conv1d(2, 4, 3, padding="same")
    Conv1d(2, 4, kernel_size=(3,), stride=(1,), padding=same)
    """

    _axes: ClassVar[int] = 1


class Conv3d(ConvNd):
    """As `Conv2d`, for volumes. Shapes: input (N, in_channels, D, H, W), output
    (N, out_channels, D', H', W'); weight (out_channels, in_channels/groups, kD, kH, kW).

    padding: also ((front, back), (top, bottom), (left, right)). Errors: as `Conv2d`.
    PyTorch: torch.nn.Conv3d.

    >>> Conv3d(1, 2, 3, stride=(1, 2, 2)).weight.shape
    (2, 1, 3, 3, 3)
    """

    _axes: ClassVar[int] = 3
