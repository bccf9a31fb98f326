"""The graph of applied operators: what was run on which tensors, and how a cotangent goes back.

Inside an operator the reverse pass was derived; here it is run, in one of two ways: by the
operator's own backward kernels, or, where the gradient is to be differentiated again, by applying
the operator `<name>_backward` that was derived from it. `grad` walks the graph.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from functools import cache

import numpy as np

from gradproof.runtime.anomaly import active_watch, place_of_call
from gradproof.runtime.anomaly import detect_anomaly as detect_anomaly
from gradproof.runtime.anomaly import set_detect_anomaly as set_detect_anomaly
from gradproof.runtime.binding import Binding, bind
from gradproof.runtime.dispatch import execute, is_recording
from gradproof.runtime.errors import DTypeError, GradproofError
from gradproof.runtime.manifest import Operator, operators
from gradproof.runtime.sizes import size_expression
from gradproof.runtime.tensor import Tensor, is_grad_enabled, tensor
from gradproof.runtime.trace import Scalar, active_trace

PREFIX = "grad_"
BACKWARD = "_backward"
_made: ContextVar[list[Node] | None] = ContextVar("nodes that are noted", default=None)


@contextmanager
def made_nodes() -> Iterator[list[Node]]:
    """The nodes that are made inside, in order."""
    outer, found = _made.get(), list[Node]()
    token = _made.set(found)
    try:
        yield found
    finally:
        _made.reset(token)
        if outer is not None:
            outer += found


@dataclass(eq=False)
class Node:
    """One application of an operator, as the reverse pass needs it."""

    label: str
    inputs: dict[str, Tensor]  # the differentiable ones
    wanted: frozenset[str]  # the inputs that need a gradient
    binding: Binding | None = None  # None: a view
    operands: Mapping[str, Tensor] = field(default_factory=dict)
    saved: Mapping[str, Tensor] = field(default_factory=dict)
    versions: Mapping[str, int] = field(default_factory=dict)  # of operands and saved tensors
    scalars: Mapping[str, Scalar] = field(default_factory=dict)
    again: Callable[[], Node] | None = None  # gives such a node with tensors, where it has none
    place: str = ""  # the layer, where it was asked for

    def __post_init__(self) -> None:
        if (made := _made.get()) is not None:
            made.append(self)

    def pull(
        self, cotangents: Mapping[str, Tensor], wanted: frozenset[str], create_graph: bool
    ) -> dict[str, Tensor]:
        """The gradients of `wanted` inputs, given those of the outputs.

        create_graph: they have a graph of their own. Errors: GradproofError where a tensor that
        they are computed from was changed since.
        """
        if self.again is not None:
            node = self.again()
            node.place = self.place  # it was made outside of the layers around it
            return node.pull(cotangents, wanted, create_graph)
        if self.binding is None:
            (name, source), (gradient,) = *self.inputs.items(), cotangents.values()
            return {name: view(gradient, source.shape)}
        if create_graph:
            return self._apply_backward(self.binding, cotangents, wanted)
        kernels = self.binding.backward(frozenset(PREFIX + n for n in wanted))
        read = {n for k in kernels for n in k.reads}
        known = {n: t for n, t in self.saved.items() if n in read}
        self._check_versions(known)
        for n in self.binding.variant.outputs:
            if n in cotangents or PREFIX + n in read:
                known[PREFIX + n] = self._cotangent(self.binding, n, cotangents)
        operands = {n: t for n, t in known.items() if n in read}
        scalars, place = self.scalars, self.place
        label, like = self.label, self.inputs
        out = execute(self.binding, kernels, operands, scalars, label=label, place=place, like=like)
        return {n: out[PREFIX + n] for n in wanted}

    def _apply_backward(
        self, binding: Binding, cotangents: Mapping[str, Tensor], wanted: frozenset[str]
    ) -> dict[str, Tensor]:
        """The same through the operator that the reverse pass is.

        Its inputs are the operands that it reads and then a cotangent per output that has one, its
        outputs the gradients of the differentiable operands, all in the order of the operator that
        it is of.
        """
        operator, forward = backward_operator(binding.operator), binding.operator.without()
        whole = operator.without()
        outputs = [n for n in forward.outputs if PREFIX + n in forward.tensors]
        count = len(whole.inputs) - len(outputs)
        operands = {n: self.operands.get(n) for n in whole.inputs[:count]}
        self._check_versions({n: t for n, t in operands.items() if t is not None})
        for n, name in zip(outputs, whole.inputs[count:], strict=True):
            operands[name] = self._cotangent(binding, n, cotangents)
        pairs = zip(forward.differentiable, whole.outputs, strict=True)
        names = {n: bar for n, bar in pairs if n in wanted}
        out = apply(
            operator,
            operands,
            {n: v for n, v in binding.sizes.items() if n not in binding.operator.derived},
            {n: self.scalars[n] for n in operator.scalars},
            label=f"gradient of {self.place or self.label}",
            wanted=frozenset(names.values()),
        )
        return {n: out[bar] for n, bar in names.items()}

    def _cotangent(self, binding: Binding, output: str, given: Mapping[str, Tensor]) -> Tensor:
        """The cotangent of one output; 0 for one that nothing was made of."""
        if output in given:
            return given[output]
        like = next(iter(given.values()))
        return tensor(np.zeros(binding.shape(output)), like.dtype, device=like.device)

    def _check_versions(self, used: Mapping[str, Tensor]) -> None:
        for name, t in used.items():
            if self.binding is not None and t.storage.version != self.versions[name]:
                shown = self.binding.operator.names.get(name, name)
                raise GradproofError(
                    f"{self.label}: {shown} was changed in place after the forward pass; "
                    "its gradient would be wrong"
                )


@cache
def backward_operator(operator: Operator) -> Operator:
    """The operator that is the reverse pass of `operator`: generated, else compiled now.

    Errors: DefinitionError where it cannot be derived.
    """
    shipped, name = operators(), operator.name + BACKWARD
    if shipped.get(operator.name) is operator and name in shipped:
        return shipped[name]
    from gradproof.runtime.compile import compile_backward  # derives, so only where it must

    return compile_backward(operator)


def needs_grad(t: Tensor) -> bool:
    """Whether a cotangent of `t` leads to a leaf that requires a gradient."""
    return t.requires_grad or t.node is not None


def apply(
    operator: Operator,
    operands: Mapping[str, Tensor | None],
    sizes: Mapping[str, int] | None = None,
    scalars: Mapping[str, Scalar] | None = None,
    *,
    label: str,
    also: tuple[str, ...] = (),
    wanted: frozenset[str] | None = None,
) -> dict[str, Tensor]:
    """Run an operator's forward pass and remember what its reverse pass needs.

    operands: name -> tensor, None for an optional operand that is left out. also: intermediate
    tensors to return beside the outputs. wanted: the outputs to compute (default: all).
    Errors: ShapeError, DTypeError, DataError (labels).
    """
    given = {n: t for n, t in operands.items() if t is not None}
    for name, t in given.items():
        if not isinstance(t, Tensor):
            shown = operator.names.get(name, name)
            kind = type(t).__name__
            raise DTypeError(f"{label}: {shown} is {kind}, expected a Tensor (gp.tensor)")
    variant = operator.without(*[n for n, t in operands.items() if t is None])
    binding = bind(operator, variant, {n: t.shape for n, t in given.items()}, sizes or {}, label)
    _check_labels(binding, given, label)
    differentiable = {n: given[n] for n in variant.differentiable}
    needing = frozenset(n for n, t in differentiable.items() if needs_grad(t))
    recording = is_grad_enabled() and bool(needing)
    read = _read_by_gradients(binding, needing) if recording else set()
    saved = read & set(variant.saved)
    outputs = [n for n in variant.outputs if wanted is None or n in wanted]
    kernels = binding.forward(frozenset({*outputs, *also, *saved} - set(given)))
    place = place_of_call(label) if _places_matter() else ""
    computed = execute(binding, kernels, given, scalars or {}, label=label, place=place)
    if recording:
        known = given | computed
        node = Node(
            label,
            differentiable,
            needing,
            binding,
            operands=given,
            saved={n: known[n] for n in saved},
            versions={n: known[n].storage.version for n in {*given, *saved}},
            scalars=dict(scalars or {}),
            place=place,
        )
        for name in outputs:
            computed[name].output = name
            if PREFIX + name in read:  # else it depends on no operand that requires a gradient
                computed[name].node = node
    return computed


def _places_matter() -> bool:
    """Whether what is computed now is, or may later be, checked for anomalies."""
    return active_watch() is not None or active_trace() is not None or is_recording()


def view(source: Tensor, shape: tuple[int, ...]) -> Tensor:
    """The same storage under another shape, differentiable."""
    out = Tensor(source.storage, shape, source.dtype)
    if is_grad_enabled() and needs_grad(source):
        out.node, out.output = Node("reshape", {"Y": source}, frozenset({"Y"})), "z"
    return out


def sum_of(a: Tensor, b: Tensor) -> Tensor:
    """a + b, by the kernel of the operator `add`."""
    flat = {"Y": view(a, (a.size,)), "R": view(b, (b.size,))}
    return view(apply(operators()["add"], flat, label="gradient sum")["z"], a.shape)


def _read_by_gradients(binding: Binding, operands: frozenset[str]) -> set[str]:
    """The forward tensors and the cotangents that the gradients of `operands` read."""
    kernels = binding.backward(frozenset(PREFIX + n for n in operands))
    return {n for k in kernels for n in k.reads}


def _check_labels(binding: Binding, given: Mapping[str, Tensor], label: str) -> None:
    for name, values in binding.operator.labels.items():
        if name in given:  # an optional operand may be left out
            given[name].limit_values(size_expression(values)(binding.sizes), label)
