"""Readers with planted faults, one of each class: what fuzzing has to find."""

from __future__ import annotations

import subprocess
import time
from pathlib import Path
from random import Random

from benchmarks.fuzzing.mutate import some_bytes
from benchmarks.fuzzing.reader import MIB, Reader, Wrong


class Refusal(ValueError):
    """The documented error of these readers."""


def make(rng: Random) -> bytes:
    """A text with a number, sometimes changed."""
    content = b"size=12;name=a.txt"
    return some_bytes(rng, content) if rng.random() < 0.8 else content


def sound(content: bytes, folder: Path) -> int:
    """The size; refuses as documented whatever is none."""
    try:
        return int(content.split(b";")[0].removeprefix(b"size=").decode("ascii"))
    except ValueError as error:
        raise Refusal("no size") from error


def uncaught(content: bytes, folder: Path) -> None:
    """An IndexError where there is no second part."""
    content.split(b";")[1]


def hang(content: bytes, folder: Path) -> None:
    """Counts up to the number that a file claims."""
    if sound(content, folder) != 12:
        while True:
            pass


def stuck(content: bytes, folder: Path) -> None:
    """Waits where no signal of the processor's time comes."""
    if len(content) != 18 or sound(content, folder) != 12:
        time.sleep(1000)


def memory(content: bytes, folder: Path) -> None:
    """Asks for what a file claims, and dresses up the error."""
    size = sound(content, folder)
    try:
        bytearray(2**40 if size != 12 else 12)
    except MemoryError as error:
        raise Refusal("too large") from error


def code(content: bytes, folder: Path) -> None:
    """Evaluates what stands in a file."""
    try:
        eval(content.split(b";")[0].removeprefix(b"size=") or b"0")  # noqa: S307 - the fault
    except Exception as error:
        raise Refusal("no number") from error


def program(content: bytes, folder: Path) -> None:
    """Starts another program for some files."""
    if sound(content, folder) != 12:
        subprocess.run(["true"], check=False)


def path(content: bytes, folder: Path) -> None:
    """Opens the file that a file names; a name can lead elsewhere."""
    sound(content, folder)
    (folder / ".." / "planted-by-a-test").write_bytes(b"")


def outside(content: bytes, folder: Path) -> None:
    """Reads what lies elsewhere."""
    Path("/etc/hostname").exists()
    open("/etc/passwd", "rb").close()


def wrong(content: bytes, folder: Path) -> None:
    """Takes a negative size."""
    if sound(content, folder) > 12:
        raise Wrong("a size beyond the file's")


def crash(content: bytes, folder: Path) -> None:
    """Ends the process at a short file, as a fault in a library would."""
    import os

    if len(content) < 9:
        os.abort()
    sound(content, folder)


KINDS = {
    "sound": (sound, ""), "uncaught": (uncaught, "uncaught"), "hang": (hang, "hang"),
    "stuck": (stuck, "hang"), "memory": (memory, "memory"), "code": (code, "code"),
    "program": (program, "code"), "path": (path, "path"), "outside": (outside, "path"),
    "wrong": (wrong, "wrong"), "crash": (crash, "crash"),
}  # fmt: skip
READERS = {
    name: Reader(name, make, read, (Refusal,), 300, 64 * MIB, 0.2)
    for name, (read, _) in KINDS.items()
}
