"""Layers that change the size of images."""

from __future__ import annotations

from gradproof.runtime import functional as F
from gradproof.runtime.arguments import Extents
from gradproof.runtime.errors import ShapeError
from gradproof.runtime.functional.resize import Scale, check_mode
from gradproof.runtime.nn.module import Module
from gradproof.runtime.tensor import Tensor


class Upsample(Module):
    """Signals, images or volumes of the extents `size`, or `scale_factor` times as large.

    Shapes: input (N, C, L), (N, C, H, W) or (N, C, D, H, W), output with other extents.
    mode: "nearest", "linear", "bilinear" or "trilinear"; `functional.interpolate` says what each
    computes. PyTorch: torch.nn.Upsample, without mode "bicubic".

    Errors: ShapeError unless exactly one of size and scale_factor is given, and for another mode;
    in calls, what `functional.interpolate` raises.

    >>> Upsample(scale_factor=2)
    Upsample(scale_factor=2, mode='nearest')
    """

    def __init__(
        self,
        size: Extents | None = None,
        scale_factor: Scale | None = None,
        mode: str = "nearest",
        align_corners: bool | None = None,
        recompute_scale_factor: bool | None = None,
    ) -> None:
        super().__init__()
        layer = type(self).__name__
        if (size is None) == (scale_factor is None):
            raise ShapeError(
                f"{layer}: size={size}, scale_factor={scale_factor}, expected one of them"
            )
        check_mode(mode, align_corners, layer)
        self.size = size
        self.scale_factor = scale_factor
        self.mode, self.align_corners = mode, align_corners
        self.recompute_scale_factor = recompute_scale_factor

    def forward(self, input: Tensor) -> Tensor:
        """(N, C, *extents) -> (N, C, *extents')."""
        return F.interpolate(
            input,
            self.size,
            self.scale_factor,
            self.mode,
            self.align_corners,
            self.recompute_scale_factor,
            label=self._label(input=input),
        )

    def extra_repr(self) -> str:
        """As torch.nn.Upsample."""
        given = "size" if self.scale_factor is None else "scale_factor"
        return f"{given}={getattr(self, given)}, mode={self.mode!r}"


class UpsamplingNearest2d(Upsample):
    """`Upsample` of images with mode "nearest". PyTorch: torch.nn.UpsamplingNearest2d.

    >>> UpsamplingNearest2d(size=(4, 6))
    UpsamplingNearest2d(size=(4, 6), mode='nearest')
    """

    def __init__(self, size: Extents | None = None, scale_factor: Scale | None = None) -> None:
        super().__init__(size, scale_factor)


class UpsamplingBilinear2d(Upsample):
    """`Upsample` of images with mode "bilinear" and the corners on each other.

    PyTorch: torch.nn.UpsamplingBilinear2d.

    >>> import gradproof as gp
    >>> UpsamplingBilinear2d((1, 3))(gp.tensor([[[[1.0, 3.0]]]])).numpy().tolist()
    [[[[1.0, 2.0, 3.0]]]]
    """

    def __init__(self, size: Extents | None = None, scale_factor: Scale | None = None) -> None:
        super().__init__(size, scale_factor, mode="bilinear", align_corners=True)
