"""One training step, planned once for each shape of batch and run on new data."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gradproof.runtime.accumulation import Accumulator
from gradproof.runtime.arguments import integer
from gradproof.runtime.autograd import apply
from gradproof.runtime.errors import ArgumentError, RunError
from gradproof.runtime.manifest import operators
from gradproof.runtime.nn import Module
from gradproof.runtime.nn.utils import clip_grad_norm_
from gradproof.runtime.optim import Optimizer
from gradproof.runtime.planned_memory import StepMemory
from gradproof.runtime.reading import mark
from gradproof.runtime.repeated import Repeated
from gradproof.runtime.tensor import Tensor
from gradproof.runtime.trace import Scalar


class TrainingStep:
    """Forward, backward and update, for each shape of batch planned once, before the first one.

    The whole step is planned (`gradproof.plan`): fused kernels on layouts of their own, a fixed
    list of launches, memory that is shared; gradients are not kept, `.grad` is None after it. On
    simulators, or where `planned` is False (as a loss that reads values needs), the first batch is
    recorded while it runs, and the recording is replayed. The step holds its buffers; drop it when
    the model is converted or its optimizer's state replaced, since it would go on with the old
    ones.

    clip_grad_norm: the gradients' norm is limited to this, see `nn.utils.clip_grad_norm_`.
    accumulate: a batch is taken in so many parts, whose gradients are added up, which takes the
    memory of a part; the loss is the mean over the whole batch, and batch norm sees the parts.
    checkpoint: activations are computed again in the backward pass, which takes less memory and
    more time and gives the same bits; it needs a planned step, see `gradproof.plan`.
    storage: "float16" stores images, activations and their gradients in half of the memory, while
    parameters of float32 stay so, their gradients and updates too; the step is recorded then, not
    planned. None: as the parameters.
    Errors: ArgumentError for another storage, or with parameters that are not float32.

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
        clip_grad_norm: float | None = None,
        accumulate: int = 1,
        checkpoint: bool = False,
        storage: str | None = None,
    ) -> None:
        self.model, self.optimizer, self.loss = model, optimizer, loss
        self.clip_grad_norm = clip_grad_norm
        self.accumulate = integer("TrainingStep", "accumulate", accumulate)
        first = optimizer.params[0]
        self._dtype = first.dtype
        if storage is not None:
            if storage != "float16" or first.dtype != np.float32:
                raise ArgumentError(
                    f"TrainingStep: storage={storage!r} of a model in {first.dtype}, expected"
                    " 'float16' of one in float32, or None"
                )
            self._dtype, planned = np.dtype(np.float16), False
        if checkpoint and not (planned and first.device.info.kind != "simulator"):
            raise ArgumentError(
                "TrainingStep: checkpoint=True needs a planned step, and this one is not planned; "
                "gradproof.utils.checkpoint.checkpoint works without"
            )
        options = (first.device, planned, precision, checkpoint)
        self._whole = Repeated(self.run, *options)
        self._part, self._last = Repeated(self._add, *options), Repeated(self._finish, *options)
        self._sums = Accumulator(optimizer.params) if self.accumulate > 1 else None
        self._share, self._first = 1.0, 1  # of the part that runs now

    def __call__(self, images: NDArray[Any], labels: NDArray[Any]) -> tuple[float, NDArray[Any]]:
        """Train on one batch: images (N, ...), labels (N,); returns the loss and the logits.

        Errors: those of the layers and the loss.
        """
        images = np.asarray(images, self._dtype)
        if self._sums is not None:
            return self._in_parts(images, labels)
        loss, logits = self._whole(images, labels, variant=_ignoring(labels))
        # Read last: only now does the host wait for the device.
        return float(loss.item()), logits.numpy()

    @property
    def memory(self) -> StepMemory | None:
        """What the largest of its plans takes; None before the first batch, or without a plan."""
        found = [r.memory for r in (self._whole, self._part, self._last)]
        known = (m for m in found if m is not None)
        return max(known, key=lambda m: m.temporaries, default=None)

    def run(self, images: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        """The step itself, as operators on tensors; returns the loss and the logits."""
        self.optimizer.zero_grad()
        logits = self.model(images)
        loss = self.loss(logits, labels)
        loss.backward()
        self._update()
        return loss, logits

    def _update(self) -> None:
        for name, p in self.model.named_parameters():
            if p.grad is not None:
                mark(name, p.grad)
        if self.clip_grad_norm is not None:
            clip_grad_norm_(self.optimizer.params, self.clip_grad_norm)
        self.optimizer.step()

    # -- in parts ---------------------------------------------------------------------------------
    def _in_parts(self, images: NDArray[Any], labels: NDArray[Any]) -> tuple[float, NDArray[Any]]:
        """The gradient of the mean over N samples is the sum over parts of n/N of each one's; where
        the loss weights samples or ignores some, n and N are sums of weights."""
        total, rows = 0.0, []
        size = -(-len(images) // self.accumulate)
        for start in range(0, len(images), size):
            x, y = images[start : start + size], labels[start : start + size]
            self._share, self._first = self._weight(y) / self._weight(labels), int(start == 0)
            if not self._share:
                raise RunError(
                    f"accumulate={self.accumulate}: every label of a part of {len(y)} is ignored,"
                    " so it has no mean"
                )
            loss, logits = self._part(x, y, variant=_ignoring(y))
            total += self._share * float(loss.item())
            rows.append(logits.numpy())
        self._last()
        return total, np.concatenate(rows)

    def _weight(self, labels: NDArray[Any]) -> float:
        """What the loss divides the sum over samples by."""
        counted = labels[labels != getattr(self.loss, "ignore_index", None)]
        weight = getattr(self.loss, "weight", None)
        return float(len(counted) if weight is None else weight.numpy()[counted].sum())

    def _add(self, images: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        """The gradients of one part, times its share, added to the sums."""
        assert self._sums is not None, "parts are added up"
        self.optimizer.zero_grad()
        logits = self.model(images)
        loss = self.loss(logits, labels)
        flat = {"Y": loss.reshape(1)}
        scalars: dict[str, Scalar] = {"factor": lambda: self._share, "shift": 0.0, "divisor": 1.0}
        share = apply(operators()["affine"], flat, {}, scalars, label="share of a batch")
        share["z"].reshape().backward()
        self._sums.add(lambda: self._first)
        return loss, logits

    def _finish(self) -> tuple[Tensor]:
        """The update by the sums."""
        assert self._sums is not None, "parts were added up"
        self._sums.use()
        self._update()
        self.optimizer.zero_grad()
        return (self.optimizer.params[0],)  # a plan has a result; this one is not read


def _ignoring(labels: NDArray[Any]) -> bool:
    """Whether a label is ignored (-100): that takes other kernels than a batch without one."""
    return labels.dtype.kind == "i" and bool((labels < 0).any())
