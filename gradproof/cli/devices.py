"""`gradproof devices`: every OpenCL device, and which one is chosen and why."""

from __future__ import annotations

import dataclasses
import os
from typing import Any

from rich.table import Table

from gradproof.cli import options
from gradproof.cli.screen import Screen
from gradproof.runtime.binding import LARGEST
from gradproof.runtime.device import DEVICE_VARIABLE, DeviceInfo, choose, list_devices
from gradproof.runtime.errors import DeviceError
from gradproof.runtime.limits import LIMITS, LIMITS_VARIABLE

REASONS = {
    "gpu": "the first GPU",
    "cpu": "the first CPU; there is no GPU",
    "accelerator": "the first accelerator; there is no GPU and no CPU",
}
HALF = {
    True: "arithmetic too (cl_khr_fp16)",
    False: "in memory only, no arithmetic",
}


def devices(as_json: options.Json = False) -> None:
    """List the OpenCL devices with their versions and limits, and the one that is chosen."""
    screen = Screen(as_json=as_json)
    found = list_devices()
    chosen, reason = _choice()
    for info in found:
        screen.line(
            f"[{info.index}] {info.name}" + (f"  <- chosen: {reason}" if info == chosen else ""),
            style="bold" if info == chosen else None,
        )
        screen.table(_properties(info))
    if chosen is None:
        screen.line(f"none is chosen: {reason}")
    index = None if chosen is None else chosen.index
    listed = [dataclasses.asdict(info) for info in found]
    screen.result({"chosen": index, "reason": reason, "devices": listed})


def _choice() -> tuple[DeviceInfo | None, str]:
    try:
        info = choose()
    except DeviceError as error:
        return None, str(error).partition("\n")[0]
    if wanted := os.environ.get(DEVICE_VARIABLE):
        return info, f"{DEVICE_VARIABLE} is {wanted!r}"
    return info, REASONS[info.kind]


def _properties(info: DeviceInfo) -> Table:
    table = Table.grid(padding=(0, 2))
    rows: dict[str, Any] = {
        "kind": info.kind,
        "platform": f"{info.platform}, {info.platform_version}",
        "device": f"{info.version}, {info.opencl_c}",
        "driver": info.driver,
        "compute units": info.compute_units,
        "memory": _gib(info.global_mem),
        "largest allocation": f"{_gib(info.max_alloc)}; no tensor is larger",
        "work-group": f"at most {info.max_work_group:,} work-items, along an axis"
        f" {' x '.join(f'{n:,}' for n in info.max_work_item_sizes)}",
        "local memory": f"{info.local_mem / 1024:,.0f} KiB for a work-group",
        "addresses": f"{info.address_bits} bits; kernels count up to {LARGEST:,} elements",
        "double precision": "yes (cl_khr_fp64)" if info.fp64 else "no: float64 is an error",
        "half precision": HALF[info.fp16],
        "subgroups": "no kernel uses them",
        "lowered": ", ".join(LIMITS[name] for name in info.lowered) + f", by {LIMITS_VARIABLE}",
    }
    if not info.lowered:
        del rows["lowered"]
    for name, value in rows.items():
        table.add_row(f"    {name}", str(value))
    return table


def _gib(size: int) -> str:
    return f"{size / 2**30:.1f} GiB" if size >= 2**30 else f"{size / 2**20:.1f} MiB"
