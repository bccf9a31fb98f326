"""What a network does to its inputs, as a list of operators; nothing is run.

The forward pass is traced, for a free batch at two sizes of it. What is equal in both traces is
fixed; an extent that differs depends on the batch. So an extent is here one number for each trace.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from gradproof.runtime.errors import ArgumentError, GradproofError
from gradproof.runtime.manifest import Operator
from gradproof.runtime.nn.module import Module
from gradproof.runtime.onnx.passes import Example, Pass, tensors_of, traced
from gradproof.runtime.tensor import Storage, Tensor
from gradproof.runtime.trace import Deferred, Scalar, TracedCall

Dim = tuple[int, ...]  # an extent, in each trace
Shape = tuple[Dim, ...]
BATCHES = (11, 13)  # of the two traces: primes that are seldom a network's own extents


@dataclass(frozen=True)
class Operand:
    """A tensor as an operator sees it; `key` stands for its memory, which views share."""

    key: int
    shape: Shape


@dataclass(frozen=True, eq=False)
class Constant:
    """A parameter, buffer or constant; `name`: that of the state dict, "" where it has none."""

    name: str
    tensor: Tensor


@dataclass(frozen=True, eq=False)
class Operation:
    """One operator that is applied; `place`: the layer that does it, as errors name it."""

    operator: Operator
    place: str
    label: str
    operands: Mapping[str, Operand]
    results: Mapping[str, Operand]
    sizes: Mapping[str, Dim]
    scalars: Mapping[str, tuple[Scalar, ...]]

    @property
    def where(self) -> str:
        """The layer, and the operator's own label where it is another."""
        return self.label if self.place in ("", self.label) else f"{self.place}, {self.label}"


@dataclass(frozen=True, eq=False)
class Recording:
    """All operators in order; `batch`: the extent that is free, if there is one."""

    operations: tuple[Operation, ...]
    inputs: tuple[Operand, ...]
    outputs: tuple[Operand, ...]
    dtypes: Mapping[int, np.dtype[Any]]
    constants: Mapping[int, Constant]
    batch: Dim | None


def record_forward(model: Module, examples: Sequence[Example], dynamic_batch: bool) -> Recording:
    """The forward pass of `model` in evaluation mode, on inputs like `examples`.

    dynamic_batch: dimension 0 of every input is free, and the same for all. The model is as before
    afterwards. Errors: GradproofError where what it does depends on the batch in another way than
    by extents, or changes the model; ArgumentError for a result that is no tensor, and for an input
    without a batch; ShapeError where it does not take such inputs.

    >>> import numpy as np
    >>> from gradproof.runtime import nn
    >>> layers = nn.Sequential(nn.Linear(3, 2), nn.Dropout(), nn.ReLU())
    >>> found = record_forward(layers, [Example((1, 3), np.dtype(np.float32))], True)
    >>> [(o.operator.name, o.place) for o in found.operations], found.outputs[0].shape
    ([('linear', '0 (Linear)'), ('relu', '2 (ReLU)')], ((11, 13), (2, 2)))
    """
    training = {m: m.training for m in model.modules()}
    model.eval()
    try:
        if not dynamic_batch:
            passes = [traced(model, examples)]
        else:
            passes = [traced(model, _with_batch(examples, n)) for n in BATCHES]
    finally:
        for module, mode in training.items():
            module.training = mode
    return _merged(model, passes, BATCHES if dynamic_batch else None)


def _with_batch(examples: Sequence[Example], batch: int) -> list[Example]:
    for k, example in enumerate(examples):
        if not example.shape:
            raise ArgumentError(
                f"onnx.export: input {k} has no dimensions, so no batch; export with "
                "dynamic_batch=False"
            )
    return [Example((batch, *e.shape[1:]), e.dtype) for e in examples]


class _Keys:
    """Numbers for the memory of one trace, in the order in which it is met."""

    def __init__(self) -> None:
        self.tensors: list[Tensor] = []
        self._numbers: dict[Storage, int] = {}

    def __call__(self, t: Tensor) -> int:
        if t.storage not in self._numbers:
            self._numbers[t.storage] = len(self.tensors)
            self.tensors.append(t)
        return self._numbers[t.storage]


def _merged(model: Module, passes: Sequence[Pass], batch: Dim | None) -> Recording:
    keys = [_Keys() for _ in passes]
    inputs = _operands(keys, [p.inputs for p in passes], "the inputs")
    if len({len(p.groups) for p in passes}) > 1:
        raise _depends("the number of operators")
    operations = tuple(
        _operation(keys, groups) for groups in zip(*(p.groups for p in passes), strict=True)
    )
    outputs = _operands(keys, [p.outputs for p in passes], "the results")
    return Recording(
        operations,
        inputs,
        outputs,
        {k: t.dtype for k, t in enumerate(keys[0].tensors)},
        _constants(model, keys, {o.key for o in inputs}),
        batch,
    )


def _operation(keys: list[_Keys], placed: Sequence[tuple[str, list[TracedCall]]]) -> Operation:
    place, first = placed[0][0], placed[0][1][0]
    groups = [group for _, group in placed]
    where = f"{place}, {first.label}" if place else first.label
    same = [(g[0].binding.operator, g[0].binding.variant.name, len(g), g[0].label) for g in groups]
    if len(set(same)) > 1:
        raise _depends(f"the operator at {where}")
    targets = [c.spec.target for c in groups[0]]
    for call in groups[0]:
        storage = call.tensors[call.spec.target].storage
        if not isinstance(storage, Deferred) or not storage.empty:
            raise GradproofError(
                f"onnx.export: {where} writes to a tensor of the model, which no ONNX graph does"
            )
    tensors = [tensors_of(g) for g in groups]
    found = {n: _operand(keys, [t[n] for t in tensors], f"{n} of {where}") for n in tensors[0]}
    scalars: dict[str, tuple[Scalar, ...]] = {}
    for calls in zip(*groups, strict=True):
        scalars |= {n: tuple(c.scalars[n] for c in calls) for n in calls[0].scalars}
    sizes = [g[0].binding.sizes for g in groups]
    return Operation(
        first.binding.operator,
        place,
        first.label,
        {n: o for n, o in found.items() if n not in targets},
        {n: found[n] for n in targets},
        {n: tuple(s[n] for s in sizes) for n in sizes[0]},
        scalars,
    )


def _operands(keys: list[_Keys], tensors: Sequence[list[Tensor]], what: str) -> tuple[Operand, ...]:
    if len({len(t) for t in tensors}) > 1:
        raise _depends(f"the number of {what}")
    return tuple(_operand(keys, ts, what) for ts in zip(*tensors, strict=True))


def _operand(keys: list[_Keys], tensors: Sequence[Tensor], what: str) -> Operand:
    numbers = {key(t) for key, t in zip(keys, tensors, strict=True)}
    if len(numbers) > 1 or len({t.ndim for t in tensors}) > 1:
        raise _depends(what)
    return Operand(numbers.pop(), tuple(zip(*(t.shape for t in tensors), strict=True)))


def _constants(model: Module, keys: list[_Keys], inputs: set[int]) -> dict[int, Constant]:
    """What is neither an input nor computed, in the order of the state dict; the same memory
    gets the first of its names."""
    state = (*model.named_parameters(), *model.named_buffers())
    named = {t.storage: (name, t) for name, t in state if isinstance(t, Tensor)}
    found: dict[int, Constant] = {}
    for k, tensors in enumerate(zip(*(key.tensors for key in keys), strict=True)):
        storage = tensors[0].storage
        if k in inputs or (isinstance(storage, Deferred) and storage.empty):
            continue
        if storage in named:  # in its own shape, whatever view of it is used
            found[k] = Constant(*named[storage])
            continue
        arrays = [t.numpy() for t in tensors]
        if any(not np.array_equal(a, arrays[0], equal_nan=True) for a in arrays):
            raise _depends("a tensor that the model makes")
        found[k] = Constant("", tensors[0])
    order = {name: place for place, (name, _) in enumerate(named.values())}
    return dict(sorted(found.items(), key=lambda item: order.get(item[1].name, len(order))))


def _depends(what: str) -> GradproofError:
    return GradproofError(
        f"onnx.export: {what} depends on the size of the batch ({BATCHES[0]} and {BATCHES[1]} were "
        "tried); export with dynamic_batch=False"
    )
