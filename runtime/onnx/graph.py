"""An ONNX graph under construction: values with their extents, nodes, initializers.

A reshape is no operator here but another view of the same memory. So a value keeps the shape that
its producer gave it, and a Reshape node comes only where a consumer needs another one.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gradproof.runtime.errors import GradproofError
from gradproof.runtime.onnx.record import Dim, Recording, Shape


@dataclass(frozen=True)
class Value:
    """A tensor of the graph."""

    name: str
    shape: Shape


def product(dims: Sequence[Dim], traces: int) -> Dim:
    """The number of elements, in each trace.

    >>> product([(11, 13), (2, 2)], 2)
    (22, 26)
    """
    return tuple(math.prod(d[k] for d in dims) for k in range(traces))


def divide(shape: Shape, blocks: Sequence[Dim], single: Sequence[int] = ()) -> list[range] | None:
    """The axes of `shape` whose extents multiply to each of `blocks`, in order; None if there are
    none. single: the blocks that have to be one axis.

    >>> divide(((11,), (3,), (4,), (5,)), [(11,), (3,), (20,)])
    [range(0, 1), range(1, 2), range(2, 4)]
    >>> divide(((11,), (3,), (4,), (5,)), [(33,), (20,)], single=[1]) is None
    True
    """
    traces = len(blocks[0])

    def cuts(start: int, block: int) -> Iterator[list[range]]:
        if block == len(blocks):
            if start == len(shape):
                yield []
            return
        for end in range(start, len(shape) + 1):
            fits = product(shape[start:end], traces) == blocks[block]
            if fits and (block not in single or end == start + 1):
                for rest in cuts(end, block + 1):
                    yield [range(start, end), *rest]

    return next(cuts(0, 0), None)


class Graph:
    """Nodes and initializers in order. `opset`: version of ONNX's operators; `kind`: the reals."""

    def __init__(self, onnx: Any, recording: Recording, opset: int, kind: np.dtype[Any]) -> None:
        self.onnx, self.opset, self.kind = onnx, opset, kind
        self.traces = 1 if recording.batch is None else len(recording.batch)
        self.nodes: list[Any] = []
        self.initializers: list[Any] = []
        self.place = ""
        self._values: dict[int, Value] = {}
        self._numbers: dict[tuple[Any, ...], Value] = {}
        self._views: dict[tuple[str, Shape], Value] = {}
        self._outputs: dict[str, str] = {}  # value -> the output that it became
        self._taken = {c.name for c in recording.constants.values()}
        for key, constant in recording.constants.items():
            name = constant.name or self.fresh("constant")
            self.define(key, self._initializer(name, constant.tensor.numpy()))

    # -- values ---------------------------------------------------------------------------------
    def define(self, key: int, value: Value) -> None:
        """`value` is what the memory `key` holds."""
        self._values[key] = value

    def value(self, key: int, what: str) -> Value:
        """What a memory holds, in the shape that its producer gave it.

        Errors: GradproofError for what no node of the graph computes; `what` names it.
        """
        if key not in self._values:
            raise GradproofError(f"onnx.export: {what} is an inner result that ONNX does not give")
        return self._values[key]

    def fixed(self, shape: Sequence[int]) -> Shape:
        """A shape that does not depend on the batch."""
        return tuple((n,) * self.traces for n in shape)

    def fresh(self, word: str) -> str:
        """A name that nothing has, with the layer in it."""
        base = f"{self.place.split(' (')[0]}/{word}" if self.place else f"/{word}"
        name, k = base, 1
        while name in self._taken:
            k += 1
            name = f"{base}_{k}"
        self._taken.add(name)
        return name

    def reserve(self, names: Sequence[str]) -> None:
        """Names that the user gave to inputs and outputs. Errors: GradproofError if taken."""
        for name in names:
            if name in self._taken:
                raise GradproofError(f"onnx.export: the name {name!r} is taken; choose another")
            self._taken.add(name)

    def result(self, value: Value, name: str) -> None:
        """`value` is an output of the graph, under this name."""
        made = {node.output[0] for node in self.nodes}
        if value.name not in made:  # an input, a constant, or an output already
            source = self._outputs.get(value.name, value.name)
            node = self.onnx.helper.make_node("Identity", [source], [name], name=f"/{name}")
            self.nodes.append(node)
            return
        self._outputs[value.name] = name
        for node in self.nodes:
            for names in (node.input, node.output):
                names[:] = [name if n == value.name else n for n in names]

    # -- constants ------------------------------------------------------------------------------
    def array(self, array: NDArray[Any]) -> Value:
        """A constant tensor; equal ones are one."""
        key = (array.dtype.str, array.shape, array.tobytes())
        if key not in self._numbers:
            self._numbers[key] = self._initializer(self.fresh("constant"), array)
        return self._numbers[key]

    def number(self, value: float) -> Value:
        """A constant real, that broadcasts."""
        return self.array(np.array(value, self.kind))

    def integers(self, values: Sequence[int]) -> Value:
        """Constant integers: a shape, axes, positions."""
        return self.array(np.array(values, np.int64))

    def _initializer(self, name: str, array: NDArray[Any]) -> Value:
        self.initializers.append(self.onnx.numpy_helper.from_array(array, name))
        return Value(name, self.fixed(array.shape))

    # -- nodes ----------------------------------------------------------------------------------
    def node(
        self, op_type: str, inputs: Sequence[Value | None], shape: Shape, **attributes: Any
    ) -> Value:
        """A node with one output, of `shape`; None for an optional input that is left out."""
        name = self.fresh(op_type)
        out = Value(f"{name}_output", shape)
        self._taken.add(out.name)
        names = ["" if v is None else v.name for v in inputs]
        made = self.onnx.helper.make_node(op_type, names, [out.name], name=name, **attributes)
        self.nodes.append(made)
        return out

    def reshaped(self, value: Value, shape: Shape) -> Value:
        """The same elements in another shape. Errors: GradproofError where two extents are free."""
        if value.shape == shape:
            return value
        key = (value.name, shape)
        if key not in self._views:
            self._views[key] = self._reshape(value, shape)
        return self._views[key]

    def _reshape(self, value: Value, shape: Shape) -> Value:
        if len(shape) == 2 and value.shape[:1] == shape[:1]:
            return self.node("Flatten", [value], shape, axis=1)
        extents = []
        for k, dim in enumerate(shape):
            if len(set(dim)) == 1:
                extents.append(dim[0])
            elif value.shape[k : k + 1] == (dim,):
                extents.append(0)  # ONNX: that of the input
            else:
                extents.append(-1)  # ONNX: what is left
        if extents.count(-1) > 1:
            raise GradproofError(
                f"onnx.export: {self.place or 'the network'}: a reshape to {shape} has more than "
                "one extent that depends on the batch; export with dynamic_batch=False"
            )
        if extents.count(0) == 1 and -1 not in extents:
            extents[extents.index(0)] = -1  # the usual form, which other programs know
        empty = any(d == 0 for dim in shape for d in dim)
        return self.node("Reshape", [value, self.integers(extents)], shape, allowzero=int(empty))
