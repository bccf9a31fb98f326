"""One training step, recorded once for each shape of batch and replayed on new data."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from numpy.typing import NDArray

from gradproof.runtime.dispatch import Tape, record
from gradproof.runtime.nn import Module
from gradproof.runtime.optim import Optimizer
from gradproof.runtime.tensor import Tensor, tensor


@dataclass(frozen=True)
class _Recording:
    images: Tensor
    labels: Tensor
    loss: Tensor
    logits: Tensor
    tape: Tape


class TrainingStep:
    """Forward, backward and update; the first batch of a shape is recorded while it runs.

    Replaying spares the host the work between launches, so small networks train faster. The step
    holds the buffers of its recordings; drop it when the model is converted or its optimizer's
    state replaced, since the recordings would go on with the old buffers.

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
        self, model: Module, optimizer: Optimizer, loss: Callable[[Tensor, Tensor], Tensor]
    ) -> None:
        self.model, self.optimizer, self.loss = model, optimizer, loss
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
            found = self._recordings[kind] = self._record(images, labels)
        else:
            found.images.copy_(images)
            found.labels.copy_(labels)
            found.tape.replay()
        # Read last: only now does the host wait for the device.
        return float(found.loss.item()), found.logits.numpy()

    def _record(self, images: NDArray[Any], labels: NDArray[Any]) -> _Recording:
        dtype = next(iter(self.model.parameters())).dtype
        x, y = tensor(images, dtype), tensor(labels)
        with record() as tape:
            self.optimizer.zero_grad()
            logits = self.model(x)
            loss = self.loss(logits, y)
            loss.backward()
            self.optimizer.step()
        return _Recording(x, y, loss.detach(), logits.detach(), tape)
