"""What every schedule gives: one kernel as text, and what a host needs to launch it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class FastKernel:
    """One OpenCL kernel for known sizes and layouts.

    `text` is the whole function. Its arguments are `tensors` in order (name, whether it is
    written), then `scalars` (name, "real" or "uint"). It is launched
    over `groups` work-groups of `local` work-items. `flops`: operations of the equation, computed
    directly; `scratch`: tensors that only this step's kernels use, with their sizes in elements.
    """

    name: str
    text: str
    tensors: tuple[tuple[str, bool], ...]
    groups: int
    scalars: tuple[tuple[str, str], ...] = ()
    flops: int = 0
    scratch: tuple[tuple[str, int], ...] = ()
    note: str = ""
    local: int = 1
