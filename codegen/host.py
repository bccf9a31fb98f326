"""A plan as C: a host for one network, with its tables. The templates know loops and buffers."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from gradproof.codegen.render import environment

FILES = ("model.h", "plan.h", "model.c", "main.c", "Makefile", "README.md")
_PLAIN = frozenset(range(32, 127)) - set(b'"\\?')  # ?: "??/" is a trigraph


def render_host(data: Mapping[str, Any]) -> dict[str, str]:
    """File name -> text. data: what the templates `host_*.j2` name, see `runtime.export_c`."""
    env = environment().overlay()
    env.filters = {**env.filters, "c_string": c_string, "c_real": c_real, "product": math.prod}
    return {name: env.get_template(f"host_{name}.j2").render(data) for name in FILES}


def c_string(text: str) -> str:
    r"""A string literal of C; what is not printable ASCII is written as octal bytes of UTF-8.

    >>> print(c_string('a "b" é'))
    "a \042b\042 \303\251"
    """
    return '"' + "".join(chr(b) if b in _PLAIN else f"\\{b:03o}" for b in text.encode()) + '"'


def c_real(value: float) -> str:
    """A number as a constant of C99, exactly; infinities and NaN as quotients.

    >>> c_real(0.1), c_real(-math.inf)
    ('0x1.999999999999ap-4', '-1.0/0.0')
    """
    if math.isnan(value):
        return "0.0/0.0"
    if math.isinf(value):
        return "1.0/0.0" if value > 0 else "-1.0/0.0"
    return float(value).hex()
