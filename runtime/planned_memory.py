"""The memory of a planned step: slots that its temporaries share, and tensors moved into place."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from gradproof.runtime.device import Device
from gradproof.runtime.layout import Layout
from gradproof.runtime.recorded import RecordedGraph
from gradproof.runtime.tensor import Tensor, upload
from gradproof.runtime.trace import Deferred


class PlannedMemory:
    """The slots of a plan as buffers, zeroed once: borders stay zero. Tensors from outside are put
    into the layouts of the plan, and again where something else has moved them since."""

    def __init__(self, plan: Mapping[str, Any], graph: RecordedGraph, device: Device) -> None:
        self._graph, self._slot = graph, plan["slot"]
        self._layouts = {b: _layout(x) for b, x in plan["layouts"].items()}
        sizes = {"real": np.dtype(graph.dtype).itemsize, "int": 4}
        self._buffers = [_zeros(n * sizes[kind], device) for n, kind in plan["slots"]]
        self.nbytes = sum(n * sizes[kind] for n, kind in plan["slots"])
        used = {b for x in plan["launches"] for b in x["buffers"]}
        self._outside = sorted(used & set(graph.storages) - set(self._slot))
        self._bound: list[Any] = []

    @property
    def largest(self) -> int:
        """Bytes of the largest buffer, at least."""
        own = [b.size for b in self._buffers]
        tensors = {b: self._graph.tensors[b] for b in self._outside}
        sizes = {
            b: self._layouts[b].size if b in self._layouts else t.size for b, t in tensors.items()
        }
        return int(max([1, *own, *(n * tensors[b].dtype.itemsize for b, n in sizes.items())]))

    def place(self) -> None:
        """Every tensor from outside where the plan wants it."""
        for b in self._outside:
            t, storage = self._graph.tensors[b], self._graph.storages[b]
            storage.move(t.size, t.dtype, self._layouts.get(b))
        self._bound = [self._graph.storages[b].buffer for b in self._outside]

    def moved(self) -> bool:
        """Whether some tensor has another buffer than when it was placed."""
        now = (self._graph.storages[b].buffer for b in self._outside)
        return any(a is not b for a, b in zip(now, self._bound, strict=True))

    def buffer(self, name: str) -> Any:
        """The OpenCL buffer of a buffer of the plan."""
        if name in self._slot:
            return self._buffers[self._slot[name]]
        return self._graph.storages[name].buffer


def _layout(data: Mapping[str, Any]) -> Layout:
    """A layout as the plan writes it."""
    axes = tuple((d, div, count) for d, div, count in data["axes"])
    return Layout(tuple(data["shape"]), axes, tuple(data["low"]))


def _zeros(nbytes: int, device: Device) -> Any:
    return upload(np.zeros(nbytes + 64, np.uint8), device)


def give_memory(outputs: tuple[Tensor, ...], plan: Mapping[str, Any], graph: RecordedGraph) -> None:
    """Outputs of the step are kept: they get memory of their own, zeros at first."""
    for t in outputs:
        if isinstance(t.storage, Deferred) and t.storage.empty:
            x = plan["layouts"].get(graph.name(t))
            t.storage.layout = layout = None if x is None else _layout(x)
            size = t.size if layout is None else layout.size
            t.storage.buffer = _zeros(max(1, size) * t.dtype.itemsize, t.device)
