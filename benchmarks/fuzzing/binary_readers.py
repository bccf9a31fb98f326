"""The readers of binary files."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.fuzzing import binary, pictures
from benchmarks.fuzzing.reader import MIB, Reader
from gradproof.cli.predict import as_batch, read_images
from gradproof.runtime.build import decode_entry
from gradproof.runtime.checkpoint import read_checkpoint
from gradproof.runtime.data.cifar import read_cifar_batch
from gradproof.runtime.data.folder import ImageFolder
from gradproof.runtime.data.idx import read_idx
from gradproof.runtime.data.npz import load_npz
from gradproof.runtime.data.source import MemoryMap
from gradproof.runtime.errors import DataError
from gradproof.runtime.serialization import load, load_metadata

DATA = (DataError,)


def _file(name: str, read: Callable[[Path], Any]) -> Callable[[bytes, Path], Any]:
    """A reader of one file."""

    def whole(content: bytes, folder: Path) -> Any:
        path = folder / name
        path.write_bytes(content)
        return read(path)

    return whole


def _cifar(content: bytes, folder: Path) -> None:
    path = folder / "batch.bin"
    path.write_bytes(content[1:])
    classes, before = (100, 1) if content[:1] == b"\1" else (10, 0)
    images, labels = read_cifar_batch(path, classes, before)
    assert images.shape == (len(labels), 3, 32, 32) and labels.max() < classes


def _map(path: Path) -> None:
    images = MemoryMap(path)
    count = len(images)
    read = images.read(np.unique(np.array([0, count // 2, count - 1])))
    assert read.shape[1:] == images.shape[1:] and np.isfinite(read).all()


def _picture(content: bytes, folder: Path) -> None:
    path = folder / "class" / "a.png"
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(content)
    for mode in ("RGB", "L"):
        images = ImageFolder(folder, 8, mode).read(np.array([0]))
        assert images.shape == (1, len(mode), 8, 8) and 0 <= images.min() <= images.max() <= 1


def _weights(path: Path) -> None:
    assert all(isinstance(a, np.ndarray) for a in load(path).values())
    if path.suffix == ".safetensors":
        load_metadata(path)


def _predict(name: str) -> Callable[[bytes, Path], Any]:
    def read(path: Path) -> None:
        images = as_batch(path, read_images(path), (1, 4, 4))
        assert images.shape[1:] == (1, 4, 4) and np.isfinite(images).all()

    return _file(name, read)


LIST = (
    Reader("idx", binary.idx, _file("images", read_idx), DATA),
    Reader("idx.gz", binary.idx_gz, _file("images.gz", read_idx), DATA),
    Reader("cifar", binary.cifar, _cifar, DATA),
    Reader("npz data set", binary.npz, _file("data.npz", load_npz), DATA),
    Reader("npy on disk", binary.npy, _file("x_train.npy", _map), DATA),
    Reader("npy to predict", binary.npy, _predict("a.npy"), DATA),
    Reader("npz weights", binary.arrays, _file("model.npz", _weights), DATA),
    Reader("safetensors", binary.safetensors, _file("model.safetensors", _weights), DATA),
    Reader("checkpoint", binary.checkpoint, _file("step.safetensors", read_checkpoint), DATA),
    # of 50 million pixels, the most that are read, one may take seconds
    Reader("picture", pictures.picture, _picture, DATA, memory=1024 * MIB, seconds=20.0),
    Reader("kernel cache", binary.entry, lambda content, _: decode_entry(content), (ValueError,)),
)
READERS = {r.name: r for r in LIST}
