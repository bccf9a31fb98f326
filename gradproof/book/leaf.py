"""What a page of the site is before it gets its frame: navigation, search, theme."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Heading:
    """A place on a page. level: 1 is the page itself; anchor: its identifier."""

    level: int
    text: str
    anchor: str


@dataclass(frozen=True)
class Leaf:
    """A page: its address in the site, its title, HTML, headings, and the scripts that it needs.

    words: more to find it by; note: one line under its title where pages are listed.
    """

    where: str
    title: str
    main: str
    headings: tuple[Heading, ...] = ()
    scripts: tuple[str, ...] = ()
    words: str = ""
    note: str = ""

    @property
    def part(self) -> str:
        """The folder of its part of the site; "" for the start page."""
        return self.where.rpartition("/")[0]
