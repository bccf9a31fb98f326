"""The book as a folder of files that a browser opens from disk; nothing comes from elsewhere."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterable
from concurrent.futures import ProcessPoolExecutor
from importlib import resources
from pathlib import Path

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from gradproof import __version__
from gradproof.book import html
from gradproof.book.content import Known, page
from gradproof.book.formal import claim
from gradproof.book.palette import Palette
from gradproof.derive.language import Definition
from gradproof.runtime.errors import GradproofError

MARK = ".gradproof-book"  # this file says that a folder is a book, and may be written again
Files = dict[str, str]


def build(definitions: Iterable[Definition], known: Known, folder: Path) -> list[Path]:
    """Write the book of some operators into a folder; a book that is there is replaced.

    Returns the files of the pages. Errors: GradproofError for a folder with other files in it;
    Refused where a certificate does not hold.
    """
    claimed(folder)
    todo = list(definitions)
    with ProcessPoolExecutor(min(os.cpu_count() or 1, len(todo))) as pool:
        jobs = [pool.submit(render, d, known) for d in todo]
        files: Files = {}
        for job in jobs:
            files |= job.result()
    files["index.html"] = (
        _environment(Palette({}))
        .get_template("index.html.j2")
        .render(operators=todo, root="", version=__version__)
    )
    _write(folder, files)
    return [folder / name for name in files if name.endswith(".html")]


def claimed(folder: Path) -> None:
    """Errors: GradproofError where the folder has files and is no book."""
    if folder.exists() and not folder.is_dir():
        raise GradproofError(f"{folder} is a file; give --out a folder")
    if folder.is_dir() and any(folder.iterdir()) and not (folder / MARK).is_file():
        raise GradproofError(
            f"{folder} has files that are not of a book; give --out another folder"
        )


def render(d: Definition, known: Known) -> Files:
    """The files about an operator: name in the book -> text."""
    told = page(d, known)
    template = _environment(told.palette).get_template("operator.html.j2")
    shown = template.render(page=told, root="../", version=__version__)
    return {
        f"operators/{d.name}.html": shown,
        f"certificates/{d.name}.json": told.certificates,
    }


def _environment(palette: Palette) -> Environment:
    environment = Environment(
        loader=PackageLoader("gradproof.book"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    filters: dict[str, Callable[..., str]] = {
        "words": lambda words: html.words(words, palette),
        "formulas": lambda given: html.formulas(given, palette),
        "code": lambda text: html.code(text, palette),
        "claim": lambda formal: html.display(claim(formal, palette)),
    }
    for name, work in filters.items():
        environment.filters[name] = _safe(work)
    return environment


def _safe(work: Callable[..., str]) -> Callable[..., Markup]:
    """What these filters return is HTML, in which they have escaped what is text."""
    return lambda value: Markup(work(value))


def _write(folder: Path, files: Files) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / MARK).write_text(f"gradproof {__version__}\n", "utf-8")
    for old in ("operators", "certificates", "static"):
        shutil.rmtree(folder / old, ignore_errors=True)
    with resources.as_file(resources.files("gradproof.book") / "static") as static:
        shutil.copytree(static, folder / "static")
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text, "utf-8")
