"""Finds the operators: every `Definition` in a module of gradproof.derive.ops."""

from __future__ import annotations

import importlib
import pkgutil
from functools import cache

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
        for value in vars(importlib.import_module(f"{ops.__name__}.{module.name}")).values():
            if not isinstance(value, Definition):
                continue
            if found.setdefault(value.name, value) is not value:
                raise DefinitionError(f"two operators are called {value.name!r}")
    return dict(sorted(found.items()))


def find(name: str) -> Definition:
    """The operator called `name`. Errors: DefinitionError lists the known ones."""
    try:
        return operators()[name]
    except KeyError:
        known = ", ".join(operators())
        raise DefinitionError(f"there is no operator {name!r}; known: {known}") from None
