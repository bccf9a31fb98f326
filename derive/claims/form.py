"""How a named operator of closed forms is written down."""

from __future__ import annotations

from typing import Any


def named(
    statement: str,
    arguments: dict[str, list[str]],
    parameters: str,
    shape: list[str],
    indices: str,
    value: str,
    *,
    outside: dict[str, str] | None = None,
    positive: str = "",
    integer: str = "",
) -> dict[str, Any]:
    """One named operator. `positive`: the parameters that are at least 1; `integer`: the arguments
    whose elements are integers.

    >>> named("twice the vector", {"v": ["C"]}, "", ["C"], "c", "2*v[c]")["indices"]
    ['c']
    """
    return {
        "statement": statement,
        "arguments": arguments,
        "parameters": parameters.split(),
        "shape": shape,
        "indices": indices.split(),
        "value": value,
        "outside": outside or {},
        "lower": dict.fromkeys(positive.split(), 1),
        "integer": integer.split(),
    }
