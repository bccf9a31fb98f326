"""Pooling: one number from each window of a signal, an image or a volume.

The kernels pool images. A signal is an image of height 1, and a window over a volume is one over
height and width, and then one over depth: a maximum of maxima, or a mean of means, for every
window of an axis has as many elements wherever it lies along the others.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from gradproof.runtime.arguments import Extents, ceil_padding, check_rank, extents
from gradproof.runtime.autograd import apply
from gradproof.runtime.errors import ShapeError
from gradproof.runtime.functional.padding import pad
from gradproof.runtime.manifest import operators
from gradproof.runtime.tensor import Tensor

AXIS_NAMES = ("depth", "height", "width")


@dataclass(frozen=True)
class Window:
    """The windows along one axis; `more`: positions behind the padding, for a last window."""

    size: int = 1
    stride: int = 1
    padding: int = 0
    dilation: int = 1
    more: int = 0

    def sizes(self, axis: str, before: str, after: str) -> dict[str, int]:
        """The operators' sizes along an axis H or W, with the names of its two paddings."""
        mine = {f"K{axis}": self.size, f"S{axis}": self.stride}
        return mine | {before: self.padding, after: self.padding + self.more}


POINT = Window()
Pool = Callable[[Tensor, Window, Window], Tensor]  # of images


def max_pool(
    axes: int,
    input: Tensor,
    kernel_size: Extents,
    stride: Extents | None,
    padding: Extents,
    dilation: Extents,
    ceil_mode: bool,
    label: str,
) -> Tensor:
    """`max_pool2d` over the last 1 to 3 axes."""

    def pool(image: Tensor, high: Window, wide: Window) -> Tensor:
        sizes = high.sizes("H", "PT", "PB") | wide.sizes("W", "PL", "PR")
        sizes |= {"DH": high.dilation, "DW": wide.dilation}
        return apply(operators()["max_pool2d"], {"Y": image}, sizes, label=label)["z"]

    found = _windows(axes, input, kernel_size, stride, padding, dilation, ceil_mode, label)
    return _over_axes(input, found, pool)


def avg_pool(
    axes: int,
    input: Tensor,
    kernel_size: Extents,
    stride: Extents | None,
    padding: Extents,
    ceil_mode: bool,
    count_include_pad: bool,
    label: str,
) -> Tensor:
    """`avg_pool2d` over the last 1 to 3 axes."""

    def pool(image: Tensor, high: Window, wide: Window) -> Tensor:
        counted = count_include_pad
        if counted and (high.more or wide.more):
            # the padding counts, what lies behind it does not: it alone is left to the kernel
            around = (wide.padding, wide.padding, high.padding, high.padding)
            image, counted = pad(image, around, label=label), False
            high, wide = replace(high, padding=0), replace(wide, padding=0)
        sizes = high.sizes("H", "PT", "PB") | wide.sizes("W", "PL", "PR")
        name = "avg_pool2d" if counted else "avg_pool2d_valid"
        return apply(operators()[name], {"Y": image}, sizes, label=label)["z"]

    found = _windows(axes, input, kernel_size, stride, padding, 1, ceil_mode, label)
    if any(not 0 <= w.padding <= w.size // 2 for w in found):
        raise ShapeError(
            f"{label}: padding={padding} is more than half of kernel_size={kernel_size}, "
            "or negative"
        )
    return _over_axes(input, found, pool)


def adaptive_avg_pool(axes: int, input: Tensor, output_size: Extents, label: str) -> Tensor:
    """`adaptive_avg_pool2d` over the last 1 to 3 axes."""
    check_rank(input, axes + 2, "input", label)
    wanted = extents(label, "output_size", output_size, axes)

    def pool(image: Tensor, high: Window, wide: Window) -> Tensor:
        sizes = {"OH": high.size, "OW": wide.size}
        return apply(operators()["adaptive_avg_pool2d"], {"Y": image}, sizes, label=label)["z"]

    n, c, *shape = input.shape
    if axes < 3:
        return _over_axes(input, tuple(Window(size) for size in wanted), pool)
    depth, height, width = wanted
    slices = pool(input.reshape(n, c * shape[0], *shape[1:]), Window(height), Window(width))
    columns = slices.reshape(n, c, shape[0], height * width)
    return pool(columns, Window(depth), Window(height * width)).reshape(n, c, *wanted)


def _windows(
    axes: int,
    input: Tensor,
    kernel_size: Extents,
    stride: Extents | None,
    padding: Extents,
    dilation: Extents,
    ceil_mode: bool,
    label: str,
) -> tuple[Window, ...]:
    """The windows along each axis. Errors: ShapeError where one does not fit."""
    check_rank(input, axes + 2, "input", label)
    numbers = zip(
        AXIS_NAMES[-axes:],
        input.shape[2:],
        extents(label, "kernel_size", kernel_size, axes),
        extents(label, "stride", kernel_size if stride is None else stride, axes),
        extents(label, "padding", padding, axes, None),
        extents(label, "dilation", dilation, axes),
        strict=True,
    )
    found = []
    for axis, extent, k, s, p, d in numbers:
        more = ceil_padding(extent, k, s, p, d) if ceil_mode else 0
        if extent + 2 * p + more < d * (k - 1) + 1:
            raise ShapeError(
                f"{label}: a window of {d * (k - 1) + 1} elements is longer than the padded "
                f"{axis}, {extent + 2 * p} (input {input.shape}, kernel_size={kernel_size})"
            )
        found.append(Window(k, s, p, d, more))
    return tuple(found)


def _over_axes(input: Tensor, windows: tuple[Window, ...], pool: Pool) -> Tensor:
    """`pool`, which takes images, over the last one, two or three axes."""
    n, c, *shape = input.shape
    if len(windows) == 1:
        return pool(input.reshape(n, c, 1, *shape), POINT, *windows).reshape(n, c, -1)
    if len(windows) == 2:
        return pool(input, *windows)
    slices = pool(input.reshape(n, c * shape[0], *shape[1:]), *windows[1:])
    oh, ow = slices.shape[2:]
    columns = slices.reshape(n, c, shape[0], oh * ow)
    return pool(columns, windows[0], POINT).reshape(n, c, -1, oh, ow)
