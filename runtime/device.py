"""Choosing an OpenCL device, and the one context and one in-order queue that it gets.

A machine can list several OpenCL platforms together. The first one is never simply taken: a
device is named (by index, kind or part of its name), or named in the environment variable
GRADPROOF_DEVICE, or chosen by a stated preference: GPU, then CPU, then accelerator, each in
listing order. Oclgrind, a simulator that checks memory accesses, runs only when asked for.
"""

from __future__ import annotations

import ctypes
import functools
import logging
import operator
import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from gradproof.runtime.caches import prepare_caches
from gradproof.runtime.errors import DeviceError
from gradproof.runtime.faults import explained
from gradproof.runtime.limits import LIMITS_VARIABLE, lowered
from gradproof.runtime.once import Once, once_property
from gradproof.runtime.profiling import active_profile
from gradproof.runtime.watchdog import Watchdog, limit, one_launch

try:
    import pyopencl as cl
except ImportError as error:
    # Kept until a device is asked for: then it is one clear error, with what to install.
    _import_error: ImportError | None = error
else:
    _import_error = None

if TYPE_CHECKING:
    from gradproof.runtime.build import ProgramCache
    from gradproof.runtime.pool import BufferPool

log = logging.getLogger(__name__)

Kind = Literal["gpu", "cpu", "accelerator", "simulator"]

DEVICE_VARIABLE = "GRADPROOF_DEVICE"
_PREFERENCE: tuple[Kind, ...] = ("gpu", "cpu", "accelerator")
_KINDS: tuple[Kind, ...] = (*_PREFERENCE, "simulator")


@functools.cache
def _keep_freed_memory() -> None:
    """Let the C library keep blocks up to 32 MiB that are freed.

    PoCL takes a work-group's local memory anew at every launch. By default glibc gives such blocks
    back to the system, and each launch then waits half a millisecond for fresh, zeroed pages.
    """
    mmap_threshold, trim_threshold = -3, -1  # M_MMAP_THRESHOLD, M_TRIM_THRESHOLD of malloc.h
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError):
        return  # another C library
    mallopt(mmap_threshold, 32 << 20)
    mallopt(trim_threshold, 2**31 - 1)


@dataclass(frozen=True)
class DeviceInfo:
    """What one OpenCL device says about itself.

    `index` is the position in `list_devices()`. Memory sizes are in bytes; `local_mem` is for
    one work-group, `max_alloc` is the largest single buffer, `max_work_group` counts work-items.
    `version` is the device's OpenCL version, `opencl_c` that of its compiler, both as text.
    `fp64` and `fp16`: whether it computes in double and in half precision. `lowered`: the limits
    that GRADPROOF_DEVICE_LIMITS has lowered, see `runtime.limits`.
    """

    index: int
    platform: str
    platform_version: str
    name: str
    kind: Kind
    version: str
    driver: str
    opencl_c: str
    compute_units: int
    global_mem: int
    local_mem: int
    max_alloc: int
    max_work_group: int
    max_work_item_sizes: tuple[int, ...]
    fp64: bool
    address_bits: int
    fp16: bool = False
    lowered: tuple[str, ...] = ()

    def describe(self) -> str:
        """One line: index, platform, name, kind, size and version.

        >>> choose("cpu").describe()  # doctest: +ELLIPSIS
        '[...] ... / ... (cpu, ... compute unit..., ... GiB, OpenCL ...)'
        """
        units = f"{self.compute_units} compute unit{'s' * (self.compute_units != 1)}"
        return (
            f"[{self.index}] {self.platform} / {self.name} ({self.kind}, {units}, "
            f"{self.global_mem / 2**30:.1f} GiB, {self.version})"
        )

    def matches(self, text: str) -> bool:
        """Whether `text`, in any case, is a part of "platform version / device name".

        The platform's version is included because PoCL has its short name only there.
        """
        full = f"{self.platform} {self.platform_version} / {self.name}"
        return text.casefold() in full.casefold()


def list_devices() -> tuple[DeviceInfo, ...]:
    """All devices of all platforms that run OpenCL C, in the order of the OpenCL loader.

    Raises:
        DeviceError: pyopencl cannot be imported, or there is no platform or no device (the
            message says what to install), or OpenCL was used before a fork, or
            GRADPROOF_DEVICE_LIMITS cannot be read.

    >>> [info.index for info in list_devices()] == list(range(len(list_devices())))
    True
    """
    _check_process()
    return tuple(info for info, _ in _enumerate())


def choose(spec: str | None = None) -> DeviceInfo:
    """The device that `spec` names, or GRADPROOF_DEVICE, or the preferred one.

    Args:
        spec: an index ("0"), a kind ("gpu", "cpu", "accelerator", "simulator": the first of its
            kind in the listing), or a part of "platform version / device name" in any case
            ("pocl", "nvidia"). None: the environment variable GRADPROOF_DEVICE if set, else the
            first GPU, else CPU, else accelerator; never a simulator.

    Raises:
        DeviceError: no device fits, or more than one fits a part of a name; lists the devices.

    >>> choose("CPU").kind
    'cpu'
    >>> choose("no such thing")  # doctest: +ELLIPSIS
    Traceback (most recent call last):
    gradproof.runtime.errors.DeviceError: device: no device matches 'no such thing'...
    """
    devices = list_devices()
    if spec is not None:
        return _match(spec, devices, "device")
    from_environment = os.environ.get(DEVICE_VARIABLE)
    if from_environment:
        return _match(from_environment, devices, f"environment variable {DEVICE_VARIABLE}")
    for kind in _PREFERENCE:
        for info in devices:
            if info.kind == kind:
                return info
    raise DeviceError(
        "only simulators were found, and these are used only when named, for example 'oclgrind'. "
        f"{_listing(devices)}\n{_how_to_install()}"
    )


class Device:
    """One OpenCL device with its context, its one in-order queue, buffers and programs.

    The context and the queue are made on first use. Get a device from `use_device`,
    `current_device` or `open_device`, which make one object for each device: two contexts
    could not share buffers.

    >>> device = open_device("cpu")
    >>> source = "kernel void twice(global float *x) { x[get_global_id(0)] *= 2; }"
    >>> kernel = device.build(source, ("-cl-std=CL1.2",), ("twice",), label="twice.cl")["twice"]
    >>> buffer = device.pool.allocate(16, label="x")
    >>> kernel.set_arg(0, buffer)
    >>> _ = device.launch(kernel, (4,), (1,))
    >>> device.synchronize()
    """

    def __init__(self, info: DeviceInfo) -> None:
        self.info = info
        # A simulator computes while it is waited for, and takes as long as it takes.
        self.watchdog = Watchdog(info.name, 0.0 if info.kind == "simulator" else limit())

    def __repr__(self) -> str:
        return f"<Device {self.info.describe()}>"

    @property
    def context(self) -> cl.Context:
        """The device's context."""
        self._check()
        return self._context

    @property
    def queue(self) -> cl.CommandQueue:
        """The device's in-order queue; all commands go through it, but inside of `profiling`
        through one that measures them."""
        self._check()
        profile = active_profile(self)
        return self._queue if profile is None else profile.queue

    @property
    def pool(self) -> BufferPool:
        """The pool that all buffers of this device come from."""
        self._check()
        return self._pool

    def build(
        self,
        source: str,
        options: Sequence[str],
        names: Sequence[str],
        *,
        label: str = "kernel",
        large: bool = False,
    ) -> dict[str, cl.Kernel]:
        """Build OpenCL C (or take it from the cache) and give new kernel objects by name.

        Args:
            source: complete OpenCL C text, without `#include`.
            options: build options, one item each.
            names: kernels of the program that are wanted.
            label: kernel file or operator; errors name it.
            large: many kernels, see `runtime.build`.

        Raises:
            BuildError: the source does not compile, or lacks one of `names`.
        """
        self._check()
        return self._programs.kernels(source, options, names, label, large)

    def launch(
        self,
        kernel: cl.Kernel,
        global_size: tuple[int, ...],
        local_size: tuple[int, ...] | None = None,
        label: str = "",
    ) -> cl.Event:
        """Enqueue a kernel whose arguments are set (2 µs on a CPU); does not wait for it.

        Args:
            kernel: kernel of this device with all arguments set by `set_arg`. Buffers among them
                must be held by the caller until the launch has ended.
            global_size: work-items in each dimension.
            local_size: work-items of a group in each dimension; None lets the driver choose.
            label: the layer or operator; errors name it.

        Raises:
            DeviceError: the device refuses the launch.
        """
        try:
            event = cl.enqueue_nd_range_kernel(self.queue, kernel, global_size, local_size)
        except cl.Error as error:
            raise self._refused(error, kernel, global_size, local_size, label) from error
        self.watchdog.launched.append((event, (kernel, label)))  # a call of `add` takes longer
        return event

    def launch_all(
        self,
        launches: Sequence[tuple[cl.Kernel, tuple[int, ...], tuple[int, ...]]],
        words: Sequence[str] = (),
    ) -> None:
        """`launch` for each (kernel, global size, local size), in order; 2 µs each on a CPU.

        words: for each launch, for errors; without them its kernel's name.
        """
        queue, enqueue = self.queue, cl.enqueue_nd_range_kernel
        ahead = iter(launches)
        try:
            events = [enqueue(queue, kernel, size, group) for kernel, size, group in ahead]
        except cl.Error as error:
            k = len(launches) - 1 - operator.length_hint(ahead)
            raise self._refused(error, *launches[k], words[k] if words else "") from error
        self.watchdog.add(events, words or launches)
        profile = active_profile(self)
        if profile is not None:
            profile.events += events

    def _refused(
        self,
        error: cl.Error,
        kernel: cl.Kernel,
        global_size: tuple[int, ...],
        local_size: tuple[int, ...] | None,
        label: str,
    ) -> DeviceError:
        """The error of a launch."""
        what = one_launch(kernel, label)
        found = self.watchdog.failed(error, what)
        if type(found) is not DeviceError:
            return found
        return DeviceError(
            f"{what}: {self.info.name} refuses the launch of "
            f"global size {global_size}, local size {local_size}: {error}"
        )

    def copy(self, target: Any, source: Any, what: str, start: int = 0) -> None:
        """Copy between a buffer and a contiguous array, after all commands so far, and wait.

        what: is copied; errors name it. start: the byte of a source buffer to begin at.
        Raises: DeviceError where that, or a kernel before it, fails; DeviceHangError where a
        kernel does not end, see `runtime.watchdog`.
        """
        queue = self.queue
        place: dict[str, Any] = {"src_offset": start} if start else {}
        try:
            self.watchdog.wait(cl.enqueue_copy(queue, target, source, is_blocking=False, **place))
        except cl.Error as error:
            raise self.watchdog.failed(error, what) from error

    def synchronize(self) -> None:
        """Wait until all enqueued commands have ended.

        Raises:
            DeviceError: a command failed on the device, or does not end: see `copy`.
        """
        queue = self.queue
        try:
            if self.watchdog.needed():
                self.watchdog.wait(cl.enqueue_marker(queue))
            else:
                queue.finish()
        except cl.Error as error:
            raise self.watchdog.failed(error, "waiting") from error

    def _check(self) -> None:
        """Errors: DeviceError after a fork, or when the device is gone."""
        _check_process()
        if self.watchdog.gone is not None:
            self.watchdog.check()

    @once_property
    def _context(self) -> cl.Context:
        if self.info.kind == "cpu":
            _keep_freed_memory()
        try:
            return cl.Context([_enumerate()[self.info.index][1]])
        except cl.Error as error:
            raise DeviceError(f"{self.info.describe()} cannot be opened: {error}") from error

    @once_property
    def _queue(self) -> cl.CommandQueue:
        try:
            return cl.CommandQueue(self._context)
        except cl.Error as error:
            raise explained(error, self.info.name, "making a command queue") from error

    @once_property
    def _pool(self) -> BufferPool:
        from gradproof.runtime.pool import BufferPool

        exact, limits = self.info.kind == "simulator", (self.info.max_alloc, self.info.global_mem)
        finish = self.synchronize
        return BufferPool(self._context, self._queue, exact=exact, limits=limits, finish=finish)

    @once_property
    def _programs(self) -> ProgramCache:
        from gradproof.runtime.build import ProgramCache, cache_folder

        # A simulator's binary is not made for reuse, and it builds fast.
        stored = self.info.kind != "simulator"
        return ProgramCache(self._context, cache_folder() if stored else None)


def open_device(spec: str | None = None) -> Device:
    """The `Device` that `choose(spec)` names, always the same object; the current one stays.

    >>> open_device("cpu") is open_device("cpu")
    True
    """
    info = choose(spec)
    return _process.devices.setdefault(info.index, Device(info))


def use_device(spec: str | None = None) -> Device:
    """Make the device that `choose(spec)` names the current one of the process.

    Raises:
        DeviceError: as `choose`; the current device stays as it was.

    >>> use_device() is current_device()
    True
    """
    device = open_device(spec)
    _process.current = device
    log.info("using %s", device.info.describe())
    if device.info.lowered:
        log.info("limits lowered by %s: %s", LIMITS_VARIABLE, ", ".join(device.info.lowered))
    return device


def current_device() -> Device:
    """The current device; on first use the one that `choose()` prefers.

    Raises:
        DeviceError: as `choose`.
    """
    _check_process()
    return _process.current or use_device()


@dataclass
class _Process:
    """What belongs to the whole process: OpenCL state survives no fork."""

    used: bool = False
    forked_after_use: bool = False
    current: Device | None = None
    devices: dict[int, Device] = field(default_factory=dict)


_process = _Process()


def _mark_fork() -> None:
    _process.forked_after_use = _process.used


# A flag instead of comparing os.getpid() on each launch: that system call can take 2 µs.
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_mark_fork)


def _check_process() -> None:
    """Refuse a forked child: it has the driver's handles, but none of the driver's threads."""
    if _process.forked_after_use:
        raise DeviceError(
            "OpenCL was used before this process was forked and cannot be used here. "
            "Start processes with multiprocessing.get_context('spawn')"
        )


@Once
def _enumerate() -> tuple[tuple[DeviceInfo, cl.Device], ...]:
    if _import_error is not None:
        raise DeviceError(
            f"pyopencl cannot be imported: {_import_error}. {_how_to_install()}"
        ) from _import_error
    _process.used = True
    prepare_caches()
    try:
        platforms = cl.get_platforms()
    except cl.LogicError as error:
        raise DeviceError(f"no OpenCL platform ({error}). {_how_to_install()}") from error
    found: list[tuple[DeviceInfo, cl.Device]] = []
    for platform in platforms:
        for device in _devices_of(platform):
            found.append((lowered(_info(len(found), platform, device)), device))
    if not found:
        names = ", ".join(platform.name.strip() for platform in platforms)
        raise DeviceError(f"no OpenCL device on the platforms: {names}. {_how_to_install()}")
    return tuple(found)


def _devices_of(platform: cl.Platform) -> list[cl.Device]:
    try:
        devices = platform.get_devices()
    except cl.Error as error:
        # One broken driver must not hide the others; it is named, and cannot be chosen.
        log.warning("OpenCL platform %s lists no devices: %s", platform.name.strip(), error)
        return []
    # Custom devices have fixed functions and no compiler for OpenCL C.
    return [device for device in devices if not device.type & cl.device_type.CUSTOM]


def _info(index: int, platform: cl.Platform, device: cl.Device) -> DeviceInfo:
    return DeviceInfo(
        index=index,
        platform=platform.name.strip(),
        platform_version=platform.version.strip(),
        name=device.name.strip(),
        kind=_kind(platform.name, device.type),
        version=device.version.strip(),
        driver=device.driver_version.strip(),
        opencl_c=device.opencl_c_version.strip(),
        compute_units=device.max_compute_units,
        global_mem=device.global_mem_size,
        local_mem=device.local_mem_size,
        max_alloc=device.max_mem_alloc_size,
        max_work_group=device.max_work_group_size,
        max_work_item_sizes=tuple(device.max_work_item_sizes),
        fp64="cl_khr_fp64" in device.extensions.split(),
        address_bits=device.address_bits,
        fp16="cl_khr_fp16" in device.extensions.split(),
    )


def _kind(platform_name: str, device_type: int) -> Kind:
    # Oclgrind says that it is every type at once, so its name decides.
    if "Oclgrind" in platform_name:
        return "simulator"
    if device_type & cl.device_type.GPU:
        return "gpu"
    return "cpu" if device_type & cl.device_type.CPU else "accelerator"


def _match(spec: str, devices: Sequence[DeviceInfo], origin: str) -> DeviceInfo:
    if not isinstance(spec, str):
        raise DeviceError(f"{origin}: got {spec!r}, expected text such as '0', 'cpu' or 'pocl'")
    text = spec.strip()
    if text.isdecimal():
        found = [info for info in devices if info.index == int(text)]
    elif text.casefold() in _KINDS:
        found = [info for info in devices if info.kind == text.casefold()][:1]
    else:
        found = [info for info in devices if text and info.matches(text)]
    if not found:
        raise DeviceError(f"{origin}: no device matches {spec!r}. {_listing(devices)}")
    if len(found) > 1:
        raise DeviceError(
            f"{origin}: {spec!r} matches {len(found)} devices; name one by its index. "
            f"{_listing(found)}"
        )
    return found[0]


def _listing(devices: Sequence[DeviceInfo]) -> str:
    return "\n  ".join(["Devices:", *(info.describe() for info in devices)])


def _how_to_install() -> str:
    vendors = os.environ.get("OCL_ICD_VENDORS")
    now = f"it is {vendors!r} now" if vendors else "it is not set now"
    return (
        "For a CPU device: pip install 'pyopencl[pocl]'. For a driver "
        "that is installed already: set the environment variable OCL_ICD_VENDORS to the folder of "
        f"its .icd file, often /etc/OpenCL/vendors ({now})"
    )
