"""Parts of a network whose activations are not kept, but computed again in the backward pass.

These have nothing to do with the checkpoints of a run, which are files. PyTorch:
torch.utils.checkpoint; Chen et al., Training Deep Nets with Sublinear Memory Cost, 2016.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import nullcontext
from functools import partial
from itertools import pairwise
from typing import Any

from gradproof.runtime.arguments import integer
from gradproof.runtime.autograd import Node, made_nodes
from gradproof.runtime.errors import ArgumentError, GradproofError
from gradproof.runtime.nn import Module, Sequential
from gradproof.runtime.random import fork_rng, get_rng_state, set_rng_state
from gradproof.runtime.repeats import Run, running
from gradproof.runtime.tensor import Tensor, grad_mode, is_grad_enabled
from gradproof.runtime.trace import Deferred


def checkpoint(
    function: Callable[..., Any],
    *args: Any,
    use_reentrant: bool = False,
    preserve_rng_state: bool = True,
    **kwargs: Any,
) -> Any:
    """`function(*args, **kwargs)`, whose activations are computed again when gradients need them.

    The second run draws the same dropout masks as the first, and updates nothing: the running
    statistics of batch norm move once. (In PyTorch they move twice.) It runs on what the inputs
    and the parameters hold then, so changing these in between is an error. preserve_rng_state: the
    generator of initial values goes back for the second run too, and forward again.
    Results and gradients are those without a checkpoint, to the bit; in a planned step kernels are
    fused otherwise, and `gp.plan(..., checkpoint=True)` keeps the bits there.
    PyTorch: torch.utils.checkpoint.checkpoint with use_reentrant=False.

    Errors: ArgumentError for use_reentrant=True; those of the function; in the backward pass
    GradproofError where the function does other things the second time, or an input was changed.

    >>> import gradproof as gp
    >>> layer = gp.nn.Linear(2, 2)
    >>> x = gp.tensor([[1.0, 2.0]])
    >>> y = checkpoint(lambda t: gp.functional.relu(layer(t)), x)
    >>> gp.functional.mse_loss(y, gp.tensor([[0.0, 0.0]])).backward()
    >>> layer.weight.grad.shape
    (2, 2)
    """
    if use_reentrant:
        raise ArgumentError("checkpoint: use_reentrant=True, expected False")
    if not is_grad_enabled():
        return function(*args, **kwargs)
    rng = get_rng_state() if preserve_rng_state else None
    with made_nodes() as nodes, running(Run()) as first:
        result = function(*args, **kwargs)
    if nodes:
        _Segment(lambda: function(*args, **kwargs), nodes, first.draws, rng).forget(nodes)
    return result


def checkpoint_sequential(
    functions: Sequential | Iterable[Callable[[Tensor], Tensor]],
    segments: int,
    input: Tensor,
    **options: Any,
) -> Tensor:
    """Functions one after the other, in so many parts, all but the last of them as `checkpoint`.

    options: of `checkpoint`. PyTorch: torch.utils.checkpoint.checkpoint_sequential.
    Errors: ArgumentError for more segments than functions, or fewer than 1.

    >>> import gradproof as gp
    >>> model = gp.nn.Sequential(gp.nn.Linear(3, 3), gp.nn.ReLU(), gp.nn.Linear(3, 1))
    >>> checkpoint_sequential(model, 2, gp.tensor([[1.0, 2.0, 3.0]])).shape
    (1, 1)
    """
    layers = list(functions.children() if isinstance(functions, Module) else functions)
    if integer("checkpoint_sequential", "segments", segments) > len(layers):
        raise ArgumentError(
            f"checkpoint_sequential: segments={segments}, expected at most {len(layers)}, one for "
            "each function"
        )
    cuts = [k * len(layers) // segments for k in range(segments + 1)]
    for begin, end in pairwise(cuts):
        part = _Chain(layers[begin:end])
        input = part(input) if end == len(layers) else checkpoint(part, input, **options)
    return input


class _Chain:
    def __init__(self, layers: list[Any]) -> None:
        self.layers = layers

    def __call__(self, x: Tensor) -> Tensor:
        for layer in self.layers:
            x = layer(x)
        return x


class _Segment:
    """What one call of `checkpoint` needs to run again."""

    def __init__(
        self, call: Callable[[], Any], nodes: list[Node], draws: list[Any], rng: Any
    ) -> None:
        self.call, self.draws, self.rng = call, draws, rng
        self.kinds = [_kind(n) for n in nodes]
        own = set(nodes)
        self.watched = [  # what comes from outside, with the version it had
            (n.label, t, t.storage.version)
            for n in nodes
            for t in n.inputs.values()
            if t.node not in own and (t.requires_grad or t.node is not None)
        ]
        self._fresh: dict[int, Node] = {}

    def forget(self, nodes: list[Node]) -> None:
        """Let the nodes go without their tensors."""
        own = set(nodes)
        for k, n in enumerate(nodes):
            inputs = {name: t for name, t in n.inputs.items() if name in n.wanted}
            n.inputs = {name: _hollow(t) if t.node in own else t for name, t in inputs.items()}
            n.operands, n.saved, n.versions = {}, {}, {}
            n.again = partial(self._node, k)

    def _node(self, k: int) -> Node:
        """A node like number k, with its tensors; each is given once, and then made again."""
        if k not in self._fresh:
            self._fresh = dict(enumerate(self._repeat()))
        return self._fresh.pop(k)

    def _repeat(self) -> list[Node]:
        for label, t, version in self.watched:
            if t.storage.version != version:
                raise GradproofError(
                    f"checkpoint: an operand of {label}, of shape {t.shape}, was changed in place "
                    "after the forward pass, which cannot be repeated"
                )
        with nullcontext() if self.rng is None else fork_rng():
            if self.rng is not None:
                set_rng_state(self.rng)
            with made_nodes() as nodes, running(Run(self.draws, again=True)), grad_mode(True):
                self.call()
        if [_kind(n) for n in nodes] != self.kinds:
            raise GradproofError(
                "checkpoint: the function did other things when it ran again, so its activations "
                "are not known"
            )
        return nodes


def _kind(node: Node) -> tuple[Any, ...]:
    """What a node does."""
    if node.binding is None:
        return node.label, tuple(t.shape for t in node.inputs.values())
    sizes = tuple(node.binding.sizes.items())
    return node.binding.operator.name, sizes, tuple(sorted(node.wanted))


def _hollow(t: Tensor) -> Tensor:
    """A tensor of the same place in the graph, without memory."""
    found = Tensor(Deferred(t.device, "activation that is computed again"), t.shape, t.dtype)
    found.node, found.output = t.node, t.output
    return found
