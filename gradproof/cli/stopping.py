"""Ctrl-C and SIGTERM while a training runs."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

FIRST = b"\nStopping after this step. Once more ends at once.\n"


@contextmanager
def stopping(stop: Callable[[], None]) -> Iterator[list[int]]:
    """In the block, the first SIGINT or SIGTERM calls `stop`; a second one ends the block at once,
    by KeyboardInterrupt. Gives the signals that came."""
    came: list[int] = []
    if threading.current_thread() is not threading.main_thread():
        yield came
        return

    def handle(number: int, frame: Any) -> None:
        if came:
            raise KeyboardInterrupt
        came.append(number)
        with contextlib.suppress(OSError):  # not through Python's buffers, which may be in use now
            os.write(2, FIRST)
        stop()

    before = {number: signal.signal(number, handle) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield came
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
