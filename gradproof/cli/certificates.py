"""The certificates of users' operators, kept in the user's cache folder between two commands.

What is found here is checked again before it counts; the folder can be deleted at any time.
"""

from __future__ import annotations

import hashlib
import json
import logging
from pathlib import Path

from gradproof.codegen.certify import Record, record_text
from gradproof.runtime.build import cache_folder, sealed, unsealed, write_atomically

log = logging.getLogger(__name__)


def certificates_folder(source: str) -> Path:
    """Where the certificates of a user's file are kept, by the place of that file.

    >>> certificates_folder("my_op.py") == certificates_folder("./my_op.py:scale")
    True
    """
    path = Path(source.partition(".py:")[0]).with_suffix(".py").resolve()
    place = hashlib.sha256(str(path).encode()).hexdigest()[:16]
    return cache_folder().parent / "certificates" / place


def kept(source: str, name: str) -> Record | None:
    """The certificates that an earlier command found for an operator; None where there are none."""
    path = _file(source, name)
    try:
        return dict(json.loads(unsealed(path.read_bytes())))
    except FileNotFoundError:
        return None
    except (OSError, ValueError, TypeError, RecursionError) as error:
        log.warning("%s cannot be used (%s); searching anew", path, error)
        return None


def keep(source: str, name: str, record: Record) -> None:
    """Keep the certificates of an operator; where that fails, the next command searches anew."""
    try:
        write_atomically(_file(source, name), sealed(record_text(record).encode()))
    except OSError as error:
        log.warning("the certificates of %s cannot be kept (%s)", name, error)


def _file(source: str, name: str) -> Path:
    return certificates_folder(source) / f"{name}.record"
