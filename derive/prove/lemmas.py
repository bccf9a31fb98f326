"""Small facts that open the way to a goal: ranges of quotients, equal labels at equal places.

The prover is asked for the goals first. Where it fails, these are shown, added to the facts, and
it is asked again; steps that no goal needs are dropped in the end.
"""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from itertools import permutations
from typing import Any

from gradproof.derive.checker import (
    Fact,
    Poly,
    add,
    atoms_in,
    const,
    divide,
    freeze,
    scale,
    sub,
    symbols,
    var,
)
from gradproof.derive.prove.corners import dominated, extents, greatest, positive_sizes
from gradproof.derive.prove.handelman import prove, trivial

Step = tuple[str, Poly, list[Any], list[Any]]


class Proof(list[Step]):
    """The steps so far, and what was tried in vain: (kind, polynomial, places of the facts)."""

    def __init__(self) -> None:
        super().__init__()
        self.failed: set[Any] = set()


def prove_with_lemmas(facts: list[Fact], goals: list[Fact]) -> tuple[list[Step], list[int]]:
    """Like `prove`, with the lemmas of this module."""
    proof = Proof()
    left = [g for g in goals if not trivial(g)]
    if left:
        for lemma, equation in [*_same_quotients([*facts, *left]), *_digits([*facts, *left])]:
            _near(facts, proof, lemma, equation)
        left = [g for g in left if not _near(facts, proof, g) and not _fits(facts, proof, g)]
        near = [g for g in left if "INT_MAX" not in symbols(g[1])]  # others wait for the ranges
        shown = [g for g in near if _near(facts, proof, g, _around(facts, proof, g))]
        left = [g for g in left if g not in shown]
    if left:
        for lemma in _ranges([*facts, *left]):
            _near(facts, proof, lemma)
        same = []
        for pairs, equality in _equal_places([*facts, *left]):
            if not _extend(facts, proof, pairs):
                proof.append((*equality, [], []))
                same.append(equality[1])
        carried = list(_carried(facts, same))
        for lemma in carried:
            _near(facts, proof, lemma)
        for lemma, equation in _digits([*carried, *left]) if carried else ():
            _near(facts, proof, lemma, equation)
        left = [g for g in left if not _fits(facts, proof, g) and not _near(facts, proof, g)]
        left = [g for g in left if not _near(facts, proof, g, _around(facts, proof, g))]
    if left and _extend(facts, proof, left):
        return [], [k for k, g in enumerate(goals) if g in left]
    return needed(len(facts), proof, goals), []


def _near(facts: list[Fact], proof: Proof, goal: Fact, more: Poly | None = None) -> bool:
    """Try to show a goal from the facts that speak of nothing but what the goal speaks of, and
    what is known to equal it, or what `more` speaks of."""
    known = facts + [(kind, p) for kind, p, _, _ in proof]
    if goal in known:
        return True
    atoms = {*atoms_in(goal[1]), *atoms_in(more or {})}
    for kind, p, _, _ in proof:
        if kind == "==" and any(a in atoms for m in p for a in m):
            atoms |= set(atoms_in(p))
    atoms |= {("%", *a[1:]) for a in atoms if a[0] == "//"} | {
        ("//", *a[1:]) for a in atoms if a[0] == "%"
    }
    places = [k for k, (_, p) in enumerate(known) if all(a in atoms for m in p for a in m)]
    attempt = goal[0], freeze(goal[1]), tuple(places)
    if attempt in proof.failed:
        return False
    steps, unproven = prove([known[k] for k in places], [goal])
    if unproven:
        proof.failed.add(attempt)
        return False
    where = [*places, *range(len(known), len(known) + len(steps))]
    proof += [moved(step, where) for step in steps]
    return True


def _around(facts: list[Fact], proof: Proof, goal: Fact) -> Poly:
    """A polynomial that speaks of what small facts about the goal's indices speak of."""
    sizes = positive_sizes(facts)
    atoms = {a for m in goal[1] for a in m} - sizes
    out: Poly = {}
    for _, p in facts + [(kind, p) for kind, p, _, _ in proof]:
        mentioned = dict.fromkeys(a for m in p for a in m)
        if len(mentioned) <= 5 and atoms & set(mentioned):
            out |= {(a,): Fraction(1) for a in mentioned}
    return out


def moved(step: Step, where: list[int]) -> Step:
    """A step with its indices read off a list."""
    kind, p, pos, eq = step
    there = [(c, [i if i == -1 else where[i] for i in indices]) for c, indices in pos]
    return kind, p, there, [(where[i], c) for i, c in eq]


def _extend(facts: list[Fact], proof: Proof, goals: list[Fact]) -> list[int]:
    known = facts + [(kind, p) for kind, p, _, _ in proof]
    steps, unproven = prove(known, goals)
    proof += steps
    return unproven


def needed(count: int, steps: list[Step], goals: list[Fact]) -> list[Step]:
    """The steps that the goals rest on, with their indices counted anew."""
    place = {(s[0], freeze(s[1])): count + k for k, s in reversed(list(enumerate(steps)))}
    wanted = {place[g[0], freeze(g[1])] for g in goals if (g[0], freeze(g[1])) in place}
    for k in range(len(steps) - 1, -1, -1):
        if count + k in wanted:
            kind, p, pos, eq = steps[k]
            wanted |= {i for _, indices in pos for i in indices} | {i for i, _ in eq}
            if not pos and not eq:  # equal places: the equations of the subscripts
                wanted |= {place[f] for f in _places_of(p) if f in place}
    new: dict[int, int] = {-1: -1} | {i: i for i in range(count)}
    out: list[Step] = []
    for k, (kind, p, pos, eq) in enumerate(steps):
        if count + k in wanted:
            moved = [(c, [new[i] for i in indices]) for c, indices in pos]
            new[count + k] = count + len(out)
            out.append((kind, p, moved, [(new[i], c) for i, c in eq]))
    return out


def _places_of(p: Poly) -> list[Any]:
    a, b = (m[0] for m in p)
    pairs = zip(map(dict, a[2]), map(dict, b[2]), strict=True)
    differences = [sub(x, y) for x, y in pairs]
    return [("==", freeze(d)) for x in differences for d in (x, scale(x, -1))]


def _same_quotients(facts: list[Fact]) -> Iterator[tuple[Fact, Poly]]:
    """a//c == b//c, where a == b is among the facts; with the fact that says so."""
    divided = dict.fromkeys(a[1:] for _, p in facts for a in atoms_in(p) if a[0] in ("//", "%"))
    equal = {freeze(p): p for kind, p in facts if kind == "=="}
    for (a, c), (b, d) in permutations(divided, 2):
        p = equal.get(freeze(sub(dict(a), dict(b))))
        if p is not None and c == d:
            yield ("==", sub(var(("//", a, c)), var(("//", b, c)))), p


def _digits(facts: list[Fact]) -> Iterator[tuple[Fact, Poly]]:
    """a//b == d and a%b == e, where a == b*d + e is among the facts, or d == 0, e == a < b is;
    with the fact that says so."""
    divided = dict.fromkeys(a[1:] for _, p in facts for a in atoms_in(p) if a[0] in ("//", "%"))
    known = {(kind, freeze(p)) for kind, p in facts}
    for a, b in divided:
        q, r = var(("//", a, b)), var(("%", a, b))
        below = add(dict(b), scale(dict(a), -1), const(-1))
        if (">=", freeze(below)) in known:
            yield ("==", q), below
            yield ("==", sub(dict(a), r)), below
            continue
        for kind, p in facts:
            own = kind != "==" or any(m in p for m in r)  # it says what a//b is
            for both in (add(p, dict(a)), sub(dict(a), p)) if not own and len(b) == 1 else ():
                if len(both) != len(p) - len(a):
                    continue
                whole, rest = _split(both, b[0][0])
                if whole:
                    yield ("==", sub(whole, q)), p
                    yield ("==", sub(rest, r)), p


def _split(p: Poly, divisor: tuple[Any, ...]) -> tuple[Poly, Poly]:
    """p = divisor*whole + rest, term by term."""
    parts = {m: divide({m: c}, {divisor: Fraction(1)}) for m, c in p.items()}
    exact = {m for m, (_, rest) in parts.items() if not rest}
    whole = add(*(parts[m][0] for m in exact))
    return whole, {m: c for m, c in p.items() if m not in exact}


def _ranges(facts: list[Fact]) -> Iterator[Fact]:
    """0 <= q <= E - 1 for every quotient q of a by b, where a <= b*E - 1 is among the facts."""
    quotients = dict.fromkeys(a for _, p in facts for a in atoms_in(p) if a[0] == "//")
    for atom in quotients:
        q, a, b = var(atom), dict(atom[1]), dict(atom[2])
        yield ">=", q
        for kind, p in facts:
            whole, rest = divide(add(p, a, const(1)), b) if kind == ">=" else ({}, const(1))
            if not rest and whole:
                yield ">=", add(whole, scale(q, -1), const(-1))


def _fits(facts: list[Fact], proof: Proof, goal: Fact) -> bool:
    """INT_MAX - p >= 0, because p <= its value at the ends of the ranges <= a limit <= INT_MAX."""
    top = var("INT_MAX")
    if "INT_MAX" not in symbols(goal[1]):
        return False
    p = sub(top, goal[1])
    ends = greatest(p, extents(facts)) or []
    end = ends[0] if len(ends) == 1 else None
    positive = positive_sizes(facts)
    limits = [(k, sub(top, f[1])) for k, f in enumerate(facts) if f[1].get(("INT_MAX",)) == 1]
    k, bound = next(
        ((k, q) for k, q in limits if end is not None and dominated(end, q, positive)), (0, {})
    )
    if end is None or not bound:
        return False
    chain = [(">=", sub(bound, end)), (">=", sub(end, p))]
    chain = [g for g in chain if not trivial(g)]
    if not all(_near(facts, proof, g) for g in chain):
        return False
    known = facts + [(kind, q) for kind, q, _, _ in proof]
    links = [k, *(known.index(g) for g in chain)]
    rest = sub(goal[1], add(*(known[i][1] for i in links)))  # what a trivial link leaves
    pos = [(Fraction(1), [i]) for i in [-1, *links]]
    if rest:
        pos.append((rest[()], []))
    proof.append((*goal, pos, []))
    return True


def _equal_places(facts: list[Fact]) -> Iterator[tuple[list[Fact], Fact]]:
    """([arguments are equal], values are equal) for two elements of an integer tensor, or two
    values of a function."""
    elements = list(
        dict.fromkeys(a for _, p in facts for a in atoms_in(p) if a[0] in ("read", "call"))
    )
    for k, a in enumerate(elements):
        for b in elements[:k]:
            if a[:2] == b[:2]:
                pairs = zip(map(dict, a[2]), map(dict, b[2]), strict=True)
                yield [("==", sub(x, y)) for x, y in pairs], ("==", sub(var(a), var(b)))


def _carried(facts: list[Fact], same: list[Poly]) -> Iterator[Fact]:
    """What is known of one of two equal elements, said of the other."""
    for a, b in ((m[0], n[0]) for p in same for m, n in permutations(p)):
        for kind, p in facts:
            if (a,) in p:
                yield kind, add({m: c for m, c in p.items() if m != (a,)}, {(b,): p[a,]})
