"""Definitions by where they stand: a user's own file, or the name of a shipped operator."""

from __future__ import annotations

import contextlib
import importlib.util
import re
import sys
import traceback
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

from gradproof.derive.errors import DefinitionError
from gradproof.derive.language import Definition
from gradproof.derive.registry import find
from gradproof.runtime.errors import GradproofError

FILE = re.compile(r"(?P<path>.*\.py)(:(?P<name>\w*))?")
MODULE = "gradproof_definitions"  # what a user's file is called while it is imported


def is_file(where: str) -> bool:
    """Whether `where` names a user's file, and not a shipped operator.

    >>> is_file("my_op.py"), is_file("my_op.py:scale"), is_file("conv2d")
    (True, True, False)
    """
    return FILE.fullmatch(where) is not None


def load(where: str) -> dict[str, Definition]:
    """Name -> definition: all in a file ("my_op.py"), one ("my_op.py:name"), or a shipped operator.

    A file is imported, so its code runs: load only files that you would run. Every `Definition` in
    its namespace counts. Its folder is importable meanwhile, what it prints goes to standard error,
    and no `__pycache__` is left. Errors: GradproofError, with the file and, where the file fails,
    the line.

    >>> sorted(load("linear"))
    ['linear']
    """
    match = FILE.fullmatch(where)
    if match is None:
        return {where: _shipped(where)}
    path = Path(match["path"])
    found = _definitions(path)
    if match["name"] is None:
        return found
    if match["name"] not in found:
        known = ", ".join(found)
        raise GradproofError(f"{path}: there is no operator {match['name']!r}; it has {known}")
    return {match["name"]: found[match["name"]]}


def _shipped(name: str) -> Definition:
    if "/" in name or Path(name).is_file():
        raise GradproofError(f"{name}: a file with definitions ends in .py")
    try:
        return find(name)
    except DefinitionError as error:
        raise GradproofError(f"{error}; a file of your own ends in .py") from None


def _definitions(path: Path) -> dict[str, Definition]:
    found: dict[str, Definition] = {}
    for value in vars(_imported(path)).values():
        if isinstance(value, Definition) and found.setdefault(value.name, value) is not value:
            raise GradproofError(f"{path}: two operators are called {value.name!r}")
    if not found:
        raise GradproofError(
            f"{path}: no operator; write one as  name = gradproof.operator('name', ...)"
        )
    return found


def _imported(path: Path) -> ModuleType:
    if not path.exists():
        raise GradproofError(f"{path}: no such file")
    spec = importlib.util.spec_from_file_location(MODULE, path)
    if spec is None or spec.loader is None or not path.is_file():
        raise GradproofError(f"{path}: not a file that Python can import")
    module = importlib.util.module_from_spec(spec)
    try:
        with _importing(path, module), contextlib.redirect_stdout(sys.stderr):
            spec.loader.exec_module(module)
    except (Exception, SystemExit) as error:
        raise GradproofError(f"{_place(error, path)}: {_words(error)}") from error
    return module


@contextlib.contextmanager
def _importing(path: Path, module: ModuleType) -> Iterator[None]:
    """The file's folder can be imported from; no file is left, and files beside it are forgotten,
    so that another folder may have some of the same names."""
    before, folder = (sys.dont_write_bytecode, list(sys.path)), path.absolute().parent
    known = set(sys.modules)
    sys.dont_write_bytecode = True
    sys.path.insert(0, str(folder))
    sys.modules[MODULE] = module  # dataclasses look their module up there
    try:
        yield
    finally:
        sys.dont_write_bytecode, sys.path[:] = before
        del sys.modules[MODULE]
        for name in set(sys.modules) - known - {MODULE}:
            file = getattr(sys.modules[name], "__file__", None)
            if file is not None and Path(file).parent == folder:
                del sys.modules[name]


def _place(error: BaseException, path: Path) -> str:
    """The file and the line that an error comes from; of a chain of calls the file's last line."""
    if isinstance(error, SyntaxError) and error.filename:
        return f"{_shown(error.filename, path)}, line {error.lineno}"
    frames = traceback.extract_tb(error.__traceback__)
    lines = [f.lineno for f in frames if _shown(f.filename, path) == str(path)]
    return f"{path}, line {lines[-1]}" if lines else str(path)


def _shown(filename: str, path: Path) -> str:
    """The file as the user named it."""
    return str(path) if Path(filename).resolve() == path.resolve() else filename


def _words(error: BaseException) -> str:
    if isinstance(error, DefinitionError | GradproofError):
        return str(error)
    if isinstance(error, SyntaxError):
        return f"{type(error).__name__}: {error.msg}"
    return f"{type(error).__name__}: {error}".rstrip(": ")
