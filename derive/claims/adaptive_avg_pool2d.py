"""Adaptive average pooling, L1: window x of OH holds rows floor(x*H/OH) to ceil((x+1)*H/OH) - 1."""

from __future__ import annotations

from typing import Any

CLAIMS: list[dict[str, Any]] = [
    {
        "claim": "L1 adaptive average pool",
        "statement": "z = the mean over each of OH x OW windows",
        "free": [["n", "N"], ["c", "C"], ["x", "OH"], ["y", "OW"]],
        "left": {"value": "z"},
        "right": {"tensor": "even_means(Y, OH, OW)"},
    },
    {
        "claim": "L1 adaptive average pool gradient",
        "statement": "dloss/dY = the sum over the windows around a pixel of dloss/dz/size",
        "free": [["n", "N"], ["c", "C"], ["u", "H"], ["v", "W"]],
        "left": {"adjoint": "Y"},
        "right": {"tensor": "even_spread(grad_z, H, W)"},
    },
]


def _axis(name: str, size: str, count: str, x: str, u: str) -> list[dict[str, Any]]:
    first, last = f"{x}*{size}//{count}", f"(({x} + 1)*{size} + {count} - 1)//{count} - 1"
    own = f"{u}*{count}//{size}"
    around = f"(({own} + 1)*{size} + {count} - 1)//{count} - 1"
    return [
        {
            "claim": f"L1 adaptive windows, {name}",
            "statement": "every window holds a pixel, and none outside the image",
            "free": [[x, count]],
            "goals": [f"0 <= {first}", f"{first} <= {last}", f"{last} <= {size} - 1"],
        },
        {
            "claim": f"L1 adaptive windows cover, {name}",
            "statement": f"pixel {u} is in window floor({u}*{count}/{size})",
            "free": [[u, size]],
            "goals": [
                f"0 <= {own}",
                f"{own} <= {count} - 1",
                f"({own})*{size}//{count} <= {u}",
                f"{u} <= {around}",
            ],
        },
    ]


CLAIMS += _axis("rows", "H", "OH", "x", "u") + _axis("columns", "W", "OW", "y", "v")
