"""What a process holds: host and device memory, objects, files and threads; launches counted."""

from __future__ import annotations

import ctypes
import gc
import os
import sys
import threading
import weakref
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pyopencl as cl

from gradproof.runtime.device import current_device

PROC = Path("/proc/self")
UNITS = {
    "resident": "bytes",
    "device_in_use": "bytes",
    "device_held": "bytes",
    "buffers": "buffers",
    "objects": "Python objects",
    "blocks": "blocks of Python's allocator",
    "allocated": "bytes of C's allocator",
    "files": "open files",
    "threads": "threads",
    "python_threads": "threads",
}


class _Allocated(ctypes.Structure):
    """`struct mallinfo2` of glibc: what C's allocator handed out, and what it keeps."""

    _fields_ = [
        (name, ctypes.c_size_t)
        for name in (
            *("arena", "ordblks", "smblks", "hblks", "hblkhd"),
            *("usmblks", "fsmblks", "uordblks", "fordblks", "keepcost"),
        )
    ]


class Launches:
    """How many kernels were enqueued, by whatever way."""

    def __init__(self) -> None:
        self.count = 0

    @contextmanager
    def counted(self) -> Iterator[None]:
        """Inside, every launch counts."""
        enqueue = cl.enqueue_nd_range_kernel

        def counting(*arguments: Any, **options: Any) -> Any:
            self.count += 1
            return enqueue(*arguments, **options)

        cl.enqueue_nd_range_kernel = counting
        try:
            yield
        finally:
            cl.enqueue_nd_range_kernel = enqueue


def held() -> Mapping[str, int]:
    """What the process holds when the queue is empty and what can be collected is.

    Dead weak references are not counted as objects: a connection of sqlite3 (PyOpenCL's cache of
    launchers has one) keeps those of its cursors until it has made 200 of them, a sawtooth of
    another period than ours.
    Resident memory is read after C's allocator gave back the pages that hold nothing, where it
    can: what is left is in use, or shares its page with what is.
    """
    device = current_device()
    device.synchronize()
    while gc.collect():  # what ends may free more, such as a kernel whose program is gone
        pass
    pool = device.pool
    found = {
        "device_in_use": pool.bytes_in_use,
        "device_held": pool.bytes_held,
        "buffers": pool.buffers_in_use,
        "objects": sum(map(_counts, gc.get_objects())),
        "blocks": sys.getallocatedblocks(),
        "python_threads": threading.active_count(),
    }
    if PROC.is_dir():  # Linux
        found |= _allocated()
        pages = int((PROC / "statm").read_text("ascii").split()[1])
        found |= {
            "resident": pages * os.sysconf("SC_PAGE_SIZE"),
            "files": len(list((PROC / "fd").iterdir())),
            "threads": len(list((PROC / "task").iterdir())),
        }
    return found


def _allocated() -> dict[str, int]:
    """The bytes that C's allocator has handed out, where it is glibc's; its free pages go back."""
    c = ctypes.CDLL(None)
    if not (hasattr(c, "mallinfo2") and hasattr(c, "malloc_trim")):
        return {}
    c.malloc_trim(0)
    c.mallinfo2.restype = _Allocated
    found = c.mallinfo2()
    return {"allocated": found.uordblks + found.hblkhd}


def _counts(item: object) -> bool:
    """Whether an object counts: it is not a weak reference to nothing."""
    return type(item) is not weakref.ReferenceType or item() is not None
