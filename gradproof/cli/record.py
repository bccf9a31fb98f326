"""What every record of a measurement says of the machine, and how it is written to a file."""

from __future__ import annotations

import json
import os
import platform
import re
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gradproof import __version__
from gradproof.runtime.errors import GradproofError

if TYPE_CHECKING:
    from gradproof.runtime.device import DeviceInfo

PACKAGES = ("numpy", "pyopencl", "pocl-binary-distribution", "torch")
# glibc would give PyTorch's buffers back to the system and fetch them again in every step
MALLOC = {
    "MALLOC_MMAP_THRESHOLD_": "1073741824",
    "MALLOC_TRIM_THRESHOLD_": "4294967296",
}
# a scheduler may leave all threads of a process on one core: each gets a core of its own
SPREAD = {"POCL_AFFINITY": "1", "OMP_PROC_BIND": "true", "OMP_PLACES": "cores"}
COUNTS = ("OMP_NUM_THREADS", "POCL_MAX_PTHREAD_COUNT", "POCL_CPU_MAX_CU_COUNT")


def environment(threads: int) -> dict[str, str]:
    """What a process that measures must find set when it starts: malloc, threads of each library.

    >>> environment(1)["OMP_NUM_THREADS"]
    '1'
    """
    spread = SPREAD if threads > 1 else {}
    return MALLOC | spread | dict.fromkeys(COUNTS, str(threads))


def usable_cores(threads: int) -> list[int]:
    """The last cores that this process may use; none where the system cannot pin a process.

    Raises:
        GradproofError: there are fewer cores than threads.
    """
    if not hasattr(os, "sched_getaffinity"):
        return []
    usable = sorted(os.sched_getaffinity(0))
    if threads > len(usable):
        raise GradproofError(f"bench: {threads} threads, but {len(usable)} cores are usable")
    return usable[-threads:]


def machine(cores: list[int]) -> dict[str, Any]:
    """The processor, the cores that were used, how busy the machine was, and the system."""
    model, cpuinfo = platform.processor(), Path("/proc/cpuinfo")
    if cpuinfo.is_file():
        found = re.search(r"model name\s*:\s*(.+)", cpuinfo.read_text("utf-8"))
        model = found[1] if found else model
    load = list(os.getloadavg()) if hasattr(os, "getloadavg") else []
    return {"cpu": model, "cores": os.cpu_count(), "pinned_to": cores, "load_average": load} | {
        "system": platform.platform()
    }


def device(info: DeviceInfo) -> dict[str, str]:
    """The OpenCL device and its driver."""
    return {"name": info.name, "kind": info.kind, "driver": info.driver} | {
        "platform": info.platform_version
    }


def versions() -> dict[str, str]:
    """Of this package, of Python, and of the packages that decide a speed.

    >>> sorted(versions())[:2]
    ['gradproof', 'numpy']
    """
    found = {"gradproof": __version__, "python": platform.python_version()}
    for name in PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def write(record: dict[str, Any], folder: Path, info: DeviceInfo, what: str = "") -> Path:
    """A new file, named after the date, the device and `what`; none is ever overwritten."""
    slug = re.sub(r"[^a-z0-9]+", "-", f"{info.name} {what}".lower()).strip("-")
    stem, number = f"{record['date']}-{slug}", 1
    folder.mkdir(parents=True, exist_ok=True)
    while True:
        path = folder / (f"{stem}.json" if number == 1 else f"{stem}-{number}.json")
        try:
            with path.open("x", encoding="utf-8") as file:
                json.dump(record, file, indent=1)
                file.write("\n")
            return path
        except FileExistsError:
            number += 1
