"""Sums that have a name, gradients that vanish, equations that nothing needs, and their notes."""

from __future__ import annotations

import pytest

from gradproof.derive.adjoint import prepare
from gradproof.derive.errors import DefinitionError
from gradproof.derive.language import Definition, operator
from gradproof.derive.registry import find
from gradproof.derive.show import text
from gradproof.derive.system import derive


def findings(d: Definition) -> set[tuple[str, str]]:
    return {(n.target, n.finding) for n in derive(d).notes}


def test_softmax_recognises_its_denominator_and_loses_the_gradient_of_its_maximum() -> None:
    d = find("softmax_cross_entropy")
    assert {("grad_m", "known sums"), ("grad_m", "vanishes")} <= findings(d)
    (note,) = [n for n in derive(d).notes if n.finding == "vanishes"]
    assert text(note.before) == "grad_m[n] = -grad_d[n] - grad_s[n]*s[n]"
    assert derive(d).saved == ("a", "t", "m", "s")  # no argmax


def test_a_shift_that_matters_is_kept() -> None:
    d = operator("t", "m[n] = max[c](a[n,c])\nz[n] = sum[c](a[n,c] - m[n])", {"a": "N, C"})
    assert ("grad_m", "vanishes") not in findings(d)
    assert "grad_m" in [e.target for e in derive(d).backward.equations]


def test_the_centred_sum_of_batch_norm_is_zero() -> None:
    (note,) = derive(find("batch_norm")).notes
    assert note.target == "grad_mean"
    assert "Σ_{n<N,l<L} (2*mean[c] - 2*X[n, c, l])" in text(note.before)
    assert (
        text(note.after)
        == "grad_mean[c] = -gamma[c]*Σ_{n<N,l<L} grad_y[n, c, l]/sqrt(eps + var[c])"
    )


def test_another_centre_keeps_its_sum() -> None:
    d = operator(
        "t",
        "mean[c] = sum[n](X[n,c]) / (2*N)\nvar[c] = sum[n]((X[n,c] - mean[c])**2)",
        {"X": "N, C"},
    )
    equation = text(derive(d).backward.equation("grad_mean"))
    # sum over n of (X - mean) = 2*N*mean - N*mean = N*mean, not 0
    assert equation == "grad_mean[c] = -2*N*grad_var[c]*mean[c]"


def test_only_what_the_gradients_need_is_saved() -> None:
    assert set(derive(find("linear")).saved) == {"Y", "w"}
    assert derive(find("add")).saved == ()


def test_an_equation_that_no_gradient_needs_is_left_out() -> None:
    """The place of softmax's maximum, which `prepare` adds: no gradient needs it."""
    d = find("softmax_cross_entropy")
    targets = [[e.target for e in x.equations] for x in (prepare(d), derive(d).forward)]
    assert targets == [["m", "m_argmax", "s", "d", "loss"], ["m", "s", "d", "loss"]]


def test_an_equation_that_no_output_needs_is_refused() -> None:
    with pytest.raises(DefinitionError, match="t: m is never used: no output needs it"):
        operator("t", "m[n] = max[c](a[n,c])\nz[n] = b[n] * 2", {"a": "N, C", "b": "N"},
                 outputs=["z"], constant=["a"])  # fmt: skip
