"""Layers, containers and losses, named and called as in torch.nn.

>>> from gradproof.runtime import nn
>>> nn.Sequential(nn.Conv2d(1, 6, 5), nn.ReLU())
Sequential(
  (0): Conv2d(1, 6, kernel_size=(5, 5), stride=(1, 1))
  (1): ReLU()
)
"""

from __future__ import annotations

from gradproof.runtime.nn import init
from gradproof.runtime.nn.activation import ReLU
from gradproof.runtime.nn.containers import Sequential
from gradproof.runtime.nn.conv import Conv2d
from gradproof.runtime.nn.dropout import Dropout
from gradproof.runtime.nn.linear import Flatten, Linear
from gradproof.runtime.nn.loss import CrossEntropyLoss, MSELoss
from gradproof.runtime.nn.module import Module
from gradproof.runtime.nn.norm import BatchNorm1d, BatchNorm2d
from gradproof.runtime.nn.pooling import AdaptiveAvgPool2d, AvgPool2d, MaxPool2d
from gradproof.runtime.tensor import Parameter

__all__ = [
    "AdaptiveAvgPool2d",
    "AvgPool2d",
    "BatchNorm1d",
    "BatchNorm2d",
    "Conv2d",
    "CrossEntropyLoss",
    "Dropout",
    "Flatten",
    "Linear",
    "MSELoss",
    "MaxPool2d",
    "Module",
    "Parameter",
    "ReLU",
    "Sequential",
    "init",
]
