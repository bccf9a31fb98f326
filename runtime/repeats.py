"""What holds while a function runs again to give back what its first run computed.

Random draws are those of the first run, and nothing is updated: no running statistics, no counts on
the host. See `runtime/utils/checkpoint.py`.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field

Draw = dict[str, int]


@dataclass
class Run:
    """A run of a function. draws: the states of its random operators as they came; again: whether
    it is a repeat, which takes them in the same order; outer: the run that it is a part of."""

    draws: list[Draw] = field(default_factory=list)
    again: bool = False
    outer: Run | None = None
    taken: int = 0

    def repeats(self) -> bool:
        """Whether this run, or one that it is a part of, is a repeat."""
        return self.again or (self.outer is not None and self.outer.repeats())

    def take(self) -> Draw:
        """The state of the next random operator: that of the first run, or a new one."""
        if self.again:
            self.taken += 1
            return self.draws[self.taken - 1]
        state = Draw() if self.outer is None else self.outer.take()
        self.draws.append(state)
        return state


_active: ContextVar[Run | None] = ContextVar("the run that may be repeated", default=None)


@contextmanager
def running(run: Run) -> Iterator[Run]:
    """Operators inside belong to `run`."""
    run.outer, run.taken = _active.get(), 0
    token = _active.set(run)
    try:
        yield run
    finally:
        _active.reset(token)
        run.outer = None


def is_repeat() -> bool:
    """Whether what runs now ran before, so that nothing may be updated."""
    run = _active.get()
    return run is not None and run.repeats()


def drawn() -> Draw:
    """The state of a random operator: empty where it is to be drawn, else that of the first run.

    >>> with running(Run()) as first:
    ...     drawn()["key"] = 7
    >>> with running(Run(first.draws, again=True)):
    ...     drawn()
    {'key': 7}
    """
    run = _active.get()
    return Draw() if run is None else run.take()
