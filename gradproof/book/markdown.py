"""Markdown as HTML: headings with anchors, code in colours, links into the site."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise

from markdown_it import MarkdownIt
from markdown_it.renderer import RendererHTML
from markdown_it.token import Token

from gradproof.book.highlight import guessed, highlighted
from gradproof.book.html import display
from gradproof.book.leaf import Heading

Resolve = Callable[[str], str | None]


@dataclass(frozen=True)
class Document:
    """A page's title, its HTML without that title, and its headings."""

    title: str
    html: str
    headings: tuple[Heading, ...]


class _Renderer(RendererHTML):
    """Code and tables that are wider than a phone scroll, also with the keyboard."""

    def fence(self, tokens: Sequence[Token], idx: int, *_: object) -> str:
        """A block with the name of its language; `math` is typeset, as on GitHub."""
        token = tokens[idx]
        if token.info.strip() == "math":
            return display(token.content.strip())
        return block(token.content, token.info.strip())

    def code_block(self, tokens: Sequence[Token], idx: int, *_: object) -> str:
        """An indented block."""
        return block(tokens[idx].content, guessed(tokens[idx].content))

    def table_open(self, *_: object) -> str:
        """A table."""
        return '<div class="scroll" tabindex="0"><table>'

    def table_close(self, *_: object) -> str:
        """Its end."""
        return "</table></div>\n"


def document(text: str, resolve: Resolve = lambda link: link) -> Document:
    r"""A page. resolve: a link as it is written -> as it is in the site; None takes it away.

    >>> page = document("# Title\n\nSee [here](a.md).", lambda link: None)
    >>> page.title, page.html
    ('Title', '<p>See here.</p>\n')
    """
    reader = MarkdownIt("commonmark", {"html": False}, renderer_cls=_Renderer).enable("table")
    tokens = reader.parse(re.sub(r"<!--.*?-->\n?", "", text, flags=re.S))
    headings = _headings(tokens)
    for token in tokens:
        if token.children:
            token.children = _linked(token.children, resolve)
    title = headings[0].text if headings and headings[0].level == 1 else ""
    body = tokens[3:] if title else tokens  # without <h1>, its text and </h1>
    return Document(title, reader.renderer.render(body, reader.options, {}), tuple(headings))


def block(text: str, language: str) -> str:
    """Code in colours. A text that ends with an empty line, as sessions do, is shown without."""
    shown = highlighted(text.rstrip("\n") + "\n", language)
    return f'<pre tabindex="0"><code>{shown}</code></pre>\n'


def plain(token: Token) -> str:
    """The text of a line without its markup."""
    return "".join(t.content for t in token.children or () if t.type in ("text", "code_inline"))


def slug(text: str) -> str:
    """The anchor of a heading, as GitHub makes it.

    >>> slug("What is proved, and what is tested")
    'what-is-proved-and-what-is-tested'
    """
    return re.sub(r"[^\w\- ]", "", text.lower()).replace(" ", "-")


def _headings(tokens: list[Token]) -> list[Heading]:
    """The headings, each with an anchor of its own, which is noted in its token."""
    found: list[Heading] = []
    for token, content in pairwise(tokens):
        if token.type == "heading_open":
            text = plain(content)
            same = sum(slug(h.text) == slug(text) for h in found)
            anchor = slug(text) + (f"-{same}" if same else "")
            token.attrSet("id", anchor)
            found.append(Heading(int(token.tag[1:]), text, anchor))
    return found


def _linked(children: list[Token], resolve: Resolve) -> list[Token]:
    """A line with its links as they are in the site; a link that leads nowhere is its text."""
    kept: list[Token] = []
    removed: list[bool] = []  # for each link that is open
    for token in children:
        name = {"link_open": "href", "image": "src"}.get(token.type)
        where = resolve(str(token.attrGet(name))) if name else None
        if token.type == "link_open":
            removed.append(where is None)
        skip = token.type in ("link_open", "link_close") and removed[-1]
        if token.type == "link_close":
            removed.pop()
        if token.type == "image" and where is None:
            raise ValueError(f"no picture at {token.attrGet('src')}")
        if name and where is not None:
            token.attrSet(name, where)
        if not skip:
            kept.append(token)
    return kept
