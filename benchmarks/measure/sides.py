"""From a formula to a contest: our side, PyTorch's memory formats, and the float64 reference."""

from __future__ import annotations

from functools import partial

from benchmarks.measure import ours, theirs
from benchmarks.measure.contest import Case, Contest, Side

IMAGE_AXES = 4


def contest(case: Case) -> Contest:
    """PyTorch in each memory format that the operands can have; the reference is PyTorch's
    float64, or our own where PyTorch is not installed."""
    images = any(len(shape) == IMAGE_AXES for shape in case.operands.values())
    variants = [theirs.NCHW, theirs.CHANNELS_LAST] if images else ["contiguous"]
    sides: dict[str, Side] = {}
    reference: Side = partial(ours.FunctionJob, case, dtype="float64")
    if theirs.installed():
        sides = {v: partial(theirs.FunctionJob, case, variant=v) for v in variants}
        reference = partial(theirs.FunctionJob, case, dtype="float64")
    return Contest(
        case.name,
        case.draw,
        partial(ours.FunctionJob, case),
        sides,
        reference,
        flops=case.flops,
        bytes=case.bytes,
        floor=case.floor,
        target=case.target,
    )
