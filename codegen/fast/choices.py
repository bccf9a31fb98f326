"""Which kernel a sum of products gets, as text that a tuner can measure, keep and force.

A choice is `direct TILE`, with a tile as the direct schedule's `note` gives it, `winograd M`: at
most M outputs per axis of a tile, or `lines M`: at most M rows of one. It is kept under the key of
the work that it was measured on: nests, layouts, precision and machine. Any choice computes the
same equations; the claims are those of the schedules.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from gradproof.codegen.fast.contraction import contraction_kernels, contraction_tiles
from gradproof.codegen.fast.kernel import FastKernel
from gradproof.codegen.fast.layout import Layout
from gradproof.codegen.fast.lines import line_kernels
from gradproof.codegen.fast.machine import Machine
from gradproof.codegen.fast.nest import Nest
from gradproof.codegen.fast.program import fast_options, fast_program
from gradproof.codegen.fast.tile_sums import summed
from gradproof.codegen.fast.winograd import winograd_kernels

if TYPE_CHECKING:
    from gradproof.codegen.fast.schedules import Schedules

Kernels = tuple[FastKernel, ...]
TILES = 6  # of the direct schedule, by its model the cheapest
_NAME = "k_"  # begins the names of the kernels of a trial


@dataclass(frozen=True)
class Work:
    """A sum of products as `Schedules.contraction` takes it; its tensors are t0, t1, ..."""

    nests: tuple[Nest, ...]
    layouts: Mapping[str, Layout]
    also: tuple[Nest, ...] = ()
    store: bool = True

    def key(self, precision: str, machine: str) -> str:
        """SHA-256 of all that decides which kernels there are.

        >>> Work((), {}).key("fast", "avx2") == Work((), {}).key("fast", "avx512")
        False
        """
        layouts = sorted(self.layouts.items())
        parts = precision, machine, self.nests, layouts, self.also, self.store
        return hashlib.sha256(repr(parts).encode()).hexdigest()


# -- the choices of the CPU's schedules ---------------------------------------------------------
def cpu_candidates(w: Work, most: int, machine: Machine, lines: int = 0) -> tuple[str, ...]:
    """Choices worth a measurement. most: outputs per axis of a Winograd tile, 0 for none; lines:
    rows of a tile by lines, likewise."""
    target = w.nests[0].out.tensor
    windows = summed(target, w.also, w.layouts[target].shape) is None  # Winograd takes none
    sizes = {2, most} if most and not windows else set()
    tiles = contraction_tiles(w.nests, w.layouts, TILES, machine, w.also, w.store)
    rows = [m for m in (2, lines) if 2 <= m <= lines and _by_lines("k", w, m, machine)]
    return (
        *(f"winograd {m}" for m in sorted(sizes)),
        *(f"lines {m}" for m in sorted(set(rows))),
        *(f"direct {t}" for t in tiles),
    )


def cpu_kernels(
    name: str, w: Work, choice: str, most: int, machine: Machine, lines: int = 0
) -> Kernels:
    """The kernels of a choice. Errors: ValueError where it is none for this work."""
    kind, _, rest = choice.partition(" ")
    if kind == "direct":
        own = contraction_kernels(name, w.nests, w.layouts, w.also, w.store, rest, machine)
        if own is not None:
            return own
    elif kind == "winograd" and rest.isdecimal() and int(rest) <= most:
        m = int(rest)
        found = winograd_kernels(name, w.nests, w.layouts, m, w.also, w.store, machine=machine)
        if found is not None:
            return found
    elif kind == "lines" and len(w.nests) == 1 and rest.isdecimal() and int(rest) <= lines:
        by_lines = _by_lines(name, w, int(rest), machine)
        if by_lines is not None:
            return by_lines
    raise ValueError(f"the choice {choice!r} is none for {[str(n.out) for n in w.nests]}")


def _by_lines(name: str, w: Work, m: int, machine: Machine) -> Kernels | None:
    nest, layouts = w.nests[0], w.layouts
    return line_kernels(name, nest, layouts, m, w.also, w.store, machine, always=True)


# -- what a tuner builds and times --------------------------------------------------------------
def trial(key: str, w: Work, what: Sequence[str], schedules: Schedules) -> dict[str, Any]:
    """The default kernels of some work, under "", and those of its candidates, as plain data.

    what: the equations that it computes, one for each time that a step does it.
    """
    variants: dict[str, dict[str, Any]] = {}
    seen: set[str] = set()
    for choice in ("", *schedules.candidates(w)):
        try:
            kernels = schedules.contraction(
                _NAME, w.nests, w.layouts, w.also, w.store, choice or None
            )
        except ValueError:
            continue  # what the epilogue does not allow
        if kernels is None:
            continue
        source = fast_program(kernels, schedules.vectors)
        if source not in seen:
            seen.add(source)
            variants[choice] = {"source": source, "kernels": [_launch(k) for k in kernels]}
    return {
        "key": key,
        "what": list(what),
        "options": {d: list(fast_options(d)) for d in ("float32", "float64")},
        "tensors": {
            t: {"shape": x.shape, "axes": x.axes, "low": x.low} for t, x in w.layouts.items()
        },
        "variants": variants,
    }


def _launch(k: FastKernel) -> dict[str, Any]:
    found = asdict(k)
    del found["text"]
    return found
