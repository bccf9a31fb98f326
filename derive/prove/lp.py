"""Linear algebra over products of facts: membership in the ideal, and linear programming.

`combine` looks for non-negative multipliers of products of at most two facts, and cofactors of
equations, that refute a negated goal. z3's exact simplex finds them; without z3 there are none.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from fractions import Fraction
from importlib.util import find_spec
from typing import Any

from gradproof.derive.prove.facts import (
    Facts,
    Monomial,
    Number,
    Poly,
    Product,
    add_scaled,
    divide,
    multiply,
    negated,
    ratio,
)

Cofactors = dict[int, Poly]  # index of an equation -> its cofactor
Products = list[Product]
SIZES = (8, 16, 26)  # facts multiplied with each other, one try each
EQUATION_COLUMNS = 160
RESOURCES = 1_500_000  # z3's deterministic measure of work; about a second


def have_solver() -> bool:
    """Whether z3 is installed; it is imported only where it is needed."""
    return find_spec("z3") is not None


# -- equations ----------------------------------------------------------------------------------
def equation_columns(
    facts: Facts, monomials: Iterable[Monomial], rounds: int, most: int
) -> Iterator[list[tuple[int, Monomial, Poly]]]:
    """Round by round, all (i, t, t * equation i) that touch the monomials reached so far."""
    monomials = list(monomials)
    degree = max([len(m) for m in monomials], default=0)
    equations = [(i, p) for i, (kind, p) in enumerate(facts.items) if kind == "=="]
    columns: dict[tuple[int, Monomial], Poly] = {}
    wanted = dict.fromkeys(sorted(monomials))
    for _ in range(rounds):
        new: dict[Monomial, None] = {}
        for w in wanted:
            for i, p in equations:
                for n in sorted(p):
                    t = divide(w, n)
                    if t is None or (i, t) in columns or len(columns) >= most:
                        continue
                    column = multiply({t: 1}, p)
                    if max(len(m) for m in column) <= degree + 1:
                        columns[i, t] = column
                        new.update(dict.fromkeys(sorted(column)))
        yield [(i, t, p) for (i, t), p in columns.items()]
        wanted = {m: None for m in new if m not in wanted} | wanted


def ideal(facts: Facts, p: Poly, rounds: int = 3, most: int = EQUATION_COLUMNS) -> Cofactors | None:
    """Cofactors with p = sum of cofactor * equation, or None if none of low degree exist."""
    count = 0
    for columns in equation_columns(facts, p, rounds, most):
        if len(columns) == count:
            return None
        count = len(columns)
        pivots: dict[Monomial, tuple[Poly, Poly]] = {}
        for name, (_, _, column) in enumerate(columns):
            left, used = reduce(pivots, column, {(str(name),): 1})
            if left:
                head = max(left, key=lambda m: (len(m), m))
                pivots[head] = (left, used)
        left, used = reduce(pivots, p, {})
        if left:
            continue
        out: Cofactors = {}
        for (name_,), c in used.items():
            i, t, _ = columns[int(name_)]
            out[i] = add_scaled(out.get(i, {}), {t: 1}, -c)
        return {i: q for i, q in sorted(out.items()) if q}
    return None


def reduce(pivots: dict[Monomial, tuple[Poly, Poly]], p: Poly, used: Poly) -> tuple[Poly, Poly]:
    """p without the pivots' heads, and the combination of columns that it is."""
    while True:
        heads = [m for m in p if m in pivots]
        if not heads:
            return p, used
        head = max(heads, key=lambda m: (len(m), m))
        row, row_used = pivots[head]
        c = -ratio(p[head], row[head])
        p, used = add_scaled(p, row, c), add_scaled(used, row_used, c)


# -- linear programming -------------------------------------------------------------------------
def relevant(facts: Facts, p: Poly) -> list[int]:
    """Indices of inequalities, those nearest to p (by shared atoms) first."""
    near = {v: 0 for m in p for v in m}
    atoms = [sorted({v for m in q for v in m}) for _, q in facts.items]
    chosen: list[int] = []
    taken: set[int] = set()
    for distance in range(1, 5):
        frontier = dict(near)
        for i, (kind, _) in enumerate(facts.items):
            if i in taken or not any(v in frontier for v in atoms[i]):
                continue
            taken.add(i)
            if kind == ">=" and i not in facts.auxiliary:
                chosen.append(i)
            for v in atoms[i]:
                near.setdefault(v, distance)

    def far(i: int) -> tuple[int, int, int]:
        return max([near[v] for v in atoms[i]], default=0), len(atoms[i]), i

    return sorted(chosen, key=far)


def product_columns(facts: Facts, goal: Poly, chosen: list[int]) -> list[tuple[list[int], Poly]]:
    """The negated goal (index -1), the chosen facts, and their products in pairs."""
    polys = {-1: negated(goal)} | {i: facts.items[i][1] for i in chosen}
    names = list(polys)
    out: list[tuple[list[int], Poly]] = [([], {(): 1})]
    out += [([i], polys[i]) for i in names]
    for a, i in enumerate(names):
        out += [([i, j], multiply(polys[i], polys[j])) for j in names[a:]]
    return out


def presolve(columns: list[tuple[Any, bool, Poly]]) -> list[tuple[Any, bool, Poly]]:
    """Drop columns with a monomial that no other column can cancel."""
    while True:
        plus: set[Monomial] = set()
        minus: set[Monomial] = set()
        lone: dict[Monomial, int] = {}
        for _, signed, p in columns:
            for m, c in p.items():
                lone[m] = lone.get(m, 0) + 1
                if c > 0 or not signed:
                    plus.add(m)
                if c < 0 or not signed:
                    minus.add(m)
        keep = [
            column
            for column in columns
            if all(not m or (m in plus and m in minus and lone[m] > 1) for m in column[2])
        ]
        if len(keep) == len(columns):
            return keep
        columns = keep


def combine(facts: Facts, goal: Poly) -> tuple[Products, Cofactors] | None:
    """Multipliers and cofactors whose sum is -1, from growing sets of facts, or None."""
    if not have_solver():
        return None
    near = relevant(facts, goal)
    tried = -1
    for size in SIZES:
        chosen = near[:size]
        if len(chosen) == tried:
            break
        tried = len(chosen)
        products = product_columns(facts, goal, chosen)
        monomials = sorted({m for _, p in products for m in p})
        equations = next(equation_columns(facts, monomials, 1, EQUATION_COLUMNS))
        columns: list[tuple[Any, bool, Poly]] = [(i, True, p) for i, p in products]
        columns += [((i, t), False, p) for i, t, p in equations]
        columns = presolve(columns)
        values = solve(columns)
        if values is not None:
            return collect(columns, values)
    return None


def collect(
    columns: list[tuple[Any, bool, Poly]], values: list[Fraction]
) -> tuple[Products, Cofactors]:
    """The columns that are used, as a step wants them."""
    pos: Products = []
    eq: Cofactors = {}
    for (name, signed, _), value in zip(columns, values, strict=True):
        if value and signed:
            pos.append((value, list(name)))
        elif value:
            i, t = name
            eq[i] = add_scaled(eq.get(i, {}), {t: 1}, value)
    return pos, {i: q for i, q in sorted(eq.items()) if q}


def solve(columns: list[tuple[Any, bool, Poly]]) -> list[Fraction] | None:
    """Values (non-negative where signed) with sum of value * column = -1, or None."""
    rows: dict[Monomial, list[tuple[int, Number]]] = {(): []}
    for j, (_, _, p) in enumerate(columns):
        for m, c in p.items():
            rows.setdefault(m, []).append((j, c))
    if not any(c < 0 or not columns[j][1] for j, c in rows[()]):
        return None
    import z3

    text = [f"(declare-const x{j} Real)" for j in range(len(columns))]
    text += [f"(assert (>= x{j} 0))" for j, (_, signed, _) in enumerate(columns) if signed]
    for m, row in rows.items():
        terms = " ".join(f"(* {smt(c)} x{j})" for j, c in row)
        text.append(f"(assert (= (+ {terms} 0) {'(- 1)' if not m else '0'}))")
    solver = z3.SolverFor("QF_LRA", ctx=z3.Context())  # of its own: nothing done before counts
    solver.set("random_seed", 0)
    solver.set("rlimit", RESOURCES)
    solver.from_string("\n".join(text))
    if solver.check() != z3.sat:
        return None
    model = solver.model()
    values = {d.name(): z3.simplify(model[d]) for d in model.decls()}
    if not all(map(z3.is_rational_value, values.values())):  # z3 may leave an expression
        return None
    found = {name: value.as_fraction() for name, value in values.items()}
    return [Fraction(found.get(f"x{j}", 0)) for j in range(len(columns))]


def smt(c: Number) -> str:
    """An exact SMT-LIB real."""
    q = Fraction(c)
    text = f"(/ {abs(q.numerator)}.0 {q.denominator}.0)"
    return f"(- {text})" if q < 0 else text
