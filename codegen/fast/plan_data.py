"""A plan as plain data: its program, its launches, and where each buffer lies."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gradproof.codegen.fast.emission import Program
from gradproof.codegen.fast.layout import Layout
from gradproof.codegen.fast.memory import Need, share
from gradproof.codegen.fast.program import fast_options, fast_program
from gradproof.codegen.fast.tasks import Step


def as_data(
    program: Program,
    step: Step,
    home: Mapping[str, Layout],
    whole: frozenset[str],
    vectors: bool,
) -> dict[str, Any]:
    """Launches with their buffers' slots; the text of the program."""
    first: dict[str, int] = {}
    last: dict[str, int] = {}
    for k, launch in enumerate(program.launches):
        for b in launch.buffers:
            first.setdefault(b, k)
            last[b] = k
    needs = {}
    for b in first:
        if b in step.external:
            continue
        layout = program.layouts.get(b)
        size = program.sizes[b] if layout is None else layout.size
        key = "" if layout is None or not layout.has_border else str((layout.axes, layout.low))
        kind = "int" if b.split("~")[0] in whole else "real"
        needs[b] = Need(size, kind, first[b], last[b], key)
    memory = share(needs)
    return {
        "source": fast_program(program.kernels.values(), vectors),
        "options": {d: list(fast_options(d)) for d in ("float32", "float64")},
        "kernels": [k.name for k in program.kernels.values()],
        "launches": [
            {
                "kernel": x.kernel,
                "buffers": list(x.buffers),
                "scalars": [list(s) for s in x.scalars],
                "sizes": list(x.sizes),
                "groups": x.groups,
                "local": x.local,
                "call": x.call,
                "flops": x.flops,
                "note": x.note,
                "what": x.what,
            }
            for x in program.launches
        ],
        "layouts": {
            b: {"shape": x.shape, "axes": x.axes, "low": x.low}
            for b, x in home.items()
            if b in step.external and x.axes != Layout.row_major(x.shape).axes
        },
        "slots": [list(s) for s in memory.slots],
        "slot": dict(memory.slot),
    }
