"""What the network makes of the held-out images: which class for which, and the worst of it."""

from __future__ import annotations

import numpy as np

from gradproof.report.parts import Confusion, Evaluated, Missing, Mistake
from gradproof.runtime.data import Dataset, load_dataset
from gradproof.runtime.errors import GradproofError, RunError
from gradproof.runtime.evaluation import probabilities
from gradproof.runtime.metrics import confusion_matrix
from gradproof.runtime.nn import Module
from gradproof.runtime.run import CONFUSION, RunFolder

WORST = 24


def data_of(run: RunFolder, dataset: str | None = None) -> Dataset | Missing:
    """The data that a run was trained on, which its hash tells from all others. dataset: where they
    are now, None for where they were.

    Errors: those of `load_dataset`, and RunError for other data, where `dataset` is given.
    """
    config = run.config
    used = config.config.data
    try:
        data = load_dataset(used.dataset if dataset is None else dataset, used.image_size)
    except GradproofError as error:
        if dataset is not None:
            raise
        return Missing(f"The data of this run cannot be read: {error}. --dataset says where.")
    if config.is_of(data):
        return data
    why = f"{used.dataset if dataset is None else dataset} holds other data than this run's"
    if dataset is not None:
        raise RunError(f"--dataset: {why}")
    return Missing(f"{why}; --dataset says where they are now.")


def evaluated(run: RunFolder, model: Module, data: Dataset) -> tuple[Evaluated, Confusion]:
    """Loss, accuracy, the worst images and the confusion matrix, as `gradproof evaluate` has them:
    cross-entropy without label smoothing, on the held-out images."""
    config = run.config
    p = probabilities(model, data.x_test, config.config.train.batch_size, config.test_transform)
    labels, predicted = data.y_test, p.argmax(axis=1)
    own = p[np.arange(len(p)), labels]
    losses = -np.log(np.maximum(own, np.finfo(np.float64).tiny))
    order = np.argsort(-losses, kind="stable")[:WORST]
    images = data.x_test[np.asarray(order, np.intp)]
    worst = tuple(
        Mistake(
            int(k),
            image,
            int(labels[k]),
            int(predicted[k]),
            float(own[k]),
            float(p[k].max()),
            float(losses[k]),
        )
        for k, image in zip(order, images, strict=True)
    )
    wrong = int((predicted != labels).sum())
    mean, right = float(losses.mean()), 1.0 - wrong / len(labels)
    matrix = confusion_matrix(labels, predicted, len(data.classes))
    return Evaluated(mean, right, len(labels), wrong, worst), Confusion(data.classes, matrix)


def kept_confusion(run: RunFolder, why: Missing) -> Confusion | Missing:
    """The matrix in the run folder, for where the data are gone."""
    if not (run.path / CONFUSION).is_file():
        return why
    try:
        note = f"From {CONFUSION} of the run folder, after the last complete epoch. {why.why}"
        return Confusion(run.config.classes, run.load_confusion(), note)
    except RunError as error:
        return Missing(f"{why.why} And {error}.")
