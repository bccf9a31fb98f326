"""Device memory that is reused: buffers come from a pool and go back to it when Python drops them.

`pyopencl.tools.MemoryPool` does the work (size classes, 0.5 µs an allocation). Added here: a
limit that names what was asked, buffers up to the device's very largest allocation, the peak,
memory errors that PoCL reports in time, and a retry that first waits for the queue.

**Reuse needs no event wait.** Every command of a device goes through one in-order queue. A buffer
handed out again is written by a command that is enqueued after all commands of its former owner,
so the device runs it after them.
"""

from __future__ import annotations

import errno
import itertools
import logging
import mmap
import operator
import threading
from collections.abc import Callable
from functools import partial
from typing import TypeVar

import numpy as np
import pyopencl as cl
from pyopencl.tools import ImmediateAllocator, MemoryPool, PooledBuffer

from gradproof.runtime.errors import DeviceError, DeviceLostError, OutOfMemoryError, ShapeError
from gradproof.runtime.faults import LESS, explained, explaining
from gradproof.runtime.limits import room

log = logging.getLogger(__name__)

B = TypeVar("B")
_lost: list[object] = []  # memory that a device, of which nothing can be asked, may still use
MIN_BYTES = 256
# Sizes with the same leading one and the same 4 bits after it share a class: at most 1/16 is lost.
_LEADING_BITS = 4
LARGE_PAGE = 2**21  # bytes; smaller memory has no such page


class ExactBuffer(cl.Buffer):
    """A buffer of exactly the size asked for; on release it goes to the device, not the pool.

    Needed where the size class would exceed the device's largest allocation although the
    request does not: 2**30 bytes on a device that allows 2**30 would round up to 1.06 * 2**30.
    """

    def __init__(self, pool: BufferPool, nbytes: int) -> None:
        super().__init__(pool.context, pool.flags, nbytes)
        if not pool.flags & cl.mem_flags.ALLOC_HOST_PTR:
            # Drivers allocate on first use: use it now, so that running out of memory shows here.
            cl.enqueue_copy(pool.queue, self, np.zeros(1, np.uint8))
        self._own(pool, nbytes)

    def _own(self, pool: BufferPool, nbytes: int) -> None:
        self._pool: BufferPool | None = pool
        self._number = pool._noted(nbytes)

    def release(self) -> None:
        """Give the memory back to the device; a second call does nothing."""
        pool, self._pool = getattr(self, "_pool", None), None
        if pool is not None:
            pool._apart.pop(self._number, None)
            super().release()

    def __del__(self) -> None:
        self.release()


class LastingBuffer(ExactBuffer):
    """Zeroed host memory in pages as large as the system gives, for a CPU: one core walks through
    a step's 50 MiB in pages of 2 MiB some percent faster than in pages of 4 KiB."""

    def __init__(self, pool: BufferPool, nbytes: int) -> None:
        memory = mmap.mmap(-1, nbytes)
        if hasattr(mmap, "MADV_HUGEPAGE"):
            memory.madvise(mmap.MADV_HUGEPAGE)
        flags = cl.mem_flags.READ_WRITE | cl.mem_flags.USE_HOST_PTR
        cl.Buffer.__init__(self, pool.context, flags, hostbuf=memory)
        self._own(pool, nbytes)

    def release(self) -> None:
        """Give the memory back to the system, when no command uses it any more."""
        pool: BufferPool | None = getattr(self, "_pool", None)
        if pool is not None:
            try:
                pool.finish()
            except DeviceError:  # a kernel that hangs may still write there, also after this
                _lost.append(self.hostbuf)
        super().release()


class BufferPool:
    """Device memory in size classes, for one context and its one in-order queue.

    A buffer belongs to its holder until Python drops the last reference or `release()` is
    called. A kernel's preset argument does NOT keep it: hold the buffer as long as the kernel
    may be launched.

    Args:
        context: context with exactly one device.
        queue: the in-order queue that all commands of this device go through.
        exact: no rounding and no reuse, for a simulator: an access past the requested size, or a
            read of what an earlier owner left, must stay visible to it.
        finish: waits for the queue; raises DeviceError where that is of no use.
        limits: bytes of the largest allocation and of the whole memory, in place of the device's.

    >>> from gradproof.runtime.device import open_device
    >>> device = open_device("cpu")
    >>> pool = BufferPool(device.context, device.queue)
    >>> buffer = pool.allocate(1000, label="relu.output")
    >>> pool.bytes_in_use
    1000
    >>> del buffer
    >>> pool.bytes_in_use, pool.bytes_held >= 1000
    (0, True)
    >>> pool.trim()
    >>> pool.bytes_held
    0
    """

    def __init__(
        self,
        context: cl.Context,
        queue: cl.CommandQueue,
        *,
        exact: bool = False,
        finish: Callable[[], None] | None = None,
        limits: tuple[int, int] | None = None,
    ) -> None:
        if queue.properties & cl.command_queue_properties.OUT_OF_ORDER_EXEC_MODE_ENABLE:
            raise DeviceError(
                "buffer pool: the queue runs out of order, expected an in-order queue "
                "(reuse without event waits relies on the order)"
            )
        self.context = context
        self.queue = queue
        self.finish = finish or queue.finish
        device = context.devices[0]
        self._device_name = device.name.strip()
        own = device.max_mem_alloc_size, device.global_mem_size
        self.max_alloc, self._global_mem = limits or own
        self.flags = _flags(device)
        self._pool = MemoryPool(ImmediateAllocator(queue, self.flags), _LEADING_BITS)
        self._exact = exact
        self._apart: dict[int, int] = {}  # bytes of each buffer that is not pooled
        self._numbers = itertools.count()
        self._peak = 0
        self._measuring = threading.RLock()

    @property
    def bytes_in_use(self) -> int:
        """Bytes asked for by the buffers that are alive (at least 256 each if pooled)."""
        return self._pool.active_bytes + self._bytes_apart

    @property
    def buffers_in_use(self) -> int:
        """How many buffers are alive."""
        return self._pool.active_blocks + len(self._apart)

    @property
    def bytes_held(self) -> int:
        """Bytes taken from the device: in use, lost to rounding, or free for reuse."""
        return self._pool.managed_bytes + self._bytes_apart

    @property
    def peak_in_use(self) -> int:
        """The largest `bytes_in_use` since the pool was made."""
        return self._peak

    def allocate(self, nbytes: int, label: str = "buffer") -> PooledBuffer | ExactBuffer:
        """A buffer of at least `nbytes` bytes with undefined content.

        Args:
            nbytes: size in bytes, positive.
            label: what the memory is for; errors name it.

        Raises:
            ShapeError: `nbytes` is zero or negative.
            DeviceError: larger than the device's largest allocation, or the device is out of
                memory, even after `trim()`.
        """
        size = self._checked(nbytes, label)
        least = size if self._exact else max(size, MIN_BYTES)
        return self._allocate_or_trim(self._take, least, label)

    def zeros(self, nbytes: int, label: str) -> ExactBuffer:
        """A zeroed buffer that its holder keeps for long: it does not come from reused memory.

        Args, errors: those of `allocate`.
        """
        size = self._checked(nbytes, label)
        if self.flags & cl.mem_flags.ALLOC_HOST_PTR and not self._exact:
            return self._allocate_or_trim(partial(LastingBuffer, self), size, label)
        buffer: ExactBuffer = self._allocate_or_trim(partial(ExactBuffer, self), size, label)
        with explaining(self._device_name, label):
            if self._exact:  # Oclgrind takes what a fill has written for uninitialised
                cl.enqueue_copy(self.queue, buffer, np.zeros(size, np.uint8))
            else:
                cl.enqueue_fill_buffer(self.queue, buffer, np.zeros(1, np.uint8), 0, size)
        return buffer

    def has_large_pages(self, nbytes: int) -> bool:
        """Whether `zeros` gives so many bytes in large pages: a CPU's memory, and enough of it."""
        on_host = bool(self.flags & cl.mem_flags.ALLOC_HOST_PTR) and not self._exact
        return on_host and nbytes >= LARGE_PAGE

    def lasts(self, buffer: object) -> bool:
        """Whether a buffer is one of `zeros`, not of reused memory."""
        return isinstance(buffer, ExactBuffer)

    @property
    def _bytes_apart(self) -> int:
        return sum(self._apart.copy().values())  # a tuple of them may have the collector drop some

    def _noted(self, nbytes: int) -> int:
        """Note a buffer that is not pooled. A buffer may be dropped in any thread and between any
        two operations of this one: a sum that is added to and taken from would lose some."""
        number = next(self._numbers)
        self._apart[number] = nbytes
        return number

    def _checked(self, nbytes: int, label: str) -> int:
        size = operator.index(nbytes)
        if size <= 0:
            raise ShapeError(f"{label}: {size} bytes asked for, expected at least 1")
        if size > self.max_alloc:
            raise DeviceError(
                f"{label}: needs {room(size)} in one allocation, but {self._device_name} allows "
                f"at most {room(self.max_alloc)}"
            )
        return size

    def trim(self) -> None:
        """Give all free buffers back to the device; buffers in use stay.

        Waits for the queue first: a driver frees released memory only when the commands that
        use it have ended.
        """
        self.finish()
        self._pool.free_held()

    def _allocate_or_trim(self, take: Callable[[int], B], size: int, label: str) -> B:
        buffer = self._retried(take, size, label)
        with self._measuring:
            self._peak = max(self._peak, self.bytes_in_use)
        return buffer

    def _retried(self, take: Callable[[int], B], size: int, label: str) -> B:
        try:
            return self._within(take, size)
        except (cl.Error, OSError) as error:
            log.debug("%s: %s; trimming the pool and trying again", label, error)
        try:
            self.trim()
            return self._within(take, size)
        except (cl.Error, OSError) as error:
            if isinstance(found := explained(error, self._device_name, label), DeviceLostError):
                raise found from error
            raise OutOfMemoryError(
                f"{label}: {self._device_name} has no room for {room(size)} more: "
                f"{room(self.bytes_in_use)} in use by this process, "
                f"{room(self._global_mem)} on the device ({error}); {LESS}"
            ) from error

    def _within(self, take: Callable[[int], B], size: int) -> B:
        """Errors: OSError where this process would hold more than there is."""
        if self.bytes_held + size > self._global_mem:
            raise OSError(errno.ENOMEM, "more than the device's memory")
        return take(size)

    def _take(self, size: int) -> PooledBuffer | ExactBuffer:
        if self._exact or self._pool.alloc_size(self._pool.bin_number(size)) > self.max_alloc:
            return ExactBuffer(self, size)
        return self._pool.allocate(size)


def _flags(device: cl.Device) -> int:
    """Flags of every buffer: read and write, and on a CPU memory that is taken at once.

    PoCL otherwise takes memory at the first command, and crashes there if none is left. A CPU's
    device memory is host memory, so nothing is lost; on a GPU it would move the data to the host.
    """
    at_once = cl.mem_flags.ALLOC_HOST_PTR if device.type & cl.device_type.CPU else 0
    return int(cl.mem_flags.READ_WRITE | at_once)
