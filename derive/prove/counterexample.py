"""Small sizes at which two expressions that were to be equal differ.

What the prover does not find it tries to disprove: it draws small sizes that satisfy the facts,
evaluates both sides at places in range, and shrinks the first difference.
"""

from __future__ import annotations

import math
import random
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from itertools import product
from typing import Any

from gradproof.derive.checker import (
    Fact,
    Poly,
    System,
    add,
    const,
    freeze,
    substitute,
    symbols,
    var,
)
from gradproof.derive.prove.models import models
from gradproof.derive.prove.values import (
    Code,
    Outside,
    TooLarge,
    Undefined,
    Values,
    compiled,
)

DRAWS = 400  # size tuples that are tried
WORK = 150_000  # terms that are added up in one search, and again to shrink what it finds
AGAIN = 6  # how often one size tuple is taken, with other elements
PLACES = 32  # index tuples at each size tuple
MANY = 100_000  # index tuples that are not listed
TOLERANCE = Fraction(1, 10**30)  # functions have 60 digits
STEPS = ((0, 0, 0, 1), (0, 0, 1, 1, 2), (0, 1, 1, 2, 3))  # above the lower bound, by turns
WHOLE = ((0, 0, 0, 1, -1), (0, 0, 1, 1, -1, 2), (0, 1, 2, -1, 3))  # for any integer


@dataclass(frozen=True)
class Example:
    """Where something that was to hold does not: sizes, a place, and what is wrong there.

    `left` and `right` are the two values; for a read outside its tensor both are None. `values`
    has the elements that were used.
    """

    sizes: Mapping[str, int]
    place: Mapping[str, int]
    what: str
    left: Any = None
    right: Any = None
    values: Values | None = field(default=None, compare=False, repr=False)

    def __str__(self) -> str:
        """The example in one line."""
        sizes = ", ".join(f"{s} = {v}" for s, v in self.sizes.items())
        names, at = ", ".join(self.place), ", ".join(map(str, self.place.values()))
        return f"at {sizes}{f', ({names}) = ({at})' if names else ''}: {self.what}"


def number(x: Any) -> str:
    """A number in few characters."""
    if isinstance(x, Fraction) and x.denominator > 1000:
        return f"{float(x):.6g}"
    return str(x)


def differ(a: Any, b: Any) -> bool:
    """Whether two values are not the same, up to the digits that functions have."""
    if math.isinf(a) or math.isinf(b):
        return bool(a != b)
    return bool(abs(a - b) > TOLERANCE * (1 + abs(a) + abs(b)))


def differing(system: System, facts: list[Fact], left: Poly, right: Poly) -> Example | None:
    """An example where the facts hold and left is not right, or None if none was found.

    >>> from gradproof.derive.checker import ranges, sub
    >>> record = {"name": "", "tensors": {}, "scalars": {}, "equations": [], "inputs": [],
    ...           "sizes": ["H"], "lower": {"H": 1}, "requires": [], "derived": {}, "outputs": []}
    >>> facts = [(">=", sub(var("H"), const(1))), *ranges([("x", var("H"))])]
    >>> print(differing(System(record), facts, var("x"), sub(var("H"), const(1))))
    at H = 2, (x) = (0): 0 on the left, 1 on the right
    """
    names = symbols(left) | symbols(right)
    return Search(system, facts, names, _Sides(compiled(left), compiled(right))).find()


class _Sides:
    """Two expressions, compared at a place."""

    def __init__(self, left: Code, right: Code) -> None:
        self.left, self.right = left, right

    def __call__(self, values: Values, place: Mapping[str, int]) -> tuple[str, Any, Any] | None:
        """(what is wrong, left, right), or None."""
        try:
            a, b = values.of(self.left, place), values.of(self.right, place)
        except Outside as error:
            return str(error), None, None
        if not differ(a, b):
            return None
        return f"{number(a)} on the left, {number(b)} on the right", a, b


class Search:
    """Draws sizes and looks at places until a test finds something wrong."""

    def __init__(self, system: System, facts: list[Fact], names: set[str], test: Any) -> None:
        self.system, self.test = system, test
        self.work = 0
        derived = system.derived()
        self.places = list(_places(facts, {*system.record["lower"], *derived}))
        known = names.union(*(symbols(p) for _, p in facts), system.record["sizes"])
        fixed = _fixed(system, facts)
        known -= {
            *(i for i, _ in self.places),
            *system.record["scalars"],
            "INT_MAX",
            "pi",
            *derived,
        }
        known -= set(fixed)
        self.order = [s for s in system.record["sizes"] if s in known]
        self.order += sorted(known - set(self.order))
        self.low = {s: b for _, p in facts for s, b in _bound(p)}
        self.fixed = fixed
        self.derived = {s: compiled(e) for s, e in derived.items()}
        own = {i for i, _ in self.places}
        self.facts = [(k, compiled(p)) for k, p in facts if not symbols(p) & own]
        self.inner = [(k, compiled(p)) for k, p in facts if symbols(p) & own]
        self.given = facts

    def find(self) -> Example | None:
        """The example with its sizes made small."""
        for seed, sizes in enumerate(self.candidates()):
            found = self.at(sizes, seed)
            if found:
                return self.shrunk(sizes, seed, found)
            if self.work > WORK:
                return None
        return None

    def candidates(self) -> Iterator[dict[str, int]]:
        """Sizes that satisfy the facts, small ones first."""
        seen: Counter[tuple[int, ...]] = Counter()
        for n in range(DRAWS):
            sizes = self.complete(self.draw(n))
            if sizes and seen[key := tuple(sizes.values())] < AGAIN:
                seen[key] += 1
                yield sizes
        if not seen:  # equations between sizes are not met by chance
            for model in models(self.given, 8):
                sizes = self.complete({s: model.get(s, self.low.get(s, 0)) for s in self.order})
                if sizes:
                    yield sizes

    def draw(self, n: int) -> dict[str, int]:
        """The n-th size tuple."""
        generator, step = random.Random(n), min(n // 30, 2) if n else 0
        return {
            s: self.low[s] + generator.choice(STEPS[step]) * bool(n)
            if s in self.low
            else generator.choice(WHOLE[step]) * bool(n)
            for s in self.order
        } | self.fixed

    def complete(self, sizes: dict[str, int]) -> dict[str, int] | None:
        """The sizes with those that are derived from them; None where a fact fails."""
        first = [s for s in self.system.record["sizes"] if s in sizes]
        env: dict[str, Any] = {s: sizes[s] for s in [*first, *sizes]}
        nothing: Any = None  # facts about sizes read no tensor
        try:
            for s, code in self.derived.items():
                env[s] = int(code(nothing, env))
            holds = all(_holds(k, code(nothing, env)) for k, code in self.facts)
        except (Undefined, AttributeError):
            return None
        return env if holds else None

    def at(self, sizes: dict[str, int], seed: int) -> Example | None:
        """The first place at which something is wrong."""
        values = Values(self.system, sizes, seed)
        for place in self.some(values, seed):
            try:
                if not all(_holds(k, values.of(code, place)) for k, code in self.inner):
                    continue
                found = self.test(values, place)
            except Undefined:
                continue
            except TooLarge:
                break
            if found:
                self.work += values.work
                values.work = 0
                what, a, b = found
                return Example(sizes, dict(place), what, a, b, values)
        self.work += values.work + 1
        return None

    def some(self, values: Values, seed: int) -> Iterable[dict[str, int]]:
        """All places in range, or some of them."""
        extents = [range(int(values.of(n, {}))) for _, n in self.places]
        names, generator = [i for i, _ in self.places], random.Random(seed)
        if math.prod(map(len, extents)) > MANY:
            return [
                dict(zip(names, map(generator.choice, extents), strict=True)) for _ in range(PLACES)
            ]
        every = [dict(zip(names, at, strict=True)) for at in product(*extents)]
        return every if len(every) <= PLACES else generator.sample(every, PLACES)

    def shrunk(self, sizes: dict[str, int], seed: int, found: Example) -> Example:
        """The same trouble at sizes that cannot be reduced one by one."""
        limit = self.work + WORK
        again = True
        while again and self.work < limit:
            again = False
            for s in self.order:
                for smaller in self.below(s, sizes[s]):
                    fewer = self.complete(
                        {n: sizes[n] for n in self.order} | {s: smaller} | self.fixed
                    )
                    better = self.at(fewer, seed) if fewer else None
                    if fewer and better and (better.left is None) == (found.left is None):
                        sizes, found, again = fewer, better, True
                        break
        return found

    def below(self, s: str, v: int) -> Iterable[int]:
        """Simpler values for a size."""
        return range(self.low[s], v) if s in self.low else range(0, v) if v > 0 else [0] * (v < 0)


def _holds(kind: str, v: Any) -> bool:
    return bool(v == 0 if kind == "==" else v >= 0)


def _places(facts: list[Fact], sizes: set[str]) -> Iterator[tuple[str, Code]]:
    """(index, extent) for every name that the facts keep in 0..extent-1."""
    starts = [m[0] for k, p in facts if k == ">=" and list(p.values()) == [1] for m in p if m]
    for i in dict.fromkeys(s for s in starts if isinstance(s, str) and s not in sizes):
        for k, p in facts:
            extent = add(p, var(i), const(1))
            if k == ">=" and p.get((i,)) == -1 and i not in symbols(extent):
                yield i, compiled(extent)
                break


def _bound(p: Poly) -> Iterator[tuple[str, int]]:
    """(s, b) where p is s - b."""
    linear = [m for m in p if m]
    if len(linear) == 1 and len(linear[0]) == 1 and p[linear[0]] == 1:
        (name,) = linear[0]
        if isinstance(name, str):
            yield name, int(-p.get((), Fraction(0)))


def _fixed(system: System, facts: list[Fact]) -> dict[str, int]:
    """The sizes that have been replaced by a number: those for which the system's facts, with that
    number put in, are among the given ones."""
    known = set().union(*(symbols(p) for _, p in facts))
    lower = system.record["lower"]
    gone = [s for s in system.record["sizes"] if s not in known]
    have = {(k, freeze(p)) for k, p in facts}
    smallest = [lower.get(s, 0) for s in gone]
    for more in product(range(4), repeat=len(gone)):
        numbers = [b + n for b, n in zip(smallest, more, strict=True)]
        mapping = {s: const(n) for s, n in zip(gone, numbers, strict=True)}
        changed = [(k, substitute(p, mapping)) for k, p in system.sizes()]
        if all((k, freeze(p)) in have for k, p in changed if any(p)):
            return dict(zip(gone, numbers, strict=True))
    return dict(zip(gone, smallest, strict=True))
