"""Limits of one process that reads hostile files: memory, time, code and paths."""

from __future__ import annotations

import ast
import contextlib
import os
import resource
import signal
import sys
import sysconfig
from collections.abc import Iterator
from pathlib import Path
from types import CodeType, TracebackType
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
PYTHON = {sysconfig.get_path(k) for k in ("stdlib", "platstdlib", "purelib", "platlib")}
TRUSTED = tuple(sorted({*PYTHON, str(ROOT), str(ROOT.resolve()), sys.prefix, sys.base_prefix}))
WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
# audit events (https://docs.python.org/3/library/audit_events.html) that no reader has a use for
REFUSED = (
    "pickle.find_class", "os.system", "os.exec", "os.fork", "os.forkpty",
    "os.posix_spawn", "os.spawn", "subprocess.Popen", "pty.spawn", "ctypes.dlopen", "socket.",
    "urllib.Request", "webbrowser.open", "code.__new__", "sys.addaudithook", "signal.",
)  # fmt: skip
GENERATORS = tuple(
    os.path.join(*p) for p in (("sympy", "polys", "monomials.py"), ("msgspec", "_utils.py"),
                               (sysconfig.get_path("stdlib"), "typing.py"))
)  # fmt: skip
CHANGES = ("os.remove", "os.rename", "os.rmdir", "os.mkdir", "os.link", "os.symlink", "os.chmod",
           "os.chown", "os.truncate", "os.utime", "shutil.")  # fmt: skip


class Forbidden(BaseException):
    """A reader ran code or left its folder. No `except Exception` of a reader hides it."""


class TooSlow(BaseException):
    """A case took more of the processor's time than it may."""


class Guard:
    """Watches what a reader does. Audit hooks stay for the life of a process, so it has one."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.on = f"{folder.resolve()}{os.sep}", False
        self.seen: list[str] = []
        self.refuse = True
        sys.addaudithook(self._hook)
        signal.signal(signal.SIGPROF, self._late)

    @contextlib.contextmanager
    def watching(self, seconds: float, refuse: bool = True) -> Iterator[None]:
        """Refuse code and paths, and end what takes longer. refuse: False while a reader may still
        import what it needs: modules run code."""
        self.seen, self.refuse = [], refuse
        signal.setitimer(signal.ITIMER_PROF, seconds)
        self.on = True
        try:
            yield
        finally:
            self.on = False
            signal.setitimer(signal.ITIMER_PROF, 0)

    def _late(self, *_: object) -> None:
        if self.on:
            raise TooSlow("the time of a case is over")

    def _hook(self, event: str, arguments: tuple[Any, ...]) -> None:
        if not (self.on and self.refuse):
            return
        if why := self._refusal(event, arguments):
            self.seen.append(why)
            raise Forbidden(why)

    def _refusal(self, event: str, arguments: tuple[Any, ...]) -> str:
        if event == "open":
            path, mode, flags = arguments
            writes = bool(set(mode or "") & set("wax+")) or bool((flags or 0) & WRITES)
            return "" if self._allowed(path, writes) else f"path: {_kind(writes)} {path!r}"
        if event == "exec":
            code = arguments[0]
            file = code.co_filename if isinstance(code, CodeType) else "<string>"
            trusted = file.startswith(TRUSTED) or file.startswith("<frozen ") or _generates()
            return "" if trusted else f"code: {file}"
        if event.startswith(CHANGES):
            paths = [p for p in arguments if isinstance(p, str | bytes | os.PathLike)]
            outside = [p for p in paths if not self._allowed(p, True)]
            return f"path: {event} {outside[0]!r}" if outside else ""
        if event in REFUSED or event.startswith(tuple(e for e in REFUSED if e.endswith("."))):
            return f"code: {event} {arguments!r:.80}"
        return ""

    def _allowed(self, path: object, writes: bool) -> bool:
        """Whether a path lies in the case's folder; Python's own files may be read too."""
        if isinstance(path, int):  # a file that is open already
            return True
        real = os.path.realpath(os.fsdecode(path))  # type: ignore[arg-type]
        return f"{real}{os.sep}".startswith(self.folder) or (
            not writes and real.startswith((*TRUSTED, "/proc/self", "/dev/null"))
        )


def _generates() -> bool:
    """Whether a library runs a text of its own: SymPy writes products of monomials so, by the
    number of their variables alone; msgspec and typing evaluate the annotations of a class."""
    frames = (sys._getframe(k).f_code.co_filename for k in range(2, 6))
    return any(file.endswith(GENERATORS) for file in frames)


def limit_memory(more: int) -> None:
    """Let this process have `more` bytes of addresses beyond those that it has now."""
    pages = int(Path("/proc/self/statm").read_text("ascii").split()[0])
    limit = pages * resource.getpagesize() + more
    resource.setrlimit(resource.RLIMIT_AS, (limit, resource.RLIM_INFINITY))


def ran_out_of_memory(error: BaseException | None) -> bool:
    """Whether a MemoryError is behind an error, also one that a reader has dressed up. Python's
    parser raises one for deep nesting, which takes no memory."""
    seen: set[int] = set()
    pending = [error]
    while pending:
        e = pending.pop()
        if e is None or id(e) in seen:
            continue
        seen.add(id(e))
        if isinstance(e, MemoryError) and _last_file(e.__traceback__) != ast.__file__:
            return True
        pending += [e.__cause__, e.__context__]
    return False


def _last_file(traceback: TracebackType | None) -> str:
    file = ""
    while traceback is not None:
        file, traceback = traceback.tb_frame.f_code.co_filename, traceback.tb_next
    return file


def _kind(writes: bool) -> str:
    return "writes" if writes else "reads"
