"""Transposed convolution of signals, images and volumes."""

from __future__ import annotations

from typing import ClassVar

from numpy.typing import DTypeLike

from gradproof.runtime import functional as F
from gradproof.runtime.arguments import Extents, Padding, check_rank, extents, sides
from gradproof.runtime.errors import ShapeError
from gradproof.runtime.functional.conv_transpose import check_output_padding
from gradproof.runtime.nn.conv import Convolution
from gradproof.runtime.tensor import Tensor


class _ConvTranspose(Convolution):
    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Extents,
        stride: Extents = 1,
        padding: Padding = 0,
        output_padding: Extents = 0,
        groups: int = 1,
        bias: bool = True,
        dilation: Extents = 1,
        *,
        dtype: DTypeLike = "float32",
    ) -> None:
        super().__init__()
        layer = type(self).__name__
        self._configure(in_channels, out_channels, groups, kernel_size, stride, dilation)
        if isinstance(padding, str):
            raise ShapeError(f"{layer}: padding={padding!r}, expected integers")
        self.padding = self._check_padding(padding)
        self.output_padding = extents(layer, "output_padding", output_padding, self._axes, least=0)
        check_output_padding(self.output_padding, self.stride, self.dilation, layer)
        self._initialise((in_channels, out_channels // groups), bias, dtype)

    def forward(self, input: Tensor, output_size: Extents | None = None) -> Tensor:
        """(N, in_channels, *extents) -> (N, out_channels, *extents').

        output_size: the extents' wanted, in place of the layer's output_padding.
        """
        label = self._label(input=input)
        convolve = {1: F.conv_transpose1d, 2: F.conv_transpose2d, 3: F.conv_transpose3d}[self._axes]
        return convolve(
            input,
            self.weight,
            self.bias,
            self.stride,
            self.padding,
            self._output_padding(input, output_size, label),
            self.groups,
            self.dilation,
            label=label,
        )

    def _output_padding(
        self, input: Tensor, output_size: Extents | None, label: str
    ) -> tuple[int, ...]:
        """What `output_size` adds to the least one. Errors: ShapeError where it is out of reach."""
        if output_size is None:
            return self.output_padding
        check_rank(input, self._axes + 2, "input", label)
        wanted = extents(label, "output_size", output_size, self._axes)
        span = tuple(d * (k - 1) for d, k in zip(self.dilation, self.kernel_size, strict=True))
        around = sides(self.padding, span, self.stride, label)
        more = []
        for k, extent in enumerate(input.shape[2:]):
            least = self.stride[k] * (extent - 1) + span[k] + 1 - sum(around[k])
            most = least + max(self.stride[k], self.dilation[k]) - 1
            if not least <= wanted[k] <= most:
                raise ShapeError(
                    f"{label}: output_size={output_size}, expected {least} to {most} along axis "
                    f"{k + 2} (input {input.shape})"
                )
            more.append(wanted[k] - least)
        return tuple(more)


class ConvTranspose2d(_ConvTranspose):
    """Each input pixel paints `out_channels` kernels into the output, `stride` pixels apart.

    The transpose of `Conv2d` as a linear map. Shapes: input (N, in_channels, H, W); output
    (N, out_channels, H', W') with
    H' = stride (H - 1) + dilation (kernel_size - 1) + 1 - crop_top - crop_bottom + output_padding;
    weight (in_channels, out_channels/groups, kH, kW); bias (out_channels,) or None.
    padding: what is cropped from the output, for both axes, for each, or
    ((top, bottom), (left, right)). output_padding: below the larger of stride and dilation.
    A call may name `output_size` instead. dtype: float32 or float64.
    PyTorch: torch.nn.ConvTranspose2d, without `padding_mode`.

    Errors: ShapeError for sizes that are no integers in range or groups that do not divide the
    channels; DTypeError for another dtype; in calls, what `functional.conv_transpose2d` raises.

    >>> ConvTranspose2d(8, 4, 3, stride=2, padding=1, output_padding=1)
    ConvTranspose2d(8, 4, kernel_size=(3, 3), stride=(2, 2), padding=(1, 1), output_padding=(1, 1))
    """

    _axes: ClassVar[int] = 2


class ConvTranspose1d(_ConvTranspose):
    """As `ConvTranspose2d`, for signals. Shapes: input (N, in_channels, L), output
    (N, out_channels, L'); weight (in_channels, out_channels/groups, kernel_size).

    padding: also ((before, after),). Errors: as `ConvTranspose2d`.
    PyTorch: torch.nn.ConvTranspose1d.

    >>> ConvTranspose1d(2, 4, 3, output_padding=1)
    Traceback (most recent call last):
    gradproof.runtime.errors.ShapeError: ConvTranspose1d: output_padding=1, expected less than \
stride 1 or dilation 1
    """

    _axes: ClassVar[int] = 1


class ConvTranspose3d(_ConvTranspose):
    """As `ConvTranspose2d`, for volumes. Shapes: input (N, in_channels, D, H, W), output
    (N, out_channels, D', H', W'); weight (in_channels, out_channels/groups, kD, kH, kW).

    padding: also ((front, back), (top, bottom), (left, right)). Errors: as `ConvTranspose2d`.
    PyTorch: torch.nn.ConvTranspose3d.

    >>> ConvTranspose3d(2, 4, (1, 2, 3)).weight.shape
    (2, 4, 1, 2, 3)
    """

    _axes: ClassVar[int] = 3
