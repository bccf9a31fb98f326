"""Claim G6, phases: the input gradient visits only the taps that exist, without an upsampled tensor.

Along an axis, position t = u + P is seen by output x' through tap i where S*x' + D*i = t. With
g = gcd(S, D), S = g*S', D = g*D', this needs g | t, and D'*i = t/g modulo S': i = i0 + S'*m with
i0 = t/g * (1/D' modulo S') % S', and x' = (t/g - D'*i0)//S' - D'*m. For D = 1: g = 1, i0 = t % S.
The inverse modulo S' is a number for concrete S, and none that a polynomial gives otherwise.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import gcd
from typing import Any

Y_PLACE = [["n", "N"], ["k", "G*CG"], ["u", "H"], ["v", "W"]]


@dataclass(frozen=True)
class Axis:
    """The loop over one axis: `loops`, the output's and the tap's subscript, and guards."""

    loops: str
    output: str
    tap: str
    guards: str


def pairs(output: str, tap: str, stride: str, dilation: str, place: str) -> Axis:
    """All pairs of output and tap, and the equation: for `output` and `tap` as "index:extent"."""
    x, i = output[0], tap[0]
    return Axis(f"{output}, {tap}", x, i, f"{stride}*{x} + {dilation}*{i} == {place}")


def phases(m: str, taps: str, outputs: str, place: str, stride: str | int, dilation: int) -> Axis:
    """Only the taps i0 + S'*m, each with its output."""
    if isinstance(stride, int):
        g = gcd(stride, dilation)
        s, d = stride // g, dilation // g
        inverse = pow(d, -1, s) or 1
    else:
        g, s, d, inverse = 1, stride, 1, 1
    t = f"({place})//{g}" if g > 1 else f"({place})"
    scaled = f"({inverse}*{t})"
    first = f"({scaled} % {s})"
    wrap = (d * inverse - 1) // s if isinstance(s, int) else 0
    output = f"{d}*({scaled}//{s}) - {wrap}*{t} - {d}*{m}"
    count = f"({taps} - {first} + {s} - 1)//{s}"
    inside = f"0 <= {output} and {output} < {outputs}"
    exists = f" and ({place}) % {g} == 0" if g > 1 else ""
    return Axis(f"{m}:{count}", output, f"{first} + {s}*{m}", inside + exists)


def claim(name: str, statement: str, fixed: dict[str, int], rows: Axis, columns: Axis) -> Any:
    """dloss/dY as the sum over the taps that `rows` and `columns` visit."""
    o = "k//CG*OG + r"
    return {
        "claim": f"G6 phases, {name}",
        "statement": statement,
        "fixed": fixed,
        "free": Y_PLACE,
        "left": {"adjoint": "Y"},
        "right": {
            "text": f"sum[r:OG, {rows.loops}, {columns.loops}]("
            f"grad_z[n, {o}, {rows.output}, {columns.output}]"
            f"*w[{o}, k % CG, {rows.tap}, {columns.tap}], {rows.guards} and {columns.guards})"
        },
    }


ROWS = pairs("x:OH", "i:KH", "SH", "DH", "u + PT")
COLUMNS = pairs("y:OW", "j:KW", "SW", "DW", "v + PL")


def concrete(s: int, d: int) -> list[Any]:
    """One stride and dilation along rows, then along columns; the other axis as it is."""
    rows = phases("m", "KH", "OH", "u + PT", s, d)
    columns = phases("l", "KW", "OW", "v + PL", s, d)
    said = f"only taps i = i0 + S'm along the axis, at S = {s}, D = {d}, gcd {gcd(s, d)}"
    return [
        claim(f"rows, S = {s}, D = {d}", said, {"SH": s, "DH": d}, rows, COLUMNS),
        claim(f"columns, S = {s}, D = {d}", said, {"SW": s, "DW": d}, ROWS, columns),
    ]


PHASES: list[dict[str, Any]] = [
    claim(
        "every stride, D = 1",
        "only taps i = (x + P) % S + S*m, of output (x + P)//S - m",
        {"DH": 1, "DW": 1},
        phases("m", "KH", "OH", "u + PT", "SH", 1),
        phases("l", "KW", "OW", "v + PL", "SW", 1),
    ),
    *(c for s in range(1, 5) for d in range(1, 5) for c in concrete(s, d)),
]
