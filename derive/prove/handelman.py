"""Finds certificates of polynomial facts over the integers, as `checker.verify_step` takes them.

A goal p >= 0 is shown by refuting -p - 1 >= 0 with a non-negative combination of products of
facts (Handelman's theorem, with equations as in the Positivstellensatz). Three finders are tried:
membership in the equations' ideal, the search that cancels one monomial at a time, and linear
programming. Between them come lemmas: from c * L + r == 0 with |r| < c follows L == 0.

>>> from gradproof.derive.checker import const, sub, var
>>> facts = [(">=", sub(var("n"), const(1))), (">=", var("x")), (">=", sub(var("y"), var("x")))]
>>> steps, unproven = prove(facts, [(">=", var("y")), (">=", sub(var("x"), const(1)))])
>>> len(steps), unproven
(1, [1])
"""

from __future__ import annotations

import math
from fractions import Fraction
from typing import Any

from gradproof.derive.checker import Poly as AtomPoly
from gradproof.derive.checker import verify_step
from gradproof.derive.prove.facts import Facts, Poly, Step, add_scaled, divide
from gradproof.derive.prove.lp import combine, have_solver, ideal
from gradproof.derive.prove.models import counterexample, models, value
from gradproof.derive.prove.proof import Proof
from gradproof.derive.prove.search import search

Fact = tuple[str, AtomPoly]

__all__ = ["counterexample", "have_solver", "prove", "trivial"]

LEMMA_NODES = 60  # states per direction of a lemma
LEMMAS = 24  # lemmas tried in one round


def trivial(goal: Fact) -> bool:
    """Whether the goal is a constant that holds, and so needs no step."""
    kind, p = goal
    if any(p[m] for m in p if m):
        return False
    return p.get((), 0) >= 0 if kind == ">=" else p.get((), 0) == 0


def prove(facts: list[Fact], goals: list[Fact]) -> tuple[list[Step], list[int]]:
    """Steps after which every goal is a fact, and the indices of the goals not proven.

    The steps hold in order, each from `facts` and the steps before it; every one of them is
    needed by some goal. A goal that is trivial or among the facts needs no step.
    """
    names = intern([p for _, p in [*facts, *goals]])
    atoms = {name: atom for atom, name in names.items()}
    inner = [(kind, rename(p, names)) for kind, p in facts]
    wanted = [(kind, rename(p, names)) for kind, p in goals]
    proof = Proof(inner)
    pending = [i for i, (kind, p) in enumerate(wanted) if not attempt(proof, kind, p, False)]
    if pending:
        samples = [{names[a]: v for a, v in model.items() if a in names} for model in models(facts)]
        open_goals = [i for i in pending if all(holds_in(*wanted[i], m) for m in samples)]
        work_on(proof, wanted, open_goals, samples)
    unproven = [i for i in pending if not known(proof, *wanted[i])]
    steps = needed(proof, wanted)
    return [
        (
            kind,
            thaw(p, atoms),
            [(Fraction(c), indices) for c, indices in pos],
            [(i, thaw(q, atoms)) for i, q in eq],
        )
        for kind, p, pos, eq in steps
    ], unproven


# -- atoms --------------------------------------------------------------------------------------
def intern(ps: list[AtomPoly]) -> dict[Any, str]:
    """Short names for atoms whose order is that of the atoms' `repr`."""
    found = sorted({atom for p in ps for m in p for atom in m}, key=repr)
    return {atom: f"{i:05d}" for i, atom in enumerate(found)}


def rename(p: AtomPoly, names: dict[Any, str]) -> Poly:
    """p with short names, whole coefficients as int."""
    return {
        tuple(sorted(names[v] for v in m)): c.numerator if c.denominator == 1 else c
        for m, c in p.items()
        if c
    }


def thaw(p: Poly, atoms: dict[str, Any]) -> AtomPoly:
    """The checker's form of p."""
    return {tuple(atoms[v] for v in m): Fraction(c) for m, c in p.items()}


# -- goals --------------------------------------------------------------------------------------
def known(proof: Proof, kind: str, p: Poly) -> bool:
    """Whether the goal is trivial or already a fact."""
    return trivial((kind, p)) or proof.facts.find(kind, p) is not None


def holds_in(kind: str, p: Poly, model: dict[str, int]) -> bool:
    """Whether the goal holds in a model (or mentions what the model does not give)."""
    if any(v not in model for m in p for v in m):
        return True
    return bool(value(p, model) >= 0 if kind == ">=" else value(p, model) == 0)


def attempt(proof: Proof, kind: str, p: Poly, solver: bool, nodes: int | None = None) -> bool:
    """Show one goal, by the search or (`solver`) by linear programming."""
    if known(proof, kind, p):
        return True
    if kind == "==":
        cofactors = ideal(proof.facts, p)
        if cofactors is not None:
            proof.add("==", p, [], list(cofactors.items()))
            return True
        opposite: Poly = {m: -c for m, c in p.items()}
        if not all(attempt(proof, ">=", q, solver, nodes) for q in (p, opposite)):
            return False
        both = [proof.facts.known[">=", frozenset(q.items())] for q in (p, opposite)]
        proof.add("==", p, [(1, both)], [])
        return True
    if not all(isinstance(c, int) for c in p.values()):
        return False  # "not p >= 0" is p <= -1 for integers only
    if solver:
        combination = combine(proof.facts, p)
        if combination is not None:
            pos, eq = combination
            proof.add(">=", p, pos, list(eq.items()))
        return combination is not None
    found = search(proof.facts, p, nodes) if nodes else search(proof.facts, p)
    if found is not None:
        proof.write(p, found)
    return found is not None


def work_on(
    proof: Proof, wanted: list[Fact], pending: list[int], samples: list[dict[str, int]]
) -> None:
    """Lemmas, the search again, then the solver, for as long as there is progress."""
    tried: set[Any] = set()
    while pending:
        before = len(proof.steps)
        lemmas(proof, samples, tried)
        for solver in (False, True):
            if solver and not have_solver():
                continue
            count = -1
            while len(pending) != count and pending:
                count = len(pending)
                pending = [i for i in pending if not attempt(proof, *wanted[i], solver)]
                if solver:
                    break
        if len(proof.steps) == before:
            return


# -- lemmas -------------------------------------------------------------------------------------
def lemmas(proof: Proof, samples: list[dict[str, int]], tried: set[Any]) -> None:
    """Add L == 0 for those c * L + r == 0 in which L vanishes."""
    lower_bounds(proof, samples, tried)
    count = 0
    for p in candidates(proof.facts):
        key = frozenset(p.items())
        if key in tried or known(proof, "==", p):
            continue
        if not all(holds_in("==", p, model) for model in samples):
            continue
        tried.add(key)
        count += 1
        if count > LEMMAS:
            return
        attempt(proof, "==", p, False, LEMMA_NODES)


def lower_bounds(proof: Proof, samples: list[dict[str, int]], tried: set[Any]) -> None:
    """Add v >= 1 or v >= 0 for atoms v of which less is known: from 0 <= x <= n - 1, n >= 1."""
    atoms = sorted({v for _, p in proof.facts.items for m in p for v in m})
    for v in atoms:
        for low in (1, 0):
            p: Poly = {(v,): 1, (): -1} if low else {(v,): 1}
            if proof.facts.lower.get(v, (-1, 0))[0] >= low or (v, low) in tried:
                continue
            tried.add((v, low))
            if all(holds_in(">=", p, model) for model in samples):
                attempt(proof, ">=", p, False, LEMMA_NODES)


def candidates(facts: Facts) -> list[Poly]:
    """L from equations c * L + r == 0, single ones and differences of two, each c an atom >= 1.

    Two equations are subtracted where they share a monomial that is not a multiple of c.
    """
    equations = [p for i, (kind, p) in enumerate(facts.items) if kind == "=="]
    sizes = sorted(v for v, (low, _) in facts.lower.items() if low >= 1)
    out: dict[Any, Poly] = {}
    for p in combinations(equations):
        for c in sizes:
            quotients = {m: divide(m, (c,)) for m in p}
            part: Poly = {q: p[m] for m, q in quotients.items() if q is not None}
            if len(part) < 2 or len(part) == len(p) == 1:
                continue
            first = min(part)
            part = part if part[first] > 0 else {m: -d for m, d in part.items()}
            out.setdefault(frozenset(part.items()), part)
    return sorted(out.values(), key=lambda p: (len(p), sorted(p.items(), key=str)))


def combinations(equations: list[Poly]) -> list[Poly]:
    """The equations, and all p - c q in which a monomial that p and q share cancels."""
    out = list(equations)
    for i, p in enumerate(equations):
        for q in equations[:i]:
            for m in sorted(set(p) & set(q)):
                if m:
                    out.append(cleared(add_scaled(p, q, -Fraction(p[m]) / Fraction(q[m]))))
    return out


def cleared(p: Poly) -> Poly:
    """p times the least common denominator: lemmas are about integers."""
    common = math.lcm(*(Fraction(c).denominator for c in p.values()))
    return {m: int(c * common) for m, c in p.items()}


# -- the steps that are needed ------------------------------------------------------------------
def needed(proof: Proof, goals: list[Fact]) -> list[Step]:
    """The steps that some goal rests on, renumbered; each is verified."""
    given = proof.given
    marked: set[int] = set()
    for kind, p in goals:
        i = None if trivial((kind, p)) else proof.facts.find(kind, p)
        if i is not None:
            marked.add(i)
    for i in range(len(proof.facts.items) - 1, given - 1, -1):
        if i in marked:
            _, _, pos, eq = proof.steps[i - given]
            marked.update(j for _, indices in pos for j in indices)
            marked.update(j for j, _ in eq)
    number = {i: i for i in range(-1, given)}
    out: list[Step] = []
    facts = proof.facts.items[:given]
    for i, (kind, p, pos, eq) in enumerate(proof.steps, given):
        if i not in marked:
            continue
        number[i] = given + len(out)
        step: Step = (
            kind,
            p,
            [(c, [number[j] for j in indices]) for c, indices in pos],
            [(number[j], q) for j, q in eq],
        )
        if not verify_step(facts, step):
            raise AssertionError(f"a step that does not hold: {step}")
        facts.append((kind, p))
        out.append(step)
    return out
