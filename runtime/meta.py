"""Networks without memory: shapes and types only, to count what a large one takes.

>>> import gradproof as gp
>>> with meta():
...     model = gp.models.vgg19()
>>> model.classifier[0].weight.shape
(4096, 25088)
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import numpy as np
from numpy.typing import NDArray

_active: ContextVar[bool] = ContextVar("tensors get no memory", default=False)


@contextmanager
def meta() -> Iterator[None]:
    """Tensors that are made inside have no memory, and initial values are not drawn.

    They can be recorded (`runtime.trace`), not run. PyTorch: torch.device("meta").
    """
    token = _active.set(True)
    try:
        yield
    finally:
        _active.reset(token)


def is_meta() -> bool:
    """Whether tensors that are made now get no memory."""
    return _active.get()


def unset(shape: tuple[int, ...], dtype: np.dtype[Any]) -> NDArray[Any]:
    """An array of zeros that takes one element of memory, in place of values that are not drawn.

    >>> unset((1000, 1000, 1000), np.dtype(np.float32)).nbytes // 4
    1000000000
    """
    return np.broadcast_to(np.zeros((), dtype), shape)
