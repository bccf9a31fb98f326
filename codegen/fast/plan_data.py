"""A plan as plain data: its program, its launches, and where each buffer lies."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from math import prod
from typing import Any

from gradproof.codegen.fast.again import computed_again
from gradproof.codegen.fast.early import early
from gradproof.codegen.fast.emission import BASE, Program
from gradproof.codegen.fast.fitting import Limits, check_fits, local_elements
from gradproof.codegen.fast.layout import Layout
from gradproof.codegen.fast.memory import Need, share
from gradproof.codegen.fast.program import fast_options, fast_program
from gradproof.codegen.fast.recompute import recomputed
from gradproof.codegen.fast.tasks import Step
from gradproof.codegen.fast.zeros import zero_kernel


def as_data(
    program: Program,
    step: Step,
    home: Mapping[str, Layout],
    whole: frozenset[str],
    vectors: bool,
    limits: Limits,
    recompute: bool = False,
    piece: int = 0,
) -> dict[str, Any]:
    """Launches, where their buffers lie, and the text of the program. limits: of a work-group;
    piece: elements of one allocation of temporaries, 0 for all.

    Errors: Unsound for a kernel that does not keep to the limits."""
    repeats = _compute_again(program, step.external, recompute)
    needs = _needs(program, step.external, whole)
    memory = share(needs, tight=recompute, piece=piece)
    _zero(program, memory.zeroed, needs, vectors, limits.items)
    check_fits(program.kernels.values(), limits, "planned step")
    local = {k.name: local_elements(k.text) for k in program.kernels.values()}
    outside = {b: x for b, x in home.items() if b in step.external}
    inside = {b: x for b, x in program.layouts.items() if b in memory.places}
    return {
        "source": fast_program(program.kernels.values(), vectors),
        "options": {d: list(fast_options(d)) for d in ("float32", "float64")},
        "kernels": [k.name for k in program.kernels.values()],
        "launches": [
            {
                "kernel": x.kernel,
                "buffers": list(x.buffers),
                "writes": list(x.writes),
                "scalars": [list(s) for s in x.scalars],
                "sizes": list(x.sizes),
                "groups": x.groups,
                "local": x.local,
                "shared": local.get(x.kernel, 0),
                "call": x.call,
                "flops": x.flops,
                "note": x.note,
                "what": x.what,
                "work": x.work,
                "moved": list(x.moved),
            }
            for x in program.launches
        ],
        "repeats": repeats,
        "layouts": _layouts(outside),
        "inside": _layouts(inside),
        "replaced": list(program.replaced),
        "sizes": dict(memory.sizes),
        "piece": piece,
        "places": {b: [needs[b].dtype, *place] for b, place in memory.places.items()},
        "elements": {
            b: [memory.places[b][1] if n.key else n.elements, _has_gaps(program, b)]
            for b, n in needs.items()
        },
    }


def _layouts(known: Mapping[str, Layout]) -> dict[str, Any]:
    """Those that are not row-major."""
    return {
        b: {"shape": x.shape, "axes": x.axes, "low": x.low}
        for b, x in known.items()
        if x.axes != Layout.row_major(x.shape).axes
    }


def _compute_again(program: Program, external: Collection[str], recompute: bool) -> int:
    """Less memory for some launches more, see `again` and `recompute`; returns how many."""

    def size(b: str) -> int:
        layout = program.layouts.get(b)
        return program.sizes[b] if layout is None else layout.size

    used = {b for x in program.launches for b in x.buffers}
    own = {b: size(b) for b in sorted(used - set(external))}
    before = len(program.launches)
    if recompute:
        program.launches, copies = recomputed(early(program.launches, external), own, size)
    else:
        program.launches, copies = computed_again(program.launches, own, size)
    for copy, b in copies.items():
        known: dict[str, Any] = program.layouts if b in program.layouts else program.sizes
        known[copy] = known[b]
    return len(program.launches) - before


def _needs(program: Program, external: Collection[str], whole: Collection[str]) -> dict[str, Need]:
    """What the temporaries of a program ask of memory."""
    first: dict[str, int] = {}
    last: dict[str, int] = {}
    for k, launch in enumerate(program.launches):
        for b in launch.buffers:
            first.setdefault(b, k)
            last[b] = k
    needs = {}
    for b in first:
        if b in external:
            continue
        layout = program.layouts.get(b)
        size = program.sizes[b] if layout is None else layout.size
        key = "" if layout is None or not layout.has_border else str((layout.axes, layout.low))
        kind = "int" if re.split("[~^]", b)[0] in whole else "real"
        needs[b] = Need(size, kind, first[b], last[b], key)
    return needs


def _has_gaps(program: Program, b: str) -> bool:
    """Whether a buffer has places that no element lies at: a border, a block that is not full."""
    layout = program.layouts.get(b)
    return layout is not None and layout.size > prod(layout.shape)


def _zero(
    program: Program,
    buffers: Collection[str],
    needs: Mapping[str, Need],
    vectors: bool,
    items: int,
) -> None:
    """Launches that zero `buffers`, each before the first that uses it."""
    launches, program.launches = program.launches, []
    for k, launch in enumerate(launches):
        for b in sorted(b for b in buffers if needs[b].first == k):
            program.what = f"border for {launch.what}"
            kernel = zero_kernel(BASE, needs[b].elements, vectors, items)
            program.add((kernel,), {"t0": b}, moved=(needs[b].elements, 0))
        program.launches.append(launch)
