"""Data sets for image classification, and the mini-batches made from them."""

from __future__ import annotations

from gradproof.runtime.data.cifar import load_cifar10, read_cifar_batch
from gradproof.runtime.data.dataset import Dataset
from gradproof.runtime.data.digits import load_digits
from gradproof.runtime.data.idx import load_idx, read_idx
from gradproof.runtime.data.loader import batches
from gradproof.runtime.data.npz import load_npz
from gradproof.runtime.data.spec import load_dataset

__all__ = [
    "Dataset",
    "batches",
    "load_cifar10",
    "load_dataset",
    "load_digits",
    "load_idx",
    "load_npz",
    "read_cifar_batch",
    "read_idx",
]
