"""The computed error bounds against errors measured in float32 arithmetic."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest

from gradproof.derive.errors import DefinitionError
from gradproof.derive.winograd import RECORDED, Matrix, Transform, cook_toom, scaled
from gradproof.derive.winograd_error import (
    SINGLE,
    Form,
    amplification,
    average_error,
    error_bound,
    rank,
)

FORMS: tuple[Form, ...] = ("forward", "input_gradient", "weight_gradient")
SUBSCRIPTS = {
    "forward": ("i", "x", "o"),
    "input_gradient": ("i", "o", "x"),
    "weight_gradient": ("o", "x", "i"),
}
U = float(SINGLE)


def rounded(matrix: Matrix) -> np.ndarray:
    return np.array([[np.float32(float(v)) for v in row] for row in matrix])


def matrices(t: Transform, form: Form) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(L, R, P) in float32, result = P[(L a) ⊙ (R b)]."""
    a, g, b = rounded(t.A), rounded(t.G), rounded(t.B)
    return {
        "forward": (g, b.T, a.T),
        "input_gradient": (g, a, b),
        "weight_gradient": (a, b.T, g.T),
    }[form]


def apply(matrix: np.ndarray, values: np.ndarray, axis: int, order: np.ndarray) -> np.ndarray:
    """The matrix along one axis of values, one rounding per operation, terms in the given order."""
    moved = np.moveaxis(values, axis, -1)
    total = np.zeros((*moved.shape[:-1], len(matrix)), np.float32)
    for j in order:
        total = total + moved[..., j, None] * matrix[:, j]
    assert total.dtype == np.float32
    return np.moveaxis(total, -1, axis)


def computed(
    t: Transform, form: Form, a: np.ndarray, b: np.ndarray, dims: int, rng: np.random.Generator
) -> np.ndarray:
    """The transform in float32; a and b: (terms, samples, tile axes…), summed over terms."""
    left, right, last = matrices(t, form)
    for axis in range(2, 2 + dims):
        a = apply(left, a, axis, rng.permutation(left.shape[1]))
        b = apply(right, b, axis, rng.permutation(right.shape[1]))
    products = a * b
    total = products[0]
    for term in products[1:]:
        total = total + term
    for axis in range(1, 1 + dims):
        total = apply(last, total, axis, rng.permutation(last.shape[1]))
    return total


def exact(t: Transform, form: Form, a: np.ndarray, b: np.ndarray, dims: int) -> np.ndarray:
    """The direct sums in float64, whose own error is far below float32's."""
    delta = np.zeros((t.m, t.r, t.n))
    for o in range(t.m):
        for i in range(t.r):
            delta[o, i, o + i] = 1
    first, second, out = SUBSCRIPTS[form]
    tensors, one, two, three = [], "ks", "ks", "s"
    for axis in range(dims):
        rename = {"o": "oO"[axis], "i": "iI"[axis], "x": "xX"[axis]}
        tensors.append("".join(rename[c] for c in "oix"))
        one, two, three = one + rename[first], two + rename[second], three + rename[out]
    spec = f"{one},{two},{','.join(tensors)}->{three}"
    return np.einsum(spec, a.astype(float), b.astype(float), *[delta] * dims, optimize=True)


def operands(
    t: Transform, form: Form, dims: int, terms: int, samples: int, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Half of it noise, half of it ± 1 almost, in float32 and of magnitude at most 1."""
    left, right, _ = matrices(t, form)
    both = []
    for matrix in (left, right):
        shape = (terms, samples, *[matrix.shape[1]] * dims)
        noise = rng.uniform(-1, 1, shape)
        noise[:, samples // 2 :] = np.sign(noise[:, samples // 2 :]) * (1 - rng.random() * 1e-3)
        both.append(noise.astype(np.float32))
    return both[0], both[1]


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize(("dims", "terms", "samples"), [(1, 1, 4000), (1, 7, 500), (2, 1, 500)])
@pytest.mark.parametrize(("m", "r"), [*RECORDED, (1, 1), (8, 3)])
def test_the_bound_holds(m: int, r: int, dims: int, terms: int, samples: int, form: Form) -> None:
    rng = np.random.default_rng(m * 10 + r)
    for t in (cook_toom(m, r), scaled(cook_toom(m, r))):
        a, b = operands(t, form, dims, terms, samples, rng)
        error = np.abs(computed(t, form, a, b, dims, rng) - exact(t, form, a, b, dims)).max()
        size = float(np.abs(a).max()) * float(np.abs(b).max())
        assert error <= float(error_bound(t, dims, form=form, terms=terms)) * U * size


def test_the_bound_is_not_vacuous() -> None:
    """Errors come within a factor of the bound: 10 for F(2, 3), 40 for F(6, 3)."""
    rng = np.random.default_rng(0)
    for m, factor in ((2, 10), (6, 40)):
        t = scaled(cook_toom(m, 3))
        a, b = operands(t, "forward", 1, 1, 40000, rng)
        error = np.abs(computed(t, "forward", a, b, 1, rng) - exact(t, "forward", a, b, 1)).max()
        assert error * factor > float(error_bound(t)) * U


def test_a_coefficient_outside_the_format_counts_as_a_rounding() -> None:
    """F(4, 3) divides by 15; with G rounded to float32 beforehand there is one rounding less."""
    t = scaled(cook_toom(4, 3))
    in_format = tuple(tuple(Fraction(float(np.float32(v))) for v in row) for row in t.G)
    fewer = error_bound(replace(t, G=in_format))
    assert 10 < error_bound(t) - fewer < amplification(t) * t.r + 1


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("dims", [1, 2])
@pytest.mark.parametrize(("m", "r"), [(2, 3), (4, 3), (6, 3), (4, 5)])
def test_the_average_estimates_the_measured_error(m: int, r: int, dims: int, form: Form) -> None:
    ratio = measured(scaled(cook_toom(m, r)), dims, form) / average_error(
        scaled(cook_toom(m, r)), dims, form=form
    )
    assert 0.25 < ratio < 1.25


def measured(t: Transform, dims: int = 1, form: Form = "forward", samples: int = 3000) -> float:
    """Root mean square error in units of u for normal operands."""
    rng = np.random.default_rng(1)
    left, right, _ = matrices(t, form)
    a, b = (
        rng.standard_normal((1, samples, *[q.shape[1]] * dims)).astype(np.float32)
        for q in (left, right)
    )
    error = computed(t, form, a, b, dims, rng) - exact(t, form, a, b, dims)
    return float(np.sqrt(np.mean(error**2))) / U


@pytest.mark.parametrize(("m", "r"), [(4, 3), (6, 3), (3, 4)])
def test_the_ranking_follows_the_measured_errors(m: int, r: int) -> None:
    half, third = Fraction(1, 2), Fraction(1, 3)
    pool = (2, -2, half, -half, 3, -3, third, -third, 4)
    rng = np.random.default_rng(2)
    sets = {tuple(sorted(rng.permutation(len(pool))[: m + r - 5])) for _ in range(25)}
    candidates = [(0, 1, -1, *(pool[k] for k in chosen), "infinity") for chosen in sorted(sets)]
    ranked = rank(m, r, candidates)
    assert [bound for bound, _ in ranked] == sorted(bound for bound, _ in ranked)
    errors = [measured(scaled(cook_toom(m, r, points))) for _, points in ranked]
    order = np.argsort(np.argsort(errors))
    assert np.corrcoef(order, np.arange(len(order)))[0, 1] > 0.8  # Spearman's


@pytest.mark.parametrize(("m", "r"), [*RECORDED, (3, 3)])
def test_the_default_points_rank_before_integers_and_before_any_set_without_infinity(
    m: int, r: int
) -> None:
    n = m + r - 1
    integers = [(-1) ** k * ((k + 1) // 2) for k in range(n)]  # 0, -1, 1, -2, 2, …
    default = cook_toom(m, r).points
    ranked = rank(m, r, [integers, [*integers[:-1], "infinity"], default])
    assert ranked[0][0] == error_bound(scaled(cook_toom(m, r)))
    assert ranked[-1][1] == tuple(map(Fraction, integers))


def test_known_values() -> None:
    """F(2, 3) by hand: the terms' magnitudes are |A|ᵀ(1, 3/2, 3/2, 1)⊙(2, 2, 2, 2) = 8 for both
    outputs; no term meets more than 2 roundings in G (additions; 1/2 is a power of two), 1 in Bᵀ,
    1 in the product and 2 in Aᵀ."""
    t = scaled(cook_toom(2, 3))
    assert amplification(t) == Fraction(8, 3)
    assert amplification(t, dims=2) == Fraction(64, 9)
    # output 0: product 0 meets 0 + 1 + 1 + 2 = 4, products 1 and 2 meet 2 + 1 + 1 + 2 = 6
    assert error_bound(t, u=Fraction(1, 10**9)) == 2 * gamma(4) + 6 * gamma(6)


def gamma(count: int) -> Fraction:
    return count / (1 - count * Fraction(1, 10**9))


def test_refusals() -> None:
    t = cook_toom(2, 3)
    for call, message in (
        (lambda: error_bound(t, dims=0), "dims is 0, and has to be at least 1"),
        (lambda: error_bound(t, terms=0), "terms is 0, and has to be at least 1"),
        (lambda: error_bound(t, u=0.25), r"u = 0\.25 is too coarse to bound"),
        (lambda: error_bound(t, form="backward"), "form: 'backward' is none of"),  # type: ignore[arg-type]
    ):
        with pytest.raises(DefinitionError, match=message):
            call()
