"""Adam and AdamW, with PyTorch's options."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from gradproof.runtime.dispatch import host_effect
from gradproof.runtime.errors import GradproofError
from gradproof.runtime.optim.optimizer import FIXED, Optimizer
from gradproof.runtime.optim.options import Option
from gradproof.runtime.tensor import Tensor
from gradproof.runtime.trace import Scalar
from gradproof.runtime.updates import update_in_place


class Adam(Optimizer):
    """Steps scaled by running averages of gradient and squared gradient, as torch.optim.Adam.

    params: tensors that require gradients, or groups of them: see `Optimizer`. In step t, with
    d = g + weight_decay * p: m <- beta1 * m + (1 - beta1) * d, v <- beta2 * v + (1 - beta2) * d²,
    p <- p - lr * m / (1 - beta1^t) / (sqrt(v / (1 - beta2^t)) + eps). amsgrad, maximize, foreach,
    fused, capturable, differentiable: only PyTorch's defaults are taken. Kingma and Ba, ICLR 2015,
    algorithm 1. Errors: GradproofError for an empty list of parameters or options outside their
    range; ArgumentError for an option that is not supported.

    >>> import gradproof as gp
    >>> p = gp.tensor([1.0], requires_grad=True)
    >>> optimizer = Adam([p], lr=0.1)
    >>> gp.functional.mse_loss(p, gp.tensor([0.0])).backward()
    >>> optimizer.step()  # the first step is lr long, whatever the gradient
    >>> round(p.item(), 6)
    0.9
    """

    _options: ClassVar[tuple[str, ...]] = ("lr", "betas", "eps", "weight_decay")
    _kept: ClassVar[tuple[str, ...]] = ("step", "exp_avg", "exp_avg_sq")
    _operator: ClassVar[str] = "adam"

    betas, eps, weight_decay = Option[tuple[float, float]](), Option[float](), Option[float]()

    def __init__(
        self,
        params: Iterable[Tensor] | Iterable[Mapping[str, Any]],
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        amsgrad: bool = False,
        **unsupported: object,
    ) -> None:
        self._refuse({"amsgrad": amsgrad, **unsupported})
        options = (lr, betas, eps, weight_decay)
        super().__init__(params, dict(zip(self._options, options, strict=True)))

    def _checked(self, options: Mapping[str, Any]) -> dict[str, Any]:
        kind, betas = type(self).__name__, options["betas"]
        self._numbers({n: options[n] for n in ("lr", "eps", "weight_decay")})
        if not isinstance(betas, tuple | list) or len(betas) != 2:
            raise GradproofError(f"{kind}: betas={betas!r}, expected two numbers")
        self._numbers({"betas[0]": betas[0], "betas[1]": betas[1]})
        if not max(betas) < 1:
            raise GradproofError(f"{kind}: betas={betas!r}, expected numbers below 1")
        return dict(options) | {"betas": (betas[0], betas[1])}

    def _update(self, k: int, p: Tensor, g: Tensor, group: Mapping[str, Any]) -> None:
        kept: dict[str, Any] = self._start(k, p)
        step: NDArray[np.float64] = kept["step"]

        def advance() -> None:
            step[...] += 1

        host_effect(advance)
        tensors = {"p": p, "g": g, "m": kept["exp_avg"], "v": kept["exp_avg_sq"]}
        update_in_place(self._operator, tensors, _scalars(step, group), type(self).__name__)


def _scalars(step: NDArray[np.float64], group: Mapping[str, Any]) -> dict[str, Scalar]:
    """The operator's scalars in step `step`, which each replay has advanced before."""
    return {
        "beta1": lambda: group["betas"][0],
        "beta2": lambda: group["betas"][1],
        "new1": lambda: 1 - group["betas"][0],
        "new2": lambda: 1 - group["betas"][1],
        "rate": lambda: group["lr"] / (1 - group["betas"][0] ** float(step)),
        "scale": lambda: (1 - group["betas"][1] ** float(step)) ** -0.5,
        "eps": lambda: group["eps"],
        "lr": lambda: group["lr"],
        "weight_decay": lambda: group["weight_decay"],
    }


class AdamW(Adam):
    """`Adam` with d = g, and p <- p - lr * weight_decay * p beside the step: torch.optim.AdamW.

    The decay is not scaled by the averages. Options and errors: as `Adam`, but weight_decay is
    0.01 by default. Loshchilov and Hutter, ICLR 2019, algorithm 2 with the decay times lr.

    >>> import gradproof as gp
    >>> p = gp.tensor([1.0], requires_grad=True)
    >>> optimizer = AdamW([p], lr=0.1, weight_decay=0.5)
    >>> gp.functional.mse_loss(p, gp.tensor([0.0])).backward()
    >>> optimizer.step()
    >>> round(p.item(), 6)
    0.85
    """

    _operator: ClassVar[str] = "adamw"
    # PyTorch's AdamW is its Adam with this option
    _fixed: ClassVar[Mapping[str, object]] = {**FIXED, "decoupled_weight_decay": True}

    def __init__(
        self,
        params: Iterable[Tensor] | Iterable[Mapping[str, Any]],
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 1e-2,
        amsgrad: bool = False,
        **unsupported: object,
    ) -> None:
        super().__init__(params, lr, betas, eps, weight_decay, amsgrad, **unsupported)
