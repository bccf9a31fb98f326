"""What optimizers share: the checks of parameters and options, the loop, and the state."""

from __future__ import annotations

import numbers
from collections.abc import Iterable, Mapping
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from gradproof.runtime.binding import bind
from gradproof.runtime.dispatch import execute
from gradproof.runtime.errors import ArgumentError, DataError, GradproofError, ShapeError
from gradproof.runtime.manifest import operators
from gradproof.runtime.nn.state import Buffer, as_array, assign
from gradproof.runtime.tensor import Tensor, tensor
from gradproof.runtime.trace import Scalar

State = dict[str, Buffer]
Entries = dict[int, dict[str, NDArray[Any]]]

# PyTorch's options that would change a result, and PyTorch's defaults: the only value that is taken
FIXED: Mapping[str, object] = {
    "amsgrad": False,
    "maximize": False,
    "differentiable": False,
    "decoupled_weight_decay": False,
}
# those that say how PyTorch computes: to an optimizer that is made they are refused, as there is no
# choice here; in a state dict they say nothing about the state
IMPLEMENTATION: Mapping[str, object] = {"foreach": None, "fused": None, "capturable": False}


class Optimizer:
    """The base of `SGD`, `Adam` and `AdamW`.

    params: tensors that require gradients. A subclass names its options and what it keeps for a
    parameter, and defines `_configure` and `_update`. Errors: GradproofError for no parameters, or
    parameters that are no tensors or require no gradient.
    """

    _options: ClassVar[tuple[str, ...]]
    _kept: ClassVar[tuple[str, ...]]  # names in the state of a parameter
    _fixed: ClassVar[Mapping[str, object]] = FIXED

    lr: float

    def __init__(self, params: Iterable[Tensor]) -> None:
        name = type(self).__name__
        if not isinstance(params, Iterable):
            kind = type(params).__name__
            raise GradproofError(f"{name}: params is {kind}, expected a list of tensors")
        self.params = list(params)
        for k, p in enumerate(self.params):
            if not isinstance(p, Tensor) or not p.requires_grad:
                what = "does not require a gradient" if isinstance(p, Tensor) else "is no Tensor"
                raise GradproofError(f"{name}: parameter {k} {what}")
        if not self.params:
            raise GradproofError(f"{name}: there are no parameters to train")
        self.state: dict[int, State] = {}

    def zero_grad(self) -> None:
        """Forget the gradients, so that the next `backward` starts from nothing."""
        for p in self.params:
            p.grad = None

    def step(self) -> None:
        """Update every parameter that has a gradient, in place."""
        for k, p in enumerate(self.params):
            if p.grad is not None:
                self._update(k, p, p.grad)

    def _configure(self, *args: Any, **options: Any) -> None:
        """Check options, then set them all."""
        raise NotImplementedError

    def _update(self, k: int, p: Tensor, g: Tensor) -> None:
        """Update parameter k, which is `p`, by its gradient `g`."""
        raise NotImplementedError

    def _launch(
        self,
        operator: str,
        p: Tensor,
        g: Tensor,
        averages: Mapping[str, Tensor],
        scalars: Mapping[str, Scalar],
    ) -> None:
        """Run an update `operator`: p and each of `averages` x become p_new and x_new, in place."""
        flat = {n: t.detach().reshape(-1) for n, t in {"p": p, "g": g, **averages}.items()}
        into = {f"{n}_new": t for n, t in flat.items() if n != "g"}
        op, label = operators()[operator], type(self).__name__
        binding = bind(op, op.without(), {n: t.shape for n, t in flat.items()}, {}, label)
        kernels = binding.forward(frozenset(into))
        execute(binding, kernels, flat, scalars, into=into, label=label)

    def _numbers(self, options: Mapping[str, object]) -> None:
        """Check that options are numbers from 0."""
        for name, value in options.items():
            if not isinstance(value, numbers.Real) or not float(value) >= 0.0:  # also NaN
                kind = type(self).__name__
                raise GradproofError(f"{kind}: {name}={value!r}, expected a number of at least 0")

    def _refuse(self, options: Mapping[str, object]) -> None:
        """Refuse PyTorch's options that are not supported, but for PyTorch's own defaults."""
        known = {**self._fixed, **IMPLEMENTATION}
        for name, value in options.items():
            if name not in known:
                raise ArgumentError(f"{type(self).__name__}: there is no option {name!r}")
            if value is not known[name]:
                raise ArgumentError(
                    f"{type(self).__name__}: {name}={value!r} is not supported,"
                    f" expected {known[name]!r}"
                )

    # -- state ----------------------------------------------------------------------------------
    def _start(self, k: int) -> State:
        """The state of parameter k; zeros where it has none yet. `step` counts on the host."""
        if k not in self.state:
            p = self.params[k]
            zeros = np.zeros(p.shape, p.dtype)
            self.state[k] = {
                n: np.zeros(()) if n == "step" else tensor(zeros, p.dtype, device=p.device)
                for n in self._kept
            }
        return self.state[k]

    def state_dict(self) -> dict[str, Any]:
        """Options and state, to continue a run; laid out and named as PyTorch's, in NumPy arrays.

        >>> import gradproof as gp
        >>> p = gp.tensor([1.0], requires_grad=True)
        >>> gp.optim.SGD([p], lr=0.1).state_dict()["param_groups"][0]["lr"]
        0.1
        """
        state = {
            k: {n: np.array(as_array(value)) for n, value in kept.items()}
            for k, kept in self.state.items()
        }
        group = {n: getattr(self, n) for n in self._options}
        return {"state": state, "param_groups": [group | {"params": [*range(len(self.params))]}]}

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Restore what `state_dict` gave, or that of PyTorch's optimizer of the same name.

        Recorded steps go on with the state that is loaded. Errors: DataError for a missing or
        unknown entry, ArgumentError for an option that is not supported, ShapeError for an array
        that does not fit. On error nothing has changed.
        """
        group, entries = self._checked(state_dict)
        self._configure(**{n: group[n] for n in self._options})
        self.state = {k: kept for k, kept in self.state.items() if k in entries}
        for k, arrays in entries.items():
            kept = self._start(k)
            for name, array in arrays.items():  # in place: recorded steps hold these
                assign(kept[name], array)

    def _checked(self, state_dict: Mapping[str, Any]) -> tuple[dict[str, Any], Entries]:
        """The options and the arrays by parameter of a state dict."""
        label = f"{type(self).__name__}.load_state_dict"
        try:
            (group,) = state_dict["param_groups"]
            given, options = state_dict["state"], {n: group[n] for n in self._options}
            count = len(group["params"])
        except (KeyError, TypeError, ValueError) as error:
            raise DataError(
                f"{label}: expected 'state' and one of 'param_groups' with"
                f" {', '.join(self._options)}; {type(error).__name__}: {error}"
            ) from None
        if count != len(self.params):
            raise DataError(f"{label}: {count} parameters, expected {len(self.params)}")
        self._refuse({n: v for n, v in group.items() if n in self._fixed})
        entries = {int(k): self._arrays(label, int(k), kept) for k, kept in given.items()}
        return options, {k: arrays for k, arrays in entries.items() if arrays}

    def _arrays(self, label: str, k: int, kept: Mapping[str, Any]) -> dict[str, NDArray[Any]]:
        """What is kept of parameter k, checked; PyTorch has None for what does not exist yet."""
        present = {n: v for n, v in kept.items() if v is not None}
        complete = not present or present.keys() == {*self._kept}
        if not complete or not 0 <= k < len(self.params):
            found = ", ".join(map(str, present)) or "nothing"
            raise DataError(
                f"{label}: parameter {k} has {found}, expected {', '.join(self._kept) or 'nothing'}"
                f" for parameters 0 to {len(self.params) - 1}"
            )
        arrays = {n: np.asarray(as_array(v)) for n, v in present.items()}
        for name, array in arrays.items():
            shape = () if name == "step" else self.params[k].shape
            if array.shape != shape or array.dtype.kind not in "fiu":
                raise ShapeError(
                    f"{label}: {name} of parameter {k} is {array.dtype} of shape {array.shape},"
                    f" expected reals of shape {shape}"
                )
        return arrays
