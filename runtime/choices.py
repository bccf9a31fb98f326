"""Errors over values from a file that say what may be there."""

from __future__ import annotations

import re
from typing import Any

import msgspec

_PLACE = re.compile(r" - at `\$\.?([^`]*)`$")


def with_choices(kind: type, message: str) -> str:
    """What msgspec says of a value that is no `kind`, with the names that there are.

    >>> from gradproof.runtime.config import Config
    >>> with_choices(Config, "Invalid enum value 'lion' - at `$.optimizer.name`")
    "Invalid enum value 'lion' - at `$.optimizer.name`; expected adam, adamw, sgd"
    """
    choices = message.startswith(("Invalid enum value", "Object contains unknown field"))
    if not choices:
        return message
    place = found[1] if (found := _PLACE.search(message)) else ""
    info: Any = msgspec.inspect.type_info(kind)
    for part in re.findall(r"\w+|\[", place):
        if part == "[" or part.isdigit():
            info = getattr(info, "item_type", info)
        else:  # a field's name may itself look like a place: there is none
            info = next((f.type for f in info.fields if f.encode_name == part), info)
    if isinstance(info, msgspec.inspect.LiteralType):
        return f"{message}; expected {', '.join(sorted(map(str, info.values)))}"
    return f"{message}; expected {', '.join(sorted(f.name for f in info.fields))}"
