"""What tuning found on a device, kept in the user's cache folder for later plans.

One file for each device: its name is the SHA-256 of the device, its driver, and the generator with
its libraries, so that nothing measured on one machine or with older kernels is used on another. It
can be deleted at any time: plans then use the defaults.
"""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from gradproof.runtime.build import cache_folder, write_atomically
from gradproof.runtime.compile import generator
from gradproof.runtime.device import DeviceInfo
from gradproof.runtime.errors import GradproofError

log = logging.getLogger(__name__)

Entries = dict[str, dict[str, Any]]  # by the key of some work: its choice, and what was measured


def tuned_choices(info: DeviceInfo) -> dict[str, str]:
    """The choices for a device that differ from the default, by the key of their work."""
    return {key: e["choice"] for key, e in load(info).items() if e["choice"]}


def tuning_path(info: DeviceInfo) -> Path:
    """The file of a device."""
    parts = [*generator(), _device(info)]
    digest = hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()
    return cache_folder().parent / "tuning" / f"{digest}.json"


def load(info: DeviceInfo) -> Entries:
    """All that was measured on a device. A damaged file, or that of another device, counts as
    none, with a warning; tuning writes it anew."""
    path = tuning_path(info)
    try:
        content = path.read_bytes()
        stored = json.loads(content)
        device, entries = stored["device"], stored["entries"]
        if _encoded(device, entries) != content:
            raise ValueError("its sha256 does not fit")
        if any(not isinstance(e["choice"], str) for e in entries.values()):
            raise ValueError("a choice is no text")
    except FileNotFoundError:
        return {}
    except OSError as error:
        log.warning("tuning: %s cannot be read (%s); using the defaults", path, error)
        return {}
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        log.warning("tuning: %s is damaged (%s); using the defaults", path, error)
        return {}
    if device != _device(info):
        log.warning("tuning: %s is of %s; using the defaults", path, device)
        return {}
    found: Entries = entries
    return found


def keep(info: DeviceInfo, entries: Entries) -> None:
    """Add entries to the file of a device. Where two processes write, the last one's file stays.

    Errors: GradproofError where it cannot be written.
    """
    path = tuning_path(info)
    try:
        write_atomically(path, _encoded(_device(info), load(info) | entries))
    except OSError as error:
        raise GradproofError(f"tuning: {path} cannot be written ({error})") from error


def _device(info: DeviceInfo) -> dict[str, str]:
    return {
        "name": info.name,
        "version": info.version,
        "driver": info.driver,
        "platform": info.platform,
        "platform_version": info.platform_version,
    }


def _encoded(device: Any, entries: Mapping[str, Any]) -> bytes:
    """The file: the device, the entries, and the SHA-256 of both."""
    digest = hashlib.sha256(json.dumps([device, entries]).encode()).hexdigest()
    return json.dumps({"sha256": digest, "device": device, "entries": entries}).encode()
