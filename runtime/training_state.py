"""The state of a training between two steps, as a checkpoint, and back."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gradproof.runtime.anomaly import counted
from gradproof.runtime.checkpoint import Checkpoint
from gradproof.runtime.errors import DataError, DivergenceError, GradproofError
from gradproof.runtime.metrics import Mean
from gradproof.runtime.progress import EpochResult, GradientNorms, Progress
from gradproof.runtime.random import get_rng_state, set_rng_state
from gradproof.runtime.trainer import Trainer


def capture(trainer: Trainer) -> Checkpoint:
    """Everything that decides how a training goes on, but for its data set and its options.

    Raises:
        DivergenceError: a parameter, or what the optimizer keeps of it, is infinite or NaN: there
            is nothing to go on from. A loss shows it only one step later.
    """
    optimizer, now = trainer.optimizer.state_dict(), trainer.progress
    arrays = {f"model/{name}": value for name, value in trainer.model.state_dict().items()}
    for k, kept in optimizer["state"].items():
        arrays |= {f"optimizer/{k}/{name}": np.asarray(value) for name, value in kept.items()}
    _check_finite(trainer, arrays)
    state = {
        "groups": optimizer["param_groups"],
        "scheduler": None if trainer.scheduler is None else trainer.scheduler.state_dict(),
        "generators": get_rng_state(),
        "seed": trainer.seed,
        "history": [dataclasses.asdict(result) for result in now.history],
        "mean": now.mean.state_dict(),
        "batch": now.batch,
        "step": now.step,
        "lr": now.lr,
        "best": None if math.isinf(now.best) else now.best,
        "waited": now.waited,
        "norms": [dataclasses.asdict(measured) for measured in now.norms],
    }
    return Checkpoint(arrays, state)


def _check_finite(trainer: Trainer, arrays: Mapping[str, NDArray[Any]]) -> None:
    """Buffers are not looked at: a mask may hold infinities."""
    trained = {f"model/{name}" for name, _ in trainer.model.named_parameters()}
    for name, value in arrays.items():
        if name in trained or name.startswith("optimizer/"):
            finite = np.isfinite(value)
            if not finite.all():
                after = f"after step {trainer.progress.step}, {name}: {counted(value, ~finite)}"
                why = f"{after}; no checkpoint is made of it"
                raise DivergenceError(trainer.diverged(why))


def restore(trainer: Trainer, checkpoint: Checkpoint) -> None:
    """Let a training go on where `capture` was called; it has the same data set and options.

    Raises:
        DataError: the checkpoint is of another model, optimizer, schedule or batch size.
    """
    state = checkpoint.state
    try:
        progress = _progress(state, len(trainer.loader))
        trainer.model.load_state_dict(checkpoint.part("model"))
        groups = {"param_groups": state["groups"], "state": _by_parameter(checkpoint)}
        trainer.optimizer.load_state_dict(groups)
        if (trainer.scheduler is None) != (state["scheduler"] is None):
            raise DataError("a schedule is there on one side only")
        if trainer.scheduler is not None:
            trainer.scheduler.load_state_dict(state["scheduler"])
        set_rng_state(state["generators"])
    except GradproofError as error:  # some are ValueErrors too
        raise DataError(f"checkpoint: does not fit this training: {error}") from error
    except (KeyError, TypeError, ValueError) as error:
        raise DataError(f"checkpoint: not a state of a training: {error!r}") from error
    trainer.progress = progress


def _progress(state: Any, batches: int) -> Progress:
    mean = Mean()
    mean.load_state_dict(state["mean"])
    history = [EpochResult(**row) for row in state["history"]]
    best = math.inf if state["best"] is None else float(state["best"])
    if not 0 <= state["batch"] <= batches:
        raise DataError(f"batch {state['batch']} of an epoch of {batches}")
    place = state["batch"], state["step"], float(state["lr"])
    norms = [GradientNorms(**measured) for measured in state.get("norms", ())]
    return Progress(history, mean, *place, best, state["waited"], norms)


def _by_parameter(checkpoint: Checkpoint) -> dict[int, dict[str, NDArray[Any]]]:
    found: dict[int, dict[str, NDArray[Any]]] = {}
    for name, value in checkpoint.part("optimizer").items():
        k, _, kept = name.partition("/")
        found.setdefault(int(k), {})[kept] = value
    return found
