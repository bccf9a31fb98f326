"""What a person sees of a run: the device, the network, the progress, the results."""

from __future__ import annotations

import json
import logging
import os
import shutil
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Self

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from gradproof.runtime.device import DeviceInfo
from gradproof.runtime.limits import LIMITS, LIMITS_VARIABLE
from gradproof.runtime.progress import BatchResult, EpochResult
from gradproof.runtime.summary import LayerSummary

HEADER = "epoch    loss  accuracy   held-out loss  accuracy     time  images/s"


def command_name() -> str:
    """How this program is called from here: by name where a shell finds it, else by its path."""
    program = Path(sys.argv[0])
    found = shutil.which("gradproof")
    if program.name != "gradproof" or (found and Path(found).samefile(program)):
        return "gradproof"
    return os.path.relpath(program)


class Screen:
    """Text for a person, on standard output; on standard error if JSON goes to standard output.

    On a terminal there is a progress bar and colour; elsewhere plain lines without escape codes.
    """

    def __init__(self, *, as_json: bool, verbose: bool = False) -> None:
        """verbose: what the library logs is shown too, on standard error."""
        self.as_json = as_json
        speak(verbose)
        # no markup: a path or the name of a device may hold brackets
        self.console = Console(stderr=as_json, markup=False, highlight=False, emoji=False)

    def line(self, text: str = "", style: str | None = None) -> None:
        """One line, which is not wrapped: paths and commands stay whole."""
        self.console.print(text, style=style, soft_wrap=True)

    def note(self, text: str) -> None:
        """A line on standard error, for commands whose standard output is read by programs."""
        console = Console(stderr=True, markup=False, highlight=False, emoji=False)
        console.print(text, soft_wrap=True)

    def table(self, table: Table) -> None:
        """A table."""
        self.console.print(table)

    def result(self, values: Mapping[str, Any]) -> None:
        """The one line of JSON, if it was asked for."""
        if self.as_json:
            sys.stdout.write(json.dumps(values, allow_nan=False) + "\n")
            sys.stdout.flush()

    def device(self, info: DeviceInfo) -> None:
        """The device that was chosen."""
        self.line(f"Device   {info.name} ({info.kind})")
        self.line(f"         {info.platform}, {info.version}, driver {info.driver}")
        if info.lowered:
            names = ", ".join(LIMITS[name] for name in info.lowered)
            self.line(f"         lowered by {LIMITS_VARIABLE}: {names}")

    def network(self, layers: Sequence[LayerSummary]) -> None:
        """The layers with their shapes; the batch is N."""
        table = Table(show_footer=True)
        total = sum(layer.parameters for layer in layers)
        table.add_column("", footer="")
        table.add_column("layer", footer="total")
        table.add_column("weight")
        table.add_column("output")
        table.add_column("parameters", justify="right", footer=f"{total:,}")
        for layer in layers:
            weight = _product(layer.parameter_shapes[0]) if layer.parameter_shapes else ""
            output = " x ".join(["N", *map(str, layer.output_shape[1:])])
            count = f"{layer.parameters:,}" if layer.parameters else ""
            table.add_row(layer.name, layer.kind, weight, output, count)
        self.table(table)


class _Notes(logging.Handler):
    """Shows what the library logs, each as one line on standard error."""

    def emit(self, record: logging.LogRecord) -> None:
        sys.stderr.write(f"{record.getMessage()}\n")


def speak(verbose: bool) -> None:
    """Show what `gradproof` logs at level INFO and above, or leave it to the program around."""
    logger = logging.getLogger("gradproof")
    for handler in [h for h in logger.handlers if isinstance(h, _Notes)]:
        logger.removeHandler(handler)
        logger.setLevel(logging.NOTSET)
    if verbose:
        logger.addHandler(_Notes())
        logger.setLevel(logging.INFO)


class TrainingProgress:
    """Shows each epoch as a row and, on a terminal, a bar for the whole training.

    Use it as a context manager around `Trainer.fit`; `on_batch` and `on_epoch` are the callbacks.
    """

    def __init__(self, screen: Screen, epochs: int) -> None:
        self.screen, self.epochs = screen, epochs
        self.bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=None),
            TextColumn("{task.fields[text]}"),
            TimeRemainingColumn(),
            console=screen.console,
            transient=True,
            disable=not screen.console.is_terminal,
        )

    def __enter__(self) -> Self:
        self.screen.line(HEADER)
        self.bar.start()
        self.task = self.bar.add_task("compiling kernels", total=None, text="")
        return self

    def __exit__(self, *_: object) -> None:
        self.bar.stop()

    def on_batch(self, result: BatchResult) -> None:
        """Move the bar."""
        self.bar.update(
            self.task,
            total=self.epochs * result.batches,
            completed=(result.epoch - 1) * result.batches + result.batch,
            description=f"epoch {result.epoch}/{self.epochs}",
            text=f"loss {result.loss:.4f}, accuracy {result.accuracy:.1%},"
            f" {result.images_per_second:,.0f} images/s",
        )

    def on_epoch(self, result: EpochResult) -> None:
        """Print the row of an epoch."""
        self.screen.line(
            f"{result.epoch:>2}/{self.epochs:<2} {result.train_loss:>7.4f}"
            f"  {result.train_accuracy:>8.2%}   {result.test_loss:>13.4f}"
            f"  {result.test_accuracy:>8.2%}  {result.seconds:>6.1f}s"
            f"  {result.images_per_second:>8,.0f}"
        )


def _product(shape: Sequence[int]) -> str:
    return " x ".join(map(str, shape))
