"""The training loop: epochs of mini-batches, and what is measured on the way.

Nothing is printed here; `on_batch` and `on_epoch` say what happened to whoever wants to know.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass

from gradproof.runtime.data import Dataset, batches
from gradproof.runtime.errors import RunError
from gradproof.runtime.evaluation import Inference, Loss, Mean, evaluate
from gradproof.runtime.nn import Module
from gradproof.runtime.optim import Optimizer
from gradproof.runtime.step import TrainingStep


@dataclass(frozen=True)
class BatchResult:
    """After one batch: means over the epoch so far.

    `epoch`, `batch` count from 1; `loss` is per sample, `accuracy` in 0..1, `images_per_second`
    leaves out the first batch of a run, which compiles kernels (0.0 for that batch itself).
    """

    epoch: int
    batch: int
    batches: int
    loss: float
    accuracy: float
    images_per_second: float


@dataclass(frozen=True)
class EpochResult:
    """After one epoch; the fields are the columns of `metrics.csv`.

    Losses are means per sample and accuracies lie in 0..1. Those of training are taken while the
    parameters change, batch by batch; those of the held-out images at the end of the epoch.
    `seconds` is the wall time of the whole epoch; `images_per_second` is that of training alone,
    without the first batch of a run.
    """

    epoch: int
    train_loss: float
    train_accuracy: float
    test_loss: float
    test_accuracy: float
    seconds: float
    images_per_second: float


class Trainer:
    """Trains `model` on a data set's training part, and evaluates it on the held-out part.

    Args:
        model: takes images (N, C, H, W), gives logits (N, classes).
        optimizer: of the model's parameters.
        loss: `loss(logits, labels)`, the mean over the batch as a tensor without dimensions.
        dataset: images and labels.
        batch_size: images of one step; the last batch of an epoch may be smaller.
        seed: decides, with the number of the epoch, the order of the images.
        on_batch: called after each step.
        on_epoch: called after each epoch, when its held-out images are evaluated.

    >>> import gradproof as gp
    >>> from gradproof.runtime.models import build_model
    >>> gp.manual_seed(0)
    >>> digits = gp.data.load_digits()
    >>> few = gp.data.Dataset("few", digits.x_train[:20], digits.y_train[:20], digits.x_test[:9],
    ...                       digits.y_test[:9], digits.classes)
    >>> model = build_model("demo", few.image_shape, len(few.classes))
    >>> optimizer = gp.optim.SGD(model.parameters(), lr=0.01, momentum=0.9)
    >>> trainer = Trainer(model, optimizer, gp.nn.CrossEntropyLoss(), few, batch_size=8)
    >>> first, second = trainer.fit(epochs=2)
    >>> second.epoch, second.train_loss < first.train_loss
    (2, True)
    """

    def __init__(
        self,
        model: Module,
        optimizer: Optimizer,
        loss: Loss,
        dataset: Dataset,
        *,
        batch_size: int = 32,
        seed: int = 0,
        on_batch: Callable[[BatchResult], None] | None = None,
        on_epoch: Callable[[EpochResult], None] | None = None,
    ) -> None:
        if getattr(loss, "reduction", "mean") != "mean":
            raise RunError(f"Trainer: loss {loss!r} is no mean over the batch, expected a mean")
        self.model, self.optimizer, self.loss, self.dataset = model, optimizer, loss, dataset
        self.batch_size, self.seed = batch_size, seed
        self.on_batch, self.on_epoch = on_batch, on_epoch
        self.history: list[EpochResult] = []
        self._inference = Inference(model)
        self._clock = _Clock()

    def fit(self, epochs: int) -> list[EpochResult]:
        """Train for `epochs` more epochs; returns `history`, the results of all epochs so far.

        Raises:
            RunError: the loss became infinite or NaN; says where, and what to try.
        """
        step = TrainingStep(self.model, self.optimizer, self.loss)
        for _ in range(epochs):
            result = self._epoch(len(self.history) + 1, step)
            self.history.append(result)
            if self.on_epoch:
                self.on_epoch(result)
        return self.history

    def _epoch(self, epoch: int, step: TrainingStep) -> EpochResult:
        start = time.perf_counter()
        self.model.train()
        self._clock.start()
        mean = Mean()
        data = self.dataset
        number = math.ceil(len(data.x_train) / self.batch_size)
        order = batches(
            data.x_train, data.y_train, self.batch_size, shuffle=True, seed=self.seed, epoch=epoch
        )
        for batch, (images, labels) in enumerate(order, start=1):
            loss, logits = step(images, labels)
            self._check_finite(loss, f"in epoch {epoch}, batch {batch} of {number}")
            mean.add(loss, logits, labels)
            self._clock.tick(len(labels))
            if self.on_batch:
                speed = self._clock.images_per_second
                self.on_batch(BatchResult(epoch, batch, number, mean.loss, mean.accuracy, speed))
        test = evaluate(self._inference, self.loss, data.x_test, data.y_test, self.batch_size)
        self._check_finite(test.loss, f"on the held-out images after epoch {epoch}")
        return EpochResult(
            epoch,
            mean.loss,
            mean.accuracy,
            test.loss,
            test.accuracy,
            seconds=time.perf_counter() - start,
            images_per_second=self._clock.images_per_second,
        )

    def _check_finite(self, loss: float, where: str) -> None:
        if not math.isfinite(loss):
            raise RunError(
                f"training stopped: the loss is {loss} {where}. "
                f"Try a lower learning rate than {self.optimizer.lr:g}"
            )


class _Clock:
    """Images per second of an epoch, without the run's first batch, which compiles kernels."""

    def __init__(self) -> None:
        self._warm = False

    def start(self) -> None:
        self._begin, self._now, self._count = time.perf_counter(), 0.0, 0

    def tick(self, images: int) -> None:
        self._now = time.perf_counter()
        if not self._warm:
            self._warm, self._begin = True, self._now
            return
        self._count += images

    @property
    def images_per_second(self) -> float:
        elapsed = self._now - self._begin
        return self._count / elapsed if elapsed > 0 else 0.0
