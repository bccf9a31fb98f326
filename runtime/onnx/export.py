"""From a network to an ONNX file: the recorded forward pass, operator by operator."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gradproof.runtime.errors import ArgumentError, DTypeError, GradproofError
from gradproof.runtime.manifest import operators
from gradproof.runtime.nn.module import Module
from gradproof.runtime.onnx import elements, moves, rows, windows
from gradproof.runtime.onnx.graph import Graph, Value
from gradproof.runtime.onnx.passes import Example
from gradproof.runtime.onnx.record import (
    Operand,
    Operation,
    Recording,
    record_forward,
)
from gradproof.runtime.onnx.step import Made, Step
from gradproof.runtime.serialization import write_file
from gradproof.runtime.tensor import DTYPES, Tensor

Input = Tensor | NDArray[Any]

BUILDERS: Mapping[str, Callable[[Step], Made]] = {
    **elements.BUILDERS,
    **windows.BUILDERS,
    **rows.BUILDERS,
    **moves.BUILDERS,
}
OLDEST, USUAL = 17, 17  # opsets; 17 is the first with LayerNormalization
LARGEST = 2**31 - 1  # bytes: a message of protobuf is no longer
BATCH = "batch"  # the name of the free extent in the file


def export(
    model: Module,
    args: Input | Sequence[int] | tuple[Input, ...],
    f: str | os.PathLike[str],
    *,
    input_names: Sequence[str] | None = None,
    output_names: Sequence[str] | None = None,
    dynamic_batch: bool = True,
    opset_version: int = USUAL,
) -> None:
    """Write `model` in evaluation mode as the ONNX file `f`; needs the package onnx.

    args: what the model is called with, of which only shape and type count: a tensor or array, a
    tuple of them, or the shape (N, C, H, W) of one input of the model's type. dynamic_batch:
    dimension 0 of all inputs is free, named "batch"; the other extents are fixed. input_names,
    output_names: in order; by default "input", "output" ("input_0", … where there are several).
    opset_version: from 17 to what the installed onnx has. As torch.onnx.export, without its other
    options. Parameters and buffers are initializers under their names in the state dict; batch norm
    uses its running statistics, dropout is gone. Numbers that ONNX keeps as attributes (eps,
    negative_slope, LRN's alpha, beta, k) are float32, also for a float64 model. `f` is complete or
    still the old file; the model is as it was.

    Errors: GradproofError where onnx is not installed, where the parameters take 2 GiB or more,
    where an operator has no ONNX form, as a user's own (naming the layer and the operator), or
    where what the model does depends on the batch in another way than by extents; ArgumentError
    and DTypeError for other arguments; ShapeError where the model does not take such an input;
    DataError where `f` cannot be written.

    >>> import tempfile, gradproof as gp
    >>> model = gp.nn.Sequential(gp.nn.Linear(3, 2), gp.nn.ReLU())
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     gp.onnx.export(model, (1, 3), Path(folder, "model.onnx"))
    ...     graph = import_module("onnx").load(Path(folder, "model.onnx")).graph
    >>> [node.op_type for node in graph.node], [w.name for w in graph.initializer]
    (['Gemm', 'Relu'], ['0.weight', '0.bias'])
    """
    onnx = _onnx()
    newest = onnx.defs.onnx_opset_version()
    if opset_version not in range(OLDEST, newest + 1):
        raise ArgumentError(
            f"onnx.export: opset_version={opset_version!r}, expected an integer from {OLDEST} to "
            f"{newest}"
        )
    _check_size(model)
    examples = _examples(model, args)
    recording = record_forward(model, examples, dynamic_batch)
    inputs = _names("input", input_names, len(recording.inputs))
    outputs = _names("output", output_names, len(recording.outputs))
    graph = Graph(onnx, recording, opset_version, _real(model, examples))
    graph.reserve([*inputs, *outputs])
    _build(graph, recording, inputs, outputs)
    proto = onnx.helper.make_graph(
        graph.nodes,
        type(model).__name__,
        [_described(graph, recording, *end) for end in zip(inputs, recording.inputs, strict=True)],
        [
            _described(graph, recording, *end)
            for end in zip(outputs, recording.outputs, strict=True)
        ],
        initializer=graph.initializers,
    )
    _write(onnx, proto, opset_version, Path(f))


def _onnx() -> Any:
    try:
        return import_module("onnx")
    except ImportError as error:
        raise GradproofError(
            "onnx.export needs the package onnx, which is not installed: pip install onnx"
        ) from error


def _check_size(model: Module) -> None:
    """Errors: GradproofError where the parameters alone are more than a file holds."""
    tensors = [t for module in model.modules() for t in module.parameters(recurse=False)]
    total = sum(math.prod(t.shape) * t.dtype.itemsize for t in {id(t): t for t in tensors}.values())
    if total > LARGEST:
        raise GradproofError(
            f"onnx.export: the parameters take {total / 2**30:.3g} GiB, an ONNX file holds less"
            f" than {(LARGEST + 1) / 2**30:.3g}; export the model in parts"
            + (", or as float32" if "float64" in {str(t.dtype) for t in tensors} else "")
        )


def _examples(model: Module, args: Any) -> list[Example]:
    """Shapes and types of the inputs. Errors: ArgumentError, DTypeError."""
    listed = isinstance(args, tuple | list)
    if listed and args and all(isinstance(n, int) and n > 0 for n in args):
        return [Example(tuple(args), _model_dtype(model))]
    given = list(args) if listed else [args]
    if not given or not all(isinstance(a, Tensor | np.ndarray) for a in given):
        raise ArgumentError(
            f"onnx.export: args={args!r}, expected a tensor or array, a tuple of them, or a shape"
        )
    for k, a in enumerate(given):
        if a.dtype.name not in DTYPES:
            raise DTypeError(f"onnx.export: input {k} is {a.dtype}, expected one of {DTYPES}")
    return [Example(tuple(a.shape), a.dtype) for a in given]


def _model_dtype(model: Module) -> np.dtype[Any]:
    return next((p.dtype for p in model.parameters()), np.dtype(np.float32))


def _real(model: Module, examples: Sequence[Example]) -> np.dtype[Any]:
    """The type of all reals: a trace has only one."""
    reals = [e.dtype for e in examples if e.dtype.kind == "f"]
    return reals[0] if reals else _model_dtype(model)


def _names(word: str, given: Sequence[str] | None, count: int) -> list[str]:
    if given is None:
        return [word] if count == 1 else [f"{word}_{k}" for k in range(count)]
    names = [] if isinstance(given, str) else list(given)
    if len(names) != count or not all(isinstance(n, str) and n for n in names):
        raise ArgumentError(f"onnx.export: {word}_names={given!r}, expected {count} name(s)")
    return names


def _build(graph: Graph, recording: Recording, inputs: list[str], outputs: list[str]) -> None:
    """All nodes of the graph."""
    for name, operand in zip(inputs, recording.inputs, strict=True):
        graph.define(operand.key, Value(name, operand.shape))
    for operation in recording.operations:
        graph.place = operation.place or operation.label
        made = _builder(operation)(Step(graph, operation))
        if isinstance(made, Value):
            made = {operation.operator.without().outputs[0]: made}
        for target, value in made.items():
            graph.define(operation.results[target].key, value)
    graph.place = ""
    for k, (name, operand) in enumerate(zip(outputs, recording.outputs, strict=True)):
        value = graph.reshaped(graph.value(operand.key, f"result {k}"), operand.shape)
        graph.result(value, name)


def _builder(operation: Operation) -> Callable[[Step], Made]:
    """What makes the nodes of an operator. Errors: GradproofError where there is none."""
    name = operation.operator.name
    if name not in BUILDERS or operators().get(name) is not operation.operator:
        raise GradproofError(
            f"onnx.export: {operation.where}: operator {name!r} has no ONNX form; replace the "
            "layer, or export the parts before and behind it"
        )
    return BUILDERS[name]


def _described(graph: Graph, recording: Recording, name: str, operand: Operand) -> Any:
    """An input or output: its type and extents, of which the batch's has a name."""
    dims: list[int | str | None] = []
    for dim in operand.shape:
        fixed = len(set(dim)) == 1
        dims.append(dim[0] if fixed else BATCH if dim == recording.batch else None)
    helper = graph.onnx.helper
    kind = helper.np_dtype_to_tensor_dtype(recording.dtypes[operand.key])
    return helper.make_tensor_value_info(name, kind, dims)


def _write(onnx: Any, graph: Any, opset: int, target: Path) -> None:
    """Check the model and write it. Errors: GradproofError, DataError."""
    used = onnx.helper.make_opsetid("", opset)
    version = onnx.helper.find_min_ir_version_for([used])
    model = onnx.helper.make_model(
        graph,
        opset_imports=[used],
        ir_version=version,
        producer_name="gradproof",
    )
    try:
        content = model.SerializeToString()
        onnx.checker.check_model(content, full_check=True)
    except Exception as error:  # its own kinds, and those of protobuf: a model of 2 GiB or more
        raise GradproofError(f"onnx.export: onnx does not take the model: {error}") from error
    write_file(target, content)
