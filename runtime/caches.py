"""Where drivers and libraries keep what they compile, and what is done where they cannot.

Without a folder that can be written PoCL lists no device, and with a full one its compiler ends the
process. So before the first use of OpenCL the user's cache folder is looked at; where it is of no
use, one in the system's temporary folder takes its place for this process, which says so once.
"""

from __future__ import annotations

import atexit
import functools
import logging
import os
import shutil
import tempfile
from pathlib import Path

log = logging.getLogger(__name__)

BASE_VARIABLE, POCL_VARIABLE = "XDG_CACHE_HOME", "POCL_CACHE_DIR"
ROOM = 32 << 20  # bytes that the kernels of a network and a compiler's own files take
_said: set[str] = set()


def warn_once(key: str, message: str, *values: object) -> None:
    """A warning that this process gives once for each key."""
    if key not in _said:
        _said.add(key)
        log.warning(message, *values)


def trouble(folder: Path) -> str:
    """Why nothing can be kept in a folder, which need not be there yet; "" where it can.

    >>> trouble(Path(__file__))[-9:]
    'is a file'
    """
    there = next((p for p in (folder, *folder.parents) if p.exists()), Path("/"))
    if not there.is_dir():
        return f"{there} is a file"
    if not os.access(there, os.W_OK | os.X_OK):
        return f"{there} cannot be written"
    free = shutil.disk_usage(there).free
    return f"{free >> 20} MiB are left on its disk" if free < ROOM else ""


def prepare_caches() -> None:
    """Let the cache folders of this process be of use; changes the environment where they are not,
    for drivers, libraries and child processes read it there."""
    given = os.environ.get(BASE_VARIABLE)
    _replace(BASE_VARIABLE, Path(given) if given else Path.home() / ".cache")
    if pocl := os.environ.get(POCL_VARIABLE):
        _replace(POCL_VARIABLE, Path(pocl))


def _replace(variable: str, folder: Path) -> None:
    try:
        why = trouble(folder)
    except OSError as error:
        why = str(error)
    if not why:
        return
    other = _temporary()
    if other is None:
        return
    os.environ[variable] = str(other / variable.lower())
    warn_once(
        str(folder),
        "cache folder %s: %s; kernels are kept in %s until this program ends, and built anew the"
        " next time. To keep them, set %s to a folder that can be written",
        folder,
        why,
        other,
        variable,
    )


@functools.cache
def _temporary() -> Path | None:
    """A new folder that is removed when this process ends; None where there is no room either."""
    for parent in (Path(tempfile.gettempdir()), Path("/dev/shm")):
        if parent.is_dir() and not trouble(parent):
            folder = Path(tempfile.mkdtemp(prefix="gradproof-", dir=parent))
            atexit.register(_remove, folder, os.getpid())
            return folder
    return None


def _remove(folder: Path, owner: int) -> None:
    if os.getpid() == owner:  # not a fork of it
        shutil.rmtree(folder, ignore_errors=True)
