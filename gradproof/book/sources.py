"""Files of the project that pages link to, as pages: code in colours, and what lies in a folder."""

from __future__ import annotations

import ast
from collections.abc import Iterable
from pathlib import Path

from gradproof.book.highlight import highlighted
from gradproof.book.html import marked
from gradproof.book.leaf import Leaf
from gradproof.book.pages import HOME, address

LANGUAGES = {".py": "python", ".c": "c", ".cl": "c", ".toml": "toml"}
FOLDER = "files"


def place(source: str) -> str | None:
    """Where a file or folder of the project stands in the site; None where it is not here, as in an
    installed package, which has neither benchmarks nor tests.

    source: from the project's root.

    >>> place("derive/ops"), place("derive/parse.py"), place("nowhere.py")
    ('files/derive/ops/index.html', 'files/derive/parse.py.html', None)
    """
    path = HOME / source
    if address(source) and path.is_file():
        return address(source)
    if path.is_dir():
        return f"{FOLDER}/{source}/index.html"
    if not path.is_file():
        return None
    return f"{FOLDER}/{source}" + (".html" if path.suffix in LANGUAGES else "")


def shown(sources: Iterable[str]) -> tuple[list[Leaf], list[str]]:
    """The pages about files and folders, and the files that are copied as they are."""
    leaves, copied = [], []
    for source in sorted(set(sources)):
        where = place(source)
        if where is None or address(source):
            continue
        if where.endswith("/index.html"):
            leaves.append(Leaf(where, f"{source}/", _folder(HOME / source)))
        elif where.endswith(".html"):
            leaves.append(Leaf(where, source, _code(HOME / source)))
        else:
            copied.append(source)
    return leaves, copied


def _code(path: Path) -> str:
    """A file; `#L7` is its seventh line."""
    lines = highlighted(path.read_text("utf-8"), LANGUAGES[path.suffix]).split("\n")
    numbered = "\n".join(f'<span id="L{k}">{line}</span>' for k, line in enumerate(lines[:-1], 1))
    return f'<pre class="file" tabindex="0"><code>{numbered}</code></pre>\n'


def _folder(path: Path) -> str:
    """What lies in a folder: of each Python file what its first line says."""
    rows = []
    for entry in sorted(path.iterdir()):
        if not entry.name.startswith((".", "_")) or entry.name == "__init__.py":
            name = f"{entry.name}/" if entry.is_dir() else entry.name
            rows.append(f"<tr><td><code>{name}</code></td><td>{marked(_says(entry))}</td></tr>\n")
    return f'<div class="scroll" tabindex="0"><table>\n{"".join(rows)}</table></div>\n'


def _says(entry: Path) -> str:
    source = entry / "__init__.py" if entry.is_dir() else entry
    if source.suffix != ".py" or not source.is_file():
        return ""
    said = ast.get_docstring(ast.parse(source.read_text("utf-8"))) or ""
    return " ".join(said.partition("\n\n")[0].split())
