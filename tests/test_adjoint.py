"""The adjoint: one sum over Kronecker deltas per occurrence, before anything is eliminated."""

from __future__ import annotations

from dataclasses import replace

import pytest

from gradproof.derive.adjoint import active, adjoint, contributions, prepare
from gradproof.derive.errors import DefinitionError
from gradproof.derive.expr import reduces
from gradproof.derive.language import Definition, operator
from gradproof.derive.registry import find
from gradproof.derive.show import text
from gradproof.derive.system import derive


def raw(d: Definition) -> list[str]:
    return [text(e) for e in adjoint(prepare(d)).equations]


def test_each_subscript_gives_one_delta() -> None:
    d = operator("t", "z[x] = sum[i](w[i]*Y[x + i])", {"Y": "N", "w": "K", "z": "N - K + 1"},
                 at_least={"K": 1})  # fmt: skip
    assert raw(d) == [
        "grad_Y[n] = Σ_{x<N + 1 - K,i<K} [n = i + x] grad_z[x]*w[i]",
        "grad_w[i] = Σ_{x<N + 1 - K,i'<K} [i = i'] Y[i' + x]*grad_z[x]",
    ]


def test_each_occurrence_contributes() -> None:
    d = operator("t", "z[i,j] = A[i,j] + A[j,i]", {"A": "N,N"})
    ((_, first), (_, second)) = contributions(prepare(d), "A")
    assert text(first) == "Σ_{i'<N,j'<N} [i = i'] [j = j'] grad_z[i', j']"
    assert text(second) == "Σ_{i'<N,j'<N} [i = j'] [j = i'] grad_z[i', j']"


def test_equal_occurrences_of_a_square_are_one_with_the_product_rule() -> None:
    assert raw(operator("t", "z = sum[i](x[i]**2)", {"x": "N"})) == [
        "grad_x[i] = Σ_{i'<N} [i = i'] 2*grad_z*x[i']"
    ]


def test_a_system_goes_in_reverse_order_of_use() -> None:
    targets = [e.target for e in adjoint(prepare(find("batch_norm"))).equations]
    assert targets == ["grad_var", "grad_mean", "grad_X", "grad_gamma", "grad_beta"]


def test_a_reduction_that_a_slope_contains_gets_a_name() -> None:
    d = operator(
        "t", "s[n] = sum[k](x[n,k])\nz[n] = sum[k](y[n,k]) / s[n]", {"x": "N,K", "y": "N,J"}
    )
    equations = [text(e) for e in prepare(d).equations]
    assert equations[1:] == ["z_sum0[n] = Σ_{k<J} y[n, k]", "z[n] = z_sum0[n]/s[n]"]
    assert not any(reduces(r.body) for e in adjoint(prepare(d)).equations for r in reduces(e.body))


def test_the_product_of_two_sums() -> None:
    d = operator("t", "z = sum[i](x[i]) * sum[i](x[i]**2)", {"x": "N"})
    names = {e.target for e in prepare(d).equations}
    assert names == {"z_sum0", "z_sum1", "z"}


def test_a_maximum_gets_its_position() -> None:
    d = prepare(find("max_pool2d"))
    assert [e.target for e in d.equations] == ["z", "z_argmax"]
    assert d.tensor("z_argmax").dtype == "int"
    (gradient,) = raw(find("max_pool2d"))
    assert "[z_argmax[n', c', x, y] = KW*i + j]" in gradient


def test_what_depends_on_no_differentiable_input_has_no_gradient() -> None:
    d = find("avg_pool2d_valid")
    assert active(d) == {"Y", "z"}  # not the number of taps
    assert [e.target for e in adjoint(prepare(d)).equations] == ["grad_Y"]


def test_constants_and_labels_have_no_gradient() -> None:
    assert find("batch_norm_inference").differentiable == ("X", "gamma", "beta")
    assert find("softmax_cross_entropy").differentiable == ("a",)


def test_gradient_indices_never_take_the_name_of_something_else() -> None:
    d = operator("t", "z[x] = A[2*x] * n", {"A": "N", "z": "M"}, outside={"A": "zero"},
                 scalars={"n": "real"})  # fmt: skip
    assert raw(d)[0].startswith("grad_A[p0]")  # n is a scalar here


def test_an_integer_output_has_no_cotangent() -> None:
    text = "z[n] = sum[c](a[n,c])\nk[n] = argmax[c](a[n,c])"
    d = operator("t", text, {"a": "N,C"}, outputs=("z", "k"))
    assert adjoint(d).inputs == ("grad_z",)


def test_an_output_that_is_read_again_is_refused() -> None:
    """dloss/da would need what b passes on, and the cotangent of a is given without it."""
    d = operator("twice", "a[i] = 2*X[i]\nb[i] = a[i]*a[i]", {"X": "N"})
    with pytest.raises(DefinitionError, match="b reads a, which is an output too"):
        derive(replace(d, outputs=("a", "b")))  # one that `operator` would not let pass
