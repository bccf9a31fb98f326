"""Pooling of signals, images and volumes."""

from __future__ import annotations

from gradproof.runtime.arguments import Extents
from gradproof.runtime.functional.windows import adaptive_avg_pool, avg_pool, max_pool
from gradproof.runtime.tensor import Tensor


def max_pool1d(
    input: Tensor,
    kernel_size: Extents,
    stride: Extents | None = None,
    padding: Extents = 0,
    dilation: Extents = 1,
    ceil_mode: bool = False,
    *,
    label: str = "max_pool1d",
) -> Tensor:
    """Maximum over windows of a signal (N, C, L), as torch.nn.functional.max_pool1d.

    Further: as `max_pool2d`.

    >>> import gradproof as gp
    >>> gp.functional.max_pool1d(gp.tensor([[[1.0, 3.0, 2.0]]]), 2, stride=1).numpy().tolist()
    [[[3.0, 3.0]]]
    """
    return max_pool(1, input, kernel_size, stride, padding, dilation, ceil_mode, label)


def max_pool2d(
    input: Tensor,
    kernel_size: Extents,
    stride: Extents | None = None,
    padding: Extents = 0,
    dilation: Extents = 1,
    ceil_mode: bool = False,
    *,
    label: str = "max_pool2d",
) -> Tensor:
    """Maximum over windows, as torch.nn.functional.max_pool2d; padding is never chosen.

    input (N, C, H, W); stride defaults to kernel_size. The first maximum in row-major order gets
    the gradient; NaN counts as the maximum. Errors: ShapeError names `label`, also where a window
    would hold padding alone. Left out: return_indices, input without N.

    >>> import numpy as np, gradproof as gp
    >>> x = gp.tensor(np.arange(16.0).reshape(1, 1, 4, 4))
    >>> gp.functional.max_pool2d(x, 2).numpy()[0, 0].tolist()
    [[5.0, 7.0], [13.0, 15.0]]
    """
    return max_pool(2, input, kernel_size, stride, padding, dilation, ceil_mode, label)


def max_pool3d(
    input: Tensor,
    kernel_size: Extents,
    stride: Extents | None = None,
    padding: Extents = 0,
    dilation: Extents = 1,
    ceil_mode: bool = False,
    *,
    label: str = "max_pool3d",
) -> Tensor:
    """Maximum over windows of a volume (N, C, D, H, W), as torch.nn.functional.max_pool3d.

    Further: as `max_pool2d`.

    >>> import numpy as np, gradproof as gp
    >>> x = gp.tensor(np.arange(8.0).reshape(1, 1, 2, 2, 2))
    >>> gp.functional.max_pool3d(x, (1, 2, 2)).numpy().ravel().tolist()
    [3.0, 7.0]
    """
    return max_pool(3, input, kernel_size, stride, padding, dilation, ceil_mode, label)


def avg_pool1d(
    input: Tensor,
    kernel_size: Extents,
    stride: Extents | None = None,
    padding: Extents = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    *,
    label: str = "avg_pool1d",
) -> Tensor:
    """Mean over windows of a signal (N, C, L), as torch.nn.functional.avg_pool1d.

    Further: as `avg_pool2d`.

    >>> import gradproof as gp
    >>> x = gp.tensor([[[4.0, 2.0, 6.0]]])
    >>> gp.functional.avg_pool1d(x, 2, padding=1).numpy().tolist()
    [[[2.0, 4.0]]]
    >>> gp.functional.avg_pool1d(x, 2, padding=1, count_include_pad=False).numpy().tolist()
    [[[4.0, 4.0]]]
    """
    return avg_pool(1, input, kernel_size, stride, padding, ceil_mode, count_include_pad, label)


def avg_pool2d(
    input: Tensor,
    kernel_size: Extents,
    stride: Extents | None = None,
    padding: Extents = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    *,
    label: str = "avg_pool2d",
) -> Tensor:
    """Mean over windows, as torch.nn.functional.avg_pool2d.

    input (N, C, H, W); stride defaults to kernel_size. ceil_mode: one window more where a last one
    would start inside the image. count_include_pad: divide by the number of the window's elements
    in the padded image, or else in the image. Errors: ShapeError names `label`.
    Left out: divisor_override, input without N.

    >>> import numpy as np, gradproof as gp
    >>> x = gp.tensor(np.arange(16.0).reshape(1, 1, 4, 4))
    >>> gp.functional.avg_pool2d(x, 2).numpy()[0, 0].tolist()
    [[2.5, 4.5], [10.5, 12.5]]
    """
    return avg_pool(2, input, kernel_size, stride, padding, ceil_mode, count_include_pad, label)


def avg_pool3d(
    input: Tensor,
    kernel_size: Extents,
    stride: Extents | None = None,
    padding: Extents = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    *,
    label: str = "avg_pool3d",
) -> Tensor:
    """Mean over windows of a volume (N, C, D, H, W), as torch.nn.functional.avg_pool3d.

    Further: as `avg_pool2d`.

    >>> import numpy as np, gradproof as gp
    >>> x = gp.tensor(np.arange(8.0).reshape(1, 1, 2, 2, 2))
    >>> gp.functional.avg_pool3d(x, 2).numpy().item()
    3.5
    """
    return avg_pool(3, input, kernel_size, stride, padding, ceil_mode, count_include_pad, label)


def adaptive_avg_pool1d(
    input: Tensor, output_size: Extents, *, label: str = "adaptive_avg_pool1d"
) -> Tensor:
    """Mean over output_size windows that cover a signal (N, C, L), as torch.nn.functional has it.

    Further: as `adaptive_avg_pool2d`.

    >>> import gradproof as gp
    >>> x = gp.tensor([[[1.0, 2.0, 3.0]]])
    >>> gp.functional.adaptive_avg_pool1d(x, 2).numpy().tolist()
    [[[1.5, 2.5]]]
    """
    return adaptive_avg_pool(1, input, output_size, label)


def adaptive_avg_pool2d(
    input: Tensor, output_size: Extents, *, label: str = "adaptive_avg_pool2d"
) -> Tensor:
    """Mean over output_size windows that cover the image, as torch.nn.functional has it.

    input (N, C, H, W); returns (N, C, *output_size); window i of P covers the rows from
    floor(i H / P) to ceil((i + 1) H / P) - 1. With output_size 1: the mean of each channel, global
    average pooling. Errors: ShapeError names `label`. Left out: None in output_size, input
    without N.

    >>> import numpy as np, gradproof as gp
    >>> x = gp.tensor(np.arange(4.0).reshape(1, 1, 2, 2))
    >>> gp.functional.adaptive_avg_pool2d(x, 1).numpy().item()
    1.5
    """
    return adaptive_avg_pool(2, input, output_size, label)


def adaptive_avg_pool3d(
    input: Tensor, output_size: Extents, *, label: str = "adaptive_avg_pool3d"
) -> Tensor:
    """Mean over output_size windows that cover a volume (N, C, D, H, W).

    Further: as `adaptive_avg_pool2d`. PyTorch: torch.nn.functional.adaptive_avg_pool3d.

    >>> import numpy as np, gradproof as gp
    >>> x = gp.tensor(np.arange(8.0).reshape(1, 1, 2, 2, 2))
    >>> gp.functional.adaptive_avg_pool3d(x, (2, 1, 1)).numpy().ravel().tolist()
    [1.5, 5.5]
    """
    return adaptive_avg_pool(3, input, output_size, label)
