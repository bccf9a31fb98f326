"""The commands `gradproof derive` and `gradproof generate`."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import sympy as sp
import typer

from gradproof.cli.source import is_file, load
from gradproof.derive.checker import Refused
from gradproof.derive.errors import DefinitionError
from gradproof.derive.explain import Formula, Section, Words, explain, operand
from gradproof.derive.language import Definition
from gradproof.derive.registry import operators
from gradproof.derive.show import latex, text
from gradproof.runtime.errors import GradproofError

WIDTH = 96
NO_BREAK = "\u00a0"


def derive(
    operator: Annotated[
        str, typer.Argument(help="An operator, such as conv2d, or a file: my_op.py, my_op.py:name.")
    ],
    wrt: Annotated[
        str | None,
        typer.Option(help="One operand: the definition's letter (w) or PyTorch's name (weight)."),
    ] = None,
    as_latex: Annotated[
        bool, typer.Option("--latex", help="Print LaTeX (amsmath) for a paper.")
    ] = False,
) -> None:
    """Show how an operator's gradients follow from its definition, step by step.

    A file's code is run; every operator that it defines is shown.
    """
    try:
        for definition in load(operator).values():
            letter = None if wrt is None else operand(definition, wrt)
            for section in _sections(definition, letter, operator):
                for line in latex_lines(section) if as_latex else text_lines(section):
                    typer.echo(line)
    except DefinitionError as error:
        raise GradproofError(str(error)) from None


def _sections(d: Definition, letter: str | None, source: str) -> Iterator[Section]:
    """The derivation, and of a single operand's gradient the proof too."""
    yield from explain(d, letter)
    if letter is None:
        return
    from gradproof.cli.certificates import kept
    from gradproof.codegen.certify import known_record, renewed
    from gradproof.codegen.generate import generated_folder
    from gradproof.codegen.program import build_program
    from gradproof.derive.claims.named import NAMED
    from gradproof.derive.prove.story import proofs

    program = build_program(d)
    try:
        known = (
            kept(source, d.name) if is_file(source) else known_record(generated_folder(), d.name)
        )
        record = renewed(d, program, known).record
        text = program.files[program.entry["file"]]
        yield from proofs(record, program.entry, text, NAMED, letter)
    except Refused as error:
        raise GradproofError(f"not proved: {error}") from None


def _folder(text: str) -> Path:
    """A folder by its name. An empty one, of a variable that is not set, is not the current one."""
    if not text.strip():
        raise typer.BadParameter("the name of the folder is empty")
    return Path(text)


def generate(
    source: Annotated[
        str | None,
        typer.Argument(help="A file with operators, my_op.py; without it all shipped operators."),
    ] = None,
    check: Annotated[
        bool, typer.Option("--check", help="Write nothing; show what differs and exit with 1.")
    ] = False,
    out: Annotated[
        Path | None,
        typer.Option(
            parser=_folder,
            metavar="DIR",
            help="The folder to write; default, without a file: the package's own.",
        ),
    ] = None,
) -> None:
    """Derive operators and write their kernels, the manifest and the certificates.

    All or nothing is written. In --out, operators of other files stay, and nothing is overwritten
    that was not generated.
    """
    from gradproof.codegen.folder import replace_all
    from gradproof.codegen.generate import differences, generated_folder

    folder = out or generated_folder()
    place = folder.absolute()  # the user's file may go to another folder
    try:
        files, gone = _rendered(source, place if out else None)
        if check:
            diff = differences(place, files, gone)
            agrees = f"{folder} agrees with the derivations: {len(files)} files"
            typer.echo(diff or agrees, nl=not diff)
            raise typer.Exit(1 if diff else 0)
        changed = replace_all(place, files, gone)
    except (Refused, DefinitionError) as error:
        raise GradproofError(f"nothing was written: {error}") from None
    except OSError as error:
        raise GradproofError(
            f"cannot write {error.filename or folder}: {error.strerror}; give --out a folder of "
            "your own, or install the package from a checkout with pip install -e"
        ) from None
    for name in changed:
        typer.echo(f"{'wrote' if name in files else 'removed'} {folder / name}")
    if not changed:
        typer.echo(f"{folder} is up to date: {len(files)} files")


def _rendered(source: str | None, out: Path | None) -> tuple[dict[str, str], list[str]]:
    """File name -> text, and the generated files that are to be removed."""
    from gradproof.cli.certificates import kept
    from gradproof.codegen.certify import known_record
    from gradproof.codegen.folder import entries_in
    from gradproof.codegen.generate import generated_folder, render_all, render_into, strangers

    if source is None:
        others = sorted(set(entries_in(out)) - set(operators())) if out else []
        if others:
            raise Refused(f"{out} has operators of your own: {', '.join(others)}; choose another")
        files = render_all()
        return files, strangers(out or generated_folder(), files)
    if out is None:
        raise GradproofError(f"generate {source} needs --out, the folder to write")
    definitions = load(source)

    def known(name: str) -> dict[str, Any] | None:
        if name not in definitions:  # what all operators share
            return known_record(generated_folder(), name)
        return known_record(out, name) or kept(source, name)

    return render_into(out, definitions.values(), known)


# -- for a terminal -----------------------------------------------------------------------------
def text_lines(section: Section) -> Iterator[str]:
    """A section for a terminal, at most 96 columns wide where a formula can be broken."""
    title = _words(section.title)
    yield title
    yield "=" * len(title)
    for passage in section.passages:
        wrapped = textwrap.wrap(_keep_together(_words(passage.words)), WIDTH)
        yield from (line.replace(NO_BREAK, " ") for line in wrapped)
        for f in passage.formulas:
            yield from _formula(f)
        for item in passage.items:
            yield f"    {_words(item)}"
        yield ""


def _words(words: Words) -> str:
    return "".join(text(w) if isinstance(w, sp.Basic) else w for w in words)


def _formula(f: Formula) -> list[str]:
    """A formula, indented and broken between its terms and factors."""
    lines = [" " * 4]
    for piece in re.split(r"( |(?<=\]\*))", _keep_together(text(f))):
        too_long = len(lines[-1]) + len(piece.rstrip()) > WIDTH
        if too_long and lines[-1].strip():
            lines.append(" " * 8)
        lines[-1] += piece if lines[-1].strip() else piece.lstrip()
    return [line.rstrip().replace(NO_BREAK, " ") for line in lines]


def _keep_together(shown: str) -> str:
    """Spaces inside brackets do not break a line: an element and a guard stay whole."""
    out, depth = [], 0
    for character in shown:
        depth += (character in "[⌊{") - (character in "]⌋}")
        out.append(NO_BREAK if character == " " and depth > 0 else character)
    return "".join(out)


# -- for a paper --------------------------------------------------------------------------------
def latex_lines(section: Section) -> Iterator[str]:
    """A section as LaTeX that needs amsmath: a paragraph and an align* for each passage."""
    yield rf"\subsection*{{{_latex_words(section.title)}}}"
    for passage in section.passages:
        yield _latex_words(passage.words)
        if passage.formulas:
            yield r"\begin{align*}"
            yield " \\\\\n".join(f"  {_aligned(f)}" for f in passage.formulas)
            yield r"\end{align*}"
        if passage.items:
            yield r"\begin{itemize}"
            yield from (rf"  \item {_latex_words(item)}" for item in passage.items)
            yield r"\end{itemize}"
        yield ""


def _aligned(f: Formula) -> str:
    """With an alignment mark at the first equals sign of an equation."""
    return latex(f).replace(" = ", " &= ", 1) if not isinstance(f, sp.Basic) else f"& {latex(f)}"


def _latex_words(words: Words) -> str:
    return "".join(f"${latex(w)}$" if isinstance(w, sp.Basic) else _escape(w) for w in words)


def _escape(words: str) -> str:
    escaped = re.sub(r"([_%&#$])", r"\\\1", words)
    return escaped.replace("Σ", r"$\sum$").replace("^", r"\textasciicircum{}")
