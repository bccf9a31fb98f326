"""Changes to a batch of images before training: other sizes, crops, flips, normalisation.

A transform takes images (N, C, H, W) and `Draws`, and gives new images; it leaves its input alone.
Names and options are those of torchvision.transforms; here they act on whole batches.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gradproof.runtime.arguments import integer, number, pair
from gradproof.runtime.data.affine import RandomAffine
from gradproof.runtime.data.draws import Draws
from gradproof.runtime.errors import ArgumentError, ShapeError

__all__ = [
    "Compose",
    "Normalize",
    "RandomAffine",
    "RandomCrop",
    "RandomHorizontalFlip",
    "Resize",
    "Transform",
    "channel_statistics",
]

Images = NDArray[np.float32]
Transform = Callable[[Images, Draws], Images]


@dataclass(frozen=True)
class Compose:
    """Transforms one after the other.

    >>> both = Compose([RandomHorizontalFlip(1.0), Normalize([0.5], [0.5])])
    >>> both(np.array([[[[0.0, 1.0]]]], np.float32), Draws(1, [0])).tolist()
    [[[[1.0, -1.0]]]]
    """

    transforms: Sequence[Transform]

    def __call__(self, images: Images, draws: Draws) -> Images:
        """(N, C, H, W) -> (N, C, H', W')."""
        for transform in self.transforms:
            images = transform(images, draws)
        return images


class Resize:
    """Images of `size` x `size` pixels, or (height, width), by bilinear interpolation.

    Each axis has weights of its own: output pixel i lies at c = (i + 1/2) n / size - 1/2 of the n
    input pixels and is the mean of pixels j weighed by max(0, 1 - |j - c| / s), s = max(1, n/size):
    a smaller image averages what it leaves out. PyTorch: torchvision.transforms.Resize, and
    torch.nn.functional.interpolate(mode="bilinear", antialias=True). Unlike torchvision's, a
    single number is the size of both axes. Errors: ShapeError for a size below 1.

    >>> edge = np.array([[[[0.0, 1.0], [0.0, 1.0]]]], np.float32)
    >>> Resize(4)(edge, Draws(1, [0]))[0, 0, 0].tolist()
    [0.0, 0.25, 0.75, 1.0]
    """

    def __init__(self, size: int | tuple[int, int]) -> None:
        self.size = pair("Resize", "size", size)

    def __call__(self, images: Images, draws: Draws) -> Images:
        """(N, C, H, W) -> (N, C, *size)."""
        rows, columns = (_axis(n, m) for n, m in zip(images.shape[2:], self.size, strict=True))
        return np.ascontiguousarray(rows @ images @ columns.T)

    def __repr__(self) -> str:
        return f"Resize({self.size})"


class RandomCrop:
    """A window of `size` x `size` at a random place of each image with a border of `padding` zeros.

    Errors: ShapeError for a size below 1, a padding below 0, or a window larger than the padded
    image. He et al., CVPR 2016, section 4.2, train with 4 zeros around 32 x 32.
    """

    def __init__(self, size: int, padding: int = 0) -> None:
        self.size = integer("RandomCrop", "size", size)
        if padding:
            integer("RandomCrop", "padding", padding)
        self.padding = padding

    def __call__(self, images: Images, draws: Draws) -> Images:
        """(N, C, H, W) -> (N, C, size, size)."""
        p, size = self.padding, self.size
        _, _, height, width = images.shape
        rows, columns = height + 2 * p - size + 1, width + 2 * p - size + 1
        if rows < 1 or columns < 1:
            raise ShapeError(
                f"RandomCrop: images are {height} x {width} with {p} around,"
                f" expected at least size={size}"
            )
        padded = np.pad(images, ((0, 0), (0, 0), (p, p), (p, p)))
        windows = np.lib.stride_tricks.sliding_window_view(padded, (size, size), axis=(2, 3))
        tops, lefts = draws.integers(rows), draws.integers(columns)
        chosen: Images = windows[np.arange(len(images)), :, tops, lefts]
        return chosen

    def __repr__(self) -> str:
        return f"RandomCrop({self.size}, padding={self.padding})"


class RandomHorizontalFlip:
    """Left and right exchanged in each image with probability `p`.

    Errors: ArgumentError for a p outside 0..1.
    """

    def __init__(self, p: float = 0.5) -> None:
        self.p = number(p, "p", "RandomHorizontalFlip")
        if not 0 <= self.p <= 1:
            raise ArgumentError(f"RandomHorizontalFlip: p={p}, expected 0 to 1")

    def __call__(self, images: Images, draws: Draws) -> Images:
        """(N, C, H, W) -> the same shape."""
        turned = draws.uniform() < self.p
        flipped = images.copy()
        flipped[turned] = images[turned][..., ::-1]
        return flipped

    def __repr__(self) -> str:
        return f"RandomHorizontalFlip(p={self.p})"


class Normalize:
    """(image - mean) / std, for each channel; in float32.

    mean, std: a number for each channel. Errors: ShapeError for numbers that are not as many as
    channels; ArgumentError for a std that is not above 0.
    """

    def __init__(self, mean: Sequence[float], std: Sequence[float]) -> None:
        if len(mean) != len(std) or not mean:
            raise ShapeError(
                f"Normalize: {len(mean)} means and {len(std)} deviations, expected one of each"
                " for each channel"
            )
        self.mean = [number(v, "mean", "Normalize") for v in mean]
        self.std = [number(v, "std", "Normalize") for v in std]
        if not min(self.std) > 0:
            raise ArgumentError(f"Normalize: std={self.std}, expected numbers above 0")

    def __call__(self, images: Images, draws: Draws) -> Images:
        """(N, C, H, W) -> the same shape."""
        if images.shape[1] != len(self.mean):
            raise ShapeError(
                f"Normalize: images have {images.shape[1]} channels,"
                f" expected {len(self.mean)}, as there are means"
            )
        mean, std = (_by_channel(v) for v in (self.mean, self.std))
        normal: Images = (images - mean) / std
        return normal

    def __repr__(self) -> str:
        return f"Normalize(mean={self.mean}, std={self.std})"


def channel_statistics(images: Any, step: int = 1024) -> tuple[list[float], list[float]]:
    """Mean and deviation of each channel, in float64, over images (N, C, H, W) read in parts.

    For `Normalize`. A channel without any variation gets deviation 1.

    >>> channel_statistics(np.array([[[[1.0, 3.0]]]], np.float32))
    ([2.0], [1.0])
    """
    starts = range(0, len(images), step)

    def total(function: Callable[[NDArray[np.float64]], NDArray[np.float64]]) -> Any:
        """Of each channel, over all images; one part is in memory at a time."""
        parts = (np.asarray(images[k : k + step], np.float64) for k in starts)
        return sum(function(part).sum(axis=(0, 2, 3)) for part in parts)

    count = len(images) * math.prod(images.shape[2:])
    mean = total(lambda part: part) / count
    deviation = np.sqrt(total(lambda part: (part - _column(mean)) ** 2) / count)
    return mean.tolist(), np.where(deviation > 0, deviation, 1.0).tolist()


def _axis(before: int, after: int) -> NDArray[np.float32]:
    """The weights (after, before) of `Resize`, for one axis."""
    scale = before / after
    centres = (np.arange(after) + 0.5) * scale - 0.5
    distances = np.abs(np.arange(before) - centres[:, None]) / max(scale, 1.0)
    weights = np.maximum(0.0, 1.0 - distances)
    unit: NDArray[np.float32] = (weights / weights.sum(1, keepdims=True)).astype(np.float32)
    return unit


def _by_channel(values: Sequence[float]) -> NDArray[np.float32]:
    return np.array(values, np.float32)[None, :, None, None]


def _column(values: NDArray[np.float64]) -> NDArray[np.float64]:
    return values[None, :, None, None]
