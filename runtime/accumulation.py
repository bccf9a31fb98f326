"""Gradients of several batches, added up on the device until they are used together."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from gradproof.runtime.tensor import Tensor, tensor
from gradproof.runtime.trace import Scalar
from gradproof.runtime.updates import update_in_place

LABEL = "gradient accumulation"


class Accumulator:
    """One sum for each parameter, of its size.

    >>> import gradproof as gp
    >>> p = gp.tensor([0.0, 0.0], requires_grad=True)
    >>> sums = Accumulator([p])
    >>> for first, g in ((1, [1.0, 2.0]), (0, [3.0, 4.0])):
    ...     p.grad = gp.tensor(g)
    ...     sums.add(first)
    >>> sums.use()
    >>> p.grad.numpy().tolist()
    [4.0, 6.0]
    """

    def __init__(self, params: Iterable[Tensor]) -> None:
        self.params = list(params)
        self._sums = [
            tensor(np.zeros(p.size, p.dtype), p.dtype, device=p.device) for p in self.params
        ]
        self._used: set[int] = set()  # parameters that the loss depends on

    def add(self, first: Scalar) -> None:
        """Add every `.grad` to its sum; begin the sums anew where `first` is 1."""
        for k, (p, total) in enumerate(zip(self.params, self._sums, strict=True)):
            if p.grad is not None:
                self._used.add(k)
                update_in_place("accumulate", {"a": total, "g": p.grad}, {"first": first}, LABEL)

    def use(self) -> None:
        """Make the sums the `.grad` of their parameters."""
        for k, (p, total) in enumerate(zip(self.params, self._sums, strict=True)):
            p.grad = total.reshape(*p.shape) if k in self._used else None
