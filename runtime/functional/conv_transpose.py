"""Transposed convolution: what takes the output of a convolution back to its input's shape."""

from __future__ import annotations

from gradproof.runtime.arguments import Extents, Padding, check_rank, extents, integer, sides
from gradproof.runtime.autograd import apply
from gradproof.runtime.errors import ShapeError
from gradproof.runtime.manifest import operators
from gradproof.runtime.tensor import Tensor

# What the operators call stride, dilation, cropping (before, after) and output padding of an axis.
NAMES = (
    ("ST", "DT", "PF", "PK", "ET"),
    ("SH", "DH", "PT", "PB", "EH"),
    ("SW", "DW", "PL", "PR", "EW"),
)


def conv_transpose1d(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Extents = 1,
    padding: Padding = 0,
    output_padding: Extents = 0,
    groups: int = 1,
    dilation: Extents = 1,
    *,
    label: str = "conv_transpose1d",
) -> Tensor:
    """Transposed 1-D convolution, as torch.nn.functional.conv_transpose1d.

    input (N, C, L); weight (C, O/groups, K); bias (O,) or None; returns (N, O, OL) with
    OL = stride*(L - 1) + dilation*(K - 1) + 1 - before - after + output_padding.
    Further: as `conv_transpose2d`.

    >>> import gradproof as gp
    >>> x, w = gp.tensor([[[1.0, 2.0]]]), gp.tensor([[[1.0, 10.0, 100.0]]])
    >>> gp.functional.conv_transpose1d(x, w, stride=2).numpy().tolist()
    [[[1.0, 10.0, 102.0, 20.0, 200.0]]]
    """
    return _transposed(
        1, input, weight, bias, stride, padding, output_padding, groups, dilation, label
    )


def conv_transpose2d(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Extents = 1,
    padding: Padding = 0,
    output_padding: Extents = 0,
    groups: int = 1,
    dilation: Extents = 1,
    *,
    label: str = "conv_transpose2d",
) -> Tensor:
    """Transposed 2-D convolution, as torch.nn.functional.conv_transpose2d.

    input (N, C, H, W); weight (C, O/groups, KH, KW); bias (O,) or None; returns (N, O, OH, OW) with
    OH = stride*(H - 1) + dilation*(KH - 1) + 1 - top - bottom + output_padding.
    padding: what is cropped from the output: an int, (vertical, horizontal), or
    ((top, bottom), (left, right)). output_padding: below the larger of stride and dilation; it
    tells which of the input sizes of a convolution is meant, and adds no zeros.
    Errors: ShapeError names `label` and both sizes. Left out: input without N.

    >>> import numpy as np, gradproof as gp
    >>> x, w = gp.tensor(np.ones((1, 1, 2, 2))), gp.tensor(np.ones((1, 1, 2, 2)))
    >>> gp.functional.conv_transpose2d(x, w).numpy()[0, 0].tolist()
    [[1.0, 2.0, 1.0], [2.0, 4.0, 2.0], [1.0, 2.0, 1.0]]
    """
    return _transposed(
        2, input, weight, bias, stride, padding, output_padding, groups, dilation, label
    )


def conv_transpose3d(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Extents = 1,
    padding: Padding = 0,
    output_padding: Extents = 0,
    groups: int = 1,
    dilation: Extents = 1,
    *,
    label: str = "conv_transpose3d",
) -> Tensor:
    """Transposed 3-D convolution, as torch.nn.functional.conv_transpose3d.

    input (N, C, D, H, W); weight (C, O/groups, KD, KH, KW); bias (O,) or None; returns
    (N, O, OD, OH, OW). Further: as `conv_transpose2d`.

    >>> import numpy as np, gradproof as gp
    >>> x, w = gp.tensor(np.ones((1, 1, 1, 1, 2))), gp.tensor(np.ones((1, 1, 1, 1, 2)))
    >>> gp.functional.conv_transpose3d(x, w).numpy().ravel().tolist()
    [1.0, 2.0, 1.0]
    """
    return _transposed(
        3, input, weight, bias, stride, padding, output_padding, groups, dilation, label
    )


def _transposed(
    axes: int,
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    stride: Extents,
    padding: Padding,
    output_padding: Extents,
    groups: int,
    dilation: Extents,
    label: str,
) -> Tensor:
    check_rank(input, axes + 2, "input", label)
    check_rank(weight, axes + 2, "weight", label)
    steps = extents(label, "stride", stride, axes)
    gaps = extents(label, "dilation", dilation, axes)
    more = extents(label, "output_padding", output_padding, axes, least=0)
    check_output_padding(more, steps, gaps, label)
    groups = integer(label, "groups", groups)
    channels = input.shape[1]
    if channels % groups:
        raise ShapeError(f"{label}: groups={groups} does not divide {channels} input channels")
    if channels != weight.shape[0]:
        raise ShapeError(
            f"{label}: input has {channels} channels, expected {weight.shape[0]} "
            f"(weight {weight.shape})"
        )
    if isinstance(padding, str):
        raise ShapeError(f"{label}: padding={padding!r}, expected integers")
    span = tuple(d * (k - 1) for d, k in zip(gaps, weight.shape[2:], strict=True))
    around = sides(padding, span, steps, label, least=0)
    sizes = {"G": groups}
    for k, names in enumerate(NAMES[-axes:]):
        sizes |= dict(zip(names, (steps[k], gaps[k], *around[k], more[k]), strict=True))
    operands = {"Y": input, "w": weight, "b": bias}
    return apply(operators()[f"conv_transpose{axes}d"], operands, sizes, label=label)["z"]


def check_output_padding(
    more: tuple[int, ...], stride: tuple[int, ...], dilation: tuple[int, ...], label: str
) -> None:
    """Errors: ShapeError where an output padding reaches both the stride and the dilation."""
    for e, s, d in zip(more, stride, dilation, strict=True):
        if e >= max(s, d):
            raise ShapeError(
                f"{label}: output_padding={e}, expected less than stride {s} or dilation {d}"
            )
