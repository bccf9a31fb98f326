"""A trace as plain data, as the planner takes it, and what its names stand for."""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from gradproof.runtime.anomaly import shown
from gradproof.runtime.layout import Layout, row_major
from gradproof.runtime.tensor import Storage, Tensor
from gradproof.runtime.trace import Deferred, Trace


@dataclass(frozen=True)
class Slot:
    """A scalar of a recorded call: a number, or a function that is asked before every run."""

    call: int
    name: str
    value: Any


class RecordedGraph:
    """A trace as plain data for the planner, and what its names stand for.

    kept: identities of the storages that the step returns. stay: those that stay row-major, while
    all others may be moved, wherever they are now; None: each stays where a plan has put it.
    """

    def __init__(self, trace: Trace, kept: set[int], stay: Collection[int] | None = None) -> None:
        self.calls = trace.calls
        self.storages: dict[str, Storage] = {}
        self.tensors: dict[str, Tensor] = {}
        self._names: dict[int, str] = {}
        self.slots: dict[str, Slot] = {}
        self.dtype = ""
        buffers: dict[str, Any] = {}
        calls = []
        for number, call in enumerate(trace.calls):
            tensors = {name: self._add(t) for name, t in call.tensors.items()}
            for t in call.tensors.values():
                buffers.setdefault(self.name(t), _buffer(t, kept, stay))
                self.dtype = self.dtype if t.dtype.kind == "i" else str(t.dtype)
            scalars = {}
            for name, value in call.scalars.items():
                scalars[name] = slot = f"s{len(self.slots)}"
                self.slots[slot] = Slot(number, name, value)
            calls.append(
                {
                    "operator": call.binding.operator.name,
                    "variant": call.binding.variant.name,
                    "target": call.spec.target,
                    "sizes": call.binding.sizes,
                    "tensors": tensors,
                    "scalars": scalars,
                }
            )
        self.data = {"calls": calls, "buffers": buffers}
        targets = [c.tensors[c.spec.target].storage for c in trace.calls]
        self.written = [
            s
            for s in dict.fromkeys(targets)
            if not isinstance(s, Deferred) or not s.empty or id(s) in kept
        ]

    def _add(self, t: Tensor) -> str:
        key = id(t.storage)
        if key not in self._names:
            self._names[key] = f"b{len(self._names)}"
            self.storages[self._names[key]] = t.storage
            self.tensors[self._names[key]] = t
        return self._names[key]

    def name(self, t: Tensor) -> str:
        """The buffer of a tensor."""
        return self._names[id(t.storage)]

    def has(self, t: Tensor) -> bool:
        """Whether a call of the step reads or writes a tensor."""
        return id(t.storage) in self._names

    @cached_property
    def made(self) -> dict[str, list[int]]:
        """The numbers of the calls whose result a buffer is."""
        found: dict[str, list[int]] = {}
        for k, call in enumerate(self.calls):
            found.setdefault(self.name(call.tensors[call.spec.target]), []).append(k)
        return found

    def called(self, buffer: str, elements: int = 0) -> str:
        """A buffer of a plan as its users call it: the layer, and which of its tensors; elements:
        of its memory, in a layout that may be larger than the tensor."""
        plain = plain_name(buffer)
        for written in (True, False):  # what computes it, or else the first that reads it
            for call in self.calls:
                for name, t in call.tensors.items():
                    if (name == call.spec.target) >= written and self.name(t) == plain:
                        what = f"{shown(call.binding, name)} of shape {t.shape}"
                        more = f", which lies in {elements} elements," if elements > t.size else ""
                        return f"{call.place}: {what}{more}"
        return "planned step: what kernels keep between them"


def plain_name(buffer: str) -> str:
    """The buffer that a buffer of a plan is a copy of, or itself.

    >>> plain_name("b22~12"), plain_name("b113^2"), plain_name("b4")
    ('b22', 'b113', 'b4')
    """
    return re.split("[~^]", buffer)[0]


def _buffer(t: Tensor, kept: set[int], stay: Collection[int] | None) -> dict[str, Any]:
    """A buffer as plain data. What is no integer may be moved."""
    whole = t.dtype.kind == "i"
    found: dict[str, Any] = {"shape": list(t.shape), "dtype": "int" if whole else "real"}
    if isinstance(t.storage, Deferred) and t.storage.empty and id(t.storage) not in kept:
        return found | {"kind": "temporary"}
    layout = _fixed_layout(t, stay)
    if layout is not None:
        lies = {"shape": layout.shape, "axes": layout.axes, "low": layout.low}
        return found | {"kind": "external", "layout": lies}
    return found | {"kind": "external" if whole else "movable"}


def _fixed_layout(t: Tensor, stay: Collection[int] | None) -> Layout | None:
    """The layout that a tensor from outside must keep; None where there is none."""
    if stay is None:
        return t.storage.layout
    return row_major(t.shape) if id(t.storage) in stay else None
