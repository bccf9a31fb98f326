"""Operators that overwrite what they read: an optimizer's updates, sums of gradients."""

from __future__ import annotations

from collections.abc import Mapping

from gradproof.runtime.binding import bind
from gradproof.runtime.dispatch import execute
from gradproof.runtime.manifest import operators
from gradproof.runtime.tensor import Tensor
from gradproof.runtime.trace import Scalar


def update_in_place(
    operator: str, tensors: Mapping[str, Tensor], scalars: Mapping[str, Scalar], label: str
) -> None:
    """Run an update on flat tensors: each x but the gradient `g` becomes x_new, in place.

    >>> import gradproof as gp
    >>> total, g = gp.tensor([1.0, 2.0]), gp.tensor([3.0, 4.0])
    >>> update_in_place("accumulate", {"a": total, "g": g}, {"first": 0}, "sum")
    >>> total.numpy().tolist()
    [4.0, 6.0]
    """
    flat = {n: t.detach().reshape(-1) for n, t in tensors.items()}
    into = {f"{n}_new": t for n, t in flat.items() if n != "g"}
    op = operators()[operator]
    binding = bind(op, op.without(), {n: t.shape for n, t in flat.items()}, {}, label)
    execute(binding, binding.forward(frozenset(into)), flat, scalars, into=into, label=label)
