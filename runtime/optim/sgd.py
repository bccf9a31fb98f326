"""Gradient descent, as the lecture writes it and with PyTorch's options.

    theta <- theta - eta * g

g is the gradient of the loss. A loss that takes the mean over the batch has divided by num_sample
already; the optimizer does not divide again.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, ClassVar

from gradproof.runtime.dispatch import host_effect
from gradproof.runtime.errors import GradproofError
from gradproof.runtime.optim.optimizer import Optimizer
from gradproof.runtime.optim.options import Option
from gradproof.runtime.tensor import Tensor
from gradproof.runtime.trace import Scalar
from gradproof.runtime.updates import update_in_place


class SGD(Optimizer):
    """Stochastic gradient descent, as torch.optim.SGD.

    params: tensors that require gradients, or groups of them: see `Optimizer`. With
    d = g + weight_decay * p and momentum > 0: v <- momentum * v + (1 - dampening) * d (v <- d in
    the first step), p <- p - lr * v, or with nesterov p <- p - lr * (d + momentum * v).
    Errors: GradproofError for an empty list of parameters or options outside their range.

    >>> import gradproof as gp
    >>> p = gp.tensor([1.0], requires_grad=True)
    >>> optimizer = SGD([p], lr=0.1)
    >>> gp.functional.mse_loss(p, gp.tensor([0.0])).backward()
    >>> optimizer.step()
    >>> round(p.item(), 6)
    0.8
    """

    _options: ClassVar[tuple[str, ...]] = (
        "lr",
        "momentum",
        "dampening",
        "weight_decay",
        "nesterov",
    )
    _kept: ClassVar[tuple[str, ...]] = ("momentum_buffer",)

    momentum, dampening = Option[float](), Option[float]()
    weight_decay, nesterov = Option[float](), Option[bool]()

    def __init__(
        self,
        params: Iterable[Tensor] | Iterable[Mapping[str, Any]],
        lr: float,
        momentum: float = 0.0,
        dampening: float = 0.0,
        weight_decay: float = 0.0,
        nesterov: bool = False,
    ) -> None:
        self._fresh: set[int] = set()  # parameters whose velocity has not been used yet
        options = (lr, momentum, dampening, weight_decay, nesterov)
        super().__init__(params, dict(zip(self._options, options, strict=True)))

    def _checked(self, options: Mapping[str, Any]) -> dict[str, Any]:
        self._numbers({n: options[n] for n in ("lr", "momentum", "weight_decay")})
        if options["nesterov"] and (options["momentum"] <= 0.0 or options["dampening"] != 0.0):
            raise GradproofError("SGD: nesterov needs momentum above 0 and no dampening")
        return dict(options)

    def _update(self, k: int, p: Tensor, g: Tensor, group: Mapping[str, Any]) -> None:
        scalars: dict[str, Scalar] = {
            "lr": lambda: group["lr"],
            "weight_decay": lambda: group["weight_decay"],
        }
        if not group["momentum"]:
            update_in_place("sgd", {"p": p, "g": g}, scalars, "SGD")
            return
        scalars |= {"momentum": lambda: group["momentum"], "keep": self._keep(k, p, group)}
        velocity: Any = self.state[k]["momentum_buffer"]
        name = "sgd_nesterov" if group["nesterov"] else "sgd_momentum"
        update_in_place(name, {"p": p, "g": g, "v": velocity}, scalars, "SGD")

    def _keep(self, k: int, p: Tensor, group: Mapping[str, Any]) -> Scalar:
        """1 in the first step, where the velocity is 0; 1 - dampening after it."""
        if k not in self.state:
            self._fresh.add(k)
        self._start(k, p)
        value = {"keep": 0.0}

        def advance() -> None:
            value["keep"] = 1.0 if k in self._fresh else 1.0 - group["dampening"]
            self._fresh.discard(k)

        host_effect(advance)
        return lambda: value["keep"]

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """As `Optimizer.load_state_dict`; what is loaded has been used."""
        super().load_state_dict(state_dict)
        self._fresh &= {*range(len(self.params))} - self.state.keys()
