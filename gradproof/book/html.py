"""Words, formulas and kernels as HTML. Formulas are LaTeX that the page's KaTeX typesets."""

from __future__ import annotations

import re
from collections.abc import Iterable
from html import escape

import sympy as sp
from jinja2 import ChoiceLoader, Environment, PackageLoader, StrictUndefined
from pygments.lexers.c_cpp import CLexer
from pygments.token import Token, _TokenType

from gradproof.book.highlight import spans, style
from gradproof.book.palette import Palette
from gradproof.derive.explain import Formula, Words
from gradproof.derive.show import aligned, latex

QUALIFIERS = {"__kernel", "__global", "__local", "__constant", "restrict", "REAL"}  # not C's own


def templates(*packages: str) -> Environment:
    """The page templates of some packages, the first that has one; what is put in is escaped."""
    return Environment(
        loader=ChoiceLoader([PackageLoader(name) for name in packages]),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def words(parts: Words, palette: Palette) -> str:
    """Words with formulas among them.

    >>> words(("a < b: ", sp.Symbol("x", integer=True)), Palette({}))
    'a &lt; b: <span class="math">x</span>'
    """
    return "".join(
        inline(latex(w, palette.latex)) if isinstance(w, sp.Basic) else escape(w) for w in parts
    )


def marked(text: str) -> str:
    """Text with code in backticks, as HTML."""
    return re.sub(r"(`+)([^`]+)\1", r"<code>\2</code>", escape(text))


def inline(tex: str) -> str:
    """A formula within a line."""
    return f'<span class="math">{escape(tex)}</span>'


def display(tex: str) -> str:
    """A formula on lines of its own; the keyboard scrolls one that is wider than the page."""
    return f'<div class="math display" tabindex="0">{escape(tex)}</div>'


def formulas(given: Iterable[Formula], palette: Palette) -> str:
    """Equations below each other, aligned at their first equals sign."""
    return display(aligned(given, palette.latex))


def code(text: str, palette: Palette) -> str:
    """A kernel's text with its syntax in colours, and each index in its own."""

    def css(kind: _TokenType, value: str) -> str:
        index = palette.css(value) if kind in Token.Name else None
        return index or style(Token.Keyword if value in QUALIFIERS else kind)

    return spans(CLexer, text, css)
