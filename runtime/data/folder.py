"""Data sets of pictures in folders: one folder for each class, PNG, JPEG and what Pillow reads."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from gradproof.runtime.arguments import integer
from gradproof.runtime.data.dataset import Dataset
from gradproof.runtime.data.source import Images, ImageSource
from gradproof.runtime.errors import DataError

SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".tif", ".tiff", ".webp", ".ppm", ".pgm")
# Pillow knows more, and starts Ghostscript for one of them
FORMATS = ("PNG", "JPEG", "BMP", "GIF", "TIFF", "WEBP", "PPM")
TRAIN, TEST = ("train",), ("test", "val", "valid")
LARGEST = 50_000_000  # pixels of one file: what decompresses to more is no picture to learn from


class ImageFolder(ImageSource):
    """The pictures below `root`, one folder for each class, read when they are wanted.

    size: pictures are scaled, with their proportions, until the shorter side is `size`, and cut to
    size x size around the middle. mode: "RGB" or "L" (grey). Levels are divided by 255, those of
    16 bits by 65535; pictures are turned as their EXIF data say; transparency is left out, as are
    files whose names begin with a dot. Labels are the positions of the folders in alphabetical
    order; within a class files come by name.
    PyTorch: torchvision.datasets.ImageFolder with Resize and CenterCrop.

    Errors: DataError for a folder that is missing or has no classes, for a class without pictures,
    and for a file that cannot be read, when it is read.
    """

    def __init__(self, root: Path, size: int, mode: str = "RGB") -> None:
        self.root, self.size, self.mode = Path(root), integer("ImageFolder", "size", size), mode
        if mode not in ("RGB", "L"):
            raise DataError(f"ImageFolder: mode={mode!r}, expected 'RGB' or 'L'")
        if not self.root.is_dir():
            raise DataError(f"{self.root}: no such folder")
        folders = sorted(p for p in self.root.iterdir() if p.is_dir() and p.name[0] != ".")
        if not folders:
            raise DataError(f"{self.root}: has no folders, expected one for each class")
        self.classes = tuple(p.name for p in folders)
        found = [(path, label) for label, p in enumerate(folders) for path in _pictures(p)]
        self.paths = [path for path, _ in found]
        self.labels = np.array([label for _, label in found], np.int32)
        super().__init__((len(found), len(mode), size, size))

    def read(self, indices: NDArray[np.intp]) -> Images:
        """See `ImageSource`."""
        images = np.empty((len(indices), *self.shape[1:]), np.float32)
        for k, index in enumerate(indices):
            images[k] = self._picture(self.paths[index])
        return images

    def _picture(self, path: Path) -> Images:
        try:
            # from memory: of a file Pillow would ask for as many bytes as a chunk claims to have
            content = io.BytesIO(path.read_bytes())
            with Image.open(content, formats=FORMATS) as file:
                _check_pixels(file.width, file.height)
                picture = _fitted(_levels(file).convert(self.mode), self.size)
        except Exception as error:  # Pillow's decoders raise many kinds for what is damaged
            raise DataError(f"{path}: cannot be read as a picture: {error}") from error
        levels = np.asarray(picture, np.float32).reshape(self.size, self.size, len(self.mode))
        return levels.transpose(2, 0, 1) / np.float32(255)


def load_folder(root: Path, size: int, mode: str = "RGB") -> Dataset:
    """The data set in `root`/train and `root`/test (or val, valid), with the same classes in both.

    Errors: DataError for a part that is missing, for other classes, and as `ImageFolder`.
    """
    train, test = (_part(Path(root), names) for names in (TRAIN, TEST))
    a, b = ImageFolder(train, size, mode), ImageFolder(test, size, mode)
    if wrong := sorted({*a.classes} ^ {*b.classes}):
        raise DataError(f"{root}: {', '.join(wrong)} not in both of {train.name} and {test.name}")
    return Dataset(Path(root).resolve().name, a, a.labels, b, b.labels, a.classes)


def _part(root: Path, names: tuple[str, ...]) -> Path:
    for name in names:
        if (root / name).is_dir():
            return root / name
    raise DataError(f"{root}: no folder {' or '.join(names)}")


def _pictures(folder: Path) -> list[Path]:
    files = (p for p in folder.rglob("*") if p.name[0] != ".")  # macOS puts ._1.png beside 1.png
    found = sorted(p for p in files if p.suffix.lower() in SUFFIXES)
    if not found:
        raise DataError(f"{folder}: has no pictures ({', '.join(SUFFIXES)})")
    return found


def _levels(file: Image.Image) -> Image.Image:
    """The picture upright, with levels of 8 bits: Pillow cuts larger ones off at 255.

    >>> _levels(Image.fromarray(np.full((1, 1), 32768, np.uint16))).getpixel((0, 0))
    128
    """
    upright = ImageOps.exif_transpose(file)
    if upright.mode == "F":
        raise ValueError("its levels are real numbers, expected 8 or 16 bits")
    if not upright.mode.startswith("I"):
        return upright
    levels = np.asarray(upright.convert("I"))
    if levels.min() < 0 or levels.max() > 65535:
        raise ValueError("its levels are of 32 bits, expected 8 or 16")
    return Image.fromarray(((levels + 128) // 257).astype(np.uint8))


def _check_pixels(width: int, height: int) -> None:
    if width * height > LARGEST:
        raise ValueError(f"{width} x {height} pixels are too many")


def _fitted(picture: Image.Image, size: int) -> Image.Image:
    """Scaled until the shorter side is `size`, then the middle of it."""
    width, height = picture.size
    scale = size / min(width, height)
    wide, high = max(size, round(width * scale)), max(size, round(height * scale))
    _check_pixels(wide, high)  # a line of pixels may grow to many
    scaled = picture.resize((wide, high), Image.Resampling.BILINEAR)
    left, top = (wide - size) // 2, (high - size) // 2
    return scaled.crop((left, top, left + size, top + size))
