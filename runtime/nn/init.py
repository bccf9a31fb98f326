"""Initial values of parameters: PyTorch's defaults, drawn from the seeded generator."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gradproof.runtime.device import current_device
from gradproof.runtime.errors import ArgumentError, ShapeError
from gradproof.runtime.meta import is_meta, unset
from gradproof.runtime.random import generator
from gradproof.runtime.tensor import Tensor, check_room


def fan_in(weight_shape: tuple[int, ...]) -> int:
    """How many inputs one output sums: the product of all extents but the first.

    weight_shape: (out_features, in_features) or (out_channels, in_channels/groups, kH, kW).

    >>> fan_in((6, 3, 5, 5))
    75
    """
    return math.prod(weight_shape[1:])


def kaiming_uniform(
    shape: tuple[int, ...],
    fan: int,
    dtype: np.dtype[Any],
    a: float = math.sqrt(5),
    label: str = "tensor",
) -> NDArray[Any]:
    """Values of U(-bound, bound), bound = sqrt(6 / ((1 + a²) fan)); for a = √5, 1/√fan.

    He et al., "Delving deep into rectifiers", ICCV 2015, eq. 14, with gain² = 2/(1 + a²) as
    torch.nn.init.kaiming_uniform_; PyTorch draws weight and bias of Linear and Conv2d with a = √5.
    Both dtypes get the same values up to rounding. fan: at least 1. Errors: DeviceError, naming
    `label`, where the current device takes no tensor of this size; nothing is drawn then.

    >>> from gradproof.runtime.random import manual_seed
    >>> manual_seed(0)
    >>> values = kaiming_uniform((8, 16), 16, np.dtype(np.float32))
    >>> values.dtype, bool(abs(values).max() <= 1 / 4)
    (dtype('float32'), True)
    """
    if is_meta():
        return unset(shape, dtype)
    check_room(f"{label} of shape {shape}", math.prod(shape) * dtype.itemsize, current_device())
    bound = math.sqrt(6 / ((1 + a * a) * fan))
    return generator().uniform(-bound, bound, size=shape).astype(dtype)


def kaiming_normal_(tensor: Tensor, a: float = 0.0, mode: str = "fan_in") -> Tensor:
    """Overwrite a weight with values of N(0, 2 / ((1 + a²) fan)); returns it.

    tensor: (out, in, ...), a weight of Linear or a convolution; a: slope of the rectifier below 0;
    mode: "fan_in", in · kernel, keeps the deviation of activations from layer to layer; "fan_out",
    out · kernel, that of gradients. He et al., ICCV 2015, eq. 14. PyTorch:
    torch.nn.init.kaiming_normal_. Errors: ShapeError below 2 dimensions, ArgumentError for
    another mode.

    >>> from gradproof.runtime.nn import Linear
    >>> from gradproof.runtime.random import manual_seed
    >>> manual_seed(0)
    >>> round(float(kaiming_normal_(Linear(200, 100).weight).numpy().std()), 2)
    0.1
    """
    if tensor.ndim < 2:
        raise ShapeError(
            f"kaiming_normal_: tensor has shape {tensor.shape}, expected (out, in, ...)"
        )
    if mode not in ("fan_in", "fan_out"):
        raise ArgumentError(f"kaiming_normal_: mode={mode!r}, expected 'fan_in' or 'fan_out'")
    if is_meta():
        return tensor
    kernel = math.prod(tensor.shape[2:])
    fan = tensor.shape[mode == "fan_in"] * kernel
    values = generator().normal(0.0, math.sqrt(2 / ((1 + a * a) * fan)), tensor.shape)
    return tensor.copy_(values)
