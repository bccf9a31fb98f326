"""Operators on tensors, with PyTorch's names and arguments; shapes are checked first.

Every function takes `label`, the name by which an error speaks of it: a layer gives its own.
"""

from __future__ import annotations

from gradproof.runtime.functional.activation import (
    gelu,
    leaky_relu,
    relu,
    sigmoid,
    silu,
    softplus,
    tanh,
)
from gradproof.runtime.functional.arithmetic import add, div, mul, neg, sub
from gradproof.runtime.functional.conv import conv1d, conv2d, conv3d
from gradproof.runtime.functional.conv_transpose import (
    conv_transpose1d,
    conv_transpose2d,
    conv_transpose3d,
)
from gradproof.runtime.functional.cross_entropy import cross_entropy, nll_loss
from gradproof.runtime.functional.dropout import dropout
from gradproof.runtime.functional.embedding import embedding
from gradproof.runtime.functional.joining import cat, stack
from gradproof.runtime.functional.layer_norm import group_norm, layer_norm, local_response_norm
from gradproof.runtime.functional.linear import linear
from gradproof.runtime.functional.loss import binary_cross_entropy_with_logits, l1_loss, mse_loss
from gradproof.runtime.functional.matmul import bmm, matmul
from gradproof.runtime.functional.norm import batch_norm, instance_norm
from gradproof.runtime.functional.padding import pad
from gradproof.runtime.functional.pooling import (
    adaptive_avg_pool1d,
    adaptive_avg_pool2d,
    adaptive_avg_pool3d,
    avg_pool1d,
    avg_pool2d,
    avg_pool3d,
    max_pool1d,
    max_pool2d,
    max_pool3d,
)
from gradproof.runtime.functional.rearrange import permute, reshape, squeeze, transpose, unsqueeze
from gradproof.runtime.functional.reduction import amax, argmax, max, mean, sum
from gradproof.runtime.functional.resize import interpolate, upsample
from gradproof.runtime.functional.softmax import log_softmax, softmax

__all__ = [
    "adaptive_avg_pool1d",
    "adaptive_avg_pool2d",
    "adaptive_avg_pool3d",
    "add",
    "amax",
    "argmax",
    "avg_pool1d",
    "avg_pool2d",
    "avg_pool3d",
    "batch_norm",
    "binary_cross_entropy_with_logits",
    "bmm",
    "cat",
    "conv1d",
    "conv2d",
    "conv3d",
    "conv_transpose1d",
    "conv_transpose2d",
    "conv_transpose3d",
    "cross_entropy",
    "div",
    "dropout",
    "embedding",
    "gelu",
    "group_norm",
    "instance_norm",
    "interpolate",
    "l1_loss",
    "layer_norm",
    "leaky_relu",
    "linear",
    "local_response_norm",
    "log_softmax",
    "matmul",
    "max",
    "max_pool1d",
    "max_pool2d",
    "max_pool3d",
    "mean",
    "mse_loss",
    "mul",
    "neg",
    "nll_loss",
    "pad",
    "permute",
    "relu",
    "reshape",
    "sigmoid",
    "silu",
    "softmax",
    "softplus",
    "squeeze",
    "stack",
    "sub",
    "sum",
    "tanh",
    "transpose",
    "unsqueeze",
    "upsample",
]
