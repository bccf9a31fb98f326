"""What a model says of images that it does not learn from."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gradproof.runtime.data import DataLoader, ImageSource
from gradproof.runtime.data.transforms import Transform
from gradproof.runtime.errors import RunError, ShapeError
from gradproof.runtime.metrics import Mean
from gradproof.runtime.nn import Module
from gradproof.runtime.plan import plan
from gradproof.runtime.planned_step import PlannedStep
from gradproof.runtime.tensor import Tensor, no_grad, tensor

Loss = Callable[[Tensor, Tensor], Tensor]
PLANNED_FROM = 16  # batches of one shape: fewer do not pay for building the kernels of a plan


@dataclass(frozen=True)
class Evaluation:
    """Mean loss per sample, accuracy in 0..1, the same for the 5 largest logits, and the predicted
    label of each image, (N,)."""

    loss: float
    accuracy: float
    top5: float
    predicted: NDArray[np.int32]


def evaluate(
    model: Module | Inference,
    loss: Loss,
    images: NDArray[np.float32] | ImageSource,
    labels: NDArray[np.int32],
    batch_size: int = 256,
    transform: Transform | None = None,
) -> Evaluation:
    """Loss and accuracy of `model` in evaluation mode, in which it is left.

    An `Inference` keeps its plans for the next time.

    Shapes: images (N, C, H, W), labels (N,), N at least 1. `loss` is the mean over a batch;
    transform: of each batch of images, such as `Normalize`.

    Raises:
        ShapeError: as `batches` and the layers.
    """
    mean = Mean()
    predicted = []
    pairs = DataLoader(images, labels, batch_size, transform=transform).epoch(0)
    for logits, target in _logits(model, pairs, len(images) // batch_size):
        mean.add(float(loss(logits, tensor(target)).item()), logits.numpy(), target)
        predicted.append(logits.numpy().argmax(axis=1))
    labels_of = np.concatenate(predicted).astype(np.int32)
    return Evaluation(mean.loss, mean.accuracy, mean.top5, labels_of)


def probabilities(
    model: Module,
    images: NDArray[np.float32] | ImageSource,
    batch_size: int = 256,
    transform: Transform | None = None,
) -> NDArray[np.float64]:
    """Softmax of the logits, (N, classes) for images (N, C, H, W); in evaluation mode.

    >>> import gradproof as gp
    >>> model = gp.nn.Sequential(gp.nn.Flatten(), gp.nn.Linear(4, 3))
    >>> p = probabilities(model, np.ones((2, 1, 2, 2), np.float32))
    >>> p.shape, p.sum(axis=1).round(6).tolist()
    ((2, 3), [1.0, 1.0])
    """
    count = np.arange(len(images))
    pairs = DataLoader(images, count, batch_size, transform=transform).epoch(0)
    rows = []
    for logits, _ in _logits(model, pairs, len(images) // batch_size):
        z = logits.numpy().astype(np.float64)
        e = np.exp(z - z.max(axis=1, keepdims=True))
        rows.append(e / e.sum(axis=1, keepdims=True))
    return np.concatenate(rows)


def model_dtype(model: Module) -> np.dtype[Any]:
    """The element type that the model computes in: that of its first parameter.

    Raises:
        RunError: the model has no parameters.

    >>> from gradproof.runtime import nn
    >>> model_dtype(nn.Linear(2, 2))
    dtype('float32')
    """
    for parameter in model.parameters():
        return parameter.dtype
    raise RunError("the model has no parameters, so nothing can be trained")


class Inference:
    """A model in evaluation mode. Where a shape of batch comes often, the forward pass is planned
    (`gradproof.plan`) and the plan is kept; else the model is called. before: called before each
    batch; what it raises ends the evaluation."""

    def __init__(self, model: Module, before: Callable[[], None] | None = None) -> None:
        self.model, self.before = model, before
        self._plans: dict[tuple[int, ...], PlannedStep] = {}

    def __call__(self, images: NDArray[Any], times: int = 1) -> Tensor:
        """The logits, valid until the next call; `times`: how often this shape comes."""
        if self.before is not None:
            self.before()
        known = self._plans.get(images.shape)
        if known is not None:
            known(images)
            return known.outputs[0]
        x = tensor(images, model_dtype(self.model))
        with no_grad():
            unplanned = x.device.info.kind == "simulator" or x.dtype == np.float16
            if times < PLANNED_FROM or unplanned:
                logits: Tensor = self.model(x)
                return logits
            planned = self._plans[images.shape] = plan(self.model, x)
        planned.run()
        return planned.outputs[0]


def _logits(
    model: Module | Inference, pairs: Iterator[tuple[NDArray[Any], NDArray[Any]]], times: int
) -> Iterator[tuple[Tensor, NDArray[Any]]]:
    """The logits of each batch; times: how many batches are full."""
    inference = model if isinstance(model, Inference) else Inference(model)
    inference.model.eval()
    for k, (images, other) in enumerate(pairs):
        logits = inference(images, times if k < times else 1)
        if logits.ndim != 2 or logits.shape[0] != len(images):
            raise ShapeError(
                f"the model gives {logits.shape} for images {images.shape},"
                f" expected ({len(images)}, classes)"
            )
        yield logits, other
