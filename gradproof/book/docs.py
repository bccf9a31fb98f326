"""The documentation's pages: those in Markdown, the reference of the package, its commands."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Callable, Iterable, Iterator
from html import escape

from jinja2 import Environment
from markupsafe import Markup

from gradproof.book.commands import commands
from gradproof.book.html import marked
from gradproof.book.leaf import Heading, Leaf
from gradproof.book.markdown import block, document
from gradproof.book.pages import HOME, PAGES, TITLES, address
from gradproof.book.reference import Entry, Module, Passage, modules
from gradproof.book.sources import place, shown

COMMAND_PAGE = "reference/command-line.html"


class Linked:
    """Links from pages to files of the project; those that are used are noted."""

    def __init__(self) -> None:
        self.used: set[str] = set()

    def link(self, source: str, where: str, anchor: str = "") -> str | None:
        """The address of a project's file, from the page at `where`; None if it is not here."""
        found = place(source)
        if found is None:
            return None
        self.used.add(source)
        return posixpath.relpath(found, posixpath.dirname(where)) + anchor

    def of_page(self, source: str, where: str) -> Callable[[str], str | None]:
        """How a page written in the file `source` resolves its links."""

        def resolve(written: str) -> str | None:
            target, hash_, anchor = written.partition("#")
            if re.match(r"[a-z]+:", written) or not target:
                return written
            path = posixpath.normpath(posixpath.join(posixpath.dirname(source), target))
            return self.link(path, where, hash_ + anchor)

        return resolve


def documentation(
    environment: Environment, operators: Iterable[str]
) -> tuple[list[Leaf], list[str]]:
    """All pages, and the files that are copied beside them.

    operators: those with a page in this site, to which functions of the same name link.
    """
    linked = Linked()
    leaves = [*reference(environment, linked, set(operators)), command_line(environment)]
    leaves += written(linked)
    pages, copied = shown(linked.used)
    return [*leaves, *pages], copied


def written(linked: Linked) -> Iterator[Leaf]:
    """The pages in Markdown that are here: an installed package has them all."""
    for files in PAGES.values():
        for source in files:
            where = address(source)
            assert where is not None
            page = document((HOME / source).read_text("utf-8"), linked.of_page(source, where))
            title = TITLES.get(source, page.title)
            yield Leaf(where, title, page.html, page.headings[1:])


def reference(environment: Environment, linked: Linked, operators: set[str]) -> Iterator[Leaf]:
    """A page for each public module."""
    template = environment.get_template("module.html.j2")
    for module in modules():
        where = f"reference/{module.name.replace('.', '-')}.html"
        main = template.render(
            module=module,
            source=lambda e, where=where: _source(linked, e, where),
            operators=operators,
            paragraphs=lambda parts: Markup("".join(map(paragraph, parts))),
        )
        yield Leaf(where, module.name, main, tuple(_headings(module)), note=_first(module))


def command_line(environment: Environment) -> Leaf:
    """The page of the command line."""
    found = list(commands())
    main = environment.get_template("commands.html.j2").render(commands=found)
    headings = tuple(Heading(2, f"gradproof {c.name}", c.name) for c in found)
    return Leaf(COMMAND_PAGE, "The command line", main, headings)


def paragraph(p: Passage) -> str:
    """A part of a docstring as HTML."""
    if p.code:
        return block(p.text, "pycon")
    label = f"<strong>{escape(p.label)}</strong>: " if p.label else ""
    if re.search(r"^- ", p.text, re.M):
        first, *items = re.split(r"(?:^|\n)- ", p.text)
        inner = "".join(f"<li>{marked(item)}</li>" for item in items)
        return (f"<p>{label}{marked(first)}</p>" if first or label else "") + f"<ul>{inner}</ul>\n"
    return f"<p>{label}{marked(p.text)}</p>\n"


def _source(linked: Linked, e: Entry, where: str) -> str | None:
    return linked.link(e.source[0], where, f"#L{e.source[1]}") if e.source else None


def _headings(module: Module) -> Iterator[Heading]:
    for e in module.entries:
        yield Heading(2, e.name.removeprefix(f"{module.name}."), e.anchor)
        for m in e.members:
            yield Heading(4, m.name, m.anchor)


def _first(module: Module) -> str:
    return module.passages[0].text.partition(". ")[0].removesuffix(".") if module.passages else ""
