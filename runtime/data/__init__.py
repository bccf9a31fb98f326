"""Data sets for image classification, and the mini-batches made from them."""

from __future__ import annotations

from gradproof.runtime.data import transforms
from gradproof.runtime.data.cifar import load_cifar10, load_cifar100, read_cifar_batch
from gradproof.runtime.data.dataset import Dataset, fingerprint
from gradproof.runtime.data.digits import load_digits
from gradproof.runtime.data.folder import ImageFolder, load_folder
from gradproof.runtime.data.idx import load_idx, read_idx
from gradproof.runtime.data.loader import DataLoader, batches
from gradproof.runtime.data.npy import load_npy
from gradproof.runtime.data.npz import load_npz
from gradproof.runtime.data.source import ImageSource, MemoryMap
from gradproof.runtime.data.spec import load_dataset

__all__ = [
    "DataLoader",
    "Dataset",
    "ImageFolder",
    "ImageSource",
    "MemoryMap",
    "batches",
    "fingerprint",
    "load_cifar10",
    "load_cifar100",
    "load_dataset",
    "load_digits",
    "load_folder",
    "load_idx",
    "load_npy",
    "load_npz",
    "read_cifar_batch",
    "read_idx",
    "transforms",
]
