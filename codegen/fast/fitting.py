"""What kernels ask of a work-group, and what is said where a device's limits decide.

The schedules ask for no more work-items and local memory than a machine has; `check_fits` reads the
same off the text of every kernel, so that a schedule that forgot to ask is an error of the planner
and never a launch that fails.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import prod

from gradproof.codegen.fast.kernel import FastKernel
from gradproof.codegen.fast.program import LANES
from gradproof.codegen.fast.validate import Unsound

_ARRAY = re.compile(r"^\s*__local (REALV|REAL|int) (\w+)((?:\[\d+\])+)", re.MULTILINE)
_ANY = re.compile(r"^\s*__local (?!const\b)\w+ (?!\*)\w+.*\[", re.MULTILINE)


@dataclass(frozen=True)
class Limits:
    """Of a work-group: work-items, and elements of local memory."""

    items: int
    local: int


def local_elements(text: str) -> int:
    """Elements of local memory that a kernel's text declares.

    >>> local_elements("__local REALV a[2][8]; // [product][tile]")
    256

    Errors: Unsound for an array whose extents are no numbers.
    """
    found = 0
    arrays = _ARRAY.findall(text)
    if len(arrays) != len(_ANY.findall(text)):
        raise Unsound("local memory whose size cannot be read off the text")
    for kind, _, extents in arrays:
        counts = map(int, re.findall(r"\d+", extents))
        found += prod(counts) * (LANES if kind == "REALV" else 1)
    return found


def need(kernels: Iterable[FastKernel]) -> Limits:
    """The most that any of some kernels asks for.

    >>> need([])
    Limits(items=1, local=0)
    """
    items, local = 1, 0
    for k in kernels:
        items, local = max(items, k.local), max(local, local_elements(k.text))
    return Limits(items, local)


def check_fits(kernels: Iterable[FastKernel], limits: Limits, what: str) -> None:
    """Errors: Unsound for a kernel that asks for more than `limits`; what: the equations."""
    for k in kernels:
        own = need([k])
        if own.items > limits.items or own.local > limits.local:
            raise Unsound(
                f"{what}: kernel {k.name} takes {_shown(own)}, the device has {_shown(limits)}"
            )


def replacement(
    what: str,
    wanted: Sequence[FastKernel] | None,
    got: Sequence[FastKernel] | None,
    limits: Limits,
) -> str:
    """What is said of a schedule that does not fit `limits`, and of the one in its place; "" where
    it fits, or differs in nothing but how many work-items share elements."""
    if not wanted:
        return ""
    own = need(wanted)
    if not own.local or (own.items <= limits.items and own.local <= limits.local):
        return ""
    asked = [
        (f"{n} {unit}", f"{most}")
        for n, most, unit in (
            (own.items, limits.items, "work-items"),
            (own.local, limits.local, "elements of local memory"),
        )
        if n > most
    ]
    takes, has = (" and ".join(x) for x in zip(*asked, strict=True))
    other = "another schedule" if got is None else _named(got)
    return f"{what}: {_named(wanted)} takes {takes}, the device has {has}; {other} takes its place"


def _named(kernels: Sequence[FastKernel]) -> str:
    """A schedule for people."""
    own, notes = need(kernels), [k.note for k in kernels if k.note]
    if notes:
        return f"a tile ({notes[0]})"
    if not own.local:
        return "a schedule without local memory"
    if own.items > 1:
        return f"a tree of {own.items} sums"
    return "a schedule in local memory"


def _shown(x: Limits) -> str:
    items = f"{x.items} work-item{'s' * (x.items != 1)}"
    return f"{items} and {x.local} elements of local memory"
