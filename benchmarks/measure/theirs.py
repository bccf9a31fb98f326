"""The other side: PyTorch on the CPU, float32 in each memory format, float64 as the reference."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from importlib import import_module
from importlib.util import find_spec
from typing import Any

import numpy as np

from benchmarks.measure.contest import COTANGENT, Array, Arrays, Case
from benchmarks.measure.ours import SGD, changes

NCHW, CHANNELS_LAST, COMPILED = "NCHW", "channels_last", "torch.compile"
IMAGE_AXES = 4


def installed() -> bool:
    """Whether PyTorch is there to be measured."""
    return find_spec("torch") is not None


def use_threads(count: int) -> None:
    """As many threads as there are cores for each side."""
    import_module("torch").set_num_threads(count)


class FunctionJob:
    """A case: its formula on tensors, with PyTorch's autograd."""

    def __init__(
        self, case: Case, arrays: Arrays, variant: str = NCHW, dtype: str = "float32"
    ) -> None:
        self._torch = import_module("torch")
        self._case, self._variant, self._dtype = case, variant, dtype
        self._functional = _Functional(self._torch.nn.functional)
        self._results: dict[str, Any] = {}
        self.put(arrays)

    def put(self, arrays: Arrays) -> None:
        """New operands; where gradients alone are timed, the forward pass on them."""
        self._tensors = {
            n: to_tensor(a, self._variant, self._dtype).requires_grad_(n in self._case.wanted)
            for n, a in arrays.items()
        }
        if self._case.part == "backward":
            self._output = self._forward()

    def poison(self) -> None:
        """NaN in every result, which is then given back to the allocator."""
        for t in self._results.values():
            t.detach().fill_(float("nan"))
        self._results = {}

    def run(self) -> None:
        """Compute; PyTorch's CPU calls return when they are done."""
        if self._case.part == "forward":
            with self._torch.no_grad():
                self._results = {"output": self._forward()}
        elif self._case.part == "backward":
            self._results = self._gradients(self._output, keep=True)
        else:
            output = self._forward()
            self._results = {"output": output} | self._gradients(output, keep=False)

    def get(self) -> dict[str, Array]:
        """The results on the host."""
        return {n: t.detach().contiguous().numpy() for n, t in self._results.items()}

    def _forward(self) -> Any:
        return self._case.formula(self._functional, self._tensors)

    def _gradients(self, output: Any, *, keep: bool) -> dict[str, Any]:
        inputs = [self._tensors[n] for n in self._case.wanted]
        cotangent = self._tensors[COTANGENT]
        found = self._torch.autograd.grad(output, inputs, cotangent, retain_graph=keep)
        return {f"grad_{n}": g for n, g in zip(self._case.wanted, found, strict=True)}


class StepJob:
    """A training step: forward, backward and PyTorch's fused SGD with momentum."""

    def __init__(
        self,
        model: Any,
        state: Arrays,
        arrays: Arrays,
        variant: str = NCHW,
        dtype: str = "float32",
    ) -> None:
        self._torch = import_module("torch")
        self._variant, self._dtype = variant, dtype
        given = {n: self._torch.from_numpy(v) for n, v in state.items()}
        model.load_state_dict(given)
        kind = getattr(self._torch, dtype)
        self._model = model.to(dtype=kind, memory_format=_layout(self._torch, variant)).train()
        self._first = state
        compiled = variant.startswith(COMPILED)
        self._network = self._torch.compile(self._model) if compiled else self._model
        self._optimizer = self._torch.optim.SGD(self._model.parameters(), **SGD, fused=True)
        self._loss = self._torch.nn.CrossEntropyLoss()
        self.put(arrays)
        self.run()

    def put(self, arrays: Arrays) -> None:
        """The next batch."""
        self._images = to_tensor(arrays["images"], self._variant, self._dtype)
        self._labels = to_tensor(arrays["labels"], self._variant, self._dtype)

    def poison(self) -> None:
        """NaN in the loss. Parameters are compared by their change."""
        self._value.fill_(float("nan"))

    def run(self) -> None:
        """One step."""
        self._optimizer.zero_grad()
        loss = self._loss(self._network(self._images), self._labels)
        loss.backward()
        self._optimizer.step()
        self._value = loss.detach()

    def get(self) -> dict[str, Array]:
        """The loss, and by how much every parameter and running statistic has changed."""
        state = {n: v.contiguous().numpy() for n, v in self._model.state_dict().items()}
        return {"loss": self._value.numpy()} | changes(state, self._first)

    def peak_bytes(self) -> int:
        """What PyTorch's allocator hands out during a step, less what it gets back."""
        self._optimizer.zero_grad()
        profiler = self._torch.profiler
        with profiler.profile(
            activities=[profiler.ProfilerActivity.CPU], profile_memory=True
        ) as found:
            self.run()
        events = [e for e in found.profiler.kineto_results.events() if e.name() == "[memory]"]
        now = peak = 0
        for event in sorted(events, key=lambda e: e.start_ns()):
            now += event.nbytes()
            peak = max(peak, now)
        return peak


class AdamJob:
    """One Adam step on parameters with given gradients."""

    def __init__(self, arrays: Arrays, dtype: str = "float32", **options: Any) -> None:
        torch = import_module("torch")
        self._params = {
            n: to_tensor(a, NCHW, dtype).clone().requires_grad_()
            for n, a in arrays.items()
            if n[0] == "p"
        }
        self._first = {n: arrays[n] for n in self._params}
        self._dtype = dtype
        self._optimizer = torch.optim.Adam(list(self._params.values()), **options)
        self.put(arrays)
        self.run()

    def put(self, arrays: Arrays) -> None:
        """The next gradients."""
        for name, p in self._params.items():
            p.grad = to_tensor(arrays["g" + name[1:]], NCHW, self._dtype)

    def poison(self) -> None:
        """Nothing: parameters are updated in place, and compared by their change."""

    def run(self) -> None:
        """One step."""
        self._optimizer.step()

    def get(self) -> dict[str, Array]:
        """By how much every parameter has changed."""
        return changes({n: p.detach().numpy() for n, p in self._params.items()}, self._first)


class _Functional:
    """torch.nn.functional as PyTorch's own networks use it: ReLU overwrites what it is given."""

    def __init__(self, functional: Any) -> None:
        self._functional = functional
        self.relu: Callable[[Any], Any] = partial(functional.relu, inplace=True)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._functional, name)


def to_tensor(array: Array, variant: str, dtype: str) -> Any:
    """A tensor in the variant's memory format; labels become 64-bit, as PyTorch wants them."""
    torch = import_module("torch")
    if array.dtype.kind != "f":
        return torch.from_numpy(array.astype(np.int64))
    found = torch.from_numpy(array).to(getattr(torch, dtype))
    layout = _layout(torch, variant)
    return found.to(memory_format=layout) if array.ndim == IMAGE_AXES else found


def _layout(torch: Any, variant: str) -> Any:
    return torch.channels_last if CHANNELS_LAST in variant else torch.contiguous_format


def step_flops(model: Any, arrays: Arrays) -> float:
    """Multiplications and additions of convolutions and products in a step, as PyTorch counts."""
    torch = import_module("torch")
    counter = import_module("torch.utils.flop_counter").FlopCounterMode(display=False)
    images, labels = (to_tensor(arrays[n], NCHW, "float32") for n in ("images", "labels"))
    with counter:
        torch.nn.functional.cross_entropy(model(images), labels).backward()
    model.zero_grad()
    return float(counter.get_total_flops())
