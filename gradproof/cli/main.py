"""The command `gradproof`. Commands are imported when they run, so that --help needs no OpenCL."""

from __future__ import annotations

import errno
import sys
from importlib import import_module
from typing import Annotated, Any

import typer
from typer.core import TyperCommand, TyperGroup

from gradproof import __version__
from gradproof.runtime.errors import GradproofError

# command -> the module that has a function of this name, and one line of help
COMMANDS = {
    "demo": ("gradproof.cli.demo", "Train a small network on handwritten digits, in half a minute"),
    "train": ("gradproof.cli.train", "Train a network on a data set, into a new run folder"),
    "evaluate": ("gradproof.cli.evaluate", "Measure a run's network on held-out images"),
    "predict": ("gradproof.cli.predict", "Classify the images in a file with a run's network"),
    "report": ("gradproof.cli.report", "Make one page about a run: results, mistakes, timings"),
    "export": ("gradproof.cli.export", "Write a run's network for other programs: ONNX, C"),
    "models": ("gradproof.cli.models", "List the networks, with parameters, operations and memory"),
    "devices": ("gradproof.cli.devices", "List the OpenCL devices, and the one that is chosen"),
    "derive": ("gradproof.cli.derivation", "Show how an operator's gradients are derived"),
    "influence": ("gradproof.cli.influence", "Show where one pixel or tap goes, term by term"),
    "book": (
        "gradproof.cli.book",
        "Make a site: derivations, proofs, kernels, pictures, documentation",
    ),
    "verify": ("gradproof.cli.verify", "Check what is proved of the derivations and kernels"),
    "generate": ("gradproof.cli.derivation", "Write the kernels of all operators"),
    "selftest": ("gradproof.cli.selftest", "Check the kernels on a device"),
    "plan": ("gradproof.cli.plan", "Show what a network's training step becomes on a device"),
    "tune": ("gradproof.cli.tune", "Measure a network's kernels on a device, and keep the fastest"),
    "bench": (
        "gradproof.cli.bench",
        "Measure start-up and training, beside PyTorch if it is there",
    ),
}


INTERRUPTED = 130  # 128 + SIGINT, the shell's convention


class LazyCommand(TyperCommand):
    """A command of which only the name and one line of help are known until it runs."""

    def make_context(self, info_name: str | None, args: list[str], *rest: Any, **extra: Any) -> Any:
        """Import the command, and let it read its arguments."""
        module, _ = COMMANDS[str(self.name)]
        single = typer.Typer(add_completion=False)
        single.command(self.name)(getattr(import_module(module), str(self.name)))
        return typer.main.get_command(single).make_context(info_name, args, *rest, **extra)


class Commands(TyperGroup):
    """The commands of `COMMANDS`; an expected error becomes one message and exit code 2."""

    def __init__(self, **attrs: Any) -> None:
        super().__init__(**attrs)
        for name, (_, help_text) in COMMANDS.items():
            self.add_command(LazyCommand(name=name, callback=None, help=help_text), name)

    def invoke(self, ctx: Any) -> Any:
        """Run the command that `ctx` names."""
        try:
            return super().invoke(ctx)
        except GradproofError as error:
            report(error)
            raise typer.Exit(2) from error
        except MemoryError as error:
            report(GradproofError(f"not enough memory: {error}"))
            raise typer.Exit(2) from error
        except OSError as error:
            if error.errno == errno.EPIPE:  # nobody reads on, which is no error
                raise
            report(GradproofError(str(error)))
            raise typer.Exit(2) from error
        except KeyboardInterrupt:
            raise typer.Exit(INTERRUPTED) from None
        except Exception as error:
            pyopencl = sys.modules.get("pyopencl")  # not imported by every command
            if pyopencl is None or not isinstance(error, pyopencl.Error):
                raise
            report(GradproofError(f"the device failed: {error}"))
            raise typer.Exit(2) from error


def report(error: GradproofError) -> None:
    """Write the error to standard error: its first line in red on a terminal, no traceback."""
    from rich.console import Console

    first, newline, rest = str(error).partition("\n")
    console = Console(stderr=True, markup=False, highlight=False, emoji=False)
    console.print(f"error: {first}", style="red", soft_wrap=True)
    if newline:
        console.print(rest, soft_wrap=True)


def _show_version(wanted: bool) -> None:
    if wanted:
        sys.stdout.write(f"gradproof {__version__}\n")
        raise typer.Exit


app = typer.Typer(cls=Commands, no_args_is_help=True, pretty_exceptions_enable=False)


@app.callback()
def options(
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Show it.")
    ] = False,
) -> None:
    """Convolutional networks with derived gradients, on any OpenCL device.

    Begin with: gradproof demo
    """
