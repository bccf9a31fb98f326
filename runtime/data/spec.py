"""From what a user types after ``--data`` to a ``Dataset``."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from gradproof.runtime.data.cifar import (
    ALL_CIFAR100_NAMES,
    ALL_CIFAR_NAMES,
    load_cifar10,
    load_cifar100,
)
from gradproof.runtime.data.dataset import Dataset
from gradproof.runtime.data.digits import load_digits
from gradproof.runtime.data.folder import TEST, TRAIN, load_folder
from gradproof.runtime.data.idx import ALL_IDX_NAMES, load_idx
from gradproof.runtime.data.npy import ALL_NPY_NAMES, load_npy
from gradproof.runtime.data.npz import load_npz
from gradproof.runtime.errors import DataError

EXPECTED = (
    "expected 'digits'; a .npz file with x_train, y_train, x_test, y_test; a folder with the IDX"
    " files of MNIST or Fashion-MNIST (train-images-idx3-ubyte[.gz], train-labels-idx1-ubyte[.gz],"
    " t10k-images-idx3-ubyte[.gz], t10k-labels-idx1-ubyte[.gz]) or one of these files; a folder"
    " with the binary version of CIFAR-10 (data_batch_1.bin .. data_batch_5.bin, test_batch.bin,"
    " batches.meta.txt) or CIFAR-100 (train.bin, test.bin, fine_label_names.txt); a folder with"
    " x_train.npy, y_train.npy, x_test.npy, y_test.npy, of which the images stay on disk; or a"
    " folder with the folders train and test (or val), in which each class is a folder of pictures"
)


def load_dataset(spec: str | Path, image_size: int | None = None) -> Dataset:
    """The data set that ``spec`` names; see ``EXPECTED`` for what it may be.

    image_size: of pictures in folders, to which they are scaled and cut; see ``ImageFolder``.

    The string "digits" always means the digits that come with the package; write "./digits" for a
    folder of that name. Shapes and units: as in ``Dataset``. Nothing is downloaded.

    Errors: ``DataError`` for a spec that is none of these, for a folder with both IDX and CIFAR
    files, and for whatever is wrong in a file.

    >>> load_dataset("digits")
    Dataset(name='digits', train=1442, test=355, image_shape=(1, 8, 8), classes=10)
    """
    if spec == "digits":
        _refuse_size(spec, image_size)
        return load_digits()
    path = Path(spec)
    try:
        # Path("") is the current folder, which an empty spec hardly means.
        if spec != "" and path.is_dir():
            return _load_folder(path, image_size)
        if not path.is_file():
            raise DataError(f"data set {str(spec)!r}: no such file or folder; {EXPECTED}")
    except OSError as error:
        raise DataError(f"data set {str(spec)!r}: cannot be opened: {error}") from error
    _refuse_size(spec, image_size)
    if path.suffix.lower() == ".npz":
        return load_npz(path)
    if path.name in ALL_IDX_NAMES:
        return load_idx(path.parent, prefer_gzip=path.suffix == ".gz")
    raise DataError(f"data set {str(spec)!r}: a file of unknown kind; {EXPECTED}")


def _load_folder(folder: Path, image_size: int | None) -> Dataset:
    names = {entry.name for entry in folder.iterdir()}
    kinds = {
        "IDX": ALL_IDX_NAMES,
        "CIFAR-10": ALL_CIFAR_NAMES,
        "CIFAR-100": ALL_CIFAR100_NAMES,
        ".npy": ALL_NPY_NAMES,
    }
    found = [kind for kind, known in kinds.items() if not names.isdisjoint(known)]
    if len(found) > 1:
        raise DataError(
            f"data set {str(folder)!r}: ambiguous, the folder has both {' and '.join(found)} files;"
            f" {EXPECTED}"
        )
    if not found and not names.isdisjoint((*TRAIN, *TEST)):
        if image_size is None:
            raise DataError(
                f"data set {str(folder)!r}: a folder of pictures, give the size to which they are"
                " scaled and cut (--image-size)"
            )
        return load_folder(folder, image_size)
    _refuse_size(folder, image_size)
    if not found:
        raise DataError(f"data set {str(folder)!r}: a folder with no known file; {EXPECTED}")
    loaders: dict[str, Callable[[Path], Dataset]] = {
        "IDX": load_idx,
        "CIFAR-10": load_cifar10,
        "CIFAR-100": load_cifar100,
        ".npy": load_npy,
    }
    return loaders[found[0]](folder)


def _refuse_size(spec: str | Path, image_size: int | None) -> None:
    if image_size is not None:
        raise DataError(
            f"data set {str(spec)!r}: image size {image_size}, but its images have sizes of their"
            " own; expected none"
        )
