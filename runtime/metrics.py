"""What is measured of predictions: means over samples, and which class is taken for which."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

TOP = 5


class Mean:
    """Means over samples; a batch counts by its size, so a smaller last batch counts less.

    >>> mean = Mean()
    >>> mean.add(1.0, np.eye(3), np.array([0, 1, 0]))
    >>> mean.add(4.0, np.eye(3)[:1], np.array([1]))
    >>> mean.loss, mean.accuracy, mean.top5
    (1.75, 0.5, 1.0)
    """

    def __init__(self) -> None:
        self._loss, self._correct, self._top, self._count = 0.0, 0, 0, 0

    def add(self, loss: float, logits: NDArray[Any], labels: NDArray[Any]) -> None:
        """One batch: its mean loss, logits (N, classes), labels (N,)."""
        self._loss += loss * len(labels)
        self._correct += int((logits.argmax(axis=1) == labels).sum())
        self._top += int(among_largest(logits, labels, TOP).sum())
        self._count += len(labels)

    @property
    def loss(self) -> float:
        """Per sample."""
        return self._loss / self._count

    @property
    def accuracy(self) -> float:
        """How many labels have the largest logit, in 0..1."""
        return self._correct / self._count

    @property
    def top5(self) -> float:
        """How many labels are among the 5 largest logits, in 0..1."""
        return self._top / self._count

    def state_dict(self) -> dict[str, float | int]:
        """The sums so far."""
        return {
            "loss": self._loss,
            "correct": self._correct,
            "top": self._top,
            "count": self._count,
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from a `state_dict`."""
        self._loss, self._count = float(state["loss"]), int(state["count"])
        self._correct, self._top = int(state["correct"]), int(state["top"])


def among_largest(logits: NDArray[Any], labels: NDArray[Any], k: int) -> NDArray[np.bool_]:
    """Whether fewer than k logits are larger than the label's: (N, classes), (N,) -> (N,).

    >>> among_largest(np.array([[3.0, 2.0, 1.0]] * 2), np.array([1, 2]), 2).tolist()
    [True, False]
    """
    own = np.take_along_axis(logits, np.clip(labels, 0, None)[:, None].astype(np.intp), axis=1)
    few = (logits > own).sum(axis=1) < k
    return np.asarray(few & np.isfinite(own[:, 0]) & (labels >= 0))


def confusion_matrix(
    labels: NDArray[Any], predicted: NDArray[Any], classes: int
) -> NDArray[np.int64]:
    """How often class i was taken for class j, (classes, classes); both inputs (N,).

    >>> confusion_matrix(np.array([0, 1, 1]), np.array([0, 0, 1]), 2).tolist()
    [[1, 0], [1, 1]]
    """
    flat = np.bincount(labels.astype(np.int64) * classes + predicted, minlength=classes**2)
    return flat.reshape(classes, classes)
