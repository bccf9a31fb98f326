"""Random sizes that meet all conditions of a definition, for a case to be tried.

Sizes are drawn at random; while a condition is broken, one of the sizes in it is changed to a value
that meets it, and while a sum visits too many index tuples, one size is made smaller.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from functools import cache

import numpy as np
import sympy as sp

from gradproof.derive.arithmetic import Integers
from gradproof.derive.errors import DefinitionError
from gradproof.derive.expr import Guard, NonNeg, reduces
from gradproof.derive.language import Definition
from gradproof.derive.machine import Machine, Points

STEPS = 200
PADDINGS = (-1, 3)  # sizes that may be any integer are drawn from -1, 0, 1, 2


def random_sizes(
    d: Definition, rng: np.random.Generator, largest: int, work: int, fixed: Mapping[str, int]
) -> Machine:
    """Sizes up to `largest`, `fixed` as they are, and shapes without an empty axis.

    work: the most index tuples that one sum of the definition may visit. Errors: DefinitionError
    names the condition that none of the sizes tried meets.

    >>> from gradproof.derive.registry import find
    >>> machine = random_sizes(find("linear"), np.random.default_rng(0), 5, 100, {"K": 3})
    >>> machine.shapes["w"][1]
    3
    """
    sizes = {s: _draw(d, s, rng, largest) for s in d.sizes}
    sizes |= {s: fixed[str(s)] for s in d.sizes if str(s) in fixed}
    free = [s for s in d.sizes if str(s) not in fixed]
    reason = ""
    for _ in range(STEPS):
        broken = _broken(d, sizes)
        if broken:
            guard, reason = broken
            _mend(d, sizes, guard, free, rng, largest)
            continue
        machine = Machine.sized(d, {str(s): n for s, n in sizes.items()})
        if _visits(machine) <= work:
            return machine
        reason = f"more than {work} index tuples"
        if not _shrink(d, sizes, free, rng):
            break
    raise DefinitionError(f"{d.name}: no sizes up to {largest} in {STEPS} steps: {reason}")


@cache
def _conditions(d: Definition) -> tuple[tuple[Guard, str], ...]:
    """The declared conditions, and that no axis of a tensor is empty, each with its message."""
    known: dict[sp.Basic, sp.Basic] = {}
    for s, e in d.derived:
        known[s] = e.xreplace(known)
    found = [(r.guard, r.message) for r in d.requires]
    found += [(NonNeg(e - 1), f"{s} is less than 1") for s, e in known.items()]
    for t in d.tensors:
        extents = [e.xreplace(known) for e in t.shape]
        found += [(NonNeg(e - 1), f"{t.name} has no element") for e in extents if not e.is_Integer]
    return tuple(found)


def _broken(d: Definition, sizes: Mapping[sp.Symbol, int]) -> tuple[Guard, str] | None:
    machine, nowhere = Machine(d, dict(sizes), {}, {}, Integers()), Points(1, {})
    for guard, message in _conditions(d):
        if not machine.holds(guard, nowhere).all():
            return guard, message
    return None


def _mend(
    d: Definition,
    sizes: dict[sp.Symbol, int],
    guard: Guard,
    free: list[sp.Symbol],
    rng: np.random.Generator,
    largest: int,
) -> None:
    """Change one size of a broken condition so that it holds, or, where none can, at random."""
    inside = [s for s in free if s in guard.free_symbols]
    if not inside:
        raise DefinitionError(f"{d.name}: the sizes that are asked for break {guard}")
    lower, nowhere = dict(d.lower), Points(1, {})
    order = [inside[k] for k in rng.permutation(len(inside))]
    ranges = [(s, range(lower.get(s, PADDINGS[0]), largest + 1)) for s in order]
    ranges += [(s, range(-largest, largest + 1)) for s in order if s not in lower]
    for s, values in ranges:
        machines = ((v, Machine(d, {**sizes, s: v}, {}, {}, Integers())) for v in values)
        held = [v for v, machine in machines if machine.holds(guard, nowhere).all()]
        if held:
            near = [v for v in held if s in lower or v < PADDINGS[1]] or held
            sizes[s] = near[int(rng.integers(len(near)))]
            return
    sizes[order[0]] = _draw(d, order[0], rng, largest)


def _shrink(
    d: Definition, sizes: dict[sp.Symbol, int], free: list[sp.Symbol], rng: np.random.Generator
) -> bool:
    """Make one size smaller; False where none can be."""
    can = [s for s in free if sizes[s] > dict(d.lower).get(s, sizes[s])]
    if not can:
        return False
    s = can[int(rng.integers(len(can)))]
    sizes[s] = int(rng.integers(dict(d.lower)[s], sizes[s]))
    return True


def _draw(d: Definition, s: sp.Symbol, rng: np.random.Generator, largest: int) -> int:
    """A size from its lower bound up, small ones more often: most conditions want H >= K."""
    low = dict(d.lower).get(s)
    if low is None:
        return int(rng.integers(*PADDINGS))
    return int(low) + int(max(largest + 1 - low, 1) * rng.uniform() ** 2)


def _visits(machine: Machine) -> int:
    """The largest number of index tuples that one equation visits."""
    largest = 0
    for e in machine.definition.equations:
        elements = math.prod(machine.shapes[e.target])
        loops = [math.prod(machine.extent(n) for _, n in r.indices) for r in reduces(e.body)]
        largest = max(largest, elements * max(loops, default=1))
    return largest
