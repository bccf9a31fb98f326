"""Finds the operators: every `Definition` in a module of gradproof.derive.ops."""

from __future__ import annotations

import importlib
import pkgutil
from functools import cache
from pathlib import Path

from gradproof.derive import ops
from gradproof.derive.errors import DefinitionError
from gradproof.derive.language import Definition


@cache
def operators() -> dict[str, Definition]:
    """Name -> definition, sorted by name.

    >>> "conv2d" in operators()
    True
    """
    found: dict[str, Definition] = {}
    for module in pkgutil.iter_modules(ops.__path__):
        for value in _definitions(module.name):
            if found.setdefault(value.name, value) is not value:
                raise DefinitionError(f"two operators are called {value.name!r}")
    return dict(sorted(found.items()))


@cache
def find(name: str) -> Definition:
    """The operator called `name`: importing all of them takes a second, so first come the modules
    whose text has the name in quotes. Errors: DefinitionError lists the known ones."""
    for module in pkgutil.iter_modules(ops.__path__):
        source = Path(ops.__path__[0], f"{module.name}.py")
        if source.is_file() and f'"{name}"' in source.read_text(encoding="utf-8"):
            for value in _definitions(module.name):
                if value.name == name:
                    return value
    try:
        return operators()[name]
    except KeyError:
        known = ", ".join(operators())
        raise DefinitionError(f"there is no operator {name!r}; known: {known}") from None


def _definitions(module: str) -> list[Definition]:
    """All that a module of the operators has, those of other modules too."""
    values = vars(importlib.import_module(f"{ops.__name__}.{module}")).values()
    return [v for v in values if isinstance(v, Definition)]
