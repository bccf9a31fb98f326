"""What is needed to run a run again: its config as a file, and the command that takes it."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Iterator, Mapping
from typing import Any

import msgspec

from gradproof.report.parts import Reproduce
from gradproof.runtime.config import Config
from gradproof.runtime.run import RunFolder

FILE = "run.toml"


def reproduce(run: RunFolder, parameters: int) -> Reproduce:
    """The config as `gradproof train --config` takes it, and the command."""
    config = run.config
    return Reproduce(
        toml(config.config),
        f"gradproof train --config {FILE} --device {shlex.quote(device_name(config.device))}",
        config.device,
        config.config.train.seed,
        config.versions,
        config.data_sha256,
        parameters,
    )


def device_name(described: str) -> str:
    """The name in what `DeviceInfo.describe` says.

    >>> device_name("[0] Portable Computing Language / pthread-x (cpu, 2 compute units, 8 GiB)")
    'pthread-x'
    """
    found = re.fullmatch(r"\[\d+\] .*? / (.*) \([^()]*\)", described)
    return found[1] if found else described


def toml(config: Config) -> str:
    """A config as TOML; what has no value there, because it is None, is left out.

    >>> toml(Config()).splitlines()[:4]
    ['tensorboard = false', '', '[data]', 'dataset = "digits"']
    """
    values = msgspec.to_builtins(config)
    tables = {n: v for n, v in values.items() if isinstance(v, dict)}
    lines = list(_pairs({n: v for n, v in values.items() if n not in tables}))
    for name, table in tables.items():
        lines += ["", f"[{name}]", *_pairs(table)]
    return "\n".join(lines) + "\n"


def _pairs(table: Mapping[str, Any]) -> Iterator[str]:
    """JSON's strings, numbers, booleans and lists of them are TOML's, too."""
    for name, value in table.items():
        if value is not None:
            yield f"{name} = {json.dumps(value, ensure_ascii=False)}"
