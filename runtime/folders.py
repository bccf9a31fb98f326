"""Folders for runs: new ones, and one process at a time in each."""

from __future__ import annotations

import contextlib
import errno
import itertools
import os
import time
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


@contextmanager
def in_turn(folder: Path, seconds: float = 5.0) -> Iterator[None]:
    """One process or thread after another in the block, each with a `folder` that is there. Where
    the system has no such locks, or one holds it longer than `seconds`, as a process that was
    stopped may, the block is entered all the same.

    >>> with in_turn(Path(".")), in_turn(Path("."), seconds=0.1):
    ...     print("both")
    both
    """
    try:
        import fcntl
    except ImportError:
        yield
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except OSError as error:
                if error.errno not in (errno.EWOULDBLOCK, errno.EACCES):
                    break
                time.sleep(0.005)
        yield
    finally:
        os.close(handle)


def check_free(path: Path, label: str = "run folder") -> None:
    """Raise RunError unless `path` is an empty folder, or there is nothing."""
    try:
        if path.is_dir():
            if any(path.iterdir()):
                raise RunError(f"{label} {path}: is not empty; nothing was changed in it")
        elif path.exists():
            raise RunError(f"{label} {path}: is a file")
    except OSError as error:
        raise RunError(f"{label} {path}: cannot be read: {error}") from error


def new_folder(parent: Path, name: str, out: Path | None = None) -> Path:
    """The folder `out`, made if it is not there; without it a new one, `parent/name-1` or with the
    first higher number at which there is nothing. Two processes never get the same new one.

    Raises:
        RunError: it cannot be made.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     [new_folder(Path(folder, "runs"), "digits-demo").name for _ in range(2)]
    ['digits-demo-1', 'digits-demo-2']
    """
    paths = [out] if out else (parent / f"{name}-{number}" for number in itertools.count(1))
    for path in paths:
        try:
            path.mkdir(parents=True, exist_ok=path == out)
        except FileExistsError as error:
            if path == out:
                raise RunError(f"run folder {path}: is a file") from error
        except OSError as error:
            raise RunError(f"run folder {path}: cannot be written: {error}") from error
        else:
            return path
    raise AssertionError("numbers never end")
