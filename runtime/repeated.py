"""A function of tensors that is planned, or recorded, when it first runs, and then run again."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gradproof.runtime.device import Device
from gradproof.runtime.dispatch import Tape, record
from gradproof.runtime.plan import plan
from gradproof.runtime.planned_memory import StepMemory
from gradproof.runtime.planned_step import PlannedStep
from gradproof.runtime.reading import active_reading
from gradproof.runtime.tensor import Tensor, tensor

Outputs = tuple[Tensor, ...]


@dataclass(frozen=True)
class _Recording:
    inputs: Outputs
    outputs: Outputs
    tape: Tape | PlannedStep

    def again(self) -> None:
        """Once more, on what the inputs hold now."""
        if isinstance(self.tape, Tape):
            self.tape.replay()
            _read(self.tape)
        else:
            self.tape.run()


class Repeated:
    """`function` for arrays of each shape, planned (`gradproof.plan`) before it first runs.

    function: takes tensors and gives a tuple of them. device: where it runs. On simulators, or
    where `planned` is False, the first call is recorded while it runs, and replayed after that.
    checkpoint: see `plan`.

    >>> import numpy as np, gradproof as gp
    >>> from gradproof.runtime.device import current_device
    >>> double = Repeated(lambda t: (t * 2.0,), current_device())
    >>> [double(np.float32([k]))[0].item() for k in range(3)]
    [0.0, 2.0, 4.0]
    """

    def __init__(
        self,
        function: Callable[..., Outputs],
        device: Device,
        planned: bool = True,
        precision: str = "fast",
        checkpoint: bool = False,
    ) -> None:
        self.function, self.precision, self.checkpoint = function, precision, checkpoint
        self.planned = planned and device.info.kind != "simulator"
        self._device = device
        self._known: dict[Hashable, _Recording] = {}

    def __call__(self, *arrays: NDArray[Any], variant: Hashable = None) -> Outputs:
        """The outputs, the same tensors for every call with these shapes and this `variant`."""
        key = variant, *((a.shape, a.dtype.str) for a in arrays)
        found = self._known.get(key)
        if found is None:
            found = self._known[key] = self._first(arrays)
        else:
            for t, array in zip(found.inputs, arrays, strict=True):
                t.copy_(array)
            found.again()
        return found.outputs

    @property
    def memory(self) -> StepMemory | None:
        """That of the largest plan so far."""
        plans = (x.tape.memory for x in self._known.values() if isinstance(x.tape, PlannedStep))
        return max(plans, key=lambda m: m.temporaries, default=None)

    def _first(self, arrays: tuple[NDArray[Any], ...]) -> _Recording:
        half = np.dtype(np.float16)  # which is otherwise taken for float32
        kinds = (half if a.dtype == half else None for a in arrays)
        inputs = tuple(
            tensor(a, kind, device=self._device) for a, kind in zip(arrays, kinds, strict=True)
        )
        if self.planned:
            step = plan(
                self.function, *inputs, precision=self.precision, checkpoint=self.checkpoint
            )
            step.run()
            return _Recording(inputs, step.outputs, step)
        with record() as tape:
            outputs = self.function(*inputs)
        _read(tape)
        return _Recording(inputs, tuple(t.detach() for t in outputs), tape)


def _read(tape: Tape) -> None:
    """A recording's marked values, where they are wanted: its tensors keep their memory."""
    values = active_reading()
    if values is not None:
        values |= {name: t.numpy() for name, t in tape.marks.items()}
