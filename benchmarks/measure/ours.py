"""This side: every call into gradproof, and `plan`, the one place where a step is prepared."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache, partial
from typing import Any

import numpy as np

import gradproof as gp
from benchmarks.measure.contest import COTANGENT, Array, Arrays, Case, Unavailable
from gradproof.runtime import models
from gradproof.runtime.device import Device, current_device, use_device
from gradproof.runtime.planned_step import PlannedStep

__all__ = ["Device", "current_device", "use_device"]
SGD: dict[str, Any] = {"lr": 0.01, "momentum": 0.9}
Tensors = dict[str, gp.Tensor]


def plan(
    step: Callable[[], Tensors], keep: bool = False, precision: str = "fast"
) -> tuple[Tensors, PlannedStep]:
    """Do a step once; its results, and the plan, which does it again on the data that are then
    there.

    keep: also what a later gradient of the results reads."""
    found: Tensors = {}

    def kept() -> tuple[gp.Tensor, ...]:
        found.update(step())
        graph = {n for t in found.values() if keep and (n := t.node) is not None}
        return (*found.values(), *(t for n in graph for t in saved(n)))

    planned = gp.plan(kept, precision=precision)
    planned.run()
    return found, planned


def saved(node: Any) -> list[gp.Tensor]:
    """The tensors that the reverse passes of a graph read, down to its leaves."""
    seen, waiting, out = {node}, [node], []
    while waiting:
        n = waiting.pop()
        out += [*n.saved.values(), *n.operands.values()]
        more = {t.node for t in n.inputs.values() if t.node is not None} - seen
        seen |= more
        waiting += more
    return out


class FunctionJob:
    """A case: its formula on tensors, planned once, then replayed."""

    def __init__(self, case: Case, arrays: Arrays, dtype: str = "float32") -> None:
        self._case, self._formula = case, case.ours or case.formula
        self._tensors = {n: _tensor(a, dtype, n in case.wanted) for n, a in arrays.items()}
        self._before: PlannedStep | None = None
        prepare = partial(plan, precision=case.precision)
        if case.part == "forward":
            with gp.no_grad():
                self._results, self._again = prepare(self._forward)
        elif case.part == "backward":
            forward, self._before = prepare(self._forward, keep=True)
            self._results, self._again = prepare(lambda: self._gradients(forward))
        else:
            self._results, self._again = prepare(self._both)

    def put(self, arrays: Arrays) -> None:
        """New operands; where gradients alone are timed, the forward pass on them."""
        for name, array in arrays.items():
            self._tensors[name].copy_(array)
        if self._before:
            self._before.run()
        current_device().synchronize()

    def poison(self) -> None:
        """NaN in every result."""
        _poison(self._results)

    def run(self) -> None:
        """Enqueue everything and wait."""
        self._again.run()
        current_device().synchronize()

    def get(self) -> dict[str, Array]:
        """The results on the host."""
        return {n: t.numpy() for n, t in self._results.items()}

    def _forward(self) -> Tensors:
        return {"output": self._formula(gp.functional, self._tensors)}

    def _gradients(self, forward: Tensors) -> Tensors:
        inputs = [self._tensors[n] for n in self._case.wanted]
        found = gp.grad(forward["output"], inputs, self._tensors[COTANGENT])
        pairs = zip(self._case.wanted, found, strict=True)
        return {f"grad_{n}": g for n, g in pairs if g is not None}

    def _both(self) -> Tensors:
        forward = self._forward()
        return forward | self._gradients(forward)


class StepJob:
    """A training step of a network: forward, backward and SGD with momentum, planned at once."""

    def __init__(
        self,
        model: gp.nn.Module,
        first: Arrays,
        arrays: Arrays,
        dtype: str = "float32",
        precision: str = "fast",
    ) -> None:
        self._model, self._first = model.to(dtype), first
        self._images = _tensor(arrays["images"], dtype)
        self._labels = _tensor(arrays["labels"], dtype)
        self._optimizer = gp.optim.SGD(self._model.parameters(), **SGD)
        self._loss = gp.nn.CrossEntropyLoss()
        self._results, self._again = plan(self._step, precision=precision)

    def put(self, arrays: Arrays) -> None:
        """The next batch; the parameters stay what they have become."""
        self._images.copy_(arrays["images"])
        self._labels.copy_(arrays["labels"])

    def poison(self) -> None:
        """NaN in the loss. Parameters are compared by their change, so idleness shows."""
        _poison(self._results)

    def run(self) -> None:
        """One step, and wait."""
        self._again.run()
        current_device().synchronize()

    def get(self) -> dict[str, Array]:
        """The loss, and by how much every parameter and running statistic has changed."""
        found = {"loss": self._results["loss"].numpy()}
        return found | changes(self._model.state_dict(), self._first)

    def peak_bytes(self) -> int:
        """As planned."""
        return self._again.bytes_planned

    def _step(self) -> Tensors:
        self._optimizer.zero_grad()
        loss = self._loss(self._model(self._images), self._labels)
        loss.backward()
        self._optimizer.step()
        return {"loss": loss}


class AdamJob:
    """One Adam step on parameters with given gradients: arrays p0, g0, p1, g1, ..."""

    def __init__(self, arrays: Arrays, dtype: str = "float32", **options: Any) -> None:
        self._params = {n: _tensor(a, dtype, True) for n, a in arrays.items() if n[0] == "p"}
        self._grads = {n: _tensor(a, dtype) for n, a in arrays.items() if n[0] == "g"}
        self._first = {n: arrays[n] for n in self._params}
        self._optimizer = gp.optim.Adam(list(self._params.values()), **options)
        for name, p in self._params.items():
            p.grad = self._grads["g" + name[1:]]
        _, self._again = plan(self._step)

    def put(self, arrays: Arrays) -> None:
        """The next gradients."""
        for name, g in self._grads.items():
            g.copy_(arrays[name])

    def poison(self) -> None:
        """Nothing: parameters are updated in place, and compared by their change."""

    def run(self) -> None:
        """One step, and wait."""
        self._again.run()
        current_device().synchronize()

    def get(self) -> dict[str, Array]:
        """By how much every parameter has changed."""
        return changes({n: p.numpy() for n, p in self._params.items()}, self._first)

    def _step(self) -> Tensors:
        self._optimizer.step()
        return dict(self._params)


def changes(state: Mapping[str, Any], first: Mapping[str, Array]) -> dict[str, Array]:
    """State after minus state before, of everything that is real."""
    real = {n: np.asarray(v) for n, v in state.items()}
    return {n: v - np.float64(first[n]) for n, v in real.items() if v.dtype.kind == "f"}


def network(name: str, image: tuple[int, int, int], classes: int, **options: Any) -> gp.nn.Module:
    """A network by name, the same parameters each time.

    Raises:
        Unavailable: the zoo has none of that name.
    """
    gp.manual_seed(0)
    model: gp.nn.Module
    if hasattr(models, name):
        model = getattr(models, name)(classes, **options)
    elif name in models.MODELS:
        model = models.build_model(name, image, classes)
    else:
        raise Unavailable(f"gradproof has no network {name}")
    return model


def user_function(definition: Mapping[str, Any]) -> Callable[..., gp.Tensor]:
    """`gp.compile` of the arguments of `gp.operator`, when it is first called."""

    @cache
    def compiled() -> Callable[..., gp.Tensor]:
        return gp.compile(gp.operator(**definition))

    return lambda *operands, **given: compiled()(*operands, **given)


def _tensor(array: Array, dtype: str, requires_grad: bool = False) -> gp.Tensor:
    kind = dtype if array.dtype.kind == "f" else "int32"
    return gp.tensor(array, kind, requires_grad=requires_grad)


def _poison(tensors: Tensors) -> None:
    for t in tensors.values():
        t.copy_(np.full(t.shape, np.nan, t.dtype))
    current_device().synchronize()
