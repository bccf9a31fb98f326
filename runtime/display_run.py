"""Runs, those that go on and those that are kept, as HTML for a notebook."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from gradproof.runtime.display import table
from gradproof.runtime.plots import curves_svg
from gradproof.runtime.progress import EpochResult

if TYPE_CHECKING:
    from gradproof.runtime.run import RunFolder
    from gradproof.runtime.trainer import Trainer

Facts = list[tuple[str, str]]


def run_html(run: RunFolder) -> str:
    """What decided a run, what came of it, and its curves.

    Raises:
        RunError: metrics.csv is missing or damaged.
    """
    config = run.config.config
    train, rule = config.train, config.optimizer
    facts = [
        ("run", str(run.path)),
        ("network", config.model.name),
        ("data", config.data.dataset),
        ("optimizer", f"{rule.name}, lr {rule.lr:g}" if rule.lr is not None else rule.name),
        ("epochs, batch size, seed", f"{train.epochs}, {train.batch_size}, {train.seed}"),
        ("device", run.config.device),
    ]
    return _told(facts, run.history())


def trainer_html(trainer: Trainer) -> str:
    """What is trained on what, how far it has come, and its curves."""
    data = trainer.dataset
    facts = [
        ("network", type(trainer.model).__name__),
        ("data", f"{data.name}: {len(data.x_train):,} images, {len(data.x_test):,} held out"),
        ("optimizer", type(trainer.optimizer).__name__),
        ("batch size, seed", f"{trainer.batch_size}, {trainer.seed}"),
    ]
    return _told(facts, trainer.history)


def _told(facts: Facts, history: Sequence[EpochResult]) -> str:
    if not history:
        return table((), [*facts, ("result", "no epoch is complete")])
    last = history[-1]
    facts = [
        *facts,
        ("complete epochs", str(last.epoch)),
        ("held-out accuracy", f"{last.test_accuracy:.2%}"),
        ("held-out loss", f"{last.test_loss:.4g}"),
        ("images per second", f"{last.images_per_second:,.0f}"),
    ]
    style = '<div style="max-width:50em">'
    return f"{table((), facts)}{style}{curves_svg(history)}</div>"
