"""Waiting for a device that may never answer.

No call of OpenCL waits with a limit. So where kernels are at work another thread waits in the
driver, and the one that wants the result waits for it and looks, now and then, whether any kernel
has ended meanwhile. What is limited is the time in which none ends: a slow device is never at
fault as long as each single kernel takes less. A launch costs nothing more than to keep its event;
a wait, the hand-over to the other thread (some 10 µs), where the device has not finished already.

After a kernel that never ends nothing can be asked of the device, not even its release. So when the
process ends, it does so without the driver's clean-up, which would wait too.
"""

from __future__ import annotations

import atexit
import logging
import os
import queue
import sys
import threading
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from gradproof.runtime.errors import ArgumentError, DeviceError, DeviceHangError, DeviceLostError
from gradproof.runtime.faults import code_of, explained

if TYPE_CHECKING:
    import pyopencl as cl

log = logging.getLogger(__name__)

VARIABLE = "GRADPROOF_WATCHDOG"
SECONDS = 600.0  # in which not one kernel ends
EXIT = 2  # status of a process that ends while a kernel hangs
GRACE = 5.0  # seconds that a process which ends gives a kernel that nobody waits for any more
_LOOKS = 8  # within the limit
_COMPLETE = 0  # CL_COMPLETE; less is the status of a failure
_KEPT = 512  # events, or lists of them, of the last launches

_waiting: set[_Waiter] = set()


def limit() -> float:
    """Seconds in which a kernel must end: GRADPROOF_WATCHDOG or ten minutes; 0 is no limit.

    Errors: ArgumentError for what is no number from 0.
    """
    given = os.environ.get(VARIABLE, "").strip()
    try:
        seconds = float(given) if given else SECONDS
    except ValueError:
        seconds = -1.0
    if not 0 <= seconds < threading.TIMEOUT_MAX:
        raise ArgumentError(
            f"environment variable {VARIABLE}: {given!r}, expected seconds, such as {SECONDS:g};"
            " 0 for no limit"
        )
    return seconds


class Watchdog:
    """What one device was given to do last, and how to wait for it.

    device: its name, for errors; seconds: the limit, 0 for none.
    """

    def __init__(self, device: str, seconds: float = 0.0) -> None:
        self.device, self.seconds = device, seconds
        self.gone: DeviceError | None = None  # why the device cannot be used any more
        # an event with its kernel and label, or a list of events with the words for each; no
        # more, since what is in here is kept from being given back
        self.launched: deque[tuple[Any, Any]] = deque(maxlen=_KEPT)
        self._idle: list[_Waiter] = []

    def check(self) -> None:
        """Raise what has made the device unusable, if anything has."""
        if self.gone is not None:
            raise type(self.gone)(str(self.gone))

    def wait(self, event: cl.Event) -> None:
        """Until `event`, the last command so far, has ended.

        Errors: DeviceHangError where no kernel ends within the limit; those of pyopencl.
        """
        if not self.needed():
            event.wait()
            return
        waiter = self._idle.pop() if self._idle else _Waiter()
        waiter.ask(event)
        _waiting.add(waiter)  # and left there by an interrupt
        error = self._answer(waiter)
        _waiting.discard(waiter)
        self._idle.append(waiter)
        if error is not None:
            raise error

    def _answer(self, waiter: _Waiter) -> Exception | None:
        """What the wait has raised. Errors: DeviceHangError."""
        seen, looks = None, 0
        while True:
            try:
                return waiter.answer(self.seconds / _LOOKS)
            except queue.Empty:
                now = self._find(lambda status: status > _COMPLETE)
            # looks are counted, as clocks go on where a process is stopped
            looks = looks + 1 if now is not None and seen is not None and now[0] is seen[0] else 0
            seen = now
            if looks >= _LOOKS:
                raise self._hang(now)

    def failed(self, error: Exception, what: str) -> DeviceError:
        """The error for a user: names the kernel that failed, where one did."""
        found = self._find(lambda status: status < _COMPLETE)
        code = code_of(error)
        if found is not None:
            event, kernel = found
            what, code = kernel, event.command_execution_status
        out = explained(error, self.device, what, code if found is not None else None)
        if isinstance(out, DeviceLostError):
            self.gone = out
        return out

    def add(self, events: list[cl.Event], words: Sequence[str]) -> None:
        """Keep the events of many launches, and let go of those that have ended."""
        with suppress(IndexError):
            while _ended(self.launched[0]):
                self.launched.popleft()
        self.launched.append((events, words))

    def needed(self) -> bool:
        """Whether there is a limit, and what was launched last has not ended."""
        try:
            return bool(self.seconds) and not _ended(self.launched[-1])
        except IndexError:
            return False

    def _find(self, wanted: Callable[[int], bool]) -> tuple[Any, str] | None:
        """The first event whose status is wanted, and its kernel in words."""
        for events, what in tuple(self.launched):
            for k, event in enumerate(events if isinstance(events, list) else [events]):
                try:
                    status = event.command_execution_status
                except Exception as error:  # a device that is lost may not even say that
                    log.debug("status of an event: %s", error)
                    return None
                if wanted(status):
                    return event, what[k] if isinstance(events, list) else one_launch(*what)
        return None

    def _hang(self, found: tuple[Any, str] | None) -> DeviceError:
        kernel = "a command" if found is None else found[1]
        self.gone = DeviceHangError(
            f"{kernel}: {self.device} has not ended it in {self.seconds:g} s; it may never end, and"
            " this process cannot use the device any more. Start the program again. Where the"
            f" device is only slow, set {VARIABLE} to more seconds, or to 0 for no limit"
        )
        return self.gone


def one_launch(kernel: Any, label: str) -> str:
    """A launch in words."""
    if label.startswith("kernel "):
        return label
    return f"kernel {kernel.function_name}{f' ({label})' if label else ''}"


def _ended(launched: tuple[Any, Any]) -> bool:
    events, _ = launched
    last = events[-1] if isinstance(events, list) else events
    return bool(last.command_execution_status <= _COMPLETE)


class _Waiter:
    """A thread that waits in the driver for one event after another."""

    def __init__(self) -> None:
        self._asked: queue.SimpleQueue[cl.Event] = queue.SimpleQueue()
        self._answers: queue.SimpleQueue[Exception | None] = queue.SimpleQueue()
        threading.Thread(target=self._run, name="gradproof-wait", daemon=True).start()

    def ask(self, event: cl.Event) -> None:
        """Begin to wait."""
        self._asked.put(event)

    def answer(self, seconds: float) -> Exception | None:
        """What the wait has raised. Errors: queue.Empty after so many seconds without an end."""
        return self._answers.get(timeout=seconds)

    def _run(self) -> None:
        while True:
            event, error = self._asked.get(), None
            try:
                event.wait()
            except Exception as raised:
                error = raised
            del event  # its buffers are not kept until the next one
            self._answers.put(error)
            del error


@atexit.register
def _end_without_driver() -> None:
    """The driver's own clean-up would wait for a kernel that hangs, for ever."""
    for waiter in tuple(_waiting):
        try:
            waiter.answer(GRACE)
        except queue.Empty:
            for stream in (sys.stdout, sys.stderr):
                with suppress(Exception):
                    stream.flush()
            os._exit(EXIT)
