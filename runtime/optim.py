"""Gradient descent, as the lecture writes it and with PyTorch's options.

    theta <- theta - eta * g

g is the gradient of the loss. A loss that takes the mean over the batch has divided by num_sample
already; the optimizer does not divide again.
"""

from __future__ import annotations

import numbers
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from gradproof.runtime.binding import bind
from gradproof.runtime.dispatch import Scalar, execute, host_effect
from gradproof.runtime.errors import GradproofError, ShapeError
from gradproof.runtime.manifest import operators
from gradproof.runtime.tensor import Tensor, tensor


class SGD:
    """Stochastic gradient descent, as torch.optim.SGD.

    params: tensors that require gradients. With d = g + weight_decay * p and momentum > 0:
    v <- momentum * v + (1 - dampening) * d (v <- d in the first step), p <- p - lr * v, or with
    nesterov p <- p - lr * (d + momentum * v). Errors: GradproofError for an empty list of
    parameters or options outside their range.

    >>> import gradproof as gp
    >>> p = gp.tensor([1.0], requires_grad=True)
    >>> optimizer = SGD([p], lr=0.1)
    >>> gp.functional.mse_loss(p, gp.tensor([0.0])).backward()
    >>> optimizer.step()
    >>> round(p.item(), 6)
    0.8
    """

    def __init__(
        self,
        params: Iterable[Tensor],
        lr: float,
        momentum: float = 0.0,
        dampening: float = 0.0,
        weight_decay: float = 0.0,
        nesterov: bool = False,
    ) -> None:
        if not isinstance(params, Iterable):
            kind = type(params).__name__
            raise GradproofError(f"SGD: params is {kind}, expected a list of tensors")
        self.params = list(params)
        for k, p in enumerate(self.params):
            if not isinstance(p, Tensor) or not p.requires_grad:
                what = "does not require a gradient" if isinstance(p, Tensor) else "is no Tensor"
                raise GradproofError(f"SGD: parameter {k} {what}")
        if not self.params:
            raise GradproofError("SGD: there are no parameters to train")
        for name, value in (("lr", lr), ("momentum", momentum), ("weight_decay", weight_decay)):
            if not isinstance(value, numbers.Real) or not value >= 0.0:
                raise GradproofError(f"SGD: {name}={value!r}, expected at least 0")
        if nesterov and (momentum <= 0.0 or dampening != 0.0):
            raise GradproofError("SGD: nesterov needs momentum above 0 and no dampening")
        self.lr, self.momentum, self.dampening = lr, momentum, dampening
        self.weight_decay, self.nesterov = weight_decay, nesterov
        self.velocity: dict[int, Tensor] = {}

    def zero_grad(self) -> None:
        """Forget the gradients, so that the next `backward` starts from nothing."""
        for p in self.params:
            p.grad = None

    def step(self) -> None:
        """Update every parameter that has a gradient, in place."""
        for k, p in enumerate(self.params):
            if p.grad is not None:
                self._update(k, p, p.grad)

    def _update(self, k: int, p: Tensor, g: Tensor) -> None:
        flat = {"p": p.detach().reshape(-1), "g": g.detach().reshape(-1)}
        scalars: dict[str, Scalar] = {
            "lr": lambda: self.lr,
            "weight_decay": lambda: self.weight_decay,
        }
        into = {"p_new": flat["p"]}
        name = "sgd"
        if self.momentum:
            name = "sgd_nesterov" if self.nesterov else "sgd_momentum"
            keep = self._keep(k, p)
            flat["v"] = into["v_new"] = self.velocity[k].reshape(-1)
            scalars |= {"momentum": lambda: self.momentum, "keep": keep}
        op = operators()[name]
        shapes = {n: t.shape for n, t in flat.items()}
        binding = bind(op, op.without(), shapes, {}, "SGD")
        kernels = binding.forward(frozenset(into))
        execute(binding, kernels, flat, scalars, into=into, label="SGD")

    def _keep(self, k: int, p: Tensor) -> Scalar:
        """1 in the first step, where the velocity is 0; 1 - dampening after it."""
        first = {"step": k not in self.velocity}
        if first["step"]:
            zeros = np.zeros(p.shape, p.dtype)
            self.velocity[k] = tensor(zeros, p.dtype, device=p.device)
        value = {"keep": 0.0}

        def advance() -> None:
            value["keep"] = 1.0 if first["step"] else 1.0 - self.dampening
            first["step"] = False

        host_effect(advance)
        return lambda: value["keep"]

    def state_dict(self) -> dict[str, Any]:
        """Options and velocities (NumPy arrays by position), to continue a run."""
        options = ("lr", "momentum", "dampening", "weight_decay", "nesterov")
        velocity = {str(k): v.numpy() for k, v in self.velocity.items()}
        return {**{n: getattr(self, n) for n in options}, "velocity": velocity}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restore what `state_dict` gave. Errors: ShapeError where a velocity does not fit."""
        velocity = {}
        for key, array in state["velocity"].items():
            k = int(key)
            if k >= len(self.params) or self.params[k].shape != np.shape(array):
                shape = self.params[k].shape if k < len(self.params) else None
                raise ShapeError(f"SGD: velocity {k} has shape {np.shape(array)}, expected {shape}")
            velocity[k] = np.asarray(array)
        for n in ("lr", "momentum", "dampening", "weight_decay", "nesterov"):
            setattr(self, n, state[n])
        self.velocity = {k: v for k, v in self.velocity.items() if k in velocity}
        for k, array in velocity.items():  # in place, so that recorded steps go on with them
            p = self.params[k]
            if k in self.velocity:
                self.velocity[k].copy_(array)
            else:
                self.velocity[k] = tensor(array, p.dtype, device=p.device)
