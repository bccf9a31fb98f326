"""Each rule of the elimination, and the gradients that it gives, as readable text."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest

from gradproof.derive.bounds import Scope
from gradproof.derive.eliminate import Solution, solve
from gradproof.derive.expr import Divides, IsZero, NonNeg, Quo, Read, Reduce, integer
from gradproof.derive.language import operator
from gradproof.derive.registry import find
from gradproof.derive.show import text
from gradproof.derive.system import derive

i, j, o, x, p, q, k = map(integer, "ijoxpqk")
K, N, S, D, G, C, OG, X = map(integer, ("K", "N", "S", "D", "G", "C", "OG", "X"))
SIZES = dict.fromkeys((K, N, S, D, G, C, OG, X), 1)


def solved(loops: list, deltas: list, body: Read, extents: dict) -> Solution:
    return solve(Reduce("sum", loops, map(IsZero, deltas), body), Scope(extents, SIZES))


def rules(s: Solution) -> list[str]:
    return [step.rule for step in s.steps]


# -- the rules ----------------------------------------------------------------------------------
def test_coefficient_one_is_a_substitution_kept_in_range_by_guards() -> None:
    s = solved([(x, X)], [x + 1 - p], Read("g", x), {p: N})
    assert rules(s) == ["substitution"]
    assert text(s.value) == "[1 ≤ p] [p ≤ X] g[p - 1]"


def test_a_range_that_cannot_fail_leaves_no_guard() -> None:
    s = solved([(x, N)], [x - p], Read("g", x), {p: N})
    assert text(s.value) == "g[p]"
    assert s.kept == () and [g for g, _ in s.dropped] == [NonNeg(p), NonNeg(N - 1 - p)]


def test_a_positive_coefficient_divides() -> None:
    s = solved([(x, X)], [S * x - p], Read("g", x), {p: N})
    assert rules(s) == ["divisibility"]
    assert text(s.value) == "[S divides p] [⌊p/S⌋ < X] g[⌊p/S⌋]"
    assert Divides(S, p) in s.kept


def test_a_coefficient_of_unknown_sign_is_not_divided_by() -> None:
    P = integer("P")
    s = solve(Reduce("sum", [(x, X)], [IsZero(P * x - p)], Read("g", x)), Scope({p: N}, SIZES))
    assert rules(s) == []
    assert text(s.value) == "Σ_{x<X} [p = P*x] g[x]"


def test_mixed_radix() -> None:
    s = solved([(o, G), (i, C)], [C * o + i - p], Read("g", o, i), {p: G * C})
    assert rules(s) == ["mixed radix"]
    assert text(s.value) == "g[⌊p/C⌋, (p mod C)]"


def test_an_index_under_a_quotient_is_split() -> None:
    s = solved([(o, G * OG)], [Quo(o, OG) - p], Read("g", o), {p: G})
    assert rules(s) == ["split", "substitution"]
    assert text(s.value) == "Σ_{o_r<OG} g[OG*p + o_r]"


def test_a_window_where_the_divisor_does_not_divide_the_extent() -> None:
    s = solved([(o, N)], [Quo(o, OG) - p], Read("g", o), {p: G})
    assert rules(s) == ["window"]
    assert text(s.value) == "Σ_{o_k<OG} [OG*p + o_k < N] g[OG*p + o_k]"


def test_a_window_of_a_scaled_index_keeps_the_value() -> None:
    """(S*x + 1) // D = p, by brute force, also where D < S, so that most p have no x at all."""
    delta = IsZero(Quo(S * x + 1, D) - p)
    s = solved([(x, X)], [delta.args[0]], Read("g", x, 0), {p: N})
    assert rules(s) == ["window"]
    g = np.arange(1, 6).reshape(5, 1)
    for scale, divisor, at in product((1, 2, 3), (1, 2, 5, 7), range(12)):
        env = {X: 5, S: scale, D: divisor, N: 12, p: at}
        first = evaluate(Reduce("sum", [(x, X)], [delta], Read("g", x, 0)), env, g)
        assert evaluate(s.value, env, g) == first, env


def test_the_first_index_that_can_be_solved_is_solved() -> None:
    s = solved([(x, X), (i, K)], [S * x + D * i - p], Read("g", x, i), {p: N})
    assert text(s.value) == (
        "Σ_{i<K} [D*i ≤ p] [S divides p - D*i] [⌊(p - D*i)/S⌋ < X] g[⌊(p - D*i)/S⌋, i]"
    )


def test_a_diagonal_leaves_an_equation() -> None:
    d = operator("t", "z = sum[i](A[i,i])", {"A": "N,N"}, subscripts={"A": "u v"})
    assert text(derive(d).backward.equations[0]) == "grad_A[u, v] = [v = u] grad_z"


def test_a_label_is_solved_only_when_no_arithmetic_is_left() -> None:
    d = operator("t", "z[n] = a[n,t[n]]", {"a": "N,C", "t": "N"}, labels={"t": "C"},
                 subscripts={"a": "n c"})  # fmt: skip
    assert text(derive(d).backward.equations[0]) == "grad_a[n, c] = [c = t[n]] grad_z[n]"


def test_every_step_keeps_the_value() -> None:
    """Every intermediate sum, evaluated by brute force, is the first one."""
    loops, delta = [(x, X), (i, K)], IsZero(S * x + D * i - p)
    s = solved(loops, [delta.args[0]], Read("g", x, i), {p: N})
    sizes = {X: 3, K: 2, S: 2, D: 3, N: 9}
    g = np.arange(1, 7).reshape(3, 2)
    for at in range(9):
        env = sizes | {p: at}
        first = evaluate(Reduce("sum", loops, [delta], Read("g", x, i)), env, g)
        for step in s.steps:
            assert evaluate(step.after, env, g) == first
        assert evaluate(s.value, env, g) == first


def evaluate(r: Reduce, env: dict, g: np.ndarray) -> int:
    total, bound = 0, list(r.indices)
    for at in np.ndindex(*[int(n.subs(env)) for _, n in bound]):
        here = env | {v: int(a) for (v, _), a in zip(bound, at, strict=True)}
        if all(holds(c, here) for c in r.guards):
            total += int(g[tuple(number(t, here) for t in r.body.subscripts)])
    return total


def holds(guard: object, env: dict) -> bool:
    match guard:
        case NonNeg(args=(t,)):
            return number(t, env) >= 0
        case IsZero(args=(t,)):
            return number(t, env) == 0
        case Divides(args=(c, t)):
            return number(t, env) % number(c, env) == 0
    raise TypeError(guard)


def number(t: object, env: dict) -> int:
    return int(t.xreplace(env))


# -- the gradients, as they are read ------------------------------------------------------------
GRADIENTS = {
    "conv2d": """
        grad_Y[n, k, u, v] = Σ_{o_r<OG,i<KH,j<KW}
            [DH*i ≤ PT + u] [SH divides PT + u - DH*i] [⌊(PT + u - DH*i)/SH⌋ < OH]
            [DW*j ≤ PL + v] [SW divides PL + v - DW*j] [⌊(PL + v - DW*j)/SW⌋ < OW]
            grad_z[n, OG*⌊k/CG⌋ + o_r, ⌊(PT + u - DH*i)/SH⌋, ⌊(PL + v - DW*j)/SW⌋]*w[OG*⌊k/CG⌋
            + o_r, (k mod CG), i, j]
        grad_w[o, c, i, j] = Σ_{n<N,x<OH,y<OW}
            Y[n, CG*⌊o/OG⌋ + c, DH*i + SH*x - PT, DW*j + SW*y - PL]*grad_z[n, o, x, y]
        grad_b[o] = Σ_{n<N,x<OH,y<OW} grad_z[n, o, x, y]
    """,
    "linear": """
        grad_Y[n, k] = Σ_{o<O} grad_z[n, o]*w[o, k]
        grad_w[o, k] = Σ_{n<N} Y[n, k]*grad_z[n, o]
        grad_b[o] = Σ_{n<N} grad_z[n, o]
    """,
    "batch_norm": """
        grad_var[c] = -gamma[c]*Σ_{n<N,l<L}
            (X[n, c, l] - mean[c])*grad_y[n, c, l]/(2*(eps + var[c])**(3/2))
        grad_mean[c] = -gamma[c]*Σ_{n<N,l<L} grad_y[n, c, l]/sqrt(eps + var[c])
        grad_X[n, c, l] = gamma[c]*grad_y[n, c, l]/sqrt(eps + var[c])
            + (2*X[n, c, l] - 2*mean[c])*grad_var[c]/(L*N) + grad_mean[c]/(L*N)
        grad_gamma[c] = Σ_{n<N,l<L} (X[n, c, l] - mean[c])*grad_y[n, c, l]/sqrt(eps + var[c])
        grad_beta[c] = Σ_{n<N,l<L} grad_y[n, c, l]
    """,
    "softmax_cross_entropy": """
        grad_d[n] = -grad_loss/divisor
        grad_s[n] = grad_loss/(divisor*s[n])
        grad_a[n, c] = exp(a[n, c] - m[n])*grad_s[n] + [c = t[n]] grad_d[n]
    """,
    "max_pool2d": """
        grad_Y[n, c, u, v] = Σ_{i<KH,j<KW}
            [DH*i ≤ PT + u] [SH divides PT + u - DH*i] [⌊(PT + u - DH*i)/SH⌋ < OH]
            [DW*j ≤ PL + v] [SW divides PL + v - DW*j] [⌊(PL + v - DW*j)/SW⌋ < OW]
            [z_argmax[n, c, ⌊(PT + u - DH*i)/SH⌋, ⌊(PL + v - DW*j)/SW⌋] = KW*i + j]
            grad_z[n, c, ⌊(PT + u - DH*i)/SH⌋, ⌊(PL + v - DW*j)/SW⌋]
    """,
    "avg_pool2d": """
        grad_Y[n, c, u, v] = Σ_{i<KH,j<KW}
            [i ≤ PT + u] [SH divides PT + u - i] [⌊(PT + u - i)/SH⌋ < OH]
            [j ≤ PL + v] [SW divides PL + v - j] [⌊(PL + v - j)/SW⌋ < OW]
            grad_z[n, c, ⌊(PT + u - i)/SH⌋, ⌊(PL + v - j)/SW⌋]/(KH*KW)
    """,
    "relu": "grad_Y[i] = (0 if Y[i] <= 0; grad_z[i] otherwise)",
    "mse": """
        grad_a[i] = (2*a[i] - 2*t[i])*grad_loss/divisor
        grad_t[i] = (2*t[i] - 2*a[i])*grad_loss/divisor
    """,
}


@pytest.mark.parametrize("name", GRADIENTS)
def test_gradients_read_as_expected(name: str) -> None:
    backward = derive(find(name)).backward
    assert backward is not None
    shown = " ".join(text(e) for e in backward.equations)
    assert shown.split() == GRADIENTS[name].split()
