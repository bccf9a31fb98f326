"""Small pictures as PNG within the page."""

from __future__ import annotations

import base64
import io
import math
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from gradproof.runtime.plots import RGB, filter_tiles

TILES = 256  # of filters; more are not shown
GAP = 1  # pixels between them


def data_uri(levels: NDArray[np.uint8]) -> str:
    """A picture (height, width), grey, or (height, width, 3 or 4) as an address that holds it."""
    file = io.BytesIO()
    Image.fromarray(levels).save(file, format="PNG", optimize=True)
    return "data:image/png;base64," + base64.b64encode(file.getvalue()).decode()


def picture(image: NDArray[np.float32]) -> str:
    """An image (C, H, W) of numbers in 0..1: in colour with 3 channels, else its first one. Numbers
    beyond are those of data that are no levels; they are scaled."""
    low, high = min(0.0, float(image.min())), max(1.0, float(image.max()))
    levels = np.round(255 * (image - low) / (high - low)).astype(np.uint8)
    return data_uri(levels.transpose(1, 2, 0) if len(image) == RGB else levels[0])


def filter_levels(weight: NDArray[Any], limit: float) -> NDArray[np.uint8]:
    """Filters side by side, (height, width, 4): -limit is black, limit white, gaps transparent."""
    tiles = np.round(255 * filter_tiles(weight, limit)).astype(np.uint8)[:TILES]
    if tiles.ndim == 3:
        tiles = np.repeat(tiles[..., None], RGB, axis=-1)
    count, height, width, _ = tiles.shape
    columns = min(16, math.ceil(math.sqrt(2 * count)))
    rows = math.ceil(count / columns)
    down, across = height + GAP, width + GAP
    sheet = np.zeros((rows * down - GAP, columns * across - GAP, 4), np.uint8)
    for k, tile in enumerate(tiles):
        y, x = down * (k // columns), across * (k % columns)
        sheet[y : y + height, x : x + width, :RGB] = tile
        sheet[y : y + height, x : x + width, RGB] = 255
    return sheet
