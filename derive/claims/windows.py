"""When every window has a tap inside the image: the padding is smaller than the window.

The host refuses windows without a tap for every size (the manifest's "windows", an error for the
maximum); the claims say for which sizes that cannot happen.
"""

from __future__ import annotations

from typing import Any

AXES = {
    "rows": ("H", "OH", "KH", "SH", "PT", "PB", "x"),
    "columns": ("W", "OW", "KW", "SW", "PL", "PR", "y"),
}


def length_claims(operator: str, *, dilated: bool) -> list[dict[str, Any]]:
    """The output length: the last window lies in the padded input, one more would not."""
    found = []
    for axis, (size, count, taps, stride, before, after, _) in AXES.items():
        reach = f"D{size}*({taps} - 1)" if dilated else f"({taps} - 1)"
        room = f"{size} + {before} + {after}"
        last = f"{stride}*({count} - 1) + {reach}"
        found.append(
            {
                "claim": f"L1 {operator}, output length, {axis}",
                "statement": f"{last} < {room} <= {last} + {stride}",
                "goals": [f"{last} < {room}", f"{room} <= {last} + {stride}"],
            }
        )
    return found


def tap_claims(operator: str, *, dilated: bool) -> list[dict[str, Any]]:
    """A tap inside the image for every window, axis by axis, without dilation.

    operator: its name in the claims; dilated: whether it has dilations, which are then 1. A window
    that starts inside the image has its first tap there; one that starts above it has tap number
    P - S*x in the first row.
    """
    found = []
    for axis, (size, count, taps, stride, before, after, x) in AXES.items():
        common: dict[str, Any] = {"free": [[x, count]]} | (
            {"fixed": {"DH": 1, "DW": 1}} if dilated else {}
        )
        smaller = [f"{before} <= {taps} - 1", f"{after} <= {taps} - 1"]
        start = f"{stride}*{x} - {before}"
        found += [
            {
                "claim": f"L1 {operator}, windows that start inside, {axis}",
                "statement": f"P <= K - 1 and {start} >= 0: 0 <= {start} < {size}",
                "facts": [*smaller, f"{start} >= 0"],
                "goals": [f"0 <= {start}", f"{start} <= {size} - 1"],
                **common,
            },
            {
                "claim": f"L1 {operator}, windows that start outside, {axis}",
                "statement": f"P <= K - 1 and {start} < 0: the window has a tap number -({start})",
                "facts": [*smaller, f"{start} <= -1"],
                "goals": [f"0 <= -({start})", f"-({start}) <= {taps} - 1"],
                **common,
            },
        ]
    return found
