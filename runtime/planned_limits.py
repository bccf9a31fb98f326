"""The limits of a device and the launches of a plan: what is checked, and what is said."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from gradproof.runtime.device import Device, DeviceInfo
from gradproof.runtime.errors import DeviceError
from gradproof.runtime.planned_memory import StepMemory, mib
from gradproof.runtime.recorded import RecordedGraph

log = logging.getLogger(__name__)


def check_launches(plan: Mapping[str, Any], graph: RecordedGraph, device: DeviceInfo) -> None:
    """Errors: DeviceError for a kernel that asks for more work-items or local memory than the
    device gives a group, naming the layer. The planner keeps to both; this is before a driver
    would find out."""
    items = min(device.max_work_group, device.max_work_item_sizes[0])
    itemsize = np.dtype(graph.dtype).itemsize
    for x in plan["launches"]:
        local = x["shared"] * itemsize
        if x["local"] > items or local > device.local_mem:
            raise DeviceError(
                f"{graph.called(x['writes'][0])}: kernel {x['kernel']} takes groups of {x['local']}"
                f" work-items and {local} bytes of local memory, but {device.name} allows at most"
                f" {items} and {device.local_mem}"
            )


def group_limit(plan: Mapping[str, Any], dtype: str, device: Device) -> int:
    """The least number of work-items that a built kernel of the plan can run with, where that is
    less than its launch takes, as on a device whose registers do not suffice; 0 where all can."""
    import pyopencl as cl

    taken = {x["kernel"]: x["local"] for x in plan["launches"] if x["local"] > 1 and x["kernel"]}
    if not taken:
        return 0  # a CPU's kernels take one
    names, options = sorted(taken), tuple(plan["options"][dtype])
    built = device.build(plan["source"], options, names, label="planned step", large=True)
    which, on = cl.kernel_work_group_info.WORK_GROUP_SIZE, device.context.devices[0]
    allowed: dict[str, Any] = {n: built[n].get_work_group_info(which, on) for n in names}
    return min((int(n) for name, n in allowed.items() if n < taken[name]), default=0)


def limit_notes(plan: Mapping[str, Any], memory: StepMemory) -> Iterator[str]:
    """What the limits of the device have decided in a plan, for people."""
    for text in plan["replaced"]:
        yield f"limits: {text}"
    if plan["piece"]:
        yield (
            f"limits: {mib(memory.temporaries)} of temporaries are cut into allocations of at most"
            f" {mib(memory.largest)}"
        )


def say_limits(plan: Mapping[str, Any], memory: StepMemory) -> None:
    """Log `limit_notes`; commands show it with --verbose."""
    for text in limit_notes(plan, memory):
        log.info("%s", text)
