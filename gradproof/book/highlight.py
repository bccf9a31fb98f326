"""Code in colours: a few classes, for which the style sheet has colours in light and dark."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from html import escape

from pygments.lexer import Lexer
from pygments.lexers.c_cpp import CLexer
from pygments.lexers.configs import TOMLLexer
from pygments.lexers.python import PythonConsoleLexer, PythonLexer
from pygments.lexers.shell import BashLexer
from pygments.token import STANDARD_TYPES, Token, _TokenType

LEXERS: dict[str, type[Lexer]] = {
    "python": PythonLexer,
    "pycon": PythonConsoleLexer,
    "c": CLexer,
    "toml": TOMLLexer,
    "sh": BashLexer,
}
COLOURED = (
    Token.Keyword,
    Token.Comment,
    Token.Literal.String,
    Token.Literal.Number,
    Token.Generic.Prompt,
    Token.Generic.Output,
    Token.Generic.Traceback,
)
COMMANDS = ("gradproof", "make", "python", "python3", "pip", "cc", "#", "GRADPROOF_DEVICE_LIMITS=")


def highlighted(text: str, language: str) -> str:
    """Code as HTML. language: one of `LEXERS`; others are left as they are.

    >>> highlighted("x = 1  # one", "python")
    'x = <span class="m">1</span>  <span class="c"># one</span>'
    """
    if language == "python" and text.lstrip().startswith(">>> "):
        language = "pycon"
    lexer = LEXERS.get(language)
    return escape(text) if lexer is None else spans(lexer, text)


def guessed(text: str) -> str:
    r"""The language of a block without a name: that of a shell where each line is a command.

    >>> guessed("gradproof demo\nmake test"), guessed("E = S(O - 1) + r")
    ('sh', '')
    """
    lines = [line for line in text.splitlines() if line and not line.startswith(" ")]
    commands = all(line.startswith(COMMANDS) for line in lines)
    return "sh" if commands else ""


@cache
def style(kind: _TokenType) -> str:
    """The class of a kind of token; "" for those that have no colour of their own."""
    return next((str(STANDARD_TYPES[k]) for k in COLOURED if kind in k), "")


def spans(
    lexer: type[Lexer],
    text: str,
    css: Callable[[_TokenType, str], str] = lambda kind, _: style(kind),
) -> str:
    """Code as HTML. css: the class of a token, "" for none."""
    parts = []
    for kind, value in lexer(stripnl=False, ensurenl=False).get_tokens(text):
        name = css(kind, value)
        parts.append(f'<span class="{name}">{escape(value)}</span>' if name else escape(value))
    return "".join(parts)
