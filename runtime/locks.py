"""A folder that one process at a time writes in."""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from gradproof.runtime.errors import RunError


@contextmanager
def locked(folder: Path, label: str = "run folder") -> Iterator[None]:
    """Hold `folder`, which is there, until the end of the block. The system lets go of it when
    the process ends, however it ends. Where it has no such locks (Windows, some network drives)
    nothing is held.

    Raises:
        RunError: another process holds it, or it cannot be opened.

    >>> with locked(Path(".")), locked(Path("."), "here"):
    ...     pass
    Traceback (most recent call last):
    gradproof.runtime.errors.RunError: here .: in use by another process; nothing was changed in it
    """
    try:
        import fcntl
    except ImportError:
        yield
        return
    try:
        handle = os.open(folder, os.O_RDONLY)
    except OSError as error:
        raise RunError(f"{label} {folder}: cannot be opened: {error}") from error
    try:
        with contextlib.suppress(OSError):  # what no file system here can do
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as error:
                if error.errno in (errno.EWOULDBLOCK, errno.EACCES):
                    raise RunError(
                        f"{label} {folder}: in use by another process; nothing was changed in it"
                    ) from error
                raise
        yield
    finally:
        os.close(handle)
