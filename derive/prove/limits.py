"""The size limits under which 32 bits are enough, read off the kernels' integer expressions.

Each integer that a kernel computes is bounded by its value at the ends of the indices' ranges: a
polynomial in the sizes. A host that keeps these polynomials below 2^31 is safe. Those that follow
from others, or from the tensors' numbers of elements, are left out. Where the checker cannot read a
text, or where an end is not known, the limits are the rough ones that hold for every text.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from gradproof.derive.checker import (
    Base,
    Certificates,
    Fact,
    Kernel,
    Poly,
    Refused,
    Source,
    System,
    atoms_in,
    divisions,
    freeze,
    is_lower_bound,
    is_monomial_of,
    scale,
    show,
    sub,
    symbols,
    var,
)
from gradproof.derive.prove.corners import dominated, extents, greatest, positive_sizes
from gradproof.derive.prove.lemmas import prove_with_lemmas
from gradproof.derive.prove.rough import rough_limits


class _Silent(Certificates):
    """Asks for nothing: the kernels are only read."""

    def settle(self, where: str, facts: list[Fact], goals: list[Fact]) -> None:
        """Nothing."""

    def equal(self, *_: Any) -> None:
        """Nothing."""

    def satisfied(self, *_: Any) -> None:
        """Nothing."""


def size_limits(record: Any, entry: Any, text: str) -> list[str]:
    """Polynomials in the sizes that have to stay below 2^31, for all kernels of an operator.

    A kernel that the checker cannot read, or for one of whose numbers no end is known, has the
    limits of `rough_limits`. Errors: Refused where the text does not parse, or has no limit.
    """
    kernels = {k[0]: k for k in Source(record["name"], text).kernels()}
    found: list[Poly] = []
    forms: list[tuple[list[str], str, dict[str, int]]] = []
    for variant in entry["variants"].values():
        for name in [*variant["forward"], *variant["backward"]]:
            if _also_with_less(entry, variant, name):
                continue
            found += _limits(record, variant["without"], kernels[name])
            if "phases" in entry["kernels"][name]:
                phases = entry["kernels"][name]["phases"]
                forms.append((variant["without"], phases["kernel"], phases["when"]))
    above = [show(p) for p in found]
    for without, name, when in forms:  # most of their numbers are below the limits of the others
        found += _limits(record, without, kernels[name], above, when)
    positive = {s for s, bound in record["lower"].items() if bound >= 1} | {*record["derived"]}
    return [show(p) for p in _maximal(list({freeze(p): p for p in found}.values()), positive)]


def _also_with_less(entry: Any, variant: Any, kernel: str) -> bool:
    """Whether a variant without more of the operands has the same kernel: fewer tensors, whose
    numbers of elements fit 32 bits, show less of it, so its limits are enough for both."""
    others = (v for v in entry["variants"].values() if kernel in (*v["forward"], *v["backward"]))
    return any(set(v["without"]) > set(variant["without"]) for v in others)


def _limits(
    record: Any, without: list[str], text: Any, above: Any = (), when: Any = None
) -> list[Poly]:
    """The limits of one kernel; above: those that are known, when: the sizes that are fixed."""
    empty = {"definition": record, "proofs": {}, "maps": {}, "cofactors": {}}
    try:
        system = System(record, without)
        base = Base(system, _Silent(empty), list(above)).fixed(when or {})
        kernel = Kernel(system, text, base.certificates, base)
        kernel.run()
        exact = _of_kernel(kernel, base, proving=when is not None)
    except Refused:
        exact = None
    return rough_limits(record, text) if exact is None else exact


def _of_kernel(kernel: Kernel, base: Base, proving: bool = False) -> list[Poly] | None:
    """Limits under which a kernel's numbers fit; none for those that are shown to fit, if
    `proving`. None where the end of a number is not known, and it is not shown to fit."""
    ends: list[Poly] = []
    unclear: list[tuple[list[Fact], Poly, list[Poly]]] = []
    positive = positive_sizes(base.facts)
    known = [sub(var("INT_MAX"), p) for _, p in base.limits]  # each of them is below 2^31
    for facts, _, p in kernel.numbers():
        if is_monomial_of(p, base.bounded):
            continue
        ranges = extents([*facts, *divisions([*facts, (">=", p)])])
        for q in (p, scale(p, -1)):
            found = greatest(q, ranges)
            goal = sub(var("INT_MAX"), q)
            if found is None or not set().union(*map(symbols, found)) <= {*base.system.symbols}:
                unclear.append((facts, goal, []))
                continue
            above = [
                end for end in found if not any(dominated(end, b, positive) for b in [*known, {}])
            ]
            if _doubtful(facts, q):
                unclear.append((facts, goal, above))
            elif above and not (proving and _shown(base, facts, goal)):
                ends += above
    unclear += [(facts, p, []) for facts, p in _addresses(kernel, positive)]
    return _with(base, ends, unclear)


def _with(
    base: Base, ends: list[Poly], unclear: list[tuple[list[Fact], Poly, list[Poly]]]
) -> list[Poly] | None:
    """The limits `ends`, with those more under which all that is unclear is shown; else None."""
    for facts, goal, more in unclear:
        if not _shown(base, facts + _under(ends), goal):
            ends = ends + more
            if not more or not _shown(base, facts + _under(ends), goal):
                return None
    return ends


def _under(ends: list[Poly]) -> list[Fact]:
    return [(">=", sub(var("INT_MAX"), end)) for end in ends]


def _addresses(kernel: Kernel, positive: set[str]) -> Iterator[tuple[list[Fact], Poly]]:
    """What has to be at least 0 so that no part of an address is far from its tensor; without
    what is plain from the ends of the ranges."""
    for facts, _, why, (_, p) in kernel.noted():
        if why == "address":
            least = greatest(scale(p, -1), extents([*facts, *divisions([*facts, (">=", p)])]))
            below = least is not None and all(dominated(q, {}, positive) for q in least)
            if not below or _doubtful(facts, p):
                yield facts, p


def _doubtful(facts: list[Fact], p: Poly) -> bool:
    """Whether a quotient in p may be negative, for all that is to be seen without a proof."""
    low = [q for kind, q in facts if kind == ">="]
    known = {next(iter(q)) for q in low if len(q) == 1 and min(q.values()) > 0}
    known |= {m for q in low if is_lower_bound(q) for m in q}

    def grows(q: Poly) -> bool:
        return all(c > 0 and all((a,) in known for a in m) for m, c in q.items())

    above = (dict(a[1]) for a in atoms_in(p) if a[0] == "//")
    return any(not grows(a) and not any(grows(sub(a, q)) for q in low) for a in above)


def _shown(base: Base, facts: list[Fact], p: Poly) -> bool:
    """Whether p >= 0 is shown under the limits."""
    goals: list[Fact] = [(">=", p)]
    return not prove_with_lemmas(base.certificates.complete(facts + base.limits, goals), goals)[1]


def _maximal(limits: list[Poly], positive: set[str]) -> list[Poly]:
    """Those that no other one implies."""
    ordered = sorted(limits, key=lambda q: (len(q), show(q)))
    kept: list[Poly] = []
    for k, p in enumerate(ordered):
        others = kept + ordered[k + 1 :]
        if not any(dominated(p, q, positive) for q in others):
            kept.append(p)
    return kept
