"""Random rotations, scales and shifts of images, by bilinear interpolation."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from gradproof.runtime.arguments import number
from gradproof.runtime.data.draws import Draws
from gradproof.runtime.errors import ArgumentError

Images = NDArray[np.float32]
Array = NDArray[np.float64]


class RandomAffine:
    """Each image turned about its middle, scaled and shifted by chance, with zeros around it.

    degrees: a turn from -degrees to degrees, or from and to, clockwise; translate: the largest
    shifts, as shares of width and height; scale: factors, from and to. Output pixel p shows the
    input at R⁻¹(p - shift) / factor, p counted from the middle, interpolated between the four
    pixels around. PyTorch: torchvision.transforms.RandomAffine(interpolation=BILINEAR), whose
    shear there is not. Errors: ArgumentError for numbers that are not two, not in order, or out of
    range: shares in 0..1, factors above 0.

    >>> turn = RandomAffine((90, 90))
    >>> turn(np.array([[[[1.0, 2.0], [3.0, 4.0]]]], np.float32), Draws(1, [0])).round(3).tolist()
    [[[[3.0, 1.0], [4.0, 2.0]]]]
    """

    def __init__(
        self,
        degrees: float | tuple[float, float],
        translate: tuple[float, float] | None = None,
        scale: tuple[float, float] | None = None,
    ) -> None:
        if not isinstance(degrees, tuple):
            degrees = number(degrees, "degrees", "RandomAffine")
            degrees = (-degrees, degrees)
        self.degrees = _two("degrees", degrees)
        self.translate = _two("translate", translate or (0.0, 0.0))
        self.scale = _two("scale", scale or (1.0, 1.0))
        for name in ("degrees", "scale"):
            low, high = getattr(self, name)
            if not low <= high:
                raise ArgumentError(f"RandomAffine: {name}={(low, high)}, expected from and to")
        if not all(0 <= t <= 1 for t in self.translate):
            raise ArgumentError(f"RandomAffine: translate={self.translate}, expected shares of 1")
        if not self.scale[0] > 0:
            raise ArgumentError(f"RandomAffine: scale={self.scale}, expected factors above 0")

    def __call__(self, images: Images, draws: Draws) -> Images:
        """(N, C, H, W) -> the same shape."""
        _, _, height, width = images.shape
        # all numbers are drawn, whatever is asked for, so that options change nothing else
        turn, factor, right, down = (draws.uniform() for _ in range(4))
        angle = np.deg2rad(_between(self.degrees, turn))
        factor = _between(self.scale, factor)
        right = (2 * right - 1) * self.translate[0] * width
        down = (2 * down - 1) * self.translate[1] * height
        x = np.arange(width) - (width - 1) / 2 - right[:, None]
        y = np.arange(height) - (height - 1) / 2 - down[:, None]
        cos, sin = (f(angle)[:, None, None] / factor[:, None, None] for f in (np.cos, np.sin))
        across, along = x[:, None, :], y[:, :, None]
        columns = cos * across + sin * along + (width - 1) / 2
        rows = cos * along - sin * across + (height - 1) / 2
        return _sample(images, rows, columns)

    def __repr__(self) -> str:
        return f"RandomAffine({self.degrees}, translate={self.translate}, scale={self.scale})"


def _sample(images: Images, rows: Array, columns: Array) -> Images:
    """images (N, C, H, W) at places (N, H', W') between their pixels; 0 outside."""
    _, _, height, width = images.shape
    padded = np.pad(images, ((0, 0), (0, 0), (1, 2), (1, 2)))
    rows, columns = np.clip(rows, -1, height) + 1, np.clip(columns, -1, width) + 1
    top, left = rows.astype(np.intp), columns.astype(np.intp)
    low, high = (rows - top)[:, None], (columns - left)[:, None]
    image = np.arange(len(images))[:, None, None]

    def at(down: int, right: int) -> Images:
        found: Images = padded[image, :, top + down, left + right].transpose(0, 3, 1, 2)
        return found

    above = (1 - high) * at(0, 0) + high * at(0, 1)
    below = (1 - high) * at(1, 0) + high * at(1, 1)
    return np.ascontiguousarray((1 - low) * above + low * below, np.float32)


def _between(ends: tuple[float, float], part: Array) -> Array:
    return ends[0] + (ends[1] - ends[0]) * part


def _two(name: str, values: tuple[float, float]) -> tuple[float, float]:
    if not isinstance(values, tuple) or len(values) != 2:
        raise ArgumentError(f"RandomAffine: {name}={values!r}, expected two numbers")
    first, second = (number(v, name, "RandomAffine") for v in values)
    return first, second
