"""The size limits under which 32 bits are enough, read off the kernels' integer expressions.

Each integer that a kernel computes is bounded by its value at the ends of the indices' ranges: a
polynomial in the sizes. A host that keeps these polynomials below 2^31 is safe. Those that follow
from others, or from the tensors' numbers of elements, are left out.
"""

from __future__ import annotations

from typing import Any

from gradproof.derive.checker import (
    Base,
    Certificates,
    Fact,
    Kernel,
    Poly,
    Source,
    System,
    divisions,
    freeze,
    is_monomial_of,
    scale,
    show,
    sub,
    symbols,
    var,
)
from gradproof.derive.prove.corners import dominated, extents, greatest, positive_sizes
from gradproof.derive.prove.lemmas import prove_with_lemmas


class _Silent(Certificates):
    """Asks for nothing: the kernels are only read."""

    def settle(self, where: str, facts: list[Fact], goals: list[Fact]) -> None:
        """Nothing."""

    def equal(self, *_: Any) -> None:
        """Nothing."""

    def satisfied(self, *_: Any) -> None:
        """Nothing."""


def size_limits(record: Any, entry: Any, text: str) -> list[str]:
    """Polynomials in the sizes that have to stay below 2^31, for all kernels of an operator."""
    found: dict[Any, Poly] = {}
    forms: list[tuple[System, str, dict[str, int]]] = []
    kernels = {k[0]: k for k in Source(record["name"], text).kernels()}
    for variant in entry["variants"].values():
        system = System(record, variant["without"])
        base = Base(system, _Silent(_empty(record)), [])
        for name in [*variant["forward"], *variant["backward"]]:
            kernel = Kernel(system, kernels[name], base.certificates, base)
            kernel.run()
            for limit in _of_kernel(kernel, base):
                found[freeze(limit)] = limit
            if "phases" in entry["kernels"][name]:
                phases = entry["kernels"][name]["phases"]
                forms.append((system, phases["kernel"], phases["when"]))
    for system, name, when in forms:  # most of their numbers are below the limits of the others
        known = Base(system, _Silent(_empty(record)), [show(p) for p in found.values()]).fixed(when)
        kernel = Kernel(system, kernels[name], known.certificates, known)
        kernel.run()
        for limit in _of_kernel(kernel, known, proving=True):
            found[freeze(limit)] = limit
    return [show(p) for p in _maximal(list(found.values()), base)]


def _empty(record: Any) -> Any:
    return {"definition": record, "proofs": {}, "maps": {}, "cofactors": {}}


def _of_kernel(kernel: Kernel, base: Base, proving: bool = False) -> list[Poly]:
    """Limits under which a kernel's numbers fit; none for those that are shown to fit, if
    `proving`."""
    out = []
    done: set[Any] = set()
    positive = positive_sizes(base.facts)
    known = [sub(var("INT_MAX"), p) for _, p in base.limits]  # each of them is below 2^31
    for facts, _, why, (_, p) in kernel.noted():
        if why != "fits" or freeze(p) in done or is_monomial_of(p, base.bounded):
            continue
        done.add(freeze(p))
        ranges = extents([*facts, *divisions([*facts, (">=", p)])])
        for q in (p, scale(p, -1)):
            end = greatest(q, ranges)
            # without an end in sizes there is no limit to state, and `Kernel.fits` will say so
            if end is None or not symbols(end) <= {*base.system.symbols}:
                continue
            if any(dominated(end, bound, positive) for bound in [*known, {}]):
                continue
            if not (proving and _follows(base, facts, q)):
                out.append(end)
    return out


def _follows(base: Base, facts: list[Fact], p: Poly) -> bool:
    """Whether p <= INT_MAX is shown under the limits."""
    goals: list[Fact] = [(">=", sub(var("INT_MAX"), p))]
    return not prove_with_lemmas(base.certificates.complete(facts + base.limits, goals), goals)[1]


def _maximal(limits: list[Poly], base: Base) -> list[Poly]:
    """Those that no other one implies."""
    positive = positive_sizes(base.facts)
    ordered = sorted(limits, key=lambda q: (len(q), show(q)))
    kept: list[Poly] = []
    for k, p in enumerate(ordered):
        others = kept + ordered[k + 1 :]
        if not any(dominated(p, q, positive) for q in others):
            kept.append(p)
    return kept
