"""The memory of a planned step: places that its temporaries share, and tensors moved into place."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from gradproof.runtime.device import Device, DeviceInfo
from gradproof.runtime.errors import DeviceError
from gradproof.runtime.layout import Layout
from gradproof.runtime.pool import LARGE_PAGE
from gradproof.runtime.recorded import RecordedGraph
from gradproof.runtime.tensor import OVERHANG, Storage, Tensor, upload
from gradproof.runtime.trace import Deferred


@dataclass(frozen=True)
class StepMemory:
    """What a planned step takes, in bytes.

    temporaries: activations, gradients and whatever else lives only within a run; outside: all
    tensors that it is given, keeps or returns, such as parameters, averages and batches; largest:
    one allocation; recomputed: launches that repeat another, to save memory.
    """

    temporaries: int
    outside: int
    largest: int
    recomputed: int

    @classmethod
    def of(cls, plan: Mapping[str, Any], graph: RecordedGraph) -> StepMemory:
        """That of a plan."""
        own = _pieces(plan, graph).values()
        used = {b for x in plan["launches"] for b in x["buffers"]}
        given = []
        for b in used & graph.storages.keys() - plan["places"].keys():
            x, t = plan["layouts"].get(b), graph.tensors[b]
            given.append((t.size if x is None else layout_of(x).size) * t.dtype.itemsize)
        return cls(sum(own), sum(given), max([0, *own, *given]), plan["repeats"])

    def check(self, device: DeviceInfo, recompute: bool) -> None:
        """Errors: DeviceError where `device` has not that much memory; says what takes less."""
        advice = "a smaller batch takes less"
        if not recompute:
            advice += "; so does checkpoint=True, which computes activations again"
        if self.largest > device.max_alloc:
            raise DeviceError(
                f"planned step: needs {mib(self.largest)} in one allocation, but {device.name} "
                f"allows at most {mib(device.max_alloc)}; {advice}"
            )
        if self.temporaries + self.outside > device.global_mem:
            raise DeviceError(
                f"planned step: needs {mib(self.temporaries + self.outside)}, of which "
                f"{mib(self.temporaries)} are activations and other temporaries, but {device.name} "
                f"has {mib(device.global_mem)}; {advice}"
            )


def _itemsizes(graph: RecordedGraph) -> dict[str, int]:
    return {"real": np.dtype(graph.dtype).itemsize, "int": 4}


def _pieces(plan: Mapping[str, Any], graph: RecordedGraph) -> dict[str, int]:
    """Bytes of the memory for each kind of element."""
    itemsizes = _itemsizes(graph)
    return {kind: n * itemsizes[kind] + OVERHANG for kind, n in plan["sizes"].items()}


def mib(nbytes: int) -> str:
    """A size for people.

    >>> mib(3 * 2**19)
    '1.5 MiB'
    """
    return f"{nbytes / 2**20:.1f} MiB"


class PlannedMemory:
    """One piece of memory for each kind of element, zeroed once, and the buffers of a plan as parts
    of it. Tensors from outside are put into the layouts of the plan, and again where something else
    has moved them since."""

    def __init__(self, plan: Mapping[str, Any], graph: RecordedGraph, device: Device) -> None:
        self._graph, self._places = graph, plan["places"]
        self._layouts = {b: layout_of(x) for b, x in plan["layouts"].items()}
        self._itemsizes, pieces = _itemsizes(graph), _pieces(plan, graph)
        self._apart, self._pool = device.info.kind == "simulator", device.pool
        self._elements, self._alone = plan["elements"], dict[str, Any]()
        self._whole = {kind: device.pool.zeros(n, "planned step") for kind, n in pieces.items()}
        used = {b for x in plan["launches"] for b in x["buffers"]}
        self._outside = sorted(used & set(graph.storages) - set(self._places))
        self._bound: list[Any] = []
        self._seen = 0

    @property
    def largest(self) -> int:
        """Bytes of the largest buffer, at least."""
        own = [b.size for b in self._whole.values()]
        tensors = {b: self._graph.tensors[b] for b in self._outside}
        sizes = {
            b: self._layouts[b].size if b in self._layouts else t.size for b, t in tensors.items()
        }
        return int(max([1, *own, *(n * tensors[b].dtype.itemsize for b, n in sizes.items())]))

    def place(self) -> None:
        """Every tensor from outside where the plan wants it."""
        for b in self._outside:
            t, storage = self._graph.tensors[b], self._graph.storages[b]
            before = storage.buffer
            storage.move(t.size, t.dtype, self._layouts.get(b), lasting=True)
            if storage.buffer is not before and before.size >= LARGE_PAGE:
                del before
                storage.device.pool.trim()  # parameters are not in memory twice
        self._seen = Storage.moves
        self._bound = [self._graph.storages[b].buffer for b in self._outside]

    def moved(self) -> bool:
        """Whether some tensor has another buffer than when it was placed."""
        moves = Storage.moves
        if moves == self._seen:
            return False
        now = (self._graph.storages[b].buffer for b in self._outside)
        if any(a is not b for a, b in zip(now, self._bound, strict=True)):
            return True
        self._seen = moves
        return False

    def buffer(self, name: str) -> Any:
        """The OpenCL buffer of a buffer of the plan."""
        if name in self._places:
            kind, place, room = self._places[name]
            size = self._itemsizes[kind]
            if self._apart:
                return self._own_buffer(name, size)
            return self._whole[kind].get_sub_region(place * size, room * size)
        return self._graph.storages[name].buffer

    def _own_buffer(self, name: str, itemsize: int) -> Any:
        """A simulator sees an access outside of a buffer, and not one outside of a part."""
        if name not in self._alone:
            elements, gaps = self._elements[name]
            take = self._pool.zeros if gaps else self._pool.allocate
            self._alone[name] = take(elements * itemsize, "planned step")
        return self._alone[name]


def layout_of(data: Mapping[str, Any]) -> Layout:
    """A layout as the plan writes it."""
    axes = tuple((d, div, count) for d, div, count in data["axes"])
    return Layout(tuple(data["shape"]), axes, tuple(data["low"]))


def give_memory(outputs: tuple[Tensor, ...], plan: Mapping[str, Any], graph: RecordedGraph) -> None:
    """Outputs of the step are kept: they get memory of their own, zeros at first."""
    for t in outputs:
        if isinstance(t.storage, Deferred) and t.storage.empty:
            x = plan["layouts"].get(graph.name(t))
            t.storage.layout = layout = None if x is None else layout_of(x)
            size = t.size if layout is None else layout.size
            nbytes = max(1, size) * t.dtype.itemsize + OVERHANG
            t.storage.buffer = upload(np.zeros(nbytes, np.uint8), t.device)
