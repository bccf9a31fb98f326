"""The marked values of a planned step (see `runtime.reading`), and when each can be read.

A temporary shares its memory with others, so it is read right after the launch that completes it.
What a launch computes and does not store, as a gradient that an update uses in the same kernel, is
computed again for the host, by the operator's own kernel on what that equation reads.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from numpy.typing import NDArray

from gradproof.runtime.dispatch import execute
from gradproof.runtime.planned_memory import PlannedMemory
from gradproof.runtime.recorded import RecordedGraph
from gradproof.runtime.tensor import Tensor, tensor
from gradproof.runtime.trace import Trace, TracedCall

Scalars = Mapping[str, float | int]
BEFORE = -1  # the first launch


class MarkedValues:
    """Which buffers to read after which launch, and what to compute of them."""

    def __init__(
        self, trace: Trace, graph: RecordedGraph, plan: Mapping[str, Any], memory: PlannedMemory
    ) -> None:
        self._trace, self._graph, self._memory = trace, graph, memory
        self._last = {b: k for k, x in enumerate(plan["launches"]) for b in x["writes"]}
        self.due: dict[int, list[str]] = {}  # launch -> the buffers that are read after it
        self._calls: list[int] = []  # what is computed again, in order
        self._marked = {n: t for n, t in trace.marks.items() if graph.has(t)}
        for t in self._marked.values():
            self._plan(graph.name(t))
        self._read: dict[str, NDArray[Any]] = {}

    def _plan(self, b: str) -> None:
        """How a buffer's value is had."""
        if self._memory.has(b):
            k = self._last.get(b, BEFORE)
            if b not in self.due.setdefault(k, []):
                self.due[k].append(b)
            return
        (made,) = self._graph.made[b]  # a temporary is the result of one call
        if made in self._calls:
            return
        call = self._trace.calls[made]
        for name in call.spec.reads:
            self._plan(self._graph.name(call.tensors[name]))
        self._calls.append(made)

    def after(self, k: int) -> None:
        """Read what is complete after launch k."""
        for b in self.due.get(k, ()):
            self._read[b] = self._memory.read(b)

    def values(self, scalars: Scalars) -> dict[str, NDArray[Any]]:
        """The marked values, when all launches are over; scalars: those that change, by slot."""
        found, self._read = self._read, {}
        for k in self._calls:
            call = self._trace.calls[k]
            operands = {
                n: _as(found[self._graph.name(call.tensors[n])], call.tensors[n])
                for n in call.spec.reads
            }
            found[self._graph.name(call.tensors[call.spec.target])] = alone(
                self._graph, k, call, operands, scalars
            ).numpy()
        return {n: found[self._graph.name(t)].reshape(t.shape) for n, t in self._marked.items()}


def alone(
    graph: RecordedGraph,
    number: int,
    call: TracedCall,
    operands: Mapping[str, Tensor],
    scalars: Scalars,
) -> Tensor:
    """The result of one call of a step, by its operator's own kernel. scalars: those that change,
    by slot. Errors: those of the launch."""
    slots = {s.name: (n, s.value) for n, s in graph.slots.items() if s.call == number}
    given = {n: scalars[s] if callable(v) else v for n, (s, v) in slots.items()}
    specs = (call.spec,)
    out = execute(call.binding, specs, operands, given, label=call.label, place=call.place)
    return out[call.spec.target]


def _as(elements: NDArray[Any], like: Tensor) -> Tensor:
    return tensor(elements.reshape(like.shape), like.dtype, device=like.device)
