"""What optimizers share: the checks of parameters and options, the loop, and the state."""

from __future__ import annotations

import numbers
from collections.abc import Iterable, Mapping
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from gradproof.runtime.errors import (
    ArgumentError,
    DataError,
    DTypeError,
    GradproofError,
    ShapeError,
)
from gradproof.runtime.nn.state import Buffer, as_array, assign
from gradproof.runtime.optim.options import Option
from gradproof.runtime.tensor import Tensor, tensor

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

    params: tensors that require gradients, or groups as in PyTorch: dicts with "params" and the
    options that differ there. `param_groups` holds the groups; an option that is read from the
    optimizer itself (`optimizer.lr`) is that of the first group, and one that is set there is set
    in all. A subclass names its options and what it keeps for a parameter, and defines `_checked`
    and `_update`. Errors: GradproofError for no parameters, parameters that are no tensors,
    require no gradient or come twice, and options outside their range.

    >>> import gradproof as gp
    >>> weight, bias = gp.nn.Linear(2, 1).parameters()
    >>> groups = [{"params": [weight]}, {"params": [bias], "weight_decay": 0.0}]
    >>> optimizer = gp.optim.SGD(groups, lr=0.1, weight_decay=0.01)
    >>> [group["weight_decay"] for group in optimizer.param_groups]
    [0.01, 0.0]
    """

    _options: ClassVar[tuple[str, ...]]
    _kept: ClassVar[tuple[str, ...]]  # names in the state of a parameter
    _fixed: ClassVar[Mapping[str, object]] = FIXED

    lr = Option[float]()

    def __init__(
        self, params: Iterable[Tensor] | Iterable[Mapping[str, Any]], defaults: Mapping[str, Any]
    ) -> None:
        self.defaults = self._checked(defaults)
        self.param_groups: list[dict[str, Any]] = []
        self.state: dict[int, State] = {}
        for group in self._groups(params):
            self.add_param_group(group)
        if not self.params:
            raise GradproofError(f"{type(self).__name__}: there are no parameters to train")

    @property
    def params(self) -> list[Tensor]:
        """The parameters of all groups, in order."""
        return [p for group in self.param_groups for p in group["params"]]

    def add_param_group(self, param_group: Mapping[str, Any]) -> None:
        """Add a group: "params", and options where they are not the optimizer's own.

        Errors: as the class.
        """
        name, own = type(self).__name__, dict(param_group)
        if "params" not in own:
            raise GradproofError(f"{name}: a group of parameters has no 'params'")
        given = own.pop("params")
        params = [given] if isinstance(given, Tensor) else list(given)
        if unknown := sorted(own.keys() - {*self._options}):
            known = ", ".join(self._options)
            raise ArgumentError(f"{name}: a group has {', '.join(unknown)}, expected {known}")
        before = self.params
        for k, p in enumerate(params, len(before)):
            if not isinstance(p, Tensor) or not p.requires_grad:
                what = "does not require a gradient" if isinstance(p, Tensor) else "is no Tensor"
                raise GradproofError(f"{name}: parameter {k} {what}")
            if p.dtype == np.float16:
                raise DTypeError(
                    f"{name}: parameter {k} is float16, expected float32 or float64; updates are"
                    " smaller than what 11 bits hold"
                )
            if any(p is other for other in (*before, *params[: k - len(before)])):
                raise GradproofError(f"{name}: parameter {k} is there twice")
        options = self._checked(self.defaults | own)
        self.param_groups.append({"params": params} | options)

    def _groups(self, params: Any) -> list[Mapping[str, Any]]:
        if isinstance(params, Tensor) or not isinstance(params, Iterable):
            name, kind = type(self).__name__, type(params).__name__
            raise GradproofError(f"{name}: params is {kind}, expected a list of tensors")
        given = list(params)
        if given and all(isinstance(group, Mapping) for group in given):
            return given
        return [{"params": given}]

    def zero_grad(self) -> None:
        """Forget the gradients, so that the next `backward` starts from nothing."""
        for p in self.params:
            p.grad = None

    def step(self) -> None:
        """Update every parameter that has a gradient, in place."""
        k = 0
        for group in self.param_groups:
            for p in group["params"]:
                if p.grad is not None:
                    self._update(k, p, p.grad, group)
                k += 1

    def _checked(self, options: Mapping[str, Any]) -> dict[str, Any]:
        """All options of a group, checked."""
        raise NotImplementedError

    def _update(self, k: int, p: Tensor, g: Tensor, group: Mapping[str, Any]) -> None:
        """Update parameter k, which is `p`, by its gradient `g`, with the options of its group."""
        raise NotImplementedError

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
    def _start(self, k: int, p: Tensor) -> State:
        """The state of parameter k; zeros where it has none yet. `step` counts on the host."""
        if k not in self.state:
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
        groups, first = [], 0
        for group in self.param_groups:
            options = {n: group[n] for n in self._options}
            groups.append(options | {"params": [*range(first, first + len(group["params"]))]})
            first += len(group["params"])
        return {"state": state, "param_groups": groups}

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Restore what `state_dict` gave, or that of PyTorch's optimizer of the same name.

        Recorded steps go on with the state that is loaded. Errors: DataError for a missing or
        unknown entry, ArgumentError for an option that is not supported, ShapeError for an array
        that does not fit. On error nothing has changed.
        """
        groups, entries = self._restored(state_dict)
        for group, options in zip(self.param_groups, groups, strict=True):
            group.update(options)  # in place: recorded steps ask these
        self.state = {k: kept for k, kept in self.state.items() if k in entries}
        params = self.params
        for k, arrays in entries.items():
            kept = self._start(k, params[k])
            for name, array in arrays.items():  # in place: recorded steps hold these
                assign(kept[name], array)

    def _restored(self, state_dict: Mapping[str, Any]) -> tuple[list[dict[str, Any]], Entries]:
        """The options of each group and the arrays by parameter of a state dict."""
        label = f"{type(self).__name__}.load_state_dict"
        try:
            given, groups = state_dict["state"], list(state_dict["param_groups"])
            found = [{n: group[n] for n in self._options} for group in groups]
            counts = [len(group["params"]) for group in groups]
        except (KeyError, TypeError, ValueError) as error:
            raise DataError(
                f"{label}: expected 'state' and 'param_groups' with"
                f" {', '.join(self._options)}; {type(error).__name__}: {error}"
            ) from None
        expected = [len(group["params"]) for group in self.param_groups]
        if counts != expected:
            raise DataError(f"{label}: groups of {counts} parameters, expected {expected}")
        for group in groups:
            self._refuse({n: v for n, v in group.items() if n in self._fixed})
        entries = {int(k): self._arrays(label, int(k), kept) for k, kept in given.items()}
        return [self._checked(o) for o in found], {k: a for k, a in entries.items() if a}

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
