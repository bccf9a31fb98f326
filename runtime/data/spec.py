"""From what a user types after ``--data`` to a ``Dataset``."""

from __future__ import annotations

from pathlib import Path

from gradproof.runtime.data.cifar import ALL_CIFAR_NAMES, load_cifar10
from gradproof.runtime.data.dataset import Dataset
from gradproof.runtime.data.digits import load_digits
from gradproof.runtime.data.idx import ALL_IDX_NAMES, load_idx
from gradproof.runtime.data.npz import load_npz
from gradproof.runtime.errors import DataError

EXPECTED = (
    "expected 'digits'; a .npz file with x_train, y_train, x_test, y_test; a folder with the IDX"
    " files of MNIST or Fashion-MNIST (train-images-idx3-ubyte[.gz], train-labels-idx1-ubyte[.gz],"
    " t10k-images-idx3-ubyte[.gz], t10k-labels-idx1-ubyte[.gz]) or one of these files; or a folder"
    " with the binary version of CIFAR-10 (data_batch_1.bin .. data_batch_5.bin, test_batch.bin,"
    " batches.meta.txt)"
)


def load_dataset(spec: str | Path) -> Dataset:
    """The data set that ``spec`` names; see ``EXPECTED`` for what it may be.

    The string "digits" always means the digits that come with the package; write "./digits" for a
    folder of that name. Shapes and units: as in ``Dataset``. Nothing is downloaded.

    Errors: ``DataError`` for a spec that is none of these, for a folder with both IDX and CIFAR
    files, and for whatever is wrong in a file.

    >>> load_dataset("digits")
    Dataset(name='digits', train=1442, test=355, image_shape=(1, 8, 8), classes=10)
    """
    if spec == "digits":
        return load_digits()
    path = Path(spec)
    try:
        # Path("") is the current folder, which an empty spec hardly means.
        if spec != "" and path.is_dir():
            return _load_folder(path)
        if not path.is_file():
            raise DataError(f"data set {str(spec)!r}: no such file or folder; {EXPECTED}")
    except OSError as error:
        raise DataError(f"data set {str(spec)!r}: cannot be opened: {error}") from error
    if path.suffix.lower() == ".npz":
        return load_npz(path)
    if path.name in ALL_IDX_NAMES:
        return load_idx(path.parent, prefer_gzip=path.suffix == ".gz")
    raise DataError(f"data set {str(spec)!r}: a file of unknown kind; {EXPECTED}")


def _load_folder(folder: Path) -> Dataset:
    names = {entry.name for entry in folder.iterdir()}
    is_idx = not names.isdisjoint(ALL_IDX_NAMES)
    is_cifar = not names.isdisjoint(ALL_CIFAR_NAMES)
    if is_idx and is_cifar:
        raise DataError(
            f"data set {str(folder)!r}: ambiguous, the folder has both IDX and CIFAR-10 files;"
            f" {EXPECTED}"
        )
    if is_idx:
        return load_idx(folder)
    if is_cifar:
        return load_cifar10(folder)
    raise DataError(f"data set {str(folder)!r}: a folder with no known file; {EXPECTED}")
