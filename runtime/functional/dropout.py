"""Dropout."""

from __future__ import annotations

from collections.abc import Mapping

from gradproof.runtime.arguments import check_tensor, number
from gradproof.runtime.autograd import apply
from gradproof.runtime.dispatch import host_effect
from gradproof.runtime.errors import ShapeError
from gradproof.runtime.manifest import operators
from gradproof.runtime.random import next_dropout_key
from gradproof.runtime.repeats import drawn
from gradproof.runtime.tensor import Tensor
from gradproof.runtime.trace import Scalar


def dropout(
    input: Tensor, p: float = 0.5, training: bool = True, *, label: str = "dropout"
) -> Tensor:
    """Zero each element with probability p and scale the rest by 1/(1-p); only in training.

    Any shape. The mask comes from Philox4x32-10 keyed by `manual_seed`, so it is the same on every
    device. Errors: ShapeError where p is outside [0, 1).

    >>> import gradproof as gp
    >>> gp.functional.dropout(gp.tensor([1.0, 2.0]), training=False).numpy().tolist()
    [1.0, 2.0]
    """
    check_tensor(input, "input", label)
    if not 0.0 <= number(p, "p", label) < 1.0:
        raise ShapeError(f"{label}: p={p}, expected 0 <= p < 1")
    if not training or p == 0.0:
        return input
    state = drawn()

    def draw() -> None:
        state["key0"], state["key1"], state["call"] = next_dropout_key()

    host_effect(draw)
    scalars: Mapping[str, Scalar] = {
        "key0": lambda: state["key0"],
        "key1": lambda: state["key1"],
        "call": lambda: state["call"],
        "threshold": min(round(p * 2**32), 2**32 - 1),
        "scale": 1.0 / (1.0 - p),
    }
    flat = apply(operators()["dropout"], {"Y": input.reshape(-1)}, {}, scalars, label=label)["z"]
    return flat.reshape(input.shape)
