"""Where a training is, and what was measured: of a batch, of an epoch, so far."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

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


@dataclass(frozen=True)
class GradientNorms:
    """Of one step: the root of the sum of the squares of each parameter's gradient, by its name,
    before the gradients are clipped; epoch, step: counted from 1."""

    epoch: int
    step: int
    norms: Mapping[str, float]

    @classmethod
    def of(cls, epoch: int, step: int, gradients: Mapping[str, NDArray[Any]]) -> GradientNorms:
        """Those of some gradients.

        >>> GradientNorms.of(1, 1, {"w": np.float32([[3, 4]])}).norms
        {'w': 5.0}
        """
        norms = {n: float(np.linalg.norm(g.astype(np.float64))) for n, g in gradients.items()}
        return cls(epoch, step, norms)


@dataclass
class Progress:
    """Where a run is: `batch` of the epoch after those of `history`, both counted from 0; `step`:
    updates so far; `lr`: rate of the last one; `best`: lowest held-out loss; `waited`: epochs
    since; `norms`: of gradients, where they are wanted."""

    history: list[EpochResult]
    mean: Mean
    batch: int = 0
    step: int = 0
    lr: float = 0.0
    best: float = math.inf
    waited: int = 0
    norms: list[GradientNorms] = field(default_factory=list)


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
