"""The command `gradproof book`: the derivations, proofs and kernels as pages to look at."""

from __future__ import annotations

import time
from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from gradproof.cli.source import is_file, load
from gradproof.codegen.certify import Record
from gradproof.derive.checker import Refused
from gradproof.derive.errors import DefinitionError
from gradproof.derive.registry import operators
from gradproof.runtime.errors import GradproofError


def book(
    sources: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[OPERATOR|FILE]...",
            help="Operators, such as conv2d, or files with your own, my_op.py; without, all.",
        ),
    ] = None,
    out: Annotated[Path, typer.Option(metavar="DIR", help="The folder to write.")] = Path(
        "gradproof-book"
    ),
    serve: Annotated[
        bool, typer.Option("--serve", help="Then show it at a local address.")
    ] = False,
    port: Annotated[int, typer.Option(help="The port of --serve; 0: any that is free.")] = 8000,
) -> None:
    """Build a site: a page for each operator, with its derivation, proofs, kernels and a picture,
    and the documentation.

    What is on an operator's page follows from its definition. The site needs no network; open
    DIR/index.html.
    """
    from gradproof.book.site import build

    start = time.perf_counter()
    try:
        found = {n: (d, s) for s in sources or operators() for n, d in load(s).items()}
        where = {n: s for n, (_, s) in found.items() if is_file(s)}
        pages = build([d for d, _ in found.values()], partial(known, where), out)
    except (Refused, DefinitionError) as error:
        raise GradproofError(f"no book was written: {error}") from None
    except OSError as error:
        raise GradproofError(f"cannot write {error.filename or out}: {error.strerror}") from None
    typer.echo(f"{len(pages)} pages in {time.perf_counter() - start:.0f} s: {out / 'index.html'}")
    if serve:
        from gradproof.book.serve import serve_folder

        serve_folder(out, port, typer.echo)


def known(where: dict[str, str], name: str) -> Record | None:
    """The certificates of an operator: a user's, by its file, or those that are shipped."""
    from gradproof.cli.certificates import kept
    from gradproof.codegen.certify import known_record
    from gradproof.codegen.generate import generated_folder

    return kept(where[name], name) if name in where else known_record(generated_folder(), name)
