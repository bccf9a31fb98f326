"""Pages that were made before, kept in the user's cache folder.

A page depends on the definition, its recorded certificates, the sources of derive/, codegen/ and
this package, and the versions of their libraries: all of them are in its key. The folder can be
deleted at any time.
"""

from __future__ import annotations

import hashlib
import json
import logging
from functools import cache
from pathlib import Path

from gradproof import __version__
from gradproof.codegen.certify import Record
from gradproof.derive.language import Definition
from gradproof.runtime.build import (
    cache_folder,
    files_hash,
    sealed,
    unsealed,
    warn_unkept,
    write_atomically,
)
from gradproof.runtime.compile import definition_key

log = logging.getLogger(__name__)
Files = dict[str, str]


def pages_folder() -> Path:
    """Folder of the pages, beside that of the program binaries.

    >>> pages_folder().name
    'pages'
    """
    return cache_folder().parent / "pages"


def page_key(d: Definition, record: Record | None) -> str:
    """SHA-256 of everything that decides a page."""
    parts = [__version__, _sources(), definition_key(d), record]
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()


def kept(name: str, key: str) -> Files | None:
    """The files of a page that is kept under this key; None where there are none."""
    path = pages_folder() / f"{name}.json"
    try:
        stored = json.loads(unsealed(path.read_bytes()))
        return dict(stored["files"]) if stored["key"] == key else None
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        log.warning("%s cannot be used (%s); making the page again", path, error)
        return None


def keep(name: str, key: str, files: Files) -> None:
    """Keep the files of a page; where that fails, a warning says so once."""
    content = json.dumps({"key": key, "files": files}).encode()
    try:
        write_atomically(pages_folder() / f"{name}.json", sealed(content))
    except OSError as error:
        warn_unkept(name, error)


@cache
def _sources() -> str:
    """SHA-256 of the files of this package; `definition_key` has those of derive/ and codegen/."""
    folder = Path(__file__).parent
    return files_hash(folder, (p for p in folder.rglob("*") if p.suffix in (".py", ".j2")))
