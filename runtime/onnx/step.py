"""One operator while its nodes are made: its operands as values, its sizes as numbers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from gradproof.runtime.errors import GradproofError
from gradproof.runtime.onnx.graph import Graph, Value, divide
from gradproof.runtime.onnx.record import Dim, Operation, Shape

Made = Value | Mapping[str, Value]  # the first output, or several by name


class Step:
    """What the nodes of one operator are made with."""

    def __init__(self, graph: Graph, operation: Operation) -> None:
        self.graph, self.operation = graph, operation

    def given(self, name: str) -> bool:
        """Whether an optional operand is there."""
        return name in self.operation.operands

    def value(self, name: str) -> Value:
        """An operand in the shape that its producer gave it."""
        operand = self.operation.operands[name]
        return self.graph.value(operand.key, f"{name} of {self.operation.where}")

    def shaped(self, name: str) -> Value:
        """An operand in the shape in which the operator takes it."""
        return self.graph.reshaped(self.value(name), self.operation.operands[name].shape)

    def divided(self, name: str, *single: int) -> tuple[Value, list[range]]:
        """An operand and its axes that are each axis of the operator; `single`: as one axis."""
        shape = self.operation.operands[name].shape
        value = self.value(name)
        found = divide(value.shape, shape, single)
        if found is not None:
            return value, found
        return self.shaped(name), [range(k, k + 1) for k in range(len(shape))]

    def size(self, name: str) -> int:
        """A size. Errors: GradproofError where it depends on the batch."""
        values = self.operation.sizes[name]
        if len(set(values)) > 1:
            raise GradproofError(
                f"onnx.export: {self.operation.where}: size {name} depends on the batch; export "
                "with dynamic_batch=False"
            )
        return values[0]

    def scalar(self, name: str) -> float:
        """A number. Errors: GradproofError where it changes, or depends on the batch."""
        values = self.operation.scalars[name]
        found = {float(v) for v in values if not callable(v)}
        if len(found) != 1 or any(callable(v) for v in values):
            raise GradproofError(
                f"onnx.export: {self.operation.where}: the number {name} depends on the batch or "
                "changes from call to call"
            )
        return found.pop()

    def result(self, name: str = "z") -> Shape:
        """The shape of a result, as the operator gives it."""
        return self.operation.results[name].shape

    def node(
        self, op_type: str, inputs: Sequence[Value | None], shape: Shape, **attributes: Any
    ) -> Value:
        """A node with one output."""
        return self.graph.node(op_type, inputs, shape, **attributes)

    def number(self, value: float) -> Value:
        """A constant real."""
        return self.graph.number(value)

    def integers(self, values: Sequence[int]) -> Value:
        """Constant integers."""
        return self.graph.integers(values)


def joined(shape: Shape, axes: range, dim: Dim) -> Shape:
    """`shape` with one axis of extent `dim` in place of `axes`.

    >>> joined(((2,), (3,), (4,)), range(1, 3), (12,))
    ((2,), (12,))
    """
    return (*shape[: axes.start], dim, *shape[axes.stop :])
