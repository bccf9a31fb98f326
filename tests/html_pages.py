"""What tests of the site read from its pages: their links, identifiers, tags that do not fit."""

from __future__ import annotations

import re
from functools import cache
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote

VOID = {"meta", "link", "input", "br", "hr", "img"}


class Balanced(HTMLParser):
    """Fails on a tag that is closed in the wrong place; collects links and identifiers."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.links: list[str] = []
        self.identifiers: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        self.links += [v for k, v in attrs if k in ("href", "src") and v]
        self.identifiers += [v for v in [given.get("id")] if v]
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in VOID:  # of SVG
            self.handle_endtag(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def parsed(path: Path) -> Balanced:
    found = Balanced()
    found.feed(path.read_text("utf-8"))
    assert found.open == [], path
    return found


def faults(folder: Path) -> list[str]:
    """What is wrong with the links and identifiers of a site."""

    @cache
    def page(path: Path) -> Balanced:
        return parsed(path)

    wrong = []
    for path in sorted(folder.rglob("*.html")):
        name = path.relative_to(folder).as_posix()
        found = page(path)
        if len(found.identifiers) != len(set(found.identifiers)):
            wrong.append(f"{name}: an identifier stands twice")
        for link in found.links:
            if link == "data:," or re.match(r"https://", link):
                continue
            target, _, place = unquote(link).partition("#")
            other = (path.parent / target).resolve() if target else path.resolve()
            if not other.is_file() or folder.resolve() not in other.parents:
                wrong.append(f"{name}: nothing is at {link}")
            elif place and place not in page(other).identifiers:
                wrong.append(f"{name}: no place {link}")
    return wrong
