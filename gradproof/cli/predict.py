"""`gradproof predict`: the class and its probability for each image in a file."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from numpy.typing import NDArray

from gradproof.cli import options
from gradproof.cli.screen import Screen
from gradproof.runtime.data.dataset import Images, check_finite, to_unit_range
from gradproof.runtime.data.idx import read_idx
from gradproof.runtime.data.numpy_files import DAMAGED, first_line, member, open_npz, read_npy
from gradproof.runtime.device import use_device
from gradproof.runtime.errors import DataError
from gradproof.runtime.evaluation import probabilities
from gradproof.runtime.run import RunFolder

KEY = "images"


def predict(
    run: options.Run,
    images: Annotated[
        Path,
        typer.Argument(
            metavar="IMAGES",
            help="A .npy file; a .npz file with an array 'images' or with one array; or an IDX"
            " file. Levels of 8 bits are divided by 255, real numbers are taken as they are.",
        ),
    ],
    best: options.Best = False,
    dtype: options.Stored = None,
    device: options.Device = None,
    as_json: options.Json = False,
    verbose: options.Verbose = False,
) -> None:
    """Classify the images in a file with the network of RUN.

    One image (C, H, W) or (H, W, C), or many with N before; with one channel also without C.
    """
    screen = Screen(as_json=as_json, verbose=verbose)
    folder = RunFolder.open(run)
    config = folder.config
    array = read_images(images)
    batch = as_batch(images, array, config.image_shape)
    info = use_device(device).info
    screen.note(f"Device   {info.describe()}")
    if array.dtype == np.uint8:
        screen.note("Images   levels of 8 bits, divided by 255; for other scales give real numbers")
    model = folder.load_model(best)
    if dtype is not None:
        model.to(dtype)
    rows = probabilities(model, batch, config.config.train.batch_size, config.test_transform)
    labels = rows.argmax(axis=1)
    results: list[dict[str, Any]] = [
        {"image": k, "class": config.classes[label], "probability": float(rows[k, label])}
        for k, label in enumerate(labels)
    ]
    for result in results:
        screen.line(f"image {result['image']}: {result['class']} ({result['probability']:.2%})")
    screen.result({"predictions": results, "device": info.describe(), "run": str(run)})


def read_images(path: Path) -> NDArray[Any]:
    """The array in a .npy, .npz or IDX file, of any shape.

    Raises:
        DataError: there is no such file, it is damaged, or it is not clear which array is meant.

    >>> read_images(Path("no-such-file.npy"))
    Traceback (most recent call last):
    gradproof.runtime.errors.DataError: no-such-file.npy: no such file
    """
    if not path.is_file():
        raise DataError(f"{path}: no such file")
    if path.suffix.lower() not in (".npy", ".npz"):
        return read_idx(path)
    if path.suffix.lower() == ".npy":
        return read_npy(path)
    try:
        with path.open("rb") as file:
            return _member(path, open_npz(file))
    except DAMAGED as error:
        raise DataError(f"{path}: cannot be read as NumPy file: {first_line(error)}") from error


def as_batch(path: Path, array: NDArray[Any], image_shape: tuple[int, int, int]) -> Images:
    """`array` as float32 images (N, *image_shape); see `predict` for the shapes it may have.

    Raises:
        DataError: another shape or element type, no image, or a number that is not finite.

    >>> as_batch(Path("a.npy"), np.zeros((8, 8), np.uint8), (1, 8, 8)).shape
    (1, 1, 8, 8)
    """
    channels, height, width = image_shape
    if array.ndim in (3, 4) and array.shape[-3:] == (height, width, channels) != image_shape:
        array = np.moveaxis(array, -1, -3)
    fits = array.shape[-3:] == image_shape and array.ndim in (3, 4)
    if channels == 1:
        fits = fits or (array.shape[-2:] == image_shape[1:] and array.ndim in (2, 3))
    if not fits or not array.size:
        raise DataError(
            f"{path}: array of shape {array.shape}, expected images (channels, height, width) ="
            f" {image_shape}, one or many" + (", or without the channel" if channels == 1 else "")
        )
    batch = array.reshape(-1, *image_shape)
    if array.dtype == np.uint8:
        return to_unit_range(batch, 255)
    if array.dtype.kind != "f":
        raise DataError(f"{path}: dtype {array.dtype}, expected uint8 or real numbers")
    with np.errstate(over="ignore"):
        single = batch.astype(np.float32)
    check_finite(str(path), "images", single)
    return single


def _member(path: Path, archive: Any) -> NDArray[Any]:
    names = archive.files
    if KEY not in names and len(names) != 1:
        raise DataError(
            f"{path}: holds {', '.join(names) or 'nothing'}; expected an array {KEY!r} or one array"
        )
    name = KEY if KEY in names else names[0]
    found = member(archive, name)
    # NumPy hands over the raw bytes of a member that is no .npy file.
    if not isinstance(found, np.ndarray):
        raise DataError(f"{path}: {name} is not stored as a NumPy array")
    return found
