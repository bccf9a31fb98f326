"""Convolution of signals, images and volumes."""

from __future__ import annotations

from gradproof.runtime.arguments import Extents, Padding, check_rank, extents, integer, sides
from gradproof.runtime.autograd import apply
from gradproof.runtime.errors import ShapeError
from gradproof.runtime.manifest import operators
from gradproof.runtime.tensor import Tensor

# What the operator of so many axes calls the stride, dilation and padding (before, after) of each.
NAMES = {
    1: (("S", "D", "PL", "PR"),),
    2: (("SH", "DH", "PT", "PB"), ("SW", "DW", "PL", "PR")),
    3: (("ST", "DT", "PF", "PK"), ("SH", "DH", "PT", "PB"), ("SW", "DW", "PL", "PR")),
}


def conv1d(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Extents = 1,
    padding: Padding = 0,
    dilation: Extents = 1,
    groups: int = 1,
    *,
    label: str = "conv1d",
) -> Tensor:
    """1-D convolution (correlation), as torch.nn.functional.conv1d.

    input (N, C, L); weight (O, C/groups, K); bias (O,) or None; returns (N, O, OL) with
    OL = floor((L + before + after - dilation*(K - 1) - 1)/stride) + 1.
    padding: an int, ((before, after),), "valid", or "same" at stride 1; negative values crop.
    Errors: ShapeError names `label` and both sizes. Left out: input without N.

    >>> import gradproof as gp
    >>> x, w = gp.tensor([[[1.0, 2.0, 3.0]]]), gp.tensor([[[1.0, 10.0]]])
    >>> gp.functional.conv1d(x, w).numpy().tolist()
    [[[21.0, 32.0]]]
    """
    return _conv(1, input, weight, bias, stride, padding, dilation, groups, label)


def conv2d(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Extents = 1,
    padding: Padding = 0,
    dilation: Extents = 1,
    groups: int = 1,
    *,
    label: str = "conv2d",
) -> Tensor:
    """2-D convolution (correlation), as torch.nn.functional.conv2d. The lecture's F1.

    input (N, C, H, W); weight (O, C/groups, KH, KW); bias (O,) or None; returns (N, O, OH, OW) with
    OH = floor((H + top + bottom - dilation*(KH - 1) - 1)/stride) + 1.
    padding: an int, (vertical, horizontal), ((top, bottom), (left, right)), "valid", or "same" at
    stride 1; negative values crop. Errors: ShapeError names `label` and both sizes.

    >>> import numpy as np, gradproof as gp
    >>> x, w = gp.tensor(np.ones((1, 1, 3, 3))), gp.tensor(np.ones((1, 1, 2, 2)))
    >>> gp.functional.conv2d(x, w).numpy()[0, 0].tolist()
    [[4.0, 4.0], [4.0, 4.0]]
    """
    return _conv(2, input, weight, bias, stride, padding, dilation, groups, label)


def conv3d(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Extents = 1,
    padding: Padding = 0,
    dilation: Extents = 1,
    groups: int = 1,
    *,
    label: str = "conv3d",
) -> Tensor:
    """3-D convolution (correlation), as torch.nn.functional.conv3d.

    input (N, C, D, H, W); weight (O, C/groups, KD, KH, KW); bias (O,) or None; returns
    (N, O, OD, OH, OW), each extent as in `conv2d`.
    padding: an int, one for each axis, ((front, back), (top, bottom), (left, right)), "valid", or
    "same" at stride 1; negative values crop. Errors: ShapeError names `label` and both sizes.
    Left out: input without N.

    >>> import numpy as np, gradproof as gp
    >>> x, w = gp.tensor(np.ones((1, 1, 3, 2, 2))), gp.tensor(np.ones((1, 1, 2, 2, 2)))
    >>> gp.functional.conv3d(x, w).numpy().ravel().tolist()
    [8.0, 8.0]
    """
    return _conv(3, input, weight, bias, stride, padding, dilation, groups, label)


def _conv(
    axes: int,
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    stride: Extents,
    padding: Padding,
    dilation: Extents,
    groups: int,
    label: str,
) -> Tensor:
    check_rank(input, axes + 2, "input", label)
    check_rank(weight, axes + 2, "weight", label)
    steps = extents(label, "stride", stride, axes)
    gaps = extents(label, "dilation", dilation, axes)
    groups = integer(label, "groups", groups)
    if weight.shape[0] % groups:
        raise ShapeError(f"{label}: groups={groups} does not divide {weight.shape[0]} out_channels")
    if input.shape[1] != weight.shape[1] * groups:
        raise ShapeError(
            f"{label}: input has {input.shape[1]} channels, expected {weight.shape[1] * groups} "
            f"(weight {weight.shape}, groups={groups})"
        )
    span = tuple(d * (k - 1) for d, k in zip(gaps, weight.shape[2:], strict=True))
    around = sides(padding, span, steps, label)
    sizes = {"G": groups}
    for names, s, d, (before, after) in zip(NAMES[axes], steps, gaps, around, strict=True):
        sizes |= dict(zip(names, (s, d, before, after), strict=True))
    operands = {"Y": input, "w": weight, "b": bias}
    return apply(operators()[f"conv{axes}d"], operands, sizes, label=label)["z"]
