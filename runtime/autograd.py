"""Reverse-mode differentiation over generated kernels: the chain rule between operators.

Inside an operator the reverse pass was derived; here only cotangents are handed on and, where a
tensor is used more than once, added.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from gradproof.runtime.binding import Binding, bind
from gradproof.runtime.dispatch import Scalar, execute, note_gradient
from gradproof.runtime.errors import DTypeError, GradproofError, ShapeError
from gradproof.runtime.manifest import Operator, operators
from gradproof.runtime.sizes import size_expression
from gradproof.runtime.tensor import Tensor, is_grad_enabled, tensor

PREFIX = "grad_"


@dataclass(eq=False)
class Node:
    """One application of an operator, as the reverse pass needs it."""

    label: str
    inputs: dict[str, Tensor]
    binding: Binding | None = None  # None: a view
    saved: dict[str, Tensor] = field(default_factory=dict)
    versions: dict[str, int] = field(default_factory=dict)
    scalars: Mapping[str, Scalar] = field(default_factory=dict)
    wanted: frozenset[str] = frozenset()  # the inputs that need a gradient

    def pull(self, cotangents: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """The gradients of the inputs that need one, given those of the outputs."""
        if self.binding is None:
            (name, source), (gradient,) = *self.inputs.items(), cotangents.values()
            return {name: _alias(gradient, source.shape)}
        for name, version in self.versions.items():
            if self.saved[name].storage.version != version:
                shown = self.binding.operator.names.get(name, name)
                raise GradproofError(
                    f"{self.label}: {shown} was changed in place after the forward pass; "
                    "its gradient would be wrong"
                )
        targets = frozenset(PREFIX + n for n in self.wanted)
        kernels = self.binding.backward(targets)
        read = {n for k in kernels for n in k.reads}
        operands = {n: t for n, t in self.saved.items() if n in read}
        given = next(iter(cotangents.values()))
        for n in self.binding.variant.outputs:
            if n in cotangents:
                operands[PREFIX + n] = cotangents[n]
            elif PREFIX + n in read:  # an output that nothing was made of
                zeros = np.zeros(self.binding.shape(n))
                operands[PREFIX + n] = tensor(zeros, given.dtype, device=given.device)
        operands = {n: t for n, t in operands.items() if n in read}
        out = execute(self.binding, kernels, operands, self.scalars, label=self.label)
        return {n: out[PREFIX + n] for n in self.wanted}


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
) -> dict[str, Tensor]:
    """Run an operator's forward pass and remember what its reverse pass needs.

    operands: name -> tensor, None for an optional operand that is left out. also: intermediate
    tensors to return beside the outputs. Errors: ShapeError, DTypeError, DataError (labels).
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
    saved = _read_by_gradients(binding, needing) if recording else set()
    kernels = binding.forward(frozenset({*variant.outputs, *also, *saved} - set(given)))
    computed = execute(binding, kernels, given, scalars or {}, label=label)
    if recording:
        kept = {n: (given | computed)[n] for n in saved}
        versions = {n: t.storage.version for n, t in kept.items()}
        node = Node(label, differentiable, binding, kept, versions, dict(scalars or {}), needing)
        for name in variant.outputs:
            computed[name].node, computed[name].output = node, name
    return computed


def view(source: Tensor, shape: tuple[int, ...]) -> Tensor:
    """The same storage under another shape, differentiable."""
    out = _alias(source, shape)
    if is_grad_enabled() and needs_grad(source):
        out.node, out.output = Node("reshape", {"Y": source}), "z"
    return out


def backward(root: Tensor, gradient: Tensor | None) -> None:
    """Cotangents from `root` to the leaves, each node once, in reverse order of use."""
    if not needs_grad(root):
        raise GradproofError("backward: no operand of this tensor requires a gradient")
    if gradient is None:
        if root.size != 1:
            raise ShapeError(f"backward: a tensor of shape {root.shape} needs a gradient argument")
        gradient = tensor(np.ones(root.shape), root.dtype, device=root.device)
    elif gradient.shape != root.shape:
        raise ShapeError(f"backward: gradient has shape {gradient.shape}, expected {root.shape}")
    pending: dict[Node, dict[str, Tensor]] = {}
    _deliver(root, gradient, pending)
    for node in _order(root):
        for name, g in node.pull(pending.pop(node)).items():
            _deliver(node.inputs[name], g, pending)


def _deliver(t: Tensor, g: Tensor, pending: dict[Node, dict[str, Tensor]]) -> None:
    if t.node is not None:
        into = pending.setdefault(t.node, {})
        into[t.output] = sum_of(into[t.output], g) if t.output in into else g
    if t.requires_grad:
        new = g.detach() if t.grad is None else sum_of(t.grad, g)
        note_gradient(t.grad, new)
        t.grad = new


def sum_of(a: Tensor, b: Tensor) -> Tensor:
    """a + b, by the kernel of the operator `add`."""
    op = operators()["add"]
    binding = bind(op, op.without(), {"Y": (a.size,), "R": (b.size,)}, {}, "gradient sum")
    flat = {"Y": _alias(a, (a.size,)), "R": _alias(b, (b.size,))}
    out = execute(binding, binding.forward(frozenset({"z"})), flat, {}, label="gradient sum")
    return _alias(out["z"], a.shape)


def _order(root: Tensor) -> list[Node]:
    """Nodes such that each comes after every node that uses its outputs."""
    done: list[Node] = []
    seen: set[Node] = set()
    stack: list[tuple[Node, bool]] = [(root.node, False)] if root.node else []
    while stack:
        node, finished = stack.pop()
        if finished:
            done.append(node)
        elif node not in seen:
            seen.add(node)
            stack.append((node, True))
            stack += [(t.node, False) for t in node.inputs.values() if t.node is not None]
    return done[::-1]


def _read_by_gradients(binding: Binding, operands: frozenset[str]) -> set[str]:
    """The forward tensors that the gradients of `operands` read."""
    kernels = binding.backward(frozenset(PREFIX + n for n in operands))
    return {n for k in kernels for n in k.reads} & set(binding.variant.saved)


def _check_labels(binding: Binding, given: Mapping[str, Tensor], label: str) -> None:
    for name, values in binding.operator.labels.items():
        given[name].limit_values(size_expression(values)(binding.sizes), label)


def _alias(t: Tensor, shape: tuple[int, ...]) -> Tensor:
    return Tensor(t.storage, shape, t.dtype, layout=t.layout)
