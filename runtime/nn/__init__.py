"""Layers, containers and losses, named and called as in torch.nn.

>>> from gradproof.runtime import nn
>>> nn.Sequential(nn.Conv2d(1, 6, 5), nn.ReLU())
Sequential(
  (0): Conv2d(1, 6, kernel_size=(5, 5), stride=(1, 1))
  (1): ReLU()
)
"""

from __future__ import annotations

from gradproof.runtime.nn import init, utils
from gradproof.runtime.nn.activation import (
    GELU,
    LeakyReLU,
    LogSoftmax,
    ReLU,
    Sigmoid,
    SiLU,
    Softmax,
    Softplus,
    Tanh,
)
from gradproof.runtime.nn.containers import Sequential
from gradproof.runtime.nn.conv import Conv1d, Conv2d, Conv3d
from gradproof.runtime.nn.conv_transpose import ConvTranspose1d, ConvTranspose2d, ConvTranspose3d
from gradproof.runtime.nn.dropout import Dropout
from gradproof.runtime.nn.embedding import Embedding
from gradproof.runtime.nn.instance_norm import InstanceNorm1d, InstanceNorm2d, InstanceNorm3d
from gradproof.runtime.nn.layer_norm import GroupNorm, LayerNorm, LocalResponseNorm
from gradproof.runtime.nn.linear import Flatten, Identity, Linear, Unflatten
from gradproof.runtime.nn.loss import BCEWithLogitsLoss, CrossEntropyLoss, L1Loss, MSELoss, NLLLoss
from gradproof.runtime.nn.module import Module
from gradproof.runtime.nn.norm import BatchNorm1d, BatchNorm2d, BatchNorm3d
from gradproof.runtime.nn.padding import (
    ConstantPad1d,
    ConstantPad2d,
    ConstantPad3d,
    ReflectionPad1d,
    ReflectionPad2d,
    ReflectionPad3d,
    ReplicationPad1d,
    ReplicationPad2d,
    ReplicationPad3d,
    ZeroPad1d,
    ZeroPad2d,
    ZeroPad3d,
)
from gradproof.runtime.nn.pooling import (
    AdaptiveAvgPool1d,
    AdaptiveAvgPool2d,
    AdaptiveAvgPool3d,
    AvgPool1d,
    AvgPool2d,
    AvgPool3d,
    MaxPool1d,
    MaxPool2d,
    MaxPool3d,
)
from gradproof.runtime.nn.resize import Upsample, UpsamplingBilinear2d, UpsamplingNearest2d
from gradproof.runtime.tensor import Parameter

__all__ = [
    "GELU",
    "AdaptiveAvgPool1d",
    "AdaptiveAvgPool2d",
    "AdaptiveAvgPool3d",
    "AvgPool1d",
    "AvgPool2d",
    "AvgPool3d",
    "BCEWithLogitsLoss",
    "BatchNorm1d",
    "BatchNorm2d",
    "BatchNorm3d",
    "ConstantPad1d",
    "ConstantPad2d",
    "ConstantPad3d",
    "Conv1d",
    "Conv2d",
    "Conv3d",
    "ConvTranspose1d",
    "ConvTranspose2d",
    "ConvTranspose3d",
    "CrossEntropyLoss",
    "Dropout",
    "Embedding",
    "Flatten",
    "GroupNorm",
    "Identity",
    "InstanceNorm1d",
    "InstanceNorm2d",
    "InstanceNorm3d",
    "L1Loss",
    "LayerNorm",
    "LeakyReLU",
    "Linear",
    "LocalResponseNorm",
    "LogSoftmax",
    "MSELoss",
    "MaxPool1d",
    "MaxPool2d",
    "MaxPool3d",
    "Module",
    "NLLLoss",
    "Parameter",
    "ReLU",
    "ReflectionPad1d",
    "ReflectionPad2d",
    "ReflectionPad3d",
    "ReplicationPad1d",
    "ReplicationPad2d",
    "ReplicationPad3d",
    "Sequential",
    "SiLU",
    "Sigmoid",
    "Softmax",
    "Softplus",
    "Tanh",
    "Unflatten",
    "Upsample",
    "UpsamplingBilinear2d",
    "UpsamplingNearest2d",
    "ZeroPad1d",
    "ZeroPad2d",
    "ZeroPad3d",
    "init",
    "utils",
]
