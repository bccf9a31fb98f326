"""A network as a table: each layer with its output shape and its number of parameters."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from gradproof.runtime.meta import meta, unset
from gradproof.runtime.nn import Module
from gradproof.runtime.tensor import Tensor, no_grad, tensor
from gradproof.runtime.trace import tracing


@dataclass(frozen=True)
class LayerSummary:
    """One layer: its path, its kind, the shapes of its parameters, its output's, and its size."""

    name: str
    kind: str
    parameter_shapes: tuple[tuple[int, ...], ...]
    output_shape: tuple[int, ...]
    parameters: int


def summarize(model: Module, input_shape: tuple[int, ...]) -> list[LayerSummary]:
    """The layers in the order in which they are called; those that are called twice, twice.

    A layer is a module without children. An input of `input_shape` (N, C, H, W) goes through the
    model in evaluation mode, and nothing is computed. The model's mode is kept.

    Raises:
        ShapeError: the model does not take such an input.

    >>> from gradproof.runtime import nn
    >>> for row in summarize(nn.Sequential(nn.Flatten(), nn.Linear(4, 3)), (2, 1, 2, 2)):
    ...     print(row.name, row.kind, row.parameter_shapes, row.output_shape, row.parameters)
    0 Flatten () (2, 4) 0
    1 Linear ((3, 4), (3,)) (2, 3) 15
    """
    rows: list[LayerSummary] = []

    def note(layer: Module, args: tuple[Any, ...], output: Tensor) -> None:
        shapes = tuple(p.shape for p in layer.parameters())
        size = sum(p.size for p in layer.parameters())
        rows.append(
            LayerSummary(layer.path_of_call(), type(layer).__name__, shapes, output.shape, size)
        )

    training = model.training
    dtype = next((p.dtype for p in model.parameters()), np.dtype(np.float32))
    layers = [m for m in model.modules() if not any(True for _ in m.children())]
    handles = [layer.register_forward_hook(note) for layer in layers]
    model.eval()
    try:
        with no_grad(), tracing():
            model(shape_only(input_shape, dtype))
    finally:
        model.train(training)
        for handle in handles:
            handle.remove()
    return rows


def shape_only(shape: tuple[int, ...], dtype: np.dtype[Any]) -> Tensor:
    """A tensor without memory.

    >>> shape_only((2, 3), np.dtype(np.float32)).shape
    (2, 3)
    """
    with meta():
        return tensor(unset(shape, dtype), dtype)
