"""The command line, as `--help` says it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import typer

from gradproof.cli.main import COMMANDS, app


@dataclass(frozen=True)
class Command:
    """A command: how it is called, what it does, and its arguments and options in words."""

    name: str
    usage: str
    text: tuple[str, ...]
    options: tuple[tuple[str, str], ...]


def commands() -> Iterator[Command]:
    """Every command of `gradproof`, in the order of its help."""
    group: Any = typer.main.get_command(app)
    for name in COMMANDS:
        called = f"gradproof {name}"
        context = group.commands[name].make_context(called, ["--help"], resilient_parsing=True)
        parameters = context.command.get_params(context)
        records = [(p.param_type_name, p.get_help_record(context)) for p in parameters]
        shown = [(kind, *r) for kind, r in records if r is not None and "--help" not in r[0]]
        arguments = [words.partition(" <")[0] for kind, words, _ in shown if kind == "argument"]
        text = re.split(r"\n\s*\n", context.command.help or COMMANDS[name][1])
        yield Command(
            name,
            " ".join([called, *arguments, "[OPTIONS]"]),
            tuple(" ".join(p.split()) for p in text),
            tuple((words, " ".join(said.split())) for _, words, said in shown),
        )
