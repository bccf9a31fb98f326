"""Reverse-mode differentiation over the graph: cotangents from results back to what made them.

Each node is asked once, in reverse order of use; where a tensor was used more than once, its
cotangents are added. PyTorch: torch.autograd.grad, torch.Tensor.backward.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import numpy as np

from gradproof.runtime.autograd import Node, needs_grad, sum_of
from gradproof.runtime.dispatch import note_gradient
from gradproof.runtime.errors import DTypeError, GradproofError, ShapeError
from gradproof.runtime.tensor import Tensor, grad_mode, tensor

# Where a cotangent belongs: to a leaf, or to an output of a node.
Place = Tensor | tuple[Node, str]


def grad(
    outputs: Tensor | Sequence[Tensor],
    inputs: Tensor | Sequence[Tensor],
    grad_outputs: Tensor | Sequence[Tensor | None] | None = None,
    retain_graph: bool | None = None,
    create_graph: bool = False,
    allow_unused: bool = False,
) -> tuple[Tensor | None, ...]:
    """The gradients of `inputs`, one for each, with `.grad` left alone; as torch.autograd.grad.

    outputs: what is differentiated. inputs: leaves or results of operators. grad_outputs: a
    cotangent for each output, of its shape; None for an output of one element stands for 1.
    create_graph: the gradients can be differentiated again. retain_graph: the graph lives as long
    as its tensors do, so this changes nothing. allow_unused: None for an input that the outputs
    do not depend on, instead of an error. Nothing that `inputs` do not need is computed.
    Errors: GradproofError names the input that needs no gradient or is unused; ShapeError for a
    cotangent of another shape.

    >>> import gradproof as gp
    >>> x = gp.tensor([3.0], requires_grad=True)
    >>> zero = gp.tensor([0.0])
    >>> y = gp.functional.mse_loss(x, zero, reduction="sum")   # x**2
    >>> grad(y, x)[0].numpy().tolist()
    [6.0]
    """
    roots = _roots(_tensors(outputs, "outputs"), grad_outputs)
    wanted = _tensors(inputs, "inputs")
    for k, t in enumerate(wanted):
        if not needs_grad(t):
            raise GradproofError(f"grad: input {k}, of shape {t.shape}, requires no gradient")
    places = {_place(t) for t in wanted}
    useful = _leading_to(places, [t for t, _ in roots])
    found: dict[Place, Tensor] = {}

    def leads(t: Tensor) -> bool:
        return _place(t) in places or t.node in useful

    with grad_mode(create_graph):
        for place, g in _cotangents(roots, leads, create_graph):
            if place in places:
                found[place] = sum_of(found[place], g) if place in found else g
    unused = [k for k, t in enumerate(wanted) if _place(t) not in found]
    if unused and not allow_unused:
        raise GradproofError(
            f"grad: the outputs do not depend on input {unused[0]}, of shape "
            f"{wanted[unused[0]].shape}; with allow_unused=True its gradient is None"
        )
    return tuple(found.get(_place(t)) for t in wanted)


def backward(root: Tensor, gradient: Tensor | None, create_graph: bool = False) -> None:
    """Add the gradient of `root` to `.grad` of every leaf that requires one.

    Errors: GradproofError where there is none; ShapeError for a gradient of another shape.
    """
    if not needs_grad(root):
        shown = f"output {root.output}" if root.output else "this tensor"
        raise GradproofError(f"backward: {shown} depends on no operand that requires a gradient")
    roots = [(root, _seed(root, gradient, "backward", "gradient"))]
    with grad_mode(create_graph):
        for leaf, g in _cotangents(roots, lambda t: True, create_graph):
            if isinstance(leaf, Tensor):
                first = g if create_graph else g.detach()
                new = first if leaf.grad is None else sum_of(leaf.grad, g)
                note_gradient(leaf, leaf.grad, new)
                leaf.grad = new


def _cotangents(
    roots: list[tuple[Tensor, Tensor]], leads: Callable[[Tensor], bool], create_graph: bool
) -> Iterator[tuple[Place, Tensor]]:
    """Every contribution to a leaf, and every node's cotangents once they are complete.

    leads: whether the gradient of a tensor is of use; what is not is not computed.
    """
    pending: dict[Node, dict[str, Tensor]] = {}
    for t, g in roots:
        yield from _deliver(t, g, pending)
    for node in _order([t for t, _ in roots]):
        arrived = pending.pop(node, {})
        for output, g in arrived.items():
            yield (node, output), g
        wanted = frozenset(n for n in node.wanted if leads(node.inputs[n]))
        if arrived and wanted:
            for name, g in node.pull(arrived, wanted, create_graph).items():
                yield from _deliver(node.inputs[name], g, pending)


def _deliver(
    t: Tensor, g: Tensor, pending: dict[Node, dict[str, Tensor]]
) -> Iterator[tuple[Tensor, Tensor]]:
    if t.node is not None:
        into = pending.setdefault(t.node, {})
        into[t.output] = sum_of(into[t.output], g) if t.output in into else g
    if t.requires_grad:
        yield t, g


def _place(t: Tensor) -> Place:
    return t if t.node is None else (t.node, t.output)


def _order(roots: list[Tensor]) -> list[Node]:
    """Nodes such that each comes after every node that uses its outputs."""
    done: list[Node] = []
    seen: set[Node] = set()
    stack: list[tuple[Node, bool]] = [(t.node, False) for t in roots if t.node]
    while stack:
        node, finished = stack.pop()
        if finished:
            done.append(node)
        elif node not in seen:
            seen.add(node)
            stack.append((node, True))
            stack += [(t.node, False) for t in node.inputs.values() if t.node is not None]
    return done[::-1]


def _leading_to(places: set[Place], roots: list[Tensor]) -> set[Node | None]:
    """The nodes from which a cotangent goes on to one of `places`."""
    found: set[Node | None] = set()
    for node in reversed(_order(roots)):  # the first ones first
        inputs = [node.inputs[n] for n in node.wanted]
        if any(_place(t) in places or t.node in found for t in inputs):
            found.add(node)
    return found


def _tensors(given: Tensor | Sequence[Tensor], what: str) -> list[Tensor]:
    """One tensor or several, as a list. Errors: DTypeError for what is no tensor."""
    found = [given] if isinstance(given, Tensor) else list(given)
    for k, t in enumerate(found):
        if not isinstance(t, Tensor):
            raise DTypeError(f"grad: {what}[{k}] is {type(t).__name__}, expected a Tensor")
    return found


def _roots(
    outputs: list[Tensor], given: Tensor | Sequence[Tensor | None] | None
) -> list[tuple[Tensor, Tensor]]:
    seeds = [given] * len(outputs) if given is None else given
    seeds = [seeds] if isinstance(seeds, Tensor) else list(seeds)
    if len(seeds) != len(outputs):
        raise ShapeError(f"grad: {len(outputs)} outputs, but {len(seeds)} grad_outputs")
    for k, t in enumerate(outputs):
        if not needs_grad(t):
            raise GradproofError(f"grad: no operand of output {k} requires a gradient")
    pairs = enumerate(zip(outputs, seeds, strict=True))
    return [(t, _seed(t, g, f"grad: output {k}", "grad_outputs")) for k, (t, g) in pairs]


def _seed(t: Tensor, given: Tensor | None, where: str, argument: str) -> Tensor:
    """The cotangent that a result starts with."""
    if given is None:
        if t.size != 1:
            raise ShapeError(f"{where}: a tensor of shape {t.shape} needs a {argument} argument")
        return tensor(np.ones(t.shape), t.dtype, device=t.device)
    if given.shape != t.shape:
        raise ShapeError(f"{where}: {argument} has shape {given.shape}, expected {t.shape}")
    return given
