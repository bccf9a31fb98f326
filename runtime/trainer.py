"""The training loop: epochs of mini-batches, and what is measured on the way.

Nothing is printed here; `on_batch`, `on_epoch` and `on_step` say what happened to whoever wants to
know. Between two steps the whole state is in `state` (see `training_state`), and a run that is
restored from it goes on bit for bit.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from functools import partial
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from gradproof.runtime.anomaly import active_watch, set_detect_anomaly
from gradproof.runtime.data import DataLoader, Dataset
from gradproof.runtime.data.transforms import Transform
from gradproof.runtime.divergence import advice
from gradproof.runtime.errors import AnomalyError, DivergenceError, RunError
from gradproof.runtime.evaluation import Evaluation, Inference, Loss, evaluate
from gradproof.runtime.faults import in_training
from gradproof.runtime.metrics import Mean
from gradproof.runtime.nn import Module
from gradproof.runtime.optim import Optimizer
from gradproof.runtime.optim.lr_scheduler import LRScheduler, ReduceLROnPlateau
from gradproof.runtime.planned_memory import StepMemory
from gradproof.runtime.progress import (
    BatchResult,
    Clock,
    EpochResult,
    GradientNorms,
    Progress,
)
from gradproof.runtime.reading import reading
from gradproof.runtime.step import TrainingStep


class Trainer:
    """Trains `model` on a data set's training part, and evaluates it on the held-out part.

    Args:
        model: takes images (N, C, H, W), gives logits (N, classes).
        optimizer: of the model's parameters.
        loss: `loss(logits, labels)`, the mean over the batch as a tensor without dimensions.
        dataset: images and labels.
        batch_size: images of one step; the last batch of an epoch may be smaller.
        drop_last: whether such a last batch is left out.
        seed: decides, with the number of the epoch, the order of the images.
        scheduler: its `step` is called after each update; that of `ReduceLROnPlateau` after each
            epoch, with the held-out loss.
        transform, test_transform: of the images in training and of held-out ones.
        clip_grad_norm, accumulate, precision: see `TrainingStep`.
        checkpoint: recompute activations, for less memory and the same bits; see `TrainingStep`.
        detect_anomaly: the first layer that computes a NaN or an infinity is an error; slow, see
            `gradproof.autograd.detect_anomaly`.
        early_stopping: epochs without a lower held-out loss after which `fit` ends.
        gradient_norms: whether `norms` are taken, at each epoch's first step.
        on_batch: called after each step.
        on_epoch: called after each epoch, when its held-out images are evaluated.
        on_step: called after each step and each epoch with this trainer, which can be saved then;
            the file that it returns, if any, is kept as `last_checkpoint` and named by errors.

    >>> import gradproof as gp
    >>> from gradproof.runtime.models import build_model
    >>> gp.manual_seed(0)
    >>> digits = gp.data.load_digits()
    >>> few = gp.data.Dataset("few", digits.x_train[:20], digits.y_train[:20], digits.x_test[:9],
    ...                       digits.y_test[:9], digits.classes)
    >>> model = build_model("demo", few.image_shape, len(few.classes))
    >>> optimizer = gp.optim.SGD(model.parameters(), lr=0.01, momentum=0.9)
    >>> trainer = gp.Trainer(model, optimizer, gp.nn.CrossEntropyLoss(), few, batch_size=8)
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
        drop_last: bool = False,
        seed: int = 0,
        scheduler: LRScheduler | None = None,
        transform: Transform | None = None,
        test_transform: Transform | None = None,
        clip_grad_norm: float | None = None,
        accumulate: int = 1,
        precision: str = "fast",
        checkpoint: bool = False,
        storage: str | None = None,
        detect_anomaly: bool = False,
        early_stopping: int | None = None,
        gradient_norms: bool = False,
        on_batch: Callable[[BatchResult], None] | None = None,
        on_epoch: Callable[[EpochResult], None] | None = None,
        on_step: Callable[[Trainer], Path | None] | None = None,
    ) -> None:
        if getattr(loss, "reduction", "mean") != "mean":
            raise RunError(f"Trainer: loss {loss!r} is no mean over the batch, expected a mean")
        self.model, self.optimizer, self.loss, self.dataset = model, optimizer, loss, dataset
        self.batch_size, self.seed = batch_size, seed
        self.scheduler, self.early_stopping = scheduler, early_stopping
        self.test_transform, self.clip_grad_norm = test_transform, clip_grad_norm
        self.detect_anomaly, self.gradient_norms = detect_anomaly, gradient_norms
        self.on_batch, self.on_epoch, self.on_step = on_batch, on_epoch, on_step
        self.loader = DataLoader(
            dataset.x_train,
            dataset.y_train,
            batch_size,
            shuffle=True,
            seed=seed,
            drop_last=drop_last,
            transform=transform,
        )
        self.progress = Progress([], Mean())
        self.last_evaluation: Evaluation | None = None
        self.last_checkpoint: Path | None = None
        self._step = partial(
            TrainingStep,
            model,
            optimizer,
            loss,
            precision=precision,
            clip_grad_norm=clip_grad_norm,
            accumulate=accumulate,
            checkpoint=checkpoint,
            storage=storage,
        )
        self._inference = Inference(model, self._check_stop)
        self._training: TrainingStep | None = None
        self._clock = Clock()
        self._stop = False
        self._where = "before its first step"

    @property
    def history(self) -> list[EpochResult]:
        """The results of all complete epochs."""
        return self.progress.history

    def _repr_html_(self) -> str:
        from gradproof.runtime.display_run import trainer_html

        return trainer_html(self)

    @property
    def norms(self) -> list[GradientNorms]:
        """Norms of each parameter's gradient at the first step of every epoch so far."""
        return self.progress.norms

    @property
    def memory(self) -> StepMemory | None:
        """What a planned training step takes; None before the first one."""
        return None if self._training is None else self._training.memory

    def stop(self) -> None:
        """Let `fit` end after the step that runs now, in an evaluation after the batch; called
        before `fit`, that one ends at once."""
        self._stop = True

    @property
    def stopped_early(self) -> bool:
        """Whether the held-out loss has not fallen for `early_stopping` epochs."""
        return self.early_stopping is not None and self.progress.waited >= self.early_stopping

    def fit(self, epochs: int) -> list[EpochResult]:
        """Train until `epochs` more are complete; returns `history`, the results of all so far.

        An epoch that was begun counts as one of them. Ends before, when `stop` was called, or the
        held-out loss has not fallen for `early_stopping` epochs.

        Raises:
            DivergenceError: the loss became infinite or NaN; says where, and what to try.
                `history` has the epochs before.
            DeviceError, BuildError: the device fails, has not enough memory, or does not end a
                kernel; says in which step, and names `last_checkpoint`.
            AnomalyError: with `detect_anomaly`, what was the first to be infinite or NaN.
        """
        step = self._training = self._step()
        last = len(self.history) + epochs
        watch = set_detect_anomaly(True) if self.detect_anomaly else nullcontext()
        try:
            with watch:
                while len(self.history) < last and not self.stopped_early and not self._stop:
                    if not self._epoch(step):
                        break
        except _Stopped:
            pass  # the epoch's batches are done: going on begins with the evaluation
        except Exception as error:
            device = self.optimizer.params[0].device.info.name
            found = in_training(error, device, self._where, self.last_checkpoint)
            if found is None:
                raise
            raise found from error
        finally:
            self._stop = False
        return self.history

    def _epoch(self, step: TrainingStep) -> bool:
        """The rest of an epoch; whether it was completed."""
        start, now = time.perf_counter(), self.progress
        self.model.train()
        self._clock.start()
        epoch, number = len(now.history) + 1, len(self.loader)
        for images, labels in self.loader.epoch(epoch, now.batch):
            if self._stop:
                return False
            now.lr = self.optimizer.lr
            with self._finite(f"in epoch {epoch}, batch {now.batch + 1} of {number}") as check:
                loss, logits = self._trained(step, images, labels)
                check(loss)
            now.mean.add(loss, logits, labels)
            now.batch, now.step = now.batch + 1, now.step + 1
            self._clock.tick(len(labels))
            if self.scheduler is not None and not isinstance(self.scheduler, ReduceLROnPlateau):
                self.scheduler.step()
            if self.on_batch:
                mean, speed = now.mean, self._clock.images_per_second
                self.on_batch(
                    BatchResult(epoch, now.batch, number, mean.loss, mean.accuracy, speed)
                )
            if now.batch < number:
                self._stepped()
        if self._stop:
            return False
        self._complete(epoch, start)
        return True

    def _trained(
        self, step: TrainingStep, images: NDArray[Any], labels: NDArray[Any]
    ) -> tuple[float, NDArray[Any]]:
        """One step; its gradients are read where their norms are wanted: once in an epoch."""
        now = self.progress
        if now.batch or not self.gradient_norms:
            return step(images, labels)
        with reading() as gradients:
            result = step(images, labels)
        now.norms.append(GradientNorms.of(len(now.history) + 1, now.step + 1, gradients))
        return result

    def _complete(self, epoch: int, start: float) -> None:
        """Evaluate, and begin the next epoch."""
        data, now = self.dataset, self.progress
        with self._finite(f"on the held-out images after epoch {epoch}") as check:
            test = self.last_evaluation = evaluate(
                self._inference,
                self.loss,
                data.x_test,
                data.y_test,
                self.batch_size,
                self.test_transform,
            )
            check(test.loss)
        mean = now.mean
        result = EpochResult(
            epoch,
            now.lr,
            mean.loss,
            mean.accuracy,
            mean.top5,
            test.loss,
            test.accuracy,
            test.top5,
            seconds=time.perf_counter() - start,
            images_per_second=self._clock.images_per_second,
        )
        now.history.append(result)
        now.mean, now.batch = Mean(), 0
        now.waited = 0 if test.loss < now.best else now.waited + 1
        now.best = min(now.best, test.loss)
        if isinstance(self.scheduler, ReduceLROnPlateau):
            self.scheduler.step(test.loss)
        if self.on_epoch:
            self.on_epoch(result)
        self._stepped()

    def _stepped(self) -> None:
        if self.on_step and (saved := self.on_step(self)):
            self.last_checkpoint = saved

    def _check_stop(self) -> None:
        if self._stop:
            raise _Stopped

    def diverged(self, why: str) -> str:
        """That training stopped, why, and what to try; for errors."""
        watched = active_watch() is not None
        given = self.clip_grad_norm, self.scheduler, watched
        ways = advice(self.model, self.optimizer.lr, self.progress.step, *given)
        return f"training stopped: {why}. {ways}"

    @contextmanager
    def _finite(self, where: str) -> Iterator[Callable[[float], None]]:
        """Gives what raises DivergenceError for a loss that is not finite; errors get to know where
        they were."""
        self._where = where

        def check(loss: float) -> None:
            if not math.isfinite(loss):
                raise DivergenceError(self.diverged(f"the loss is {loss} {where}"))

        try:
            yield check
        except AnomalyError as error:
            raise AnomalyError(self.diverged(f"{where}, {error}")) from error


class _Stopped(Exception):
    """`stop` was called while held-out images are evaluated."""
