"""What is said and drawn of a training that is over."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from gradproof.cli.screen import Screen, command_name
from gradproof.runtime.errors import RunError
from gradproof.runtime.metrics import TOP, confusion_matrix
from gradproof.runtime.models import first_filters
from gradproof.runtime.planned_memory import mib
from gradproof.runtime.plots import plot_confusion, plot_curves, plot_filters
from gradproof.runtime.run import (
    CONFUSION_PICTURE,
    CURVES,
    FILTERS,
    RunFolder,
)
from gradproof.runtime.trainer import Trainer


@dataclass(frozen=True)
class Training:
    """A run that is over: its folder and what `fit` measured."""

    run: RunFolder
    trainer: Trainer
    seconds: float

    def show(self, screen: Screen) -> None:
        """The results, as text and, if asked for, as JSON."""
        last, config = self.trainer.history[-1], self.run.config
        number = len(self.trainer.dataset.y_test)
        correct = round(last.test_accuracy * number)
        screen.line()
        if self.trainer.stopped_early and last.epoch < config.config.train.epochs:
            waited = self.trainer.progress.waited
            screen.line(f"Stopped early: the held-out loss has not fallen for {waited} epochs")
        top5 = f", top-5 {last.test_top5:.2%}" if len(config.classes) > TOP else ""
        screen.line(
            f"Held-out accuracy {last.test_accuracy:.2%} ({correct} of {number} images){top5}"
            f" after {last.epoch} epochs in {self.seconds:.1f} s",
            style="bold",
        )
        if (memory := self.trainer.memory) is not None:
            again = ", activations recomputed" if memory.recomputed else ""
            screen.line(
                f"Memory of a step {mib(memory.temporaries)} and {mib(memory.outside)} for"
                f" parameters and batches{again}"
            )
        screen.line(f"Run folder {self.run.path}")
        screen.line("  config.json        what is needed to repeat the run")
        screen.line("  metrics.csv        one row for each epoch")
        screen.line(
            "  gradients.csv      norms of each parameter's gradient, one row for each epoch"
        )
        screen.line("  curves.png         loss and accuracy by epoch")
        screen.line("  confusion.png      which class was taken for which")
        screen.line("  filters.png        the first filters before and after training")
        screen.line("  model.safetensors  the parameters, under PyTorch's names")
        screen.line("  checkpoints        what is needed to go on")
        screen.result(
            {
                "test_accuracy": last.test_accuracy,
                "test_top5": last.test_top5,
                "test_loss": last.test_loss,
                "train_accuracy": last.train_accuracy,
                "train_loss": last.train_loss,
                "epochs": last.epoch,
                "seconds": self.seconds,
                "images_per_second": last.images_per_second,
                "step_bytes": memory.temporaries if memory is not None else None,
                "device": config.device,
                "run": str(self.run.path),
            }
        )


def say_kept(run: RunFolder, trainer: Trainer, how: str, screen: Screen) -> None:
    """Say what is kept of a training that ended early."""
    try:
        done = len(run.history())  # the last one may not have been written
    except RunError:
        done = len(trainer.history)
    kept = f"epochs 1 to {done} are" if done else "no epoch was completed; its settings are"
    screen.line(f"{how}: {kept} kept in {run.path}")


def say_where_from(run: RunFolder, screen: Screen, watched: bool) -> None:
    """The last checkpoint of a run that diverged, which is from before that."""
    steps = run.checkpoints.steps()
    if steps:
        screen.line(f"Last checkpoint before it: {steps[-1]}")
    if steps and not watched:
        command = f"{command_name()} train --resume {run.path} --detect-anomaly"
        screen.line(f"To see the first layer at fault from there: {command}")


def say_go_on(run: RunFolder, screen: Screen) -> None:
    """The last checkpoint of a run that failed, and how to go on from it."""
    steps = run.checkpoints.steps()
    if steps:
        screen.line(f"Last checkpoint: {steps[-1]}")
        screen.line(f"Go on from it with: {command_name()} train --resume {run.path}")


def draw(run: RunFolder, trainer: Trainer) -> None:
    """Curves, filters and confusion matrix, where an epoch is complete. Raises GradproofError."""
    history, config = trainer.history, run.config.config
    if not history:
        return
    title = f"{config.model.name} on {Path(config.data.dataset).name}"
    plot_curves(history, run.path / CURVES, title)
    plot_filters(run.load_filters(), first_filters(run.load_model()), run.path / FILTERS)
    if trainer.last_evaluation is not None:
        labels, classes = trainer.dataset.y_test, run.config.classes
        matrix = confusion_matrix(labels, trainer.last_evaluation.predicted, len(classes))
        run.write_confusion(matrix)
        plot_confusion(matrix, classes, run.path / CONFUSION_PICTURE, title)
