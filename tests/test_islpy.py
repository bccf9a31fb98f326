"""The index arithmetic of the convolution, per axis, as Presburger sets: isl decides each claim.

Written from the mathematics, not from the definitions: for every concrete stride S in 1..4 and
dilation D in 1..3 everything is linear in the tap count K, the input length H, the output length O,
the padding P before and Q after, and an input position u, all of which stay symbols. Along an axis,

    output x reads position S*x + D*i - P through tap i,   E = H + P + Q - D*(K - 1) - 1,
    R = E - S*(O - 1),   0 <= R < S.
"""

from __future__ import annotations

from math import gcd
from typing import Any

import pytest

isl: Any = pytest.importorskip("islpy", reason="isl, an independent decision, is not installed")

STRIDES = [(s, d) for s in (1, 2, 3, 4) for d in (1, 2, 3)]
each = pytest.mark.parametrize(("s", "d"), STRIDES)


def parameters(s: int, d: int) -> str:
    """What holds of the sizes: a filter inside the padded input, and the output's length."""
    e = f"(H + P + Q - {d}*(K - 1) - 1)"
    return f"H >= 1 and K >= 1 and {e} >= 0 and 0 <= {e} - {s}*(O - 1) <= {s - 1}"


def region(s: int, d: int, indices: str, condition: str) -> Any:
    """The set of `indices` with `condition`, over all sizes."""
    return isl.Set(
        f"[H, K, O, P, Q, u] -> {{ [{indices}] : {parameters(s, d)} and ({condition}) }}"
    )


def relation(s: int, d: int, between: str, condition: str) -> Any:
    """The relation `between`, such as "[x, i] -> [j]", over all sizes."""
    return isl.Map(f"[H, K, O, P, Q, u] -> {{ {between} : {parameters(s, d)} and ({condition}) }}")


def terms(s: int, d: int) -> Any:
    """(x, i): output x and tap i that see input position u, which is inside the input."""
    seen = f"{s}*x + {d}*i - P = u and 0 <= u < H"
    return region(s, d, "x, i", f"0 <= x < O and 0 <= i < K and {seen}")


def one_to_one(links: Any, left: Any, right: Any) -> bool:
    """Whether `links` is a bijection between the whole of `left` and the whole of `right`."""
    return bool(links.is_bijective() and links.domain() == left and links.range() == right)


@each
def test_sizes_exist(s: int, d: int) -> None:
    """There is no output length but one, and it is at least 1."""
    assert not region(s, d, "", "K >= 2 and P >= 1 and Q >= 1 and O >= 2 and 0 <= u < H").is_empty()
    assert region(s, d, "", "O < 1").is_empty()
    lengths = isl.Map(f"[] -> {{ [H, K, P, Q] -> [O] : {parameters(s, d)} }}")
    assert lengths.is_single_valued()


@each
def test_forward_stays_inside_the_padded_input(s: int, d: int) -> None:
    read = f"{s}*x + {d}*i"
    taps = "0 <= x < O and 0 <= i < K"
    assert region(s, d, "x, i", f"{taps} and {read} < 0").is_empty()
    assert region(s, d, "x, i", f"{taps} and {read} > H + P + Q - 1").is_empty()
    last = f"x = O - 1 and i = K - 1 and {read} = H + P + Q - 1 - (H + P + Q - {d}*(K - 1) - 1"
    assert not region(s, d, "x, i", f"{last} - {s}*(O - 1))").is_empty()


def closed_form(s: int, d: int, *, shift: int = 0, outputs: str = "O") -> tuple[str, str]:
    """(b, condition): tap j of the flipped filter reads place b of the upsampled gradient, which
    has entries at multiples of S and, around it, D*(K - 1) - P zeros before the first."""
    b = f"(u + {d}*j - ({d}*(K - 1) - P) + {shift})"
    return b, f"0 <= j < K and 0 <= u < H and 0 <= {b} <= {s}*({outputs} - 1)"


@each
def test_input_gradient_is_a_convolution(s: int, d: int) -> None:
    """G2: dloss/dY = correlate(pad(upsample(dloss/dz)), flip(w)): the same products are added."""
    b, inside = closed_form(s, d)
    taps = region(s, d, "j", f"{inside} and {b} mod {s} = 0")
    there = relation(s, d, "[j] -> [x, i]", f"{inside} and {s}*x = {b} and i = K - 1 - j")
    back = relation(s, d, "[x, i] -> [j]", "j = K - 1 - i").intersect_domain(terms(s, d))
    assert not taps.is_empty() and one_to_one(there, taps, terms(s, d))
    assert one_to_one(back, terms(s, d), taps)
    assert there.reverse() == back


@each
def test_input_gradient_has_the_shape_of_the_input(s: int, d: int) -> None:
    """G2: what is read is inside the padded tensor, whose correlation has H elements."""
    r = f"(H + P + Q - {d}*(K - 1) - 1 - {s}*(O - 1))"
    before, after = f"({d}*(K - 1) - P)", f"({d}*(K - 1) - Q + {r})"
    length = f"({s}*(O - 1) + 1 + {before} + {after})"
    assert region(s, d, "", f"{length} - {d}*(K - 1) > H").is_empty()
    assert region(s, d, "", f"{length} - {d}*(K - 1) < H").is_empty()
    reads = "0 <= u < H and 0 <= j < K and "
    assert region(s, d, "j", f"{reads} u + {d}*j < 0").is_empty()
    assert region(s, d, "j", f"{reads} u + {d}*j >= {length}").is_empty()


def phase_loop(s: int, d: int, inverse: int) -> tuple[str, str]:
    """(condition, i0): what G6 loops over, m = 0, 1, ... below ceil((K - i0)/S').

    With g = gcd(S, D), S = g*S', D = g*D' and u + P = g*t, the first tap is i0 = t/D' modulo S'.
    The next ones are S' apart, and each has its output (t - D'*i)/S', if that is inside."""
    g = gcd(s, d)
    step = s // g
    # a remainder with its quotient q: i0 = inverse*t modulo S'
    first = f"{g}*t = u + P and {inverse}*t - i0 = {step}*q and 0 <= i0 < {step}"
    loop = f"0 <= m and {step}*m < K - i0 and x0 = floor((t - {d // g}*i0)/{step})"
    return f"{first} and {loop} and 0 <= u < H and 0 <= x0 - {d // g}*m < O", "i0"


def phases(s: int, d: int, inverse: int | None = None) -> Any:
    """[m] -> [x, i] of the phase split."""
    g = gcd(s, d)
    step = s // g
    known = pow(d // g, -1, step) if inverse is None else inverse
    condition, first = phase_loop(s, d, known)
    links = f"i = {first} + {step}*m and x = x0 - {d // g}*m"
    return relation(s, d, "[m] -> [x, i]", f"exists t, q, i0, x0 : ({condition} and {links})")


@each
def test_phase_split_visits_each_term_once(s: int, d: int) -> None:
    """G6: over the loop, exactly the taps that see position u, each once."""
    links = phases(s, d)
    assert not links.is_empty() and one_to_one(links, links.domain(), terms(s, d))


@each
def test_weight_gradient_is_a_dilated_correlation(s: int, d: int) -> None:
    """dloss/dw[i] adds Y[S*x + D*i - P]*dloss/dz[x]: a correlation with stride D and dilation S.
    Without the last R elements, which no output reads, its last window begins at D*(K - 1)."""
    r = f"(H + P + Q - {d}*(K - 1) - 1 - {s}*(O - 1))"
    length = f"(H + P + Q - {r} - {s}*(O - 1) - 1)"
    assert region(s, d, "", f"{length} > {d}*(K - 1) or {length} < {d}*(K - 1)").is_empty()
    pixels = f"0 <= i < K and 0 <= x < O and {d}*i + {s}*x >= H + P + Q - {r}"
    assert region(s, d, "i, x", pixels).is_empty()


# -- claims that are false have a counterexample ------------------------------------------------
@each
def test_padding_that_is_off_by_one_is_refused(s: int, d: int) -> None:
    b, inside = closed_form(s, d, shift=1)
    there = relation(s, d, "[j] -> [x, i]", f"{inside} and {s}*x = {b} and i = K - 1 - j")
    assert there.range() != terms(s, d)


@each
def test_a_read_past_the_end_is_found(s: int, d: int) -> None:
    beyond = f"0 <= x <= O and 0 <= i < K and {s}*x + {d}*i > H + P + Q - 1"
    assert not region(s, d, "x, i", beyond).is_empty()


def test_an_upsampled_tensor_that_is_too_short_loses_terms() -> None:
    b, inside = closed_form(2, 1, outputs="(O - 1)")
    there = relation(2, 1, "[j] -> [x, i]", f"{inside} and 2*x = {b} and i = K - 1 - j")
    assert there.range() != terms(2, 1) and there.range().is_subset(terms(2, 1))


def test_a_phase_split_with_a_wrong_inverse_is_refused() -> None:
    assert pow(2, -1, 3) == 2
    links = phases(3, 2, inverse=1)
    assert not one_to_one(links, links.domain(), terms(3, 2))
