"""`nonneg` may be weak, never wrong: what it affirms holds for all small sizes and indices."""

from __future__ import annotations

from itertools import product

import numpy as np
import sympy as sp
from hypothesis import given, settings
from hypothesis import strategies as st

from gradproof.derive.bounds import Scope, nonneg, positive
from gradproof.derive.expr import Quo, Rem, integer

N, M, P, i, j = map(integer, "NMPij")
SCOPE = Scope({i: N, j: M}, {N: 1, M: 2})  # P may be any integer: it has no bound
UP_TO = 4


def worlds() -> list[dict[sp.Symbol, int]]:
    out = []
    for n, m, p in product(range(1, UP_TO), range(2, UP_TO + 1), range(-2, 3)):
        out += [{N: n, M: m, P: p, i: a, j: b} for a in range(n) for b in range(m)]
    return out


WORLDS = worlds()


def value(e: sp.Expr, world: dict[sp.Symbol, int]) -> int:
    """Python's own // and %, not the project's."""
    if e.is_Integer:
        return int(e)
    if e.is_Symbol:
        return world[e]
    parts = [value(a, world) for a in e.args]
    if e.is_Add:
        return sum(parts)
    if e.is_Mul:
        out = 1
        for x in parts:
            out *= x
        return out
    if e.is_Pow:
        return parts[0] ** parts[1]
    return parts[0] // parts[1] if isinstance(e, Quo) else parts[0] % parts[1]


atoms = st.sampled_from([N, M, i, j, N - 1 - i, M - 1 - j, i * M + j, P])
quotients = st.builds(
    lambda kind, a, c: kind(a, c),
    st.sampled_from([Quo, Rem]),
    st.sampled_from([i, j, N, i + j, N - 1 - i, i * M + j, M * N - 1, i - j]),
    st.sampled_from([N, M, sp.Integer(2), sp.Integer(3)]),
)
terms = st.tuples(st.integers(-2, 2), atoms | quotients, st.sampled_from([1, N, M, i]))
polynomials = st.builds(
    lambda c, parts: c + sum(k * a * b for k, a, b in parts),
    st.integers(-3, 3),
    st.lists(terms, max_size=3),
)


@settings(max_examples=300, deadline=None)
@given(polynomials)
def test_what_it_affirms_is_true(p: sp.Expr) -> None:
    p = sp.sympify(p)
    if nonneg(p, SCOPE):
        assert min(value(p, w) for w in WORLDS) >= 0, p


def test_it_affirms_what_the_kernels_lean_on() -> None:
    for p in (i, N - 1 - i, N * M - 1 - (i * M + j), i * M + j, M - 1 - Rem(i, M), Rem(i, M),
              Quo(i * M + j, N), N - 1 - Quo(i * M + j, M), N * N - 1 - i, M - 2):  # fmt: skip
        assert nonneg(p, SCOPE), p
        assert min(value(p, w) for w in WORLDS) >= 0


def test_it_does_not_affirm_what_is_false_or_unknown() -> None:
    for p in (i - 1, N - 2 - i, j - i, P, -P, i * P, N - 1 - Quo(i * M + j, N), Quo(i - j, M)):
        assert not nonneg(p, SCOPE), p


def test_positive_is_at_least_one() -> None:
    assert positive(N, SCOPE) and positive(M - 1, SCOPE)
    assert not positive(N - 1, SCOPE) and not positive(i, SCOPE)


def test_what_is_said_of_quotients_holds_for_random_expressions() -> None:
    """Wherever `nonneg` says yes, no small values give a negative number."""
    rng = np.random.default_rng(3)
    u, v, E, F = map(integer, "uvEF")
    scope = Scope({u: E, v: F}, {E: 1, F: 1})
    said = 0
    for _ in range(600):
        a, b, c, d, e, f = (int(x) for x in rng.integers(-4, 5, 6))
        m, n = (int(x) for x in rng.integers(2, 5, 2))
        first, second = (Quo, Rem)[rng.integers(2)], (Quo, Rem)[rng.integers(2)]
        p = a * first(b * u + c, m) + d * second(u + f * v, n) + b * u + e * E + f
        if not nonneg(p, scope):
            continue
        said += 1
        for extents in product((1, 2, 3, 4), (1, 2, 3)):
            for at in product(*map(range, extents)):
                values = dict(zip((u, v, E, F), (*at, *extents), strict=True))
                assert p.xreplace({k: sp.Integer(x) for k, x in values.items()}) >= 0, (p, values)
    assert said > 20
