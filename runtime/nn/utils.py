"""Gradients made shorter before an update: against steps that are too long.

Both run on the device and can be part of a planned step; nothing is read on the host.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from gradproof.runtime.arguments import number
from gradproof.runtime.autograd import apply
from gradproof.runtime.errors import ArgumentError, GradproofError
from gradproof.runtime.manifest import operators
from gradproof.runtime.tensor import Tensor, no_grad, tensor

EPS = 1e-6  # PyTorch's


def clip_grad_norm_(
    parameters: Tensor | Iterable[Tensor], max_norm: float, norm_type: float = 2.0
) -> Tensor:
    """Scale all gradients by max_norm / norm, where their common norm is above max_norm.

    parameters: their `.grad` is replaced; those without one are left out. Returns the norm before,
    a tensor without dimensions: the root of the sum of the squares of all elements. PyTorch:
    torch.nn.utils.clip_grad_norm_. Errors: ArgumentError for a norm_type other than 2 or a
    max_norm that is not a number above 0; GradproofError where nothing has a gradient.

    >>> import gradproof as gp
    >>> p = gp.tensor([0.0, 0.0], requires_grad=True)
    >>> p.grad = gp.tensor([30.0, 40.0])
    >>> clip_grad_norm_([p], max_norm=5.0).item()
    50.0
    >>> p.grad.numpy().round(4).tolist()
    [3.0, 4.0]
    """
    label = "clip_grad_norm_"
    if norm_type != 2:
        raise ArgumentError(f"{label}: norm_type={norm_type!r}, expected 2")
    limit = _limit(label, "max_norm", max_norm)
    params = _with_gradients(label, parameters)
    gradients = [p.grad.detach().reshape(-1) for p in params if p.grad is not None]
    first = gradients[0]
    with no_grad():
        total = tensor(np.zeros((), first.dtype), device=first.device)
        for g in gradients:
            total = apply(operators()["add_squares"], {"g": g, "t": total}, label=label)["z"]
        norm = total
        for p, g in zip(params, gradients, strict=True):
            scalars = {"limit": limit, "eps": EPS}
            out = apply(operators()["clip_norm"], {"g": g, "t": total}, {}, scalars, label=label)
            p.grad, norm = out["h"].reshape(*p.shape), out["norm"]
    return norm


def clip_grad_value_(parameters: Tensor | Iterable[Tensor], clip_value: float) -> None:
    """Limit every element of the gradients to -clip_value..clip_value.

    parameters: their `.grad` is replaced. PyTorch: torch.nn.utils.clip_grad_value_. Errors: as
    `clip_grad_norm_`.

    >>> import gradproof as gp
    >>> p = gp.tensor([0.0, 0.0], requires_grad=True)
    >>> p.grad = gp.tensor([-7.0, 0.5])
    >>> clip_grad_value_([p], 1.0)
    >>> p.grad.numpy().tolist()
    [-1.0, 0.5]
    """
    label = "clip_grad_value_"
    limit = _limit(label, "clip_value", clip_value)
    with no_grad():
        for p in _with_gradients(label, parameters):
            if p.grad is not None:
                flat = {"g": p.grad.detach().reshape(-1)}
                out = apply(operators()["clip_value"], flat, {}, {"limit": limit}, label=label)
                p.grad = out["h"].reshape(*p.shape)


def _limit(label: str, name: str, value: float) -> float:
    limit = number(value, name, label)
    if not limit > 0:
        raise ArgumentError(f"{label}: {name}={value!r}, expected a number above 0")
    return limit


def _with_gradients(label: str, parameters: Tensor | Iterable[Tensor]) -> list[Tensor]:
    given = [parameters] if isinstance(parameters, Tensor) else list(parameters)
    found = [p for p in given if p.grad is not None]
    if not found:
        raise GradproofError(f"{label}: none of {len(given)} parameters has a gradient")
    return found
