"""The site as a folder of files that a browser opens from disk; nothing comes from elsewhere.

It has the book of operators, made from their definitions, and the documentation.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor
from importlib import resources
from itertools import pairwise
from pathlib import Path

from jinja2 import Environment
from markupsafe import Markup

from gradproof import __version__
from gradproof.book import html, kept
from gradproof.book.content import Known, page
from gradproof.book.docs import documentation
from gradproof.book.formal import claim
from gradproof.book.highlight import highlighted
from gradproof.book.leaf import Heading, Leaf
from gradproof.book.pages import HOME, PARTS, Part
from gradproof.book.palette import Palette
from gradproof.book.sources import FOLDER
from gradproof.book.start import colours, derived
from gradproof.derive.language import Definition
from gradproof.runtime.errors import GradproofError

MARK = ".gradproof-book"  # this file says that a folder is a book, and may be written again
Files = dict[str, str]
Shelf = list[tuple[Part, list[Leaf]]]


def build(definitions: Iterable[Definition], known: Known, folder: Path) -> list[Path]:
    """Write the site, with a page for each operator, into a folder; one that is there is replaced.

    Returns the files of the pages. Errors: GradproofError for a folder with other files in it;
    Refused where a certificate does not hold.
    """
    claimed(folder)
    todo = list(definitions)
    with ProcessPoolExecutor(min(os.cpu_count() or 1, len(todo))) as pool:
        jobs = [pool.submit(render, d, known) for d in todo]
        environment = _environment(Palette({}))
        pages, copied = documentation(environment, [d.name for d in todo])
        made = [job.result() for job in jobs]
    leaves = [*pages, *(_operator_leaf(files) for files in made)]
    files: Files = {}
    for one in made:
        files |= {name: text for name, text in one.items() if name.startswith("certificates/")}
    shelf = [(p, [leaf for leaf in leaves if leaf.part == p.folder]) for p in PARTS]
    leaves += [_overview(environment, part, inside, todo) for part, inside in shelf]
    leaves.append(_start(shelf))
    frame = environment.get_template("site.html.j2")
    neighbours = _neighbours(shelf)
    for leaf in leaves:
        before, after = neighbours.get(leaf.where, (None, None))
        root = "../" * leaf.where.count("/")
        files[leaf.where] = frame.render(
            leaf=leaf, root=root, parts=shelf, before=before, after=after, version=__version__
        )
    files["search.js"] = _index(leaves)
    _write(folder, files, copied)
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
    """What there is about an operator: its name, its page's HTML, the data of that page's picture
    or "", its summary, and its certificates. It is kept for the next time."""
    record = known(d.name)
    key = kept.page_key(d, record)
    files = kept.kept(d.name, key)
    if files is None:
        told = page(d, lambda _: record)
        template = _environment(told.palette).get_template("operator.html.j2")
        files = {
            "name": d.name,
            "main": template.render(page=told),
            "picture": told.picture or "",
            "summary": told.summary,
            f"certificates/{d.name}.json": told.certificates,
        }
        kept.keep(d.name, key, files)
    return files


def _operator_leaf(files: Files) -> Leaf:
    places = [
        ("The picture", "the-picture"),
        ("The derivation", "derivation"),
        ("What is proved", "ledger"),
        ("The kernels", "kernels"),
    ]
    drawn = bool(files["picture"])
    return Leaf(
        f"operators/{files['name']}.html",
        files["name"],
        files["main"],
        tuple(Heading(2, *place) for place in (places if drawn else places[1:])),
        ("machine.js", "picture.js") if drawn else (),
        note=files["summary"],
    )


def _overview(
    environment: Environment, part: Part, leaves: Sequence[Leaf], operators: list[Definition]
) -> Leaf:
    """The page that lists a part's pages."""
    name = "operators.html.j2" if part.folder == "operators" else "part.html.j2"
    main = environment.get_template(name).render(part=part, leaves=leaves, operators=operators)
    return Leaf(f"{part.folder}/index.html", part.title, main)


def _start(shelf: Shelf) -> Leaf:
    """The start page: what the project does, and where to go."""
    environment = _environment(colours())
    main = environment.get_template("start.html.j2").render(derived=derived(), parts=shelf)
    return Leaf("index.html", "gradproof", main)


def _neighbours(shelf: Shelf) -> dict[str, tuple[Leaf | None, Leaf | None]]:
    """The pages before and after each page, in its part."""
    out: dict[str, tuple[Leaf | None, Leaf | None]] = {}
    for _, leaves in shelf:
        for before, after in pairwise([None, *leaves, None]):
            if before is not None:
                out[before.where] = (out.get(before.where, (None, None))[0], after)
            if after is not None:
                out[after.where] = (before, None)
    return out


def _index(leaves: list[Leaf]) -> str:
    """What the search box looks through: text, address and part of each page and heading."""
    titles = {part.folder: part.title for part in PARTS}
    rows = []
    for leaf in leaves:
        if leaf.part in titles:
            rows.append([leaf.title, leaf.where, titles[leaf.part]])
            rows += [[h.text, f"{leaf.where}#{h.anchor}", leaf.title] for h in leaf.headings]
    return f"const SEARCH = {json.dumps(rows, ensure_ascii=False, separators=(',', ':'))};\n"


def _environment(palette: Palette) -> Environment:
    environment = html.templates("gradproof.book")
    filters: dict[str, Callable[..., str]] = {
        "words": lambda words: html.words(words, palette),
        "formulas": lambda given: html.formulas(given, palette),
        "code": lambda text: html.code(text, palette),
        "claim": lambda formal: html.display(claim(formal, palette)),
        "marked": html.marked,
        "python": lambda text: highlighted(text, "python"),
    }
    for name, work in filters.items():
        environment.filters[name] = _safe(work)
    return environment


def _safe(work: Callable[..., str]) -> Callable[..., Markup]:
    """What these filters return is HTML, in which they have escaped what is text."""
    return lambda value: Markup(work(value))


def _write(folder: Path, files: Files, copied: Iterable[str]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / MARK).write_text(f"gradproof {__version__}\n", "utf-8")
    for old in (*(part.folder for part in PARTS), "certificates", "static", FOLDER):
        shutil.rmtree(folder / old, ignore_errors=True)
    with resources.as_file(resources.files("gradproof.book") / "static") as static:
        shutil.copytree(static, folder / "static")
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, "utf-8")
    for source in copied:
        path = folder / FOLDER / source
        path.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(HOME / source, path)
