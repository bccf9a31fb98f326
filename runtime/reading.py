"""Values that live only inside a step, such as gradients, read while it runs.

A planned step does not keep them: their memory is soon another's. `mark` gives one a name while the
step is traced or recorded, and whoever runs the step inside `reading` gets it: the same kernels run
in the same order, and the host copies each marked value when it is complete, see `runtime.marked`.
Outside of `reading` a mark costs nothing.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

from numpy.typing import NDArray

from gradproof.runtime.dispatch import recording_tapes
from gradproof.runtime.tensor import Tensor
from gradproof.runtime.trace import active_trace

Values = dict[str, NDArray[Any]]
# Of this thread: what others run meanwhile is not read.
_values: ContextVar[Values | None] = ContextVar("where values are read to", default=None)


def mark(name: str, t: Tensor) -> None:
    """Let a value of the step that is being traced or recorded be read under a name; where nothing
    is, it does nothing."""
    trace = active_trace()
    if trace is not None:
        trace.marks[name] = t
        return
    for tape in recording_tapes():
        tape.marks[name] = t


def active_reading() -> Values | None:
    """Where this thread reads values to, or None where it does not."""
    return _values.get()


@contextmanager
def reading() -> Iterator[Values]:
    """Inside, a step that runs leaves its marked values, by name, in the dict that this gives.

    >>> import numpy as np, gradproof as gp
    >>> from gradproof.runtime.step import TrainingStep
    >>> model = gp.nn.Linear(2, 2)
    >>> step = TrainingStep(model, gp.optim.SGD(model.parameters(), lr=0.1),
    ...                     gp.nn.CrossEntropyLoss())
    >>> with reading() as gradients:
    ...     loss, _ = step(np.eye(2, dtype=np.float32), np.array([0, 1], np.int32))
    >>> {name: g.shape for name, g in gradients.items()}
    {'weight': (2, 2), 'bias': (2,)}
    """
    found: Values = {}
    token = _values.set(found)
    try:
        yield found
    finally:
        _values.reset(token)
