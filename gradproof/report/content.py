"""All that a page tells of a run, from its folder, its data and the device at hand."""

from __future__ import annotations

from pathlib import Path

from gradproof.report.learned import STARTED, curves, filters, norms
from gradproof.report.parts import (
    Confusion,
    Curves,
    Evaluated,
    Missing,
    Report,
)
from gradproof.report.repeat import reproduce
from gradproof.report.seen import data_of, evaluated, kept_confusion
from gradproof.report.timing import measured
from gradproof.runtime.data import Dataset
from gradproof.runtime.models import build_model
from gradproof.runtime.nn import Module
from gradproof.runtime.run import MODEL, RunFolder

STEPS = 10


def collect(run: RunFolder, dataset: str | None = None, steps: int = STEPS) -> Report:
    """Evaluate a run's network, measure its steps, and read the rest from its folder.

    dataset: where its data are now; steps: how many are measured. What cannot be had is `Missing`.
    Errors: those of `data_of`; RunError, DataError where files of the run are damaged.
    """
    data, config = data_of(run, dataset), run.config
    told = curves(run, data)
    model = run.load_model() if (run.path / MODEL).is_file() else None
    seen, confusion = _seen(run, model, data)
    shape, classes = config.image_shape, len(config.classes)
    network = build_model(config.config.model.name, shape, classes) if model is None else model
    step = measured(config, data, network.state_dict(), steps)
    return Report(
        f"{config.config.model.name} on {Path(config.config.data.dataset).name}",
        _stopped(told, config.config.train.epochs),
        told,
        seen,
        confusion,
        Missing(STARTED) if model is None else filters(run, model),
        norms(run, network),
        step.timing,
        step.memory,
        reproduce(run, sum(p.size for p in network.parameters())),
    )


def _seen(
    run: RunFolder, model: Module | None, data: Dataset | Missing
) -> tuple[Evaluated | Missing, Confusion | Missing]:
    if model is None:
        return Missing(STARTED), Missing(STARTED)
    if isinstance(data, Missing):
        return data, kept_confusion(run, data)
    return evaluated(run, model, data)


def _stopped(told: Curves | Missing, epochs: int) -> str:
    """Where a run has fewer epochs than its config says, in words."""
    done = len(told.history) if isinstance(told, Curves) else 0
    return "" if done >= epochs else f"Stopped after {done} of {epochs} epochs."
