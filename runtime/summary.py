"""A network as a table: each layer with its output shape and its number of parameters."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from gradproof.runtime.nn import Module, Sequential
from gradproof.runtime.tensor import Tensor, no_grad, tensor


@dataclass(frozen=True)
class LayerSummary:
    """One layer: its path, its kind, the shapes of its parameters, its output's, and its size."""

    name: str
    kind: str
    parameter_shapes: tuple[tuple[int, ...], ...]
    output_shape: tuple[int, ...]
    parameters: int


def summarize(model: Sequential, input_shape: tuple[int, ...]) -> list[LayerSummary]:
    """The layers in order, those of a nested Sequential one by one.

    The shapes are measured: zeros of `input_shape` (N, C, H, W) go through the model in evaluation
    mode, which changes no parameter and no running mean. The model's mode is kept.

    Raises:
        ShapeError: the model does not take such an input.

    >>> from gradproof.runtime import nn
    >>> for row in summarize(nn.Sequential(nn.Flatten(), nn.Linear(4, 3)), (2, 1, 2, 2)):
    ...     print(row.name, row.kind, row.parameter_shapes, row.output_shape, row.parameters)
    0 Flatten () (2, 4) 0
    1 Linear ((3, 4), (3,)) (2, 3) 15
    """
    training = model.training
    dtype = next((p.dtype for p in model.parameters()), np.dtype(np.float32))
    model.eval()
    try:
        with no_grad():
            return list(_rows(model, tensor(np.zeros(input_shape), dtype)))
    finally:
        model.train(training)


def _rows(model: Sequential, x: Tensor) -> Iterator[LayerSummary]:
    for path, layer in _layers(model):
        x = layer(x)
        shapes = tuple(p.shape for p in layer.parameters())
        parameters = sum(p.size for p in layer.parameters())
        yield LayerSummary(path, type(layer).__name__, shapes, x.shape, parameters)


def _layers(model: Sequential, prefix: str = "") -> Iterator[tuple[str, Module]]:
    # A layer that is in two places is listed in both, under its first name.
    names = {child: name for name, child in model.named_children()}
    for layer in model:
        path = f"{prefix}{names[layer]}"
        if isinstance(layer, Sequential):
            yield from _layers(layer, f"{path}.")
        else:
            yield path, layer
