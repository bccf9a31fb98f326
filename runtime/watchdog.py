"""Waiting for a device that may never answer.

No call of OpenCL waits with a limit. So where kernels are at work another thread waits in the
driver, and the one that wants the result waits for it and looks, now and then, whether any kernel
has ended meanwhile. What is limited is the time in which none ends: a slow device is never at
fault as long as each single kernel takes less. A launch costs nothing more than to keep its event;
a wait, two changes of threads (some 10 µs), where the device has not finished already.

After a kernel that never ends nothing can be asked of the device, not even its release. So when the
process ends, it does so without the driver's clean-up, which would wait too.
"""

from __future__ import annotations

import atexit
import logging
import os
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
_KEPT, _MANY = 512, 8  # events, or lists of them, of the last launches

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
        # an event with its kernel and label, or a list of events with the words for each, or with
        # their launches; no more, since what is in here is kept from being given back
        self.launched: deque[tuple[Any, Any]] = deque(maxlen=_KEPT)
        self._idle: list[_Waiter] = []
        self._done: object = None  # what was launched last when a wait had ended
        self._lock = threading.Lock()

    def check(self) -> None:
        """Raise what has made the device unusable, if anything has."""
        if self.gone is not None:
            raise type(self.gone)(str(self.gone))

    def wait(self, event: cl.Event) -> None:
        """Until `event`, the last command so far, has ended.

        Errors: DeviceHangError where no kernel ends within the limit; those of pyopencl.
        """
        last = self._last()
        if not self.seconds or last is self._done:
            event.wait()
            return
        waiter = self._idle.pop() if self._idle else _Waiter()
        waiter.ask(event)
        _waiting.add(waiter)  # and left there by an interrupt
        if not waiter.answered(self.seconds / _LOOKS):
            self._patiently(waiter)
        _waiting.discard(waiter)
        if (error := waiter.result()) is not None:
            raise error
        self._idle.append(waiter)
        self._done = last
        self._let_go(last)

    def _patiently(self, waiter: _Waiter) -> None:
        """Go on waiting as long as kernels end. Errors: DeviceHangError."""
        seen, looks, answered = None, 0, False
        while not answered:
            now = self._find(lambda status: status > _COMPLETE)
            # looks are counted, as clocks go on where a process is stopped
            looks = looks + 1 if now is not None and seen is not None and now[0] is seen[0] else 0
            seen = now
            if looks >= _LOOKS:
                raise self._hang(now)
            answered = waiter.answered(self.seconds / _LOOKS)

    def failed(self, error: Exception, what: str) -> DeviceError:
        """The error for a user: names the kernel that failed, where one did."""
        found = self._find(lambda status: status < _COMPLETE)
        code = code_of(error)
        if found is not None:
            event, kernel = found
            what, code = kernel, event.command_execution_status
            self.launched.clear()  # said once
        out = explained(error, self.device, what, code if found is not None else None)
        if isinstance(out, DeviceLostError):
            self.gone = out
        return out

    def add(self, events: list[cl.Event], words: Sequence[Any]) -> None:
        """Keep the events of many launches, with the words for each, or its kernel first."""
        if len(self.launched) >= _MANY:  # nobody waits: let go of those that have ended
            with suppress(IndexError):
                while _ended(self.launched[0]):
                    self.launched.popleft()
        self.launched.append((events, words))

    def needed(self) -> bool:
        """Whether there is a limit, and work that nobody has waited for."""
        return bool(self.seconds) and self._last() is not self._done

    def _last(self) -> object:
        try:
            return self.launched[-1]
        except IndexError:
            return None

    def _let_go(self, last: object) -> None:
        """What was launched before `last` has ended too."""
        with self._lock, suppress(RuntimeError):  # another thread launches something meanwhile
            ended = next((k for k, x in enumerate(self.launched) if x is last), 0)
            for _ in range(ended):
                self.launched.popleft()

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
                    return event, _words(what[k] if isinstance(events, list) else what)
        return None

    def _hang(self, found: tuple[Any, str] | None) -> DeviceError:
        kernel = "a command" if found is None else found[1]
        self.gone = DeviceHangError(
            f"{kernel}: {self.device} has not ended it in {self.seconds:g} s; it may never end, and"
            " this process cannot use the device any more. Start the program again. Where the"
            f" device is only slow, set {VARIABLE} to more seconds, or to 0 for no limit"
        )
        return self.gone


def _words(what: Any) -> str:
    """Of a launch: words already, or its kernel first."""
    if isinstance(what, str):
        return what
    return one_launch(what[0], what[1] if isinstance(what[1], str) else "")


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
    """A thread that waits in the driver for one event after another. Two locks are all that it
    needs: on one core a queue, or anything else in Python, takes some percent of a small step."""

    def __init__(self) -> None:
        self._event: cl.Event | None = None
        self._error: Exception | None = None
        self._asked, self._answered = threading.Lock(), threading.Lock()
        self._asked.acquire()
        self._answered.acquire()
        threading.Thread(target=self._run, name="gradproof-wait", daemon=True).start()

    def ask(self, event: cl.Event) -> None:
        """Begin to wait."""
        self._event = event
        self._asked.release()

    def answered(self, seconds: float) -> bool:
        """Whether the wait ends within so many seconds."""
        return self._answered.acquire(True, seconds)

    def result(self) -> Exception | None:
        """What the wait that was answered has raised; keeps nothing of it."""
        error, self._error, self._event = self._error, None, None
        return error

    def _run(self) -> None:
        while True:
            self._asked.acquire()
            try:
                self._event.wait()  # type: ignore[union-attr]
            except Exception as error:
                self._error = error
            self._answered.release()


@atexit.register
def _end_without_driver() -> None:
    """The driver's own clean-up would wait for a kernel that hangs, for ever."""
    for waiter in tuple(_waiting):
        if not waiter.answered(GRACE):
            for stream in (sys.stdout, sys.stderr):
                with suppress(Exception):
                    stream.flush()
            os._exit(EXIT)
