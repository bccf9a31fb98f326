"""Convolution."""

from __future__ import annotations

from typing import Literal

from numpy.typing import DTypeLike

from gradproof.runtime import functional as F
from gradproof.runtime.arguments import float_dtype, integer, pair
from gradproof.runtime.errors import ShapeError
from gradproof.runtime.nn.init import fan_in, kaiming_uniform
from gradproof.runtime.nn.module import Module
from gradproof.runtime.tensor import Parameter, Tensor

Size = int | tuple[int, int]
# of zeros: (height, width), or ((top, bottom), (left, right))
Padding = Size | tuple[tuple[int, int], tuple[int, int]] | Literal["valid", "same"]


class Conv2d(Module):
    """Cross-correlation of images with `out_channels` kernels, plus a bias for each.

    Shapes: input (N, in_channels, H, W); output (N, out_channels, H', W') with
    H' = floor((H + padding_top + padding_bottom - dilation (kernel_size - 1) - 1) / stride) + 1;
    weight (out_channels, in_channels/groups, kH, kW); bias (out_channels,) or None.
    padding: of zeros, for both axes, for each, or ((top, bottom), (left, right)); "valid" is 0,
    "same" keeps H and W and needs stride 1. dtype: float32 or float64.
    PyTorch: torch.nn.Conv2d, with padding_mode "zeros" only.

    Errors: ShapeError for sizes that are no integers in range or groups that do not divide the
    channels; DTypeError for another dtype; in calls, what `functional.conv2d` raises.

    >>> Conv2d(1, 6, 5, padding=2)
    Conv2d(1, 6, kernel_size=(5, 5), stride=(1, 1), padding=(2, 2))
    >>> Conv2d(3, 8, 3, groups=2)
    Traceback (most recent call last):
    gradproof.runtime.errors.ShapeError: Conv2d: groups=2 does not divide in_channels=3
    """

    weight: Parameter
    bias: Parameter | None

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Size,
        stride: Size = 1,
        padding: Padding = 0,
        dilation: Size = 1,
        groups: int = 1,
        bias: bool = True,
        *,
        dtype: DTypeLike = "float32",
    ) -> None:
        super().__init__()
        self.in_channels = integer("Conv2d", "in_channels", in_channels)
        self.out_channels = integer("Conv2d", "out_channels", out_channels)
        self.groups = integer("Conv2d", "groups", groups)
        for name, channels in (("in_channels", in_channels), ("out_channels", out_channels)):
            if channels % groups:
                raise ShapeError(f"Conv2d: groups={groups} does not divide {name}={channels}")
        self.kernel_size = pair("Conv2d", "kernel_size", kernel_size)
        self.stride = pair("Conv2d", "stride", stride)
        self.dilation = pair("Conv2d", "dilation", dilation)
        self.padding = _padding(padding, self.stride)
        kind = float_dtype("Conv2d", dtype)
        shape = (self.out_channels, self.in_channels // self.groups, *self.kernel_size)
        self.weight = Parameter(kaiming_uniform(shape, fan_in(shape), kind))
        start = kaiming_uniform(shape[:1], fan_in(shape), kind) if bias else None
        self.register_parameter("bias", None if start is None else Parameter(start))

    def forward(self, input: Tensor) -> Tensor:
        """(N, in_channels, H, W) -> (N, out_channels, H', W')."""
        return F.conv2d(
            input,
            self.weight,
            self.bias,
            self.stride,
            self.padding,
            self.dilation,
            self.groups,
            label=self._label(input=input),
        )

    def extra_repr(self) -> str:
        """As torch.nn.Conv2d."""
        shown = {
            "kernel_size": self.kernel_size,
            "stride": self.stride,
            "padding": None if self.padding == (0, 0) else self.padding,
            "dilation": None if self.dilation == (1, 1) else self.dilation,
            "groups": None if self.groups == 1 else self.groups,
            "bias": False if self.bias is None else None,
        }
        options = (f"{name}={value}" for name, value in shown.items() if value is not None)
        return f"{self.in_channels}, {self.out_channels}, " + ", ".join(options)


def _padding(padding: Padding, stride: tuple[int, int]) -> Padding:
    if isinstance(padding, str):
        if padding not in ("valid", "same"):
            raise ShapeError(f"Conv2d: padding={padding!r}, expected 'valid', 'same' or integers")
        if padding == "same" and stride != (1, 1):
            raise ShapeError(f"Conv2d: padding='same' needs stride 1, not {stride}")
        return padding
    if isinstance(padding, tuple | list) and any(isinstance(p, tuple | list) for p in padding):
        if len(padding) != 2 or not all(isinstance(p, tuple | list) for p in padding):
            raise ShapeError(
                f"Conv2d: padding={padding!r}, expected ((top, bottom), (left, right))"
            )
        vertical, horizontal = (pair("Conv2d", "padding", sides, least=0) for sides in padding)
        return vertical, horizontal
    return pair("Conv2d", "padding", padding, least=0)
