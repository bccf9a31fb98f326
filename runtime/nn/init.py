"""Initial values of parameters: PyTorch's defaults, drawn from the seeded generator."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gradproof.runtime.meta import is_meta, unset
from gradproof.runtime.random import generator


def fan_in(weight_shape: tuple[int, ...]) -> int:
    """How many inputs one output sums: the product of all extents but the first.

    weight_shape: (out_features, in_features) or (out_channels, in_channels/groups, kH, kW).

    >>> fan_in((6, 3, 5, 5))
    75
    """
    return math.prod(weight_shape[1:])


def kaiming_uniform(
    shape: tuple[int, ...], fan: int, dtype: np.dtype[Any], a: float = math.sqrt(5)
) -> NDArray[Any]:
    """Values of U(-bound, bound), bound = sqrt(6 / ((1 + a²) fan)); for a = √5, 1/√fan.

    He et al., "Delving deep into rectifiers", ICCV 2015, eq. 14, with gain² = 2/(1 + a²) as
    torch.nn.init.kaiming_uniform_; PyTorch draws weight and bias of Linear and Conv2d with a = √5.
    Both dtypes get the same values up to rounding. fan: at least 1.

    >>> from gradproof.runtime.random import manual_seed
    >>> manual_seed(0)
    >>> values = kaiming_uniform((8, 16), 16, np.dtype(np.float32))
    >>> values.dtype, bool(abs(values).max() <= 1 / 4)
    (dtype('float32'), True)
    """
    if is_meta():
        return unset(shape, dtype)
    bound = math.sqrt(6 / ((1 + a * a) * fan))
    return generator().uniform(-bound, bound, size=shape).astype(dtype)
