"""A planned step run launch by launch: the first that writes a NaN or an infinity, and its layers.

A launch may compute many equations at once, and keep only the last of their results. So where one
is at fault, its equations are run again one by one by the operators' own kernels, on what the
launch has read, until the first is found whose result is not finite.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gradproof.runtime.anomaly import Watch, counted, is_public, shown
from gradproof.runtime.dispatch import Launch
from gradproof.runtime.errors import AnomalyError
from gradproof.runtime.marked import alone
from gradproof.runtime.planned_memory import PlannedMemory
from gradproof.runtime.recorded import RecordedGraph, plain_name
from gradproof.runtime.tensor import Tensor, tensor
from gradproof.runtime.trace import Trace, TracedCall


class CheckedStep:
    """The launches of a planned step, and which results are complete after each of them."""

    def __init__(
        self, trace: Trace, graph: RecordedGraph, plan: Mapping[str, Any], memory: PlannedMemory
    ) -> None:
        self._calls, self._graph, self._plan, self._memory = trace.calls, graph, plan, memory
        self._launches: list[dict[str, Any]] = plan["launches"]
        self._stored = {b for x in self._launches for b in x["writes"]}
        self._due = self._complete()

    def run(
        self,
        bound: list[Launch],
        values: Mapping[str, float | int],
        watch: Watch,
        after: Callable[[int], None] | None = None,
    ) -> None:
        """Launch after launch; values: of the changing scalars; after: called with the number of
        each launch, when it is checked.

        Errors: AnomalyError names the first launch that writes an anomaly, and what is in it.
        """
        for k, launch in enumerate(bound):
            launch.device.launch(launch.kernel, launch.global_size, launch.local_size)
            for b in self._due.get(k, ()):
                elements = self._memory.read(b)
                if (wrong := watch.wrong(elements)).any():
                    raise AnomalyError(self._text(k, b, elements, wrong, values))
            if after is not None:
                after(k)

    def _complete(self) -> dict[int, list[str]]:
        """Launch -> the results that it is the last to write before something else reads them.

        Several launches may write the parts of one result; between them it is not complete."""
        due: dict[int, list[str]] = {}
        following: dict[str, bool] = {}  # whether the next launch that uses a buffer writes it
        for k in reversed(range(len(self._launches))):
            x = self._launches[k]
            for b in x["writes"]:
                if not following.get(b, False) and self._is_result(b):
                    due.setdefault(k, []).append(b)
            following |= {b: b in x["writes"] for b in x["buffers"]}
        return due

    def _is_result(self, b: str) -> bool:
        calls = [self._calls[k] for k in self._graph.made.get(b, ())]
        return any(is_public(c.binding, c.spec.target) for c in calls) and (
            self._graph.tensors[b].dtype.kind == "f"
        )

    # -- whose fault it is ------------------------------------------------------------------------
    def _text(
        self,
        k: int,
        b: str,
        elements: NDArray[Any],
        wrong: NDArray[np.bool_],
        values: Mapping[str, float | int],
    ) -> str:
        x, inside = self._launches[k], self._inside(b)
        kernel = x["kernel"] or self._calls[x["call"]].spec.name
        where = f"launch {k + 1} of {len(self._launches)} of the planned step, kernel {kernel}"
        layers = list(dict.fromkeys(self._calls[c].place for c in inside))
        where += f", which computes {', '.join(layers)}"
        first = self._again(x, inside, values)
        if first is not None:
            return f"{first}; found in {where}"
        call = self._calls[inside[-1]]
        return (
            f"{call.place}: {where}, wrote {shown(call.binding, call.spec.target)}: "
            f"{counted(elements, wrong)}"
        )

    def _inside(self, b: str) -> list[int]:
        """The calls that one launch does for a result, in order: those whose own results are not
        stored belong to whoever reads them."""
        found: set[int] = set()
        todo = [self._graph.made[b][-1]]
        while todo:
            k = todo.pop()
            if k not in found:
                found.add(k)
                call = self._calls[k]
                for name in call.spec.reads:
                    r = self._graph.name(call.tensors[name])
                    todo += [c for c in self._graph.made.get(r, ()) if r not in self._stored]
        return sorted(found)

    def _again(
        self, x: Mapping[str, Any], inside: list[int], values: Mapping[str, float | int]
    ) -> AnomalyError | None:
        """The anomaly of the first of some calls that has one, when they run one by one; None where
        what they read is overwritten, or their own kernels find nothing."""
        done: dict[str, Tensor] = {}
        kept = {plain_name(c): c for c in x["buffers"] if c not in x["writes"] and "#" not in c}
        for k in inside:
            call = self._calls[k]
            names = {n: self._graph.name(call.tensors[n]) for n in call.spec.reads}
            if not all(r in done or r in kept for r in names.values()):
                return None
            operands = {
                n: done[r].reshape(*call.tensors[n].shape)
                if r in done
                else tensor(
                    self._memory.read(kept[r]).reshape(call.tensors[n].shape), device=self._device
                )
                for n, r in names.items()
            }
            try:
                done |= self._computed(k, call, operands, values)
            except AnomalyError as error:
                return error
        return None

    def _computed(
        self,
        k: int,
        call: TracedCall,
        operands: Mapping[str, Tensor],
        values: Mapping[str, float | int],
    ) -> dict[str, Tensor]:
        name = self._graph.name(call.tensors[call.spec.target])
        return {name: alone(self._graph, k, call, operands, values)}

    @property
    def _device(self) -> Any:
        return next(iter(self._graph.tensors.values())).device
