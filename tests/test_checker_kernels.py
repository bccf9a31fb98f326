"""What one kernel's text stores, as the checker reads it, and what it notes on the way."""

from __future__ import annotations

from typing import Any

import pytest

from gradproof.derive import checker
from gradproof.derive.checker import (
    INT_MAX,
    Base,
    Certificates,
    Kernel,
    Refused,
    Source,
    System,
    add,
    canonical,
    const,
    mul,
    scale,
    show_fact,
    sub,
    var,
)

N, M, LARGE = var("N"), var("M"), var("n")
DEFINITION: dict[str, Any] = {
    "name": "f",
    "sizes": ["N", "M", "P"],
    "lower": {"N": 1, "M": 2},
    "derived": {"L": "N + M"},
    "requires": [],
    "tensors": {
        "Y": {"shape": ["N"]},
        "A": {"shape": ["N", "M"]},
        "t": {"shape": ["N"], "dtype": "int"},
        "c": {"shape": []},
        "z": {"shape": ["N"]},
        "q": {"shape": ["N"], "dtype": "int"},
    },
    "scalars": {"lr": "real", "call": "uint", "count": "int"},
    "inputs": ["Y", "A", "t", "c"],
    "outputs": ["z"],
    "constant": [],
    "optional": {},
    "equations": ["z[n] = Y[n]"],
}
TEXT = """
__kernel void f_z(
    __global const REAL *restrict Y, __global const REAL *restrict A,
    __global const int *restrict t, __global const REAL *restrict c,
    __global {kind} *restrict {target}, const REAL lr, const uint call, const int count,
    __global const int *restrict sizes)
{{
    const int N = SIZE_N;
    const int M = SIZE_M;
    const int P = SIZE_P;
    const int id = get_global_id(0);
    if (id < N) {{
        const int n = id;
        {body}
    }}
}}
"""


class Loose(Certificates):
    """Takes every obligation as shown."""

    def settle(self, where: str, facts: Any, goals: Any) -> None:
        return


def base(definition: Any = DEFINITION, limits: Any = ()) -> Base:
    record = {"definition": definition, "proofs": {}, "cofactors": {}}
    record["maps"] = {"f: sizes: witness": [{"witness": {"N": 2, "M": 2, "L": 4}}]}
    return Base(System(definition), Loose(record), list(limits))


def kernel(body: str, target: str = "z", kind: str = "REAL") -> Kernel:
    b = base()
    (text,) = Source("f.cl", TEXT.format(body=body, target=target, kind=kind)).kernels()
    return Kernel(b.system, text, b.certificates, b)


def stored(body: str, *rest: str) -> Any:
    return kernel(body, *rest).run()[1]


def meant(text: str) -> Any:
    return base().system.text.value(text)


READ = [
    ("Y[n]", "Y[n]"),
    ("-Y[n] + lr", "lr - Y[n]"),
    ("Y[n] - lr - c[0]", "Y[n] - lr - c[()]"),
    ("Y[n] * (REAL)2 / lr", "2*Y[n]*inv(lr)"),
    ("Y[n] / (lr * (REAL)N)", "Y[n]*inv(lr)*inv(N)"),
    ("Y[n] / (lr + (REAL)N)", "Y[n]*inv(lr + N)"),
    ("Y[n] / lr / lr", "Y[n]*inv(lr)*inv(lr)"),
    ("(REAL)(-n + 3)", "3 - n"),
    ("(REAL)4294967296", "4294967296"),
    ("(REAL)9223372036854775807", "9223372036854775807"),
    ("(REAL)2147483647 + (REAL)(n + 2147483647)", "4294967294 + n"),
    ("(REAL)count * (REAL)call", "count*call"),
    ("(REAL)(uint)n", "n"),
    ("(REAL)philox4x32(call, 5, (uint)n, (uint)(uint)4)", "philox(call, 5, n, 4)"),
    ("(REAL)philox4x32(call, 4294967295, call, call)", "philox(call, 4294967295, call, call)"),
    ("(REAL)t[n]", "t[n]"),
    ("Y[t[n]]", "Y[t[n]]"),
    ("exp(Y[n]) + log(lr) - sqrt(c[0])", "exp(Y[n]) + log(lr) - sqrt(c[()])"),
    ("tanh(Y[n]) + erf(lr) * sign(lr) + fabs(c[0])", "tanh(Y[n]) + erf(lr)*sign(lr) + abs(c[()])"),
    ("(REAL)3.14159265358979323846 * (REAL)2.71828182845904523536", "pi*exp(1)"),
    ("n < M ? Y[n] : 0", "where(n < M, Y[n], 0)"),
    ("n < M ? Y[n] : lr", "where(n < M, Y[n], lr)"),
    ("n <= M ? Y[n] : lr", "where(n <= M, Y[n], lr)"),
    ("n > M ? Y[n] : lr", "where(n > M, Y[n], lr)"),
    ("n >= M ? Y[n] : lr", "where(n >= M, Y[n], lr)"),
    ("n == M ? Y[n] : lr", "where(n == M, Y[n], lr)"),
    ("n < M && t[n] == 2 ? Y[n] : lr", "where(n < M and t[n] == 2, Y[n], lr)"),
    ("Y[n] < lr ? Y[n] : lr", "where(Y[n] < lr, Y[n], lr)"),
    ("Y[n] >= lr && n < M ? Y[n] : lr", "where(Y[n] >= lr and n < M, Y[n], lr)"),
    ("call <= philox4x32(call, 1, 2, 3) ? Y[n] : 0",
     "where(call <= philox(call, 1, 2, 3), Y[n], 0)"),
    ("call <= 3 ? Y[n] : 0", "where(call <= 3, Y[n], 0)"),
    ("3 < call ? Y[n] : 0", "where(3 < call, Y[n], 0)"),
    ("(REAL)floor_div(n - 5, M) + (REAL)floor_mod(-n, M)", "(n - 5)//M + (-n)%M"),
    ("(REAL)(n / M) + (REAL)(n % M) * (REAL)(7 / 2)", "n//M + 3*(n%M)"),
    ("(REAL)(n / (N * M)) + (REAL)(n / (N + M))", "n//(N*M) + n//(N + M)"),
    ("A[n * M + 1]", "A[n, 1]"),
    ("A[(n - 1) * M + n + 2 - count]", "A[n - 1, n + 2 - count]"),
    ("(REAL)(2 * n * n - n)", "2*n*n - n"),
    ("(n < M ? Y[n] : lr) * (REAL)2", "2*where(n < M, Y[n], lr)"),
]  # fmt: skip


@pytest.mark.parametrize(("expression", "text"), READ)
def test_an_expression_is_what_it_means(expression: str, text: str) -> None:
    assert canonical(stored(f"z[id] = {expression};")) == canonical(meant(text))


BAD = [
    "1", "n", "N", "Y[n] * 2", "Y[n] + n", "(REAL)9223372036854775808", "(REAL)lr", "(REAL)Y[n]",
    "(REAL)(2147483648 + n)", "(REAL)(call + 1)", "(REAL)(call * call)", "(REAL)-call",
    "(REAL)(uint)lr", "(REAL)(uint)Y[n]", "(uint)n", "call", "t[n]", "(REAL)philox4x32(call)",
    "(REAL)philox4x32(call, 1, 2, 4294967296)", "(REAL)philox4x32(call, 1, 2, n)",
    "(REAL)philox4x32(call, 1, 2, 3, 4)", "(REAL)philox4x32(lr, 1, 2, 3)", "exp(Y[n], lr)", "exp()",
    "pow(Y[n], lr)", "cos(Y[n])", "exp(n)", "n < M ? Y[n] : 1", "n < M ? 0 : Y[n]",
    "n < M ? Y[n] : n", "n ? Y[n] : lr", "n != M ? Y[n] : lr", "n < M || n < 1 ? Y[n] : lr",
    "Y[n] != lr ? Y[n] : lr", "lr ? Y[n] : lr", "call < n ? Y[n] : lr",
    "call <= 4294967296 ? lr : lr",
    "call < lr ? lr : lr", "Y[n] < n ? lr : lr", "(REAL)(n / P)", "(REAL)(n % P)", "(REAL)(n / L)",
    "(REAL)(n / (M - 2))", "(REAL)(n / (N - M))", "(REAL)floor_div(n, P)",
    "(REAL)floor_mod(n, count)",
    "(REAL)floor_div(lr, M)", "(REAL)(n / lr)",
    "Y[lr]", "Y[call]", "Y[Y[n]]", "A[n]", "A[n * N + 1]", "A[M * n + 1]", "A[n + 1]", "c[n]",
    "c[1]",
    "x[n]", "(REAL)x", "grad_Y[n]", "(REAL)q[n]", "-n", "INFINITY", "(REAL)(n < M)",
    "lr / n", "lr * M", "(REAL)3.14", "3.14159265358979323846", "sizes[0]", "(REAL)sizes[0]",
]  # fmt: skip


@pytest.mark.parametrize("expression", BAD)
def test_an_expression_that_c_reads_otherwise_is_refused(expression: str) -> None:
    with pytest.raises(Refused, match=r"f\.cl(:\d+)?: "):
        stored(f"z[id] = {expression};")


def noted(body: str) -> set[tuple[str, str]]:
    k = kernel(body)
    k.run()
    return {(why, show_fact(goal)) for _, _, why, goal in k.noted()}


def test_what_has_to_hold_is_noted() -> None:
    assert noted("z[id] = Y[n];") == {
        ("Y is read inside", "n >= 0"), ("Y is read inside", "N - n - 1 >= 0")
    }  # fmt: skip
    for body, goals in {
        "(REAL)(n - 5)": {("fits", show_fact((">=", sub(LARGE, const(5)))))},
        "(REAL)(n + 5)": {("fits", show_fact((">=", add(LARGE, const(5)))))},
        "(REAL)(2 * n)": {("fits", show_fact((">=", scale(LARGE, 2))))},
        "(REAL)((n - 5) / 2)": {
            ("fits", show_fact((">=", sub(LARGE, const(5))))),
            ("/ rounds down", show_fact((">=", sub(LARGE, const(5))))),
        },
        "(REAL)((n - 5) % 2)": {
            ("fits", show_fact((">=", sub(LARGE, const(5))))),
            ("/ rounds down", show_fact((">=", sub(LARGE, const(5))))),
        },
        "(REAL)floor_div(n, 2)": set(),
        "(REAL)(uint)n": {("has no sign", "n >= 0")},
        "(REAL)-n": set(),
        "(REAL)t[n]": {
            ("t is read inside", "n >= 0"), ("t is read inside", "N - n - 1 >= 0")
        },
    }.items():  # fmt: skip
        assert noted(f"z[id] = {body};") == goals, body
    address = noted("z[id] = A[n * M + n - 1 + P];")
    inside = [var("n"), add(LARGE, const(-1), var("P"))]
    wanted = {("A is read inside", show_fact((">=", p))) for p in inside}
    wanted |= {
        ("A is read inside", show_fact((">=", add(e, scale(p, -1), const(-1)))))
        for e, p in zip((N, M), inside, strict=True)
    }
    for part in (LARGE, sub(LARGE, const(1))):
        wanted |= {("address", show_fact((">=", f(M, part)))) for f in (add, sub)}
    assert address == wanted
    long = noted("z[id] = Y[n + 1 - P];")
    assert {g for why, g in long if why == "fits"} == {"n >= 0", "n + 1 >= 0"}


def obligations(body: str) -> list[tuple[str, list[str], list[str]]]:
    """(where, facts, goals) of all that is to be settled about a kernel."""
    k = kernel(body)
    k.run()
    found: list[Any] = []

    def settle(where: str, facts: Any, goals: Any) -> None:
        found.append((where, sorted(map(show_fact, facts)), sorted(map(show_fact, goals))))

    k.certificates.settle = settle  # type: ignore[method-assign]
    k.written_once()
    k.in_range()
    k.fits()
    return found


def test_what_is_settled_of_a_kernel() -> None:
    sizes = {"N - 1 >= 0", "M - 2 >= 0", "L - M - N == 0", "L - 1 >= 0"}
    place = {"n >= 0", "N - n - 1 >= 0"}
    limits = {
        "INT_MAX - N >= 0", "INT_MAX - M >= 0", "INT_MAX - P >= 0", "INT_MAX - L >= 0",
        "INT_MAX - M*N >= 0", "INT_MAX + P >= 0", "INT_MAX + L >= 0", "INT_MAX - 1 >= 0",
    }  # fmt: skip
    once, *rest = obligations("if (n < M) { } z[id] = A[n * M + n - 1 + 1] + (REAL)(n * n);")
    where, facts, goals = once
    assert where == "f.cl:12: f_z: one work-item for every element of z"
    assert {*facts} == sizes | {"id >= 0", "N - id - 1 >= 0"}
    assert {*goals} == {"id >= 0", "N - id - 1 >= 0", "0 == 0"}
    by_place = {w: ({*f}, g) for w, f, g in rest}
    assert {*by_place} == {
        "f.cl:14: f_z: A is read inside", "f.cl:14: f_z: partial address",
        "f.cl:14: f_z: 32 bits",
    }  # fmt: skip
    assert by_place["f.cl:14: f_z: A is read inside"][0] == sizes | place
    assert by_place["f.cl:14: f_z: partial address"][0] == sizes | place
    facts_of_bits, goals_of_bits = by_place["f.cl:14: f_z: 32 bits"]
    assert facts_of_bits == sizes | place | limits
    assert goals_of_bits == ["INT_MAX + n*n >= 0", "INT_MAX - n*n >= 0"]


def test_a_number_is_shown_to_fit_where_least_is_known_of_it() -> None:
    body = "if (n < M) {{ {0} s += (REAL)(n * n); }} s += (REAL)(n * n); z[id] = s;"
    k = kernel("REAL s = 0; " + body.format(""))
    k.run()
    assert len(list(k.numbers())) == 2  # under the condition, and with less known
    k = kernel("REAL s = 0; s += (REAL)(n * n); if (n < M) { s += (REAL)(n * n); } z[id] = s;")
    k.run()
    assert len(list(k.numbers())) == 1
    k = kernel("REAL s = 0; for (int j = 0; j < M; j++) { s += (REAL)(n * n); } z[id] = s;")
    k.run()
    ((facts, where, p),) = k.numbers()
    assert p == mul(LARGE, LARGE) and where == "f.cl:14"
    assert {"j >= 0", "M - j - 1 >= 0"} <= {*map(show_fact, facts)}


def test_what_needs_no_certificate_to_fit() -> None:
    bounded = [mul(N, M, var("L"))]
    yes = [{}, const(INT_MAX), const(-INT_MAX), N, mul(N, M), mul(N, M, var("L"))]
    no = [const(INT_MAX + 1), const(-INT_MAX - 1), scale(N, 2), scale(N, -1), add(N, M)]
    no += [mul(N, N), add(N, const(1)), var("P"), mul(N, var("P"))]
    for p in yes + no:
        assert checker.is_monomial_of(p, bounded) == (p in yes), p
    assert not checker.is_monomial_of(N, [])


def test_sizes_have_limits() -> None:
    b = base(limits=["N*M*L", "N - M", "2*P", "0 - N*M"])
    assert {show_fact(f) for f in b.limits} >= {
        "INT_MAX - L*M*N >= 0", "INT_MAX + M - N >= 0", "INT_MAX - 2*P >= 0",
    }  # fmt: skip
    assert mul(N, M) in b.bounded and N in b.bounded
    # of a negative product, or one of what may be 0, no factor is bounded
    assert not {show_fact((">=", p)) for p in b.bounded} & {"2*P >= 0", "-M*N >= 0", "-M + N >= 0"}
    assert b.ready == {"Y", "A", "t", "c"} and b.name == "f"


BLOCKS = [
    ("REAL s = 0; for (int j = 0; j < M; j++) { s += A[n * M + j]; } z[id] = s;",
     "sum[j:M](A[n, j])"),
    ("REAL s = 0; for (int j = 0; j < M; j++) { if (j < n) { s += Y[j]; } } z[id] = s * lr;",
     "lr*sum[j:M](Y[j], j < n)"),
    ("REAL s = 0; s += Y[n]; s += lr; z[id] = s;", "Y[n] + lr"),
    ("REAL s = 0; for (int j = 0; j < M; j++) { REAL p = 0; for (int i = 0; i < N; i++) "
     "{ p += A[i * M + j]; } s += p * Y[j]; } z[id] = s;",
     "sum[j:M](Y[j]*sum[i:N](A[i, j]))"),
    ("REAL s = 0; for (int j = 0; j < M; j++) { const int k = j + n; const REAL v = Y[k]; "
     "s += v * v; } z[id] = s;", "sum[j:M](Y[j + n]*Y[j + n])"),
    ("REAL m = -INFINITY; for (int j = 0; j < M; j++) { const REAL v = A[n * M + j]; "
     "if (v > m || v != v) { m = v; } } z[id] = m;", "max[j:M](A[n, j])"),
    ("REAL m = -INFINITY; for (int j = 0; j < M; j++) { if (j < n) { const REAL v = A[n * M + j]; "
     "if (v > m || v != v) { m = v; } } } z[id] = m;", "max[j:M](A[n, j], j < n)"),
]  # fmt: skip


@pytest.mark.parametrize(("body", "text"), BLOCKS)
def test_a_block_is_what_it_means(body: str, text: str) -> None:
    assert canonical(stored(body)) == canonical(meant(text))


POSITION = (
    "REAL m = -INFINITY; int p = -1; for (int i = 0; i < N; i++) { for (int j = 0; j < M; j++) { "
    "const REAL v = A[i * M + j]; if (p < 0 || v > m || (v != v && m == m)) "
    "{ m = v; p = M * i + j; } } } q[id] = p;"
)


def test_a_position_is_what_it_means() -> None:
    assert canonical(stored(POSITION, "q", "int")) == canonical(
        {(("argmax", (("i", checker.freeze(N)), ("j", checker.freeze(M))), (),
           checker.freeze(meant("A[i, j]"))),): 1}
    )  # fmt: skip
    assert stored("q[id] = t[n] + 2;", "q", "int") == meant("t[n] + 2")


BAD_POSITIONS = [
    ("p < 0 ||", "p < 1 ||"), ("p < 0 ||", ""), ("p < 0 ||", "m < 0 ||"), ("p < 0", "0 < p"),
    ("v > m", "v >= m"), ("v > m", "v < m"), ("v > m", "m > v"), ("v > m", "v > v"),
    ("v != v && m == m", "v != v"), ("v != v && m == m", "v != v || m == m"),
    ("v != v && m == m", "v == v && m == m"), ("v != v && m == m", "v != v && m != m"),
    ("p = M * i + j", "p = N * i + j"), ("p = M * i + j", "p = M * i"), ("p = M * i + j", "p = j"),
    ("m = v;", "m = v + v;"), ("m = v;", "m = lr;"), ("m = v;", "p = 0;"), ("m = v;", "m += v;"),
    ("m = v; p = M * i + j;", "p = M * i + j;"), ("m = v;", "m = m;"), ("m = v;", ""),
    ("m = v;", "m = v; m = v;"), ("int p = -1", "int p = -2"), ("int p = -1", "int p = 1"),
    ("int p = -1", "REAL p = -INFINITY"), ("REAL m = -INFINITY", "REAL m = 0"),
    ("for (int j = 0; j < M; j++) { const", "int r = -1; for (int j = 0; j < M; j++) { const"),
    ("q[id] = p", "q[id] = m"), ("q[id] = p", "q[id] = p + 1"), ("q[id] = p", "q[id] = -p"),
    ("int p = -1; for (int i = 0; i < N; i++) {", "for (int i = 0; i < N; i++) { int p = -1;"),
]  # fmt: skip


@pytest.mark.parametrize(("old", "new"), BAD_POSITIONS)
def test_a_position_that_is_not_the_first_maximum_is_refused(old: str, new: str) -> None:
    assert old in POSITION
    changed = POSITION.replace(old, new)
    if new.startswith("int r"):
        changed = changed.replace("p = M * i + j", "r = M * i + j")
    with pytest.raises(Refused, match=r"f\.cl(:\d+)?: "):
        stored(changed, "q", "int")


VALUE = (
    "REAL m = -INFINITY; for (int j = 0; j < M; j++) { const REAL v = A[n * M + j]; "
    "if (v > m || v != v) { m = v; } } z[id] = m;"
)


@pytest.mark.parametrize(
    ("old", "new", "right"),
    [
        ("v > m || v != v", "v > m || (v != v && m == m)", True),
        ("v > m || v != v", "v >= m || v != v", False),
        ("v > m || v != v", "v != v || m < v", True),
        ("v > m || v != v", "v > m", False),
        ("v > m || v != v", "v != v", False),
        ("v > m || v != v", "v < m || v != v", False),
        ("v > m || v != v", "v > lr || v != v", False),
        ("v > m || v != v", "n < 1 || v != v", False),
        ("v > m || v != v", "v > m && v == v", False),
        ("{ m = v; }", "{ m = v; m = v; }", False),
        ("{ m = v; }", "{ }", False),
        ("{ m = v; }", "{ m = v; const int k = 1; }", False),
        ("z[id] = m;", "z[id] = m; z[id] = m;", False),
        ("z[id] = m;", "", False),
        ("z[id] = m;", "m = lr; z[id] = m;", False),
        ("m = v; } }", "m = v; } } for (int j = 0; j < M; j++) "
         "{ const REAL w = Y[j]; if (w > m || w != w) { m = w; } }", False),
        ("const REAL v = A", "REAL v = 0; v += A", False),
        ("if (v > m", "const REAL u = m; if (v > m", False),
    ],
)  # fmt: skip
def test_a_maximum_is_updated_by_greater_terms_and_nan(old: str, new: str, right: bool) -> None:
    assert old in VALUE
    changed = VALUE.replace(old, new)
    if right:
        assert canonical(stored(changed)) == canonical(stored(VALUE))
        return
    with pytest.raises(Refused, match=r"f\.cl(:\d+)?: "):
        stored(changed)


NOT_SUMS = [  # a maximum that grows meanwhile is another one
    (VALUE, "m = v; } }", "m = v; } m += lr; }", ["z", "REAL"]),
    (VALUE, "m = v; } }", "m = v; } } m += lr;", ["z", "REAL"]),
    (VALUE, "if (v >", "m += lr; if (v >", ["z", "REAL"]),
    (POSITION, "p = M * i + j; }", "p = M * i + j; } p += (REAL)1;", ["q", "int"]),
    (POSITION, "q[id] = p", "p += (REAL)1; q[id] = p", ["q", "int"]),
]


@pytest.mark.parametrize("k", range(len(NOT_SUMS)))
def test_only_a_sum_takes_in_terms(k: int) -> None:
    body, old, new, target = NOT_SUMS[k]
    assert old in body
    with pytest.raises(Refused, match="is not a sum of this block"):
        stored(body.replace(old, new), *target)


BAD_BLOCKS = [
    "const int n = 1; z[id] = lr;", "const int id = 1; z[id] = lr;", "const int Y = 1; z[id] = lr;",
    "const int L = 1; z[id] = lr;", "const REAL lr = c[0]; z[id] = lr;",
    "const int pi = 1; z[id] = lr;",
    "const int SIZE_X = 1; z[id] = lr;", "const int _k = 1; z[id] = lr;", "REAL n = 0; z[id] = lr;",
    "for (int n = 0; n < M; n++) { } z[id] = lr;", "for (int j = 0; j < M; j++) { z[id] = lr; }",
    "if (n < M) { z[id] = lr; }", "z[id] = lr; const int k = 1;", "z[n] = lr;", "z[id] += lr;",
    "REAL s = 0; for (int j = 0; j < M; j++) { s += lr; const REAL v = s; } z[id] = s;",
    "REAL s = 0; const REAL v = s; s += lr; z[id] = s;",
    "REAL s = 0; if (n < M) { s += lr; const REAL v = s; } z[id] = s;",
    "REAL s = 0; s = lr; z[id] = s;", "REAL s = -1; z[id] = s;", "int s = 0; z[id] = (REAL)s;",
    "REAL m = -INFINITY; m += lr; z[id] = m;", "const REAL s = lr; s += lr; z[id] = s;",
    "for (int j = 0; j < M; j++) { const int k = j; } z[id] = (REAL)k;",
    "for (int j = 0; j < M; j++) { const REAL v = lr; } z[id] = v;",
    "for (int j = 0; j < M; j++) { REAL s = 0; s += lr; } z[id] = s;",
    "for (int j = 0; j < M; j++) { } z[id] = (REAL)j;", "if (Y[n] < lr) { } z[id] = lr;",
    "for (int j = 0; j < lr; j++) { } z[id] = lr;", "if (n) { } z[id] = lr;", "",
    "REAL s = n; z[id] = s;", "REAL s = lr; z[id] = s;", "const int k = lr; z[id] = lr;",
    "const REAL k = n; z[id] = k;", "Y[id] = lr; z[id] = lr;", "lr += c[0]; z[id] = lr;",
]  # fmt: skip


@pytest.mark.parametrize("body", BAD_BLOCKS)
def test_a_block_that_c_reads_otherwise_is_refused(body: str) -> None:
    with pytest.raises((Refused, IndexError)):
        stored(body)


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("const int k = 1;", "k is no tensor that is written"),
        ("REAL s = lr + 1; z[id] = s;", "an accumulator starts at a number"),
        ("REAL s = Y[n]; z[id] = s;", "an accumulator starts at a number"),
    ],
)
def test_a_block_that_stores_nothing_or_begins_otherwise(body: str, message: str) -> None:
    with pytest.raises(Refused, match=rf"f\.cl:14: f_z: {message}"):
        stored(body)


@pytest.mark.parametrize(("lower", "fine"), [({"N": 1, "M": 2}, True), ({"N": 1}, False)])
def test_what_divides_in_a_definition_is_at_least_1(lower: Any, fine: bool) -> None:
    d = {**DEFINITION, "lower": lower, "equations": ["z[n] = Y[n//M]"]}
    if fine:
        assert base(d).system.text.divisors == [M]
        return
    with pytest.raises(Refused, match="f: M divides, and may be 0 or less"):
        base(d)


def test_a_relation_is_one_of_those_that_hold() -> None:
    assert base().relation(["inv", "Y[0]"]) == sub(meant("1/Y[0]*Y[0]"), {(): 1})
    with pytest.raises(Refused, match="there is no relation 'equal'"):
        base().relation(["equal", "Y[0]"])


def test_a_name_ends_with_its_block() -> None:
    twice = "for (int j = 0; j < M; j++) { const REAL v = Y[j]; s += v; } "
    assert canonical(stored(f"REAL s = 0; {twice}{twice}z[id] = s;")) == canonical(
        meant("2*sum[j:M](Y[j])")
    )
    inner = "for (int j = 0; j < M; j++) { REAL p = 0; p += Y[j]; s += p; } "
    assert canonical(stored(f"REAL s = 0; {inner}{inner}z[id] = s;")) == canonical(
        meant("2*sum[j:M](Y[j])")
    )


HEADS = [
    ("const int N = SIZE_N;", "const int N = SIZE_M;"), ("const int N = SIZE_N;",
    "int N = SIZE_N;"),
    ("const int N = SIZE_N;", "const int X = SIZE_X;"), ("const int N = SIZE_N;", "REAL N = 0;"),
    ("const int N = SIZE_N;", "const int N = SIZE_N; const int N = SIZE_N;"),
    ("get_global_id(0)", "get_global_id(1)"), ("get_global_id(0)", "get_global_size(0)"),
    ("get_global_id(0)", "0"), ("if (id < N)", "if (id <= N)"), ("if (id < N)", "if (n < N)"),
    ("if (id < N)", "if (id < M)"), ("if (id < N)", "if (id < N + 1)"), ("if (id < N)",
    "if (N < id)"),
    ("const int n = id;", "int n = id;"), ("const int n = id;", "const REAL n = lr;"),
    ("const int n = id;", ""), ("__global const int *restrict sizes", "const int sizes"),
    ("__global const int *restrict sizes", "__global const int *sizes"),
    ("__global const int *restrict sizes", "__global const int *restrict other"),
    ("const REAL lr", "const uint lr"), ("const uint call", "const int call"),
    ("const uint call", "const REAL call"), ("const int count", "const int other"),
    ("__global const REAL *restrict Y", "__global const int *restrict Y"),
    ("__global const REAL *restrict Y", "__global const REAL *restrict X"),
    ("__global const REAL *restrict Y", "__global const int *restrict grad_Y"),
    ("__global const REAL *restrict Y", "__global const REAL *restrict A"),
    ("__global const int *restrict t", "__global const REAL *restrict t"),
    ("__global REAL *restrict z", "__global REAL *restrict x"),
]  # fmt: skip


@pytest.mark.parametrize(("old", "new"), HEADS)
def test_a_kernel_with_another_head_is_refused(old: str, new: str) -> None:
    text = TEXT.format(body="z[id] = lr;", target="z", kind="REAL")
    assert old in text
    b = base()
    with pytest.raises(Refused, match=r"f\.cl(:\d+)?: "):
        (read,) = Source("f.cl", text.replace(old, new, 1)).kernels()
        Kernel(b.system, read, b.certificates, b).run()


def test_in_place_only_the_own_element_is_read() -> None:
    text = TEXT.format(body="z[id] = {0};", target="z", kind="REAL").replace("*restrict Y", "*Y")
    for value, fine in {
        "Y[n]": True,
        "Y[0]": False,
        "Y[n - 1]": False,
        "A[n * M + 0]": True,
    }.items():
        b = base()
        (read,) = Source("f.cl", text.replace("{0}", value)).kernels()
        k = Kernel(b.system, read, b.certificates, b)
        if fine:
            assert k.run()[0] == "z"
            assert k.in_place == {"Y"} and [*k.reads] == [value[0]]
            continue
        with pytest.raises(Refused, match="only the own element may be read"):
            k.run()
