"""Certificates are found, hold, and are not found for what is false."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import pytest

from gradproof.derive.checker import Refused, add, const, freeze, mul, scale, sub, var, verify_step
from gradproof.derive.prove import handelman
from gradproof.derive.prove.facts import Facts
from gradproof.derive.prove.handelman import counterexample, have_solver, prove, trivial
from gradproof.derive.prove.lp import combine
from gradproof.derive.prove.models import models, value


class P:
    """Arithmetic on the checker's polynomials, so that facts read as they are written."""

    def __init__(self, p: Any) -> None:
        self.p = p.p if isinstance(p, P) else p if isinstance(p, dict) else const(p)

    def __add__(self, other: Any) -> P:
        return P(add(self.p, P(other).p))

    def __sub__(self, other: Any) -> P:
        return P(sub(self.p, P(other).p))

    def __mul__(self, other: Any) -> P:
        return P(mul(self.p, P(other).p))

    __radd__, __rmul__ = __add__, __mul__

    def __rsub__(self, other: Any) -> P:
        return P(other) - self

    def __neg__(self) -> P:
        return P(scale(self.p, -1))


NAMES = "N C G O H W K L S D P Q OH OW CG OG E T n c g o h x y k l r s i j q t u z n2 o2 x2 y2"
V = {name: P(var(name)) for name in NAMES.split()}


def poly(text: str) -> Any:
    """A polynomial written as Python (the tests' own text)."""
    return P(eval(text, {"__builtins__": {}}, V)).p  # noqa: S307


def facts_of(text: str) -> list[Any]:
    """`a >= b`, `a <= b` and `a == b`, separated by semicolons; `S` alone is S >= 1."""
    out = []
    for part in filter(None, (p.strip() for p in text.split(";"))):
        for sign, kind in ((">=", ">="), ("<=", ">="), ("==", "==")):
            if sign in part:
                a, b = part.split(sign)
                out.append((kind, poly(f"({b})-({a})" if sign == "<=" else f"({a})-({b})")))
                break
        else:
            out += [(">=", poly(f"{name}-1")) for name in part.split()]
    return out


def index(text: str) -> str:
    """`x:H` as x >= 0; x <= H-1."""
    pairs = (item.split(":") for item in text.split())
    return "".join(f"{i} >= 0; {i} <= {e}-1;" for i, e in pairs)


def shown(facts: list[Any], goals: list[Any]) -> tuple[list[Any], list[int]]:
    """`prove`, with everything it claims checked."""
    steps, unproven = prove(facts, goals)
    known = list(facts)
    for step in steps:
        assert verify_step(known, step)
        known.append((step[0], step[1]))
    for i, goal in enumerate(goals):
        assert (i in unproven) != (trivial(goal) or goal in known)
    return steps, unproven


LENGTH = "H+P+Q-D*(K-1)-1"
AXIS = f"H K S D O; P >= 0; Q >= 0; {index('x:O i:K r:S')} {LENGTH} >= 0; {LENGTH} == S*(O-1)+r;"
CONV = (
    f"N CG G OG H W K L S D OH OW; P >= 0; Q >= 0; {index('n:N g:G c:CG o:OG k:K l:L x:OH y:OW')}"
    f"{index('r:S s:S')} {LENGTH} >= 0; {LENGTH} == S*(OH-1)+r; W+2*P-D*(L-1)-1 >= 0;"
    "W+2*P-D*(L-1)-1 == S*(OW-1)+s;"
)
FORWARD = f"H K O S D; P >= 0; {index('h:H o:O k:K')} S*o+D*k-P-h == 0;"
CASES = {
    # one axis of the convolution: its adjoint's loops, both ways
    "forward": (FORWARD, "K-1-k >= 0; k >= 0; h+D*(K-1-k)-D*(K-1)+P == S*o; o >= 0; o <= O-1"),
    "backward": (
        f"H K O S D; P >= 0; {index('h:H k:K q:O')} h+D*k-D*(K-1)+P == S*q;",
        "K-1-k >= 0; k >= 0; S*q+D*(K-1-k)-P-h == 0",
    ),
    "unique": ("S; S*q == S*o;", "q == o"),
    "injective": (FORWARD + index("o2:O") + "S*o2+D*k-P-h == 0;", "o == o2"),
    "weights forward": (f"S O; {index('o:O')}", "S*o >= 0; S*(O-1)-S*o >= 0"),
    "weights backward": ("S O; S*q >= 0; S*q <= S*(O-1);", "q >= 0; q <= O-1"),
    "range": (AXIS, "S*x+D*i >= 0; S*x+D*i <= H+P+Q-1; S*x+D*i <= S*(O-1)+D*(K-1)"),
    "length": (AXIS, "S*(O-1)+1+D*(K-1)-P-Q+r == H; D*(K-1) <= H+P+Q-S*(O-1)-1"),
    "phases": (
        f"S O K; {index('i:S o:O k:K')} h >= 0; h+P == S*n+i; S*o+k == P+h;",
        "k-i == S*(n-o); n >= o",
    ),
    # quotients: unique, and within the range of what they stand for
    "quotient": (
        f"S O; t >= 0; t <= S*O-1; {index('r:S')} t == S*q+r;",
        "q >= 0; q <= O-1",
    ),
    "multiple": (f"S; {index('r:S')} t == S*q+r; t == S*x;", "q == x; r == 0"),
    "group": (f"CG G; {index('k:CG l:CG h:G q:G')} CG*q+k == CG*h+l;", "k == l; q == h"),
    # row-major positions
    "digits": (
        f"N C H W; {index('i:N*C*H*W y:W x:H o:C')} i == W*q+y; q == H*t+x; t == C*n+o;",
        "i == ((n*C+o)*H+x)*W+y; q >= 0; t >= 0; n >= 0; q <= N*C*H-1; t <= N*C-1; n <= N-1",
    ),
    "position": (
        f"N C H W; {index('n:N o:C x:H y:W')}",
        "((n*C+o)*H+x) <= N*C*H-1; ((n*C+o)*H+x)*W+y <= N*C*H*W-1; ((n*C+o)*H+x)*W+y >= 0",
    ),
    "unique position": (
        f"N C H W; {index('n:N o:C x:H y:W n2:N o2:C x2:H y2:W')}"
        "((n*C+o)*H+x)*W+y == ((n2*C+o2)*H+x2)*W+y2;",
        "n == n2; o == o2; x == x2; y == y2",
    ),
    "sizes": (
        "N G OG OH OW K H;",
        "N*G*OG*OH*OW-G*OG >= 0; K*H*H-K >= 0; N*OG-1 >= 0; N*G*OG >= N+G-1",
    ),
    "convolution": (
        CONV,
        "S*x+D*k >= 0; S*x+D*k <= H+P+Q-1; S*y+D*l <= W+2*P-1; S*x <= S*(OH-1);"
        "(((n*G+g)*OG+o)*OH+x)*OW+y <= N*G*OG*OH*OW-1; (((n*G+g)*OG+o)*OH+x)*OW+y >= 0;"
        "g*OG+o <= G*OG-1; (((g*OG+o)*CG+c)*K+k)*L+l <= G*CG*K*L*OG-1;"
        "((n*(G*CG)+g*CG+c)*(H+P+Q)+S*x+D*k)*(W+2*P)+S*y+D*l <= N*G*CG*(H+P+Q)*(W+2*P)-1",
    ),
    "pooling": (
        f"H O; {index('o:O')} o*H == O*q+r; {index('r:O')} (o+1)*H+O-1 == O*t+s; {index('s:O')}",
        "q >= 0; t <= H; t >= q+1; q <= H-1",
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_goals_are_proven(name: str) -> None:
    facts, goals = (facts_of(text) for text in CASES[name])
    assert shown(facts, goals)[1] == []


@pytest.mark.parametrize(
    ("facts", "goal"),
    [
        (FORWARD, "h+D*(K-1-k)-D*(K-1)+P-1 == S*o"),
        (AXIS, "S*x+D*i <= H+P+Q-2"),
        (AXIS, "(S+1)*x+D*i <= H+P+Q-1"),
        (f"S; {index('r:S')} t == S*q+r;", "r == 0"),
        (f"S O; t >= 0; t <= S*O; {index('r:S')} t == S*q+r;", "q <= O-1"),
        (CONV, "(((n*G+g)*OG+o)*OH+x)*OW+y <= N*G*OG*OH*OW-2"),
        (CONV, "S*x+D*k <= H+P+Q-2"),
        (CONV, "g*CG+o <= G*OG-1"),
        (f"C N; {index('i:C j:C')} n >= 0; q >= 0; C*n+i == N*q+j;", "n == q"),
    ],
)
def test_false_goals_have_a_counterexample(facts: str, goal: str) -> None:
    hypotheses, goals = facts_of(facts), facts_of(goal)
    assert shown(hypotheses, goals) == ([], [0])
    model = counterexample(hypotheses, goals[0])
    assert model is not None
    for kind, p in hypotheses:
        assert value(p, model) >= 0 if kind == ">=" else value(p, model) == 0
    kind, p = goals[0]
    assert value(p, model) < 0 if kind == ">=" else value(p, model) != 0


@pytest.mark.parametrize("name", ["forward", "range", "quotient", "multiple", "phases", "group"])
def test_without_one_fact_goals_are_proven_or_refuted(name: str) -> None:
    facts, goals = (facts_of(text) for text in CASES[name])
    for i in range(len(facts)):
        fewer = facts[:i] + facts[i + 1 :]
        for goal in goals:
            proven = shown(fewer, [goal])[1] == []
            assert proven == (counterexample(fewer, goal) is None)


def test_only_integers_are_reasoned_about() -> None:
    half = sub(var("x"), const(Fraction(1, 2)))  # x >= 0 does not give x >= 1/2
    assert shown([(">=", var("x"))], [(">=", half)]) == ([], [0])
    facts = facts_of(f"S; t == S*x; 3*t == 3*S*q+3*r; {index('r:S')}")  # a difference by thirds
    assert shown(facts, facts_of("q == x; r == 0"))[1] == []


def test_quotient_atoms_follow_from_their_arguments() -> None:
    a, b = var("a"), var("b")
    q, r = (var((op, freeze(a), freeze(b))) for op in ("//", "%"))
    facts = [
        (">=", a),
        (">=", sub(b, const(1))),
        ("==", sub(sub(a, mul(b, q)), r)),
        (">=", r),
        (">=", sub(sub(b, const(1)), r)),
    ]
    assert shown(facts, [(">=", q), (">=", sub(a, q))])[1] == []
    model = counterexample(facts, (">=", sub(q, const(1))))
    assert model is not None
    assert model[("//", freeze(a), freeze(b))] == model["a"] // model["b"] == 0
    assert model[("%", freeze(a), freeze(b))] == model["a"] % model["b"]
    assert counterexample(facts, (">=", q)) is None


def test_mutated_steps_are_refused() -> None:
    facts, goals = (facts_of(text) for text in CASES["unique"])
    steps, _ = shown(facts, goals)
    kind, p, pos, eq = steps[0]
    for i, (c, indices) in enumerate(pos):
        heavier = [*pos[:i], (c + 1, indices), *pos[i + 1 :]]
        other = [*pos[:i], (c, [*indices, 0]), *pos[i + 1 :]]
        for changed in (heavier, other, [*pos[:i], *pos[i + 1 :]]):
            assert not verify_step(facts, (kind, p, changed, eq))
        with pytest.raises(Refused):
            verify_step(facts, (kind, p, [*pos[:i], (-c, indices), *pos[i + 1 :]], eq))
        with pytest.raises(Refused):
            verify_step(facts, (kind, p, [*pos[:i], (c, [99]), *pos[i + 1 :]], eq))
    assert not verify_step(facts, (kind, add(p, const(-1)), pos, eq))
    assert not verify_step(facts, (kind, p, pos, [(i, scale(q, 2)) for i, q in eq]))


def test_two_runs_are_equal() -> None:
    for facts, goals in CASES.values():
        arguments = facts_of(facts), facts_of(goals)
        assert prove(*arguments) == prove(*arguments)
        assert repr(prove(*arguments)) == repr(prove(*arguments))


def test_only_needed_steps_are_kept() -> None:
    facts = facts_of(AXIS)
    assert prove(facts, [(">=", const(0)), ("==", {}), facts[0]]) == ([], [])
    assert prove(facts, [(">=", const(-1)), ("==", const(2))]) == ([], [0, 1])
    one, _ = shown(facts, facts_of("S*x+D*i <= H+P+Q-1"))
    both, _ = shown(facts, facts_of("S*x+D*i <= H+P+Q-1; x >= D*H*S"))
    assert one == both


@pytest.mark.skipif(not have_solver(), reason="needs z3")
@pytest.mark.parametrize("name", ["range", "weights backward", "quotient"])
def test_linear_programming_finds_them_too(name: str) -> None:
    hypotheses, goals = (facts_of(text) for text in CASES[name])
    facts = Facts()
    for kind, p in hypotheses:
        facts.add(kind, p)
    for _, p in goals:
        found = combine(facts, p)
        assert found is not None
        pos, eq = found
        step = (">=", p, [(Fraction(c), i) for c, i in pos], list(eq.items()))
        assert verify_step(hypotheses, step)


def test_without_a_solver_the_search_remains(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(handelman, "have_solver", lambda: False)
    facts, goals = (facts_of(text) for text in CASES["group"])
    assert shown(facts, goals)[1] == []


def test_models_satisfy_the_facts() -> None:
    facts = facts_of(CONV)
    found = models(facts)
    assert len(found) > 1
    for model in found:
        assert all(value(p, model) >= 0 for _, p in facts)
        assert all(value(p, model) == 0 for kind, p in facts if kind == "==")
