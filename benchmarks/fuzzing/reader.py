"""What is fuzzed: a reader, its cases, and the errors that it documents."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from random import Random

BINARY, TEXT = 100_000, 10_000  # cases in a record
MIB = 2**20


class Wrong(Exception):
    """A reader has taken what it must refuse."""


@dataclass(frozen=True)
class Reader:
    """One reader.

    make: a case from a generator of random numbers; read: the reader on a case, which may write
    files in the folder it is given; allowed: the documented errors; memory: bytes that a case may
    add to the process; seconds: of the processor, for one case; start: called once, before limits.
    """

    name: str
    make: Callable[[Random], bytes]
    read: Callable[[bytes, Path], object]
    allowed: tuple[type[BaseException], ...]
    cases: int = BINARY
    memory: int = 256 * MIB
    seconds: float = 4.0
    start: Callable[[], object] = lambda: None
