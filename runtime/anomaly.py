"""Which operator was the first to compute a NaN or an infinity: `detect_anomaly`.

What operators write (results, gradients, updates) is read back after each of them; what is inside
an operator, as the minus infinity with which a maximum begins, does not count. Planned steps are
checked launch by launch, see `runtime/checked_step.py`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import NDArray

from gradproof.runtime.errors import AnomalyError, ArgumentError

if TYPE_CHECKING:
    from gradproof.runtime.binding import Binding
    from gradproof.runtime.tensor import Tensor

GRADIENT = "grad_"


@dataclass(frozen=True)
class Watch:
    """What counts as an anomaly.

    >>> Watch(nan=True, inf=False).wrong(np.float32([1, np.inf, np.nan])).tolist()
    [False, False, True]
    """

    nan: bool = True
    inf: bool = True

    def wrong(self, values: NDArray[Any]) -> NDArray[np.bool_]:
        """Which elements are anomalies."""
        found = np.isnan(values) if self.nan else np.zeros(values.shape, np.bool_)
        return found | np.isinf(values) if self.inf else found


_watch: ContextVar[Watch | None] = ContextVar("what counts as an anomaly; None: no check")


def active_watch() -> Watch | None:
    """What counts as an anomaly in this thread, or None where nothing is checked.

    >>> with detect_anomaly():
    ...     active_watch()
    Watch(nan=True, inf=True)
    """
    return _watch.get(None)


@contextmanager
def detect_anomaly(check_nan: bool = True, check_inf: bool = True) -> Iterator[None]:
    """Inside, the first operator that computes a NaN or an infinity is an error that names it.

    As torch.autograd.detect_anomaly, for forward passes and updates too, and for infinities:
    `check_inf=False` leaves these alone, where a network means them, as a mask of minus infinity
    does. The forward pass belongs inside, so that gradients are named by their layers. Planned and
    recorded steps are checked too. It counts for this thread. Everything that is computed is read
    back, so it takes a multiple of the time: for finding a fault, not for each run.

    Errors: AnomalyError in the block names the layer, the operator, its kernel, what it wrote, and
    whether what it read was finite; ArgumentError where neither is checked.

    >>> import gradproof as gp
    >>> x, y = gp.tensor([1.0, 1.0]), gp.tensor([1.0, 0.0])
    >>> with gp.autograd.detect_anomaly():
    ...     gp.functional.div(x, y)
    Traceback (most recent call last):
    gradproof.runtime.errors.AnomalyError: div: forward of operator div, kernel div_z, wrote \
output: 1 of 2 elements not finite (1 Inf), the first at (1,): inf; it read input: finite, other: \
finite
    """
    token = _watch.set(_watch_of(True, check_nan, check_inf))
    try:
        yield
    finally:
        _watch.reset(token)


class set_detect_anomaly:
    """Check from now on, or no longer; as a block, until its end. See `detect_anomaly`.

    >>> with set_detect_anomaly(True), set_detect_anomaly(False):
    ...     print(active_watch())
    None
    """

    def __init__(self, mode: bool, check_nan: bool = True, check_inf: bool = True) -> None:
        if not isinstance(mode, bool):
            raise ArgumentError(f"set_detect_anomaly: mode is {mode!r}, expected True or False")
        self._before = _watch.get(None)
        _watch.set(_watch_of(mode, check_nan, check_inf))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        _watch.set(self._before)


def _watch_of(mode: bool, check_nan: bool, check_inf: bool) -> Watch | None:
    if not (check_nan or check_inf):
        raise ArgumentError("detect_anomaly: check_nan and check_inf are both False")
    return Watch(check_nan, check_inf) if mode else None


def place_of_call(label: str) -> str:
    """`label`, and the layer that is being called, where the label does not name it.

    >>> place_of_call("relu")
    'relu'
    """
    from gradproof.runtime.nn.module import label_of_call

    layer = label_of_call()
    return label if layer in ("", label) else f"{label} in {layer}"


@dataclass(frozen=True)
class Applied:
    """Some kernels of an operator that ran. targets: what they computed, in order; replaced: the
    operands that they have overwritten, which cannot be looked at any more; where: the layer."""

    binding: Binding
    kernels: Mapping[str, str]  # target -> kernel that was launched
    operands: Mapping[str, Tensor]
    targets: Mapping[str, Tensor]
    replaced: frozenset[str]
    where: str

    def check(self, watch: Watch) -> None:
        """Errors: AnomalyError for the first target outside the operator with an anomaly."""
        for name, t in self.targets.items():
            if is_public(self.binding, name) and t.dtype.kind == "f":
                values = t.numpy()
                if (wrong := watch.wrong(values)).any():
                    raise AnomalyError(self._text(name, values, wrong))

    def _text(self, name: str, values: NDArray[Any], wrong: NDArray[np.bool_]) -> str:
        op = self.binding.operator
        kernel = self.kernels[name]
        way = "backward" if name.startswith(GRADIENT) else "forward"
        read = [
            f"{shown(self.binding, n)}: {_state(n in self.replaced, t)}"
            for n, t in self.operands.items()
            if t.dtype.kind == "f"
        ]
        return (
            f"{self.where}: {way} of operator {op.name}, kernel {kernel}, wrote "
            f"{shown(self.binding, name)}: {counted(values, wrong)}; it read {', '.join(read)}"
        )


def is_public(binding: Binding, target: str) -> bool:
    """Whether a target is a result or a gradient, and no value inside the operator."""
    variant = binding.variant
    return target in variant.outputs or target.removeprefix(GRADIENT) in variant.differentiable


def shown(binding: Binding, name: str) -> str:
    """A tensor of an operator, as its users call it."""
    plain = name.removeprefix(GRADIENT)
    called = binding.operator.names.get(plain, plain)
    return called if plain == name else f"gradient of {called}"


def counted(values: NDArray[Any], wrong: NDArray[np.bool_]) -> str:
    """How many elements are wrong, and where the first is.

    >>> x = np.float32([[1, 2], [np.nan, np.inf]])
    >>> counted(x, ~np.isfinite(x))
    '2 of 4 elements not finite (1 NaN, 1 Inf), the first at (1, 0): nan'
    """
    at = tuple(int(k) for k in np.argwhere(wrong)[0])
    nan = int(np.isnan(values[wrong]).sum())
    inf = int(wrong.sum()) - nan
    kinds = ", ".join(f"{n} {kind}" for n, kind in ((nan, "NaN"), (inf, "Inf")) if n)
    of = f"{nan + inf} of {values.size} elements not finite"
    return f"{of} ({kinds}), the first at {at}: {values[at]}"


def _state(replaced: bool, t: Tensor) -> str:
    if replaced:
        return "overwritten"
    values = t.numpy()
    finite = np.isfinite(values)
    return "finite" if finite.all() else counted(values, ~finite)
