"""Where a definition may use unsigned integers: scalars of kind "uint", and words of Philox.

In a kernel they are taken modulo 2^32, and whatever they are added to or compared with is, too:
`k - 1` is 2^32 - 1 for k = 0, and `k < -1` holds. A definition means integers. So an unsigned one
stands alone: as a side of a comparison, as an argument of philox, or as a real number.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import sympy as sp

from gradproof.derive.errors import DefinitionError
from gradproof.derive.expr import Philox, Quo, Read, Reduce, Rem, integer
from gradproof.derive.language import Definition

LIMIT = 2**32  # unsigned integers are below


def check_unsigned(d: Definition) -> None:
    """No unsigned integer is part of an integer expression. Errors: DefinitionError."""
    words = {integer(n) for n, kind in d.scalars if kind == "uint"}
    labels = {t.name for t in d.tensors if t.dtype == "int"}
    for e in d.equations:
        for place, parts, alone in _integers(e.body, labels):
            if any(_wraps(p, words) for p in parts):
                plain = all(_is_plain(p, words) for p in parts)
                if not (alone and plain):
                    raise DefinitionError(
                        f"{d.name}: in {e.target}, {place}: "
                        f"{_first(parts, words)} is unsigned; it is compared alone, with a whole "
                        "number from 0 to 2^32 - 1, an unsigned scalar or philox(...), and is no "
                        "part of a subscript, a guard or a quotient; a size can be: integers='k'"
                    )


def _integers(e: sp.Basic, labels: set[str]) -> Iterator[tuple[str, tuple[Any, ...], bool]]:
    """Every place of integers: its text, its expressions, whether unsigned ones may stand there."""
    if isinstance(e, Read):
        yield str(e), e.subscripts, False
    elif isinstance(e, Reduce):
        yield str(e), (*(n for _, n in e.indices), *e.guards), False
    elif isinstance(e, Quo | Rem):
        yield str(e), e.args, False
    elif isinstance(e, Philox):
        yield from ((str(e), (a,), True) for a in e.args)
    elif isinstance(e, sp.core.relational.Relational) and all(_is_whole(a, labels) for a in e.args):
        yield str(e), e.args, True
    for a in e.args:
        yield from _integers(a, labels)


def _is_whole(e: sp.Expr, labels: set[str]) -> bool:
    return bool(e.is_integer) or (isinstance(e, Read) and e.tensor in labels)


def _wraps(e: sp.Basic, words: set[sp.Symbol]) -> bool:
    return bool(e.atoms(Philox) or e.free_symbols & words)


def _is_plain(e: sp.Basic, words: set[sp.Symbol]) -> bool:
    """Whether C's unsigned arithmetic takes it for what it is."""
    number = bool(e.is_Integer) and 0 <= int(e) < LIMIT
    return number or e in words or isinstance(e, Philox)


def _first(parts: tuple[Any, ...], words: set[sp.Symbol]) -> str:
    found = {a for p in parts for a in (*p.atoms(Philox), *(p.free_symbols & words))}
    return str(min(found, key=sp.default_sort_key))
