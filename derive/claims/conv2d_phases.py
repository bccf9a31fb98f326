"""Claim G6, phases: the input gradient visits only the taps that exist, with nothing upsampled.

Along an axis, position t = u + P is seen by output x' through tap i where S*x' + D*i = t. With
g = gcd(S, D), S = g*S', D = g*D' this needs g | t; with t' = t/g and the inverse J of D' modulo S',
D'*J = 1 + e*S', all solutions are, for m = 0, 1, ...,

    i = i0 + S'*m,  i0 = J*t' % S'          x' = D'*(J*t' // S') - e*t' - D'*m

For D = 1: J = 1, e = 0, for every S. Otherwise J is a number for each S' and D', and no polynomial.
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
    """Only the taps that exist, each with its output."""
    g, s, inverse, wrap = 1, str(stride), 1, 0
    if isinstance(stride, int):
        g = gcd(stride, dilation)
        inverse = pow(dilation // g, -1, stride // g) or 1
        s, wrap = str(stride // g), (dilation // g * inverse - 1) // (stride // g)
    d = dilation // g
    t = f"({place})//{g}" if g > 1 else f"({place})"
    scaled = f"({inverse}*({t}))"
    first = f"({scaled} % {s})"
    output = f"{d}*({scaled}//{s}) - {wrap}*({t}) - {d}*{m}"
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


def per_axis(s: int, d: int) -> list[Any]:
    """One stride and dilation along rows, then along columns; the other axis as it is."""
    rows = phases("m", "KH", "OH", "u + PT", s, d)
    columns = phases("l", "KW", "OW", "v + PL", s, d)
    said = f"only the taps i0 + S'm along one axis, gcd(S, D) = {gcd(s, d)}"
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
    *(c for s in range(1, 5) for d in range(1, 5) for c in per_axis(s, d)),
]
