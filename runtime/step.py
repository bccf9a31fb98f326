"""One training step, planned once for each shape of batch and run on new data."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from numpy.typing import NDArray

from gradproof.runtime.dispatch import Tape, record
from gradproof.runtime.nn import Module
from gradproof.runtime.optim import Optimizer
from gradproof.runtime.plan import plan
from gradproof.runtime.planned_step import PlannedStep
from gradproof.runtime.tensor import Tensor, tensor


@dataclass(frozen=True)
class _Recording:
    images: Tensor
    labels: Tensor
    loss: Tensor
    logits: Tensor
    tape: Tape | PlannedStep

    def again(self) -> None:
        """The step once more, on what images and labels hold now."""
        if isinstance(self.tape, Tape):
            self.tape.replay()
        else:
            self.tape.run()


class TrainingStep:
    """Forward, backward and update, for each shape of batch planned once, before the first one.

    The whole step is planned (`gradproof.plan`): fused kernels on layouts of their own, a fixed
    list of launches, memory that is shared; gradients are not kept, `.grad` is None after it. On
    simulators, or where `planned` is False (as a loss that reads values needs), the first batch is
    recorded while it runs, and the recording is replayed. The step holds its buffers; drop it when
    the model is converted or its optimizer's state replaced, since it would go on with the old
    ones.

    >>> import numpy as np, gradproof as gp
    >>> model = gp.nn.Linear(2, 2)
    >>> step = TrainingStep(model, gp.optim.SGD(model.parameters(), lr=0.1),
    ...                     gp.nn.CrossEntropyLoss())
    >>> x, y = np.eye(2, dtype=np.float32), np.array([0, 1], np.int32)
    >>> losses = [step(x, y)[0] for _ in range(3)]
    >>> losses[0] > losses[1] > losses[2]
    True
    """

    def __init__(
        self,
        model: Module,
        optimizer: Optimizer,
        loss: Callable[[Tensor, Tensor], Tensor],
        *,
        planned: bool = True,
        precision: str = "fast",
    ) -> None:
        self.model, self.optimizer, self.loss = model, optimizer, loss
        self.planned, self.precision = planned, precision
        self._recordings: dict[tuple[tuple[int, ...], bool], _Recording] = {}

    def __call__(self, images: NDArray[Any], labels: NDArray[Any]) -> tuple[float, NDArray[Any]]:
        """Train on one batch: images (N, ...), labels (N,); returns the loss and the logits.

        Errors: those of the layers and the loss.
        """
        # A label that is ignored (-100) takes other kernels than a batch without one.
        ignoring = labels.dtype.kind == "i" and bool((labels < 0).any())
        kind = (images.shape, ignoring)
        found = self._recordings.get(kind)
        if found is None:
            found = self._recordings[kind] = self._first(images, labels)
        else:
            found.images.copy_(images)
            found.labels.copy_(labels)
            found.again()
        # Read last: only now does the host wait for the device.
        return float(found.loss.item()), found.logits.numpy()

    def _first(self, images: NDArray[Any], labels: NDArray[Any]) -> _Recording:
        dtype = next(iter(self.model.parameters())).dtype
        x, y = tensor(images, dtype), tensor(labels)
        if self.planned and x.device.info.kind != "simulator":
            step = plan(self.run, x, y, precision=self.precision)
            step.run()
            loss, logits = step.outputs
            return _Recording(x, y, loss, logits, step)
        with record() as tape:
            loss, logits = self.run(x, y)
        return _Recording(x, y, loss.detach(), logits.detach(), tape)

    def run(self, images: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        """The step itself, as operators on tensors; returns the loss and the logits."""
        self.optimizer.zero_grad()
        logits = self.model(images)
        loss = self.loss(logits, labels)
        loss.backward()
        self.optimizer.step()
        return loss, logits
