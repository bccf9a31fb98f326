"""The memory of a planned step: places that its temporaries share, and tensors moved into place."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gradproof.runtime.device import Device, DeviceInfo
from gradproof.runtime.errors import DeviceError, ShapeError
from gradproof.runtime.layout import Layout
from gradproof.runtime.limits import too_large
from gradproof.runtime.pool import LARGE_PAGE
from gradproof.runtime.recorded import RecordedGraph, plain_name
from gradproof.runtime.tensor import OVERHANG, Storage, Tensor, upload
from gradproof.runtime.trace import Deferred

_TEMPORARIES = "planned step: all temporaries together"
UNIT = 1024  # elements: allocations are cut at multiples, where every place may begin
COUNTED = 2**31 - 2**22  # elements that a planned kernel counts, see `codegen.fast.counts`


@dataclass(frozen=True)
class StepMemory:
    """What a planned step takes, in bytes.

    temporaries: activations, gradients and whatever else lives only within a run; outside: all
    tensors that it is given, keeps or returns, such as parameters, averages and batches; largest:
    one allocation; recomputed: launches that repeat another, to save memory; tensor, called: bytes
    of the largest single tensor, and what it is.
    """

    temporaries: int
    outside: int
    largest: int
    recomputed: int
    tensor: int = 0
    called: str = ""

    @classmethod
    def of(cls, plan: Mapping[str, Any], graph: RecordedGraph) -> StepMemory:
        """That of a plan. Errors: ShapeError for a buffer with more elements than 32 bits count."""
        own = [n for pieces in _pieces(plan, graph).values() for n in pieces]
        used = {b for x in plan["launches"] for b in x["buffers"]}
        given: dict[str, int] = {}
        for b in sorted(used & graph.storages.keys() - plan["places"].keys()):
            x, t = plan["layouts"].get(b), graph.tensors[b]
            elements = t.size if x is None else layout_of(x).size
            _check_count(b, elements, graph)
            given[b] = elements * t.dtype.itemsize
        for b, (elements, _) in plan["elements"].items():
            _check_count(b, elements, graph)
        tensor, called = _largest(plan, graph, given)
        largest = max([0, *own, *given.values()])
        return cls(sum(own), sum(given.values()), largest, plan["repeats"], tensor, called)

    def check(self, device: DeviceInfo, recompute: bool) -> None:
        """Errors: DeviceError where `device` has not that much memory; says what takes less."""
        advice = "a smaller batch takes less"
        if not recompute:
            advice += "; so does checkpoint=True, which computes activations again"
        if self.largest > device.max_alloc:
            alone = self.tensor > device.max_alloc
            what, size = (self.called, self.tensor) if alone else (_TEMPORARIES, self.largest)
            raise DeviceError(f"{too_large(what, size, device)}; {advice}")
        if self.temporaries + self.outside > device.global_mem:
            raise DeviceError(
                f"planned step: needs {mib(self.temporaries + self.outside)}, of which "
                f"{mib(self.temporaries)} are activations and other temporaries, but {device.name} "
                f"has {mib(device.global_mem)}; {advice}"
            )


def _largest(
    plan: Mapping[str, Any], graph: RecordedGraph, given: Mapping[str, int]
) -> tuple[int, str]:
    """Bytes of the largest buffer, and what it is: of those `given` from outside, and of
    temporaries."""
    sizes = dict(given)
    for b, (kind, _, room) in plan["places"].items():
        sizes[b] = room * _itemsizes(graph)[kind] + OVERHANG
    name = max(sizes, key=lambda b: sizes[b], default="")
    if not name:
        return 0, ""
    if name.startswith("#"):  # scratch memory: of the layer whose result comes of it
        using = (x["writes"] for x in reversed(plan["launches"]) if name in x["buffers"])
        owner = next((b for writes in using for b in writes if not b.startswith("#")), name)
        return sizes[name], f"{graph.called(owner)}: what its kernels keep between them"
    if name in plan["elements"]:
        return sizes[name], graph.called(name, plan["elements"][name][0])
    return sizes[name], graph.called(name, sizes[name] // graph.tensors[name].dtype.itemsize)


def _check_count(b: str, elements: int, graph: RecordedGraph) -> None:
    if elements > COUNTED:
        raise ShapeError(
            f"{graph.called(b)} takes {elements} elements of memory; "
            f"the kernels of a planned step count up to {COUNTED}"
        )


def piece_for(plan: Mapping[str, Any], graph: RecordedGraph, device: DeviceInfo) -> int:
    """Elements of one allocation of temporaries where all of them exceed what the device gives at
    once; 0 where they do not, or where one alone does."""
    most = (device.max_alloc - OVERHANG) // max(_itemsizes(graph).values()) // UNIT * UNIT
    pieces = [n for found in _pieces(plan, graph).values() for n in found]
    largest = max((room for _, _, room in plan["places"].values()), default=0)
    return most if max(pieces, default=0) > device.max_alloc and largest <= most else 0


def scratch_exceeds(plan: Mapping[str, Any], graph: RecordedGraph, device: DeviceInfo) -> bool:
    """Whether what kernels keep between them, as transformed weights, exceeds one allocation."""
    sizes = _itemsizes(graph)
    rooms = ((b, room * sizes[kind] + OVERHANG) for b, (kind, _, room) in plan["places"].items())
    return any(nbytes > device.max_alloc for b, nbytes in rooms if b.startswith("#"))


def _itemsizes(graph: RecordedGraph) -> dict[str, int]:
    return {"real": np.dtype(graph.dtype).itemsize, "int": 4}


def piece_sizes(plan: Mapping[str, Any]) -> dict[str, list[int]]:
    """Elements of the allocations for each kind of element: one, or several of one size."""
    piece = plan["piece"]
    return {
        kind: [min(piece, n - k) for k in range(0, n, piece)] if piece else [n]
        for kind, n in plan["sizes"].items()
    }


def _pieces(plan: Mapping[str, Any], graph: RecordedGraph) -> dict[str, list[int]]:
    """The same in bytes."""
    itemsizes = _itemsizes(graph)
    return {
        kind: [n * itemsizes[kind] + OVERHANG for n in found]
        for kind, found in piece_sizes(plan).items()
    }


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
        self._inside = {b: layout_of(x) for b, x in plan["inside"].items()}
        self._itemsizes, pieces = _itemsizes(graph), _pieces(plan, graph)
        self._apart, self._pool = device.info.kind == "simulator", device.pool
        self._elements, self._alone = plan["elements"], dict[str, Any]()
        self._piece = plan["piece"]
        self._whole = {
            kind: [device.pool.zeros(n, "planned step") for n in found]
            for kind, found in pieces.items()
        }
        used = {b for x in plan["launches"] for b in x["buffers"]}
        self._outside = sorted(used & set(graph.storages) - set(self._places))
        self._bound: list[Any] = []
        self._seen = 0

    @property
    def largest(self) -> int:
        """Bytes of the largest buffer, at least."""
        own = [b.size for found in self._whole.values() for b in found]
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
            number, place = divmod(place, self._piece) if self._piece else (0, place)
            return self._whole[kind][number].get_sub_region(place * size, room * size)
        return self._graph.storages[name].buffer

    def has(self, name: str) -> bool:
        """Whether the plan stores anything in a buffer."""
        return name in self._places or name in self._outside

    def read(self, name: str) -> NDArray[Any]:
        """The elements that lie in a buffer, or in a copy of it, as the tensor that it is of."""
        t = self._graph.tensors[plain_name(name)]
        storage = Storage(self.buffer(name), t.device)
        storage.layout = self._inside.get(name, self._layouts.get(name))
        return storage.read(t.size, t.dtype).reshape(t.shape)

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
