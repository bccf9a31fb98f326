"""What a run folder tells of the training: its curves, its first filters, its gradients."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from gradproof.report.parts import Curves, Filters, Missing, Norms
from gradproof.runtime.config import Config
from gradproof.runtime.data import Dataset
from gradproof.runtime.data.loader import batch_count
from gradproof.runtime.errors import GradproofError, RunError
from gradproof.runtime.models import build_model, first_filters
from gradproof.runtime.nn import Module
from gradproof.runtime.optim import SGD
from gradproof.runtime.optim.lr_scheduler import ReduceLROnPlateau
from gradproof.runtime.progress import EpochResult
from gradproof.runtime.random import fork_rng, manual_seed
from gradproof.runtime.recipe import load_weights, make_schedule
from gradproof.runtime.run import FIRST_FILTERS, GRADIENTS, RunFolder
from gradproof.runtime.tensor import Parameter

STARTED = "No epoch of this run was completed."


def curves(run: RunFolder, data: Dataset | Missing) -> Curves | Missing:
    """The rows of metrics.csv, and the rate of each step where the schedule gives those rows."""
    history = tuple(run.history())
    if not history:
        return Missing(STARTED)
    images = None if isinstance(data, Missing) else len(data.x_train)
    return Curves(history, _rates(run.config.config, history, images))


def _rates(config: Config, history: Sequence[EpochResult], images: int | None) -> tuple[float, ...]:
    """The learning rate of every step, from the config; none where that does not give the rates of
    the epochs, as in a run whose number of epochs was changed."""
    train = config.train
    if images is None or config.schedule.name == "plateau" or config.optimizer.lr is None:
        return ()
    batches = batch_count(images, train.batch_size, train.drop_last)
    optimizer = SGD([Parameter(np.zeros(1, np.float32))], config.optimizer.lr)
    schedule = make_schedule(optimizer, config.schedule, train.epochs, batches)
    assert not isinstance(schedule, ReduceLROnPlateau), "it follows what it sees"
    rates = []
    for _ in range(batches * len(history)):
        rates.append(optimizer.lr)
        if schedule is not None:
            schedule.step()
    ends = rates[batches - 1 :: batches]
    return tuple(rates) if ends == [row.lr for row in history] else ()


def filters(run: RunFolder, model: Module) -> Filters | Missing:
    """The first convolution before training, as it was kept, else made again, and now."""
    after, note = first_filters(model), ""
    try:
        before = run.load_filters()
    except GradproofError:
        note = f"The run folder has no {FIRST_FILTERS}: the filters before training are made again"
        note += " from the seed and the config."
        try:
            before = first_filters(_initial(run))
        except GradproofError as error:
            return Missing(f"The filters before training are neither kept nor made again: {error}.")
    if before.shape != after.shape:
        return Missing(f"{FIRST_FILTERS} has shape {before.shape}, the network {after.shape}.")
    return Filters(before, after, note)


def _initial(run: RunFolder) -> Module:
    """The network as it began. Errors: DataError where it began with a file that is gone."""
    config = run.config.config
    with fork_rng():
        manual_seed(config.train.seed)
        model = build_model(config.model.name, run.config.image_shape, len(run.config.classes))
    model.to(config.train.parameters)
    load_weights(model, config.model)
    return model


def norms(run: RunFolder, model: Module) -> Norms | Missing:
    """The norms of gradients.csv, by layer. model: the network, for the layers' kinds."""
    if not (run.path / GRADIENTS).is_file():
        return Missing(
            f"The run folder has no {GRADIENTS}: no epoch was completed, or a version trained it"
            " that did not record gradients."
        )
    try:
        rows = run.norms()
    except RunError as error:
        return Missing(f"{error}.")
    if not rows:
        return Missing(f"{GRADIENTS} has no row.")
    layers: dict[str, list[str]] = {}
    for name in rows[0].norms:
        layers.setdefault(name.rpartition(".")[0] or name, []).append(name)
    kinds = {name: type(module).__name__ for name, module in model.named_modules()}
    together = {
        f"{layer} {kinds.get(layer, '')}".strip(): tuple(
            math.hypot(*(row.norms[n] for n in names)) for row in rows
        )
        for layer, names in layers.items()
    }
    return Norms(tuple(r.epoch for r in rows), tuple(r.step for r in rows), together)
