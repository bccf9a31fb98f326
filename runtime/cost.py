"""What a network takes: parameters, operations of a forward pass, memory of its activations.

Nothing is computed or allocated: the forward pass is recorded on tensors without memory.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from gradproof.runtime.autograd import Node
from gradproof.runtime.nn import Module
from gradproof.runtime.recorded import RecordedGraph
from gradproof.runtime.summary import shape_only
from gradproof.runtime.tensor import Storage, Tensor
from gradproof.runtime.trace import Deferred, tracing


@dataclass(frozen=True)
class Cost:
    """Of a network and a batch. parameters: numbers that are trained. flops: additions,
    multiplications and other operations of one forward pass in training, as its equations state
    them: a convolution's products count 2 each, those with padding too. activation_bytes: results
    that are kept for the reverse pass, each once."""

    parameters: int
    flops: int
    activation_bytes: int


def cost(model: Module, input_shape: tuple[int, ...]) -> Cost:
    """The cost of `model` on a batch of `input_shape` (N, C, H, W), in the model's mode.

    It can be a model made inside `runtime.meta.meta()`, which has no memory. Activations are
    those of a training step that is not planned; `gradproof plan` says what a planned one takes.
    Errors: ShapeError where the model does not take such an input.

    >>> from gradproof.runtime import nn
    >>> cost(nn.Sequential(nn.Linear(4, 3), nn.ReLU()), (2, 4))
    Cost(parameters=15, flops=60, activation_bytes=24)
    """
    from gradproof.runtime.compile import flops_of_graph

    parameters = list(model.parameters())
    dtype = next((p.dtype for p in parameters), np.dtype(np.float32))
    with tracing() as trace:
        output = model(shape_only(input_shape, dtype))
    graph = RecordedGraph(trace, set())
    flops = flops_of_graph(graph.data, [c.binding.operator for c in trace.calls])
    kept = {s: t for s, t in _kept(output) if isinstance(s, Deferred)}
    nbytes = sum(t.size * t.dtype.itemsize for t in kept.values())
    return Cost(sum(p.size for p in parameters), flops, nbytes)


def _kept(output: Tensor) -> Iterator[tuple[Storage, Tensor]]:
    """What the graph of an output keeps for its reverse pass; a storage may come more than once."""
    waiting: list[Node | None] = [output.node]
    seen: set[Node] = set()
    while waiting:
        node = waiting.pop()
        if node is None or node in seen:
            continue
        seen.add(node)
        yield from ((t.storage, t) for t in node.saved.values())
        waiting += [t.node for t in node.inputs.values()]
