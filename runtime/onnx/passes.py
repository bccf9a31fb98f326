"""One trace of a network's forward pass: which layer applied which operators, in order."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from gradproof.runtime.errors import ArgumentError
from gradproof.runtime.meta import meta, unset
from gradproof.runtime.nn.module import Module, label_of_call
from gradproof.runtime.tensor import Tensor, no_grad, tensor
from gradproof.runtime.trace import Trace, TracedCall, tracing


@dataclass(frozen=True)
class Example:
    """Shape and element type of an input."""

    shape: tuple[int, ...]
    dtype: np.dtype[Any]


@dataclass
class PlacedTrace(Trace):
    """A trace that also notes which layer made each call."""

    places: list[str] = field(default_factory=list)

    def defer(self, *args: Any, **named: Any) -> dict[str, Tensor]:
        """As `Trace.defer`."""
        computed = super().defer(*args, **named)
        self.places += [label_of_call()] * (len(self.calls) - len(self.places))
        return computed


@dataclass(frozen=True, eq=False)
class Pass:
    """One trace: its calls, those of one operator together, and its ends."""

    groups: list[tuple[str, list[TracedCall]]]
    inputs: list[Tensor]
    outputs: list[Tensor]


def traced(model: Module, examples: Sequence[Example]) -> Pass:
    """The forward pass of `model`, in the mode that it is in.

    Errors: ArgumentError for a result that is no tensor, or no tuple of them; those of the layers.
    """
    trace = PlacedTrace()
    with meta():
        inputs = [tensor(unset(e.shape, e.dtype), e.dtype) for e in examples]
    with no_grad(), tracing(trace):
        result = model(*inputs)
    outputs = list(result) if isinstance(result, tuple) else [result]
    for k, t in enumerate(outputs):
        if not isinstance(t, Tensor):
            raise ArgumentError(
                f"onnx.export: result {k} of {type(model).__name__} is {type(t).__name__}, "
                "expected a Tensor"
            )
    return Pass(list(_grouped(trace)), inputs, outputs)


def _grouped(trace: PlacedTrace) -> Iterator[tuple[str, list[TracedCall]]]:
    """The kernels of one operator, which a trace notes one by one, together."""
    group: list[TracedCall] = []
    group_place = ""
    for place, call in zip(trace.places, trace.calls, strict=True):
        if group and not (place == group_place and _belongs(call, group)):
            yield group_place, group
            group = []
        group_place = place
        group.append(call)
    if group:
        yield group_place, group


def _belongs(call: TracedCall, group: list[TracedCall]) -> bool:
    """Whether a kernel is of the same operator as those before it: by its operands, and by its
    target, which the first of two such operators has written already."""
    known = tensors_of(group)
    return (
        call.binding is group[0].binding
        and call.label == group[0].label
        and all(known.get(n, t) is t for n, t in call.tensors.items())
    )


def tensors_of(group: list[TracedCall]) -> dict[str, Tensor]:
    """All tensors of an operator's kernels, by name."""
    return {name: t for call in group for name, t in call.tensors.items()}
