"""Initial values of convolutions in residual networks and VGG, as torchvision has them."""

from __future__ import annotations

import numpy as np

from gradproof.runtime.meta import is_meta
from gradproof.runtime.nn import Conv2d, Module
from gradproof.runtime.nn.init import kaiming_normal_
from gradproof.runtime.random import generator
from gradproof.runtime.tensor import Parameter


def draw_normal(parameter: Parameter, deviation: float) -> None:
    """Overwrite a parameter with values of N(0, deviation²), drawn from the seeded generator.

    >>> p = Parameter(np.ones(100, np.float32))
    >>> draw_normal(p, 1e-3)
    >>> bool(0 < abs(p.numpy()).max() < 1e-2)
    True
    """
    if is_meta():
        return
    values = generator().normal(0.0, 1.0, parameter.shape)
    values *= deviation
    parameter.copy_(values)


def fill_zeros(parameter: Parameter) -> None:
    """Overwrite a parameter with zeros.

    >>> p = Parameter(np.ones(2, np.float32))
    >>> fill_zeros(p)
    >>> p.numpy().tolist()
    [0.0, 0.0]
    """
    if is_meta():
        return
    parameter.copy_(np.zeros(parameter.shape, parameter.dtype))


def draw_convolutions(model: Module) -> None:
    """Overwrite all weights of 2-D convolutions with N(0, 2/fan_out), and their biases with 0.

    fan_out: how many outputs use one input at stride 1, out_channels · kH · kW. He et al., "Delving
    deep into rectifiers", ICCV 2015, section 2.2, backward case. PyTorch:
    kaiming_normal_(mode="fan_out", nonlinearity="relu").

    >>> layer = Conv2d(1, 2, 3)
    >>> draw_convolutions(layer)
    >>> layer.bias.numpy().tolist()
    [0.0, 0.0]
    """
    for module in model.modules():
        if not isinstance(module, Conv2d):
            continue
        kaiming_normal_(module.weight, mode="fan_out")
        if module.bias is not None:
            fill_zeros(module.bias)
