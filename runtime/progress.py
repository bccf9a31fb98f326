"""Where a training is, and what was measured: of a batch, of an epoch, so far."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass

from gradproof.runtime.metrics import Mean


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

    Losses are means per sample; accuracies lie in 0..1, top5 those of the 5 largest logits. Those
    of training are taken while the parameters change, batch by batch; those of the held-out images
    at the end of the epoch. `lr` is the rate of the epoch's last step. `seconds` is the wall time
    of the whole epoch; `images_per_second` is that of training alone, without the first batch of a
    run. Of an epoch in which a run was resumed both are those after it.
    """

    epoch: int
    lr: float
    train_loss: float
    train_accuracy: float
    train_top5: float
    test_loss: float
    test_accuracy: float
    test_top5: float
    seconds: float
    images_per_second: float


@dataclass
class Progress:
    """Where a run is: `batch` of the epoch after those of `history`, both counted from 0; `step`:
    updates so far; `lr`: rate of the last one; `best`: lowest held-out loss; `waited`: epochs
    since."""

    history: list[EpochResult]
    mean: Mean
    batch: int = 0
    step: int = 0
    lr: float = 0.0
    best: float = math.inf
    waited: int = 0


class Clock:
    """Images per second of an epoch, without the run's first batch, which compiles kernels."""

    def __init__(self) -> None:
        self._warm = False

    def start(self) -> None:
        """An epoch begins."""
        self._begin, self._now, self._count = time.perf_counter(), 0.0, 0

    def tick(self, images: int) -> None:
        """A batch of so many images is done."""
        self._now = time.perf_counter()
        if not self._warm:
            self._warm, self._begin = True, self._now
            return
        self._count += images

    @property
    def images_per_second(self) -> float:
        """0.0 before there is a second batch."""
        elapsed = self._now - self._begin
        return self._count / elapsed if elapsed > 0 else 0.0
