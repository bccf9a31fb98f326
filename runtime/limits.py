"""The limits of a device: lowered ones, to try a smaller device, and how errors speak of sizes.

GRADPROOF_DEVICE_LIMITS lowers what the devices of this process say of themselves, and only lowers:

    GRADPROOF_DEVICE_LIMITS="work_group=64, local_mem=16KiB, max_alloc=64MiB, fp64=no"

Everything that looks at limits (schedules, plans, the pool of buffers, dtypes) then keeps to these,
so that it can be seen here how a network fits a device that is not here.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

from gradproof.runtime.errors import DeviceError

if TYPE_CHECKING:
    from gradproof.runtime.device import DeviceInfo

LIMITS_VARIABLE = "GRADPROOF_DEVICE_LIMITS"
# What may be lowered -> how it is called for people.
LIMITS = {
    "work_group": "work-items of a group",
    "local_mem": "local memory of a group",
    "max_alloc": "largest allocation",
    "global_mem": "memory",
    "address_bits": "bits of an address",
    "fp64": "double precision",
}
_UNITS = {
    "": 1,
    "b": 1,
    "k": 2**10,
    "kib": 2**10,
    "m": 2**20,
    "mib": 2**20,
    "g": 2**30,
    "gib": 2**30,
}
_NUMBER = re.compile(r"(\d+)\s*([a-z]*)")


def lowered(info: DeviceInfo, given: str | None = None) -> DeviceInfo:
    """A device with the limits of GRADPROOF_DEVICE_LIMITS, or of `given`, where these are lower.

    `info.lowered` then names those that are. A buffer is never larger than addresses reach.
    Errors: DeviceError for a limit that there is not, or a value that cannot be read.
    """
    text = os.environ.get(LIMITS_VARIABLE, "") if given is None else given
    limits = read_limits(text)
    changes: dict[str, object] = {}
    for name in ("local_mem", "max_alloc", "global_mem", "address_bits"):
        if limits.get(name, getattr(info, name)) < getattr(info, name):
            changes[name] = limits[name]
    items = limits.get("work_group", info.max_work_group)
    if items < info.max_work_group:
        sizes = tuple(min(items, n) for n in info.max_work_item_sizes)
        changes |= {"max_work_group": items, "max_work_item_sizes": sizes}
    if info.fp64 and not limits.get("fp64", 1):
        changes["fp64"] = False
    named = tuple("work_group" if n == "max_work_group" else n for n in changes)
    info = replace(info, **changes, lowered=tuple(n for n in LIMITS if n in named))  # type: ignore[arg-type]
    reach = 2**info.address_bits - 1
    return replace(
        info,
        max_alloc=min(info.max_alloc, info.global_mem, reach),
        global_mem=min(info.global_mem, reach),
    )


def read_limits(text: str) -> Mapping[str, int]:
    """Limits by name; sizes in bytes, fp64 as 0 or 1. Errors: as `lowered`.

    >>> read_limits("local_mem = 16 KiB, fp64=no")
    {'local_mem': 16384, 'fp64': 0}
    """
    found: dict[str, int] = {}
    for part in filter(None, (p.strip() for p in re.split(r"[,;]", text))):
        name, _, value = (x.strip().casefold() for x in part.partition("="))
        if name not in LIMITS or name in found:
            known = ", ".join(LIMITS)
            why = "is given twice" if name in found else f"is no limit; there are {known}"
            raise DeviceError(f"{LIMITS_VARIABLE}: {name!r} {why}")
        found[name] = _fp64(value) if name == "fp64" else _number(name, value)
    return found


def _fp64(value: str) -> int:
    if value not in ("yes", "no"):
        raise DeviceError(f"{LIMITS_VARIABLE}: fp64={value}, expected yes or no")
    return int(value == "yes")


def _number(name: str, value: str) -> int:
    plain = name in ("work_group", "address_bits")
    found = _NUMBER.fullmatch(value)
    number = 0
    if found and (not found[2] if plain else found[2] in _UNITS):
        number = int(found[1]) * _UNITS[found[2]]
    if name == "address_bits" and number not in (32, 64):
        raise DeviceError(f"{LIMITS_VARIABLE}: address_bits={value}, expected 32 or 64")
    if number < 1:
        kind = "positive whole number" + ("" if plain else " of bytes, KiB, MiB or GiB")
        raise DeviceError(f"{LIMITS_VARIABLE}: {name}={value}, expected a {kind}")
    return number


def room(nbytes: int) -> str:
    """A size in bytes, and for people.

    >>> room(3 * 2**19)
    '1572864 bytes (1.5 MiB)'
    """
    return f"{nbytes} bytes ({nbytes / 2**20:.1f} MiB)"


def too_large(what: str, nbytes: int, info: DeviceInfo) -> DeviceError:
    """The error of a tensor, named by `what`, that exceeds the largest allocation."""
    return DeviceError(
        f"{what} needs {room(nbytes)} in one allocation, but {info.name} allows at most "
        f"{room(info.max_alloc)}"
    )
