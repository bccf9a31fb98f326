"""Sums down columns by rows: equal to NumPy's, for whole vectors and rests; and what is refused."""

from __future__ import annotations

import numpy as np
import pytest

from gradproof.codegen.fast import vector_columns
from gradproof.codegen.fast.layout import Layout
from gradproof.codegen.fast.nest import Nest
from gradproof.codegen.fast.schedules import schedules
from gradproof.codegen.fast.specialise import specialise
from gradproof.codegen.fast.tasks import is_contraction
from gradproof.codegen.fast.vector_columns import column_kernels
from gradproof.derive.language import operator
from tests.fast_device import Job
from tests.nests import run

TENSORS = {"X": "N, A, C", "Y": "N, A, C", "mean": "N", "b": "C", "u": "C", "v": "C"}
SUMS = """
u[c] = b[c] + 2 * sum[n,a](X[n,a,c] * (Y[n,a,c] - mean[n]))
v[c] = sum[n,a](X[n,a,c])
"""
Layouts = dict[str, Layout]


def sums(n: int, a: int, c: int, text: str = SUMS) -> tuple[list[Nest], Layouts]:
    """Nests of the equations, and row-major layouts."""
    names = [line.split("[")[0] for line in text.split("\n") if line]
    used = {t: d for t, d in TENSORS.items() if f"{t}[" in text}
    definition = operator("columns", text, used, outputs=tuple(names))
    size = {"N": n, "A": a, "C": c}
    nests = [x for e in definition.equations for x in specialise(definition, e, size)]
    shapes = {t: tuple(size[s] for s in d.split(", ")) for t, d in used.items()}
    return nests, {t: Layout.row_major(shape) for t, shape in shapes.items()}


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("c", [16, 64, 100, 47])
def test_sums_of_integers_are_equal(c: int, dtype: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(vector_columns, "TERMS", 0)
    monkeypatch.setattr(vector_columns, "FAR", 16)
    nests, layouts = sums(144, 3, c)
    kernels = column_kernels("k", nests, layouts)
    assert kernels is not None
    rng = np.random.default_rng(c)
    given = {t for n in nests for r in n.reads for t in [r.tensor]}
    arrays = {t: rng.integers(-3, 4, layouts[t].shape) for t in sorted(given)}
    job = Job(kernels, layouts, dtype=dtype)
    for t, x in arrays.items():
        job.put(t, x)
    job.run()
    for n in nests:
        expected = run((n,), layouts[n.out.tensor].shape, arrays)
        assert np.array_equal(job.get(n.out.tensor), expected), n.out


def test_no_chain_is_long(monkeypatch: pytest.MonkeyPatch) -> None:
    """In float32, 1 + 2^-24 is 1; groups of 256 of them are not."""
    monkeypatch.setattr(vector_columns, "TERMS", 0)
    nests, layouts = sums(1 << 13, 1, 32, "v[c] = sum[n,a](X[n,a,c])")
    kernels = column_kernels("k", nests, layouts)
    assert kernels is not None
    job = Job(kernels, layouts)
    x = np.full((1 << 13, 1, 32), 2.0**-24)
    x[0] = 1
    job.put("X", x)
    job.run()
    exact = x.sum(axis=(0, 1))
    assert (np.abs(job.get("v") - exact) <= 300 * 2.0**-24).all()
    assert (job.get("v") > 1).all()


def test_each_element_is_read_by_one_group() -> None:
    nests, layouts = sums(4096, 1, 512)
    first, last = column_kernels("k", nests, layouts) or (None, None)
    assert first is not None and last is not None
    assert first.groups == 4096 // vector_columns.ROWS
    assert dict(first.scratch) == {"k_partial0_0": 16 * 512, "k_partial1_0": 16 * 512}
    assert {t for t, _ in last.tensors} == {"u", "v", "b", "k_partial0_0", "k_partial1_0"}


REFUSED = {
    "few terms": (64, 1, 64, SUMS),
    "rows that no share divides": (16381, 1, 64, SUMS),
    "too many columns": (256, 1, 4096, SUMS),
    "neighbouring rows": (1 << 15, 1, 16, SUMS),
    "other loops": (4096, 4, 64, "u[c] = sum[n,a](X[n,a,c])\nv[c] = sum[n](mean[n] * X[n,0,c])"),
    "a maximum": (4096, 1, 128, "v[c] = max[n,a](X[n,a,c])"),
    "sums along rows": (4096, 1, 128, "mean[n] = sum[a,c](X[n,a,c])"),
    "no sum": (4096, 1, 128, "X[n,a,c] = 2 * Y[n,a,c]"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_others_are_left_to_the_vector_schedule(case: str) -> None:
    nests, layouts = sums(*REFUSED[case])
    assert column_kernels("k", nests, layouts) is None
    if case != "other loops":
        own = schedules("fast", "avx2")
        assert len(own.vector("k", nests, layouts, frozenset())) == 1


def test_a_product_with_an_element_for_each_term_is_a_pass_over_memory() -> None:
    """No element is used twice: nothing is gained by a layout of its own."""
    (once,), _ = sums(4, 5, 6, "v[c] = sum[n,a](X[n,a,c] * mean[n])")
    assert not is_contraction(once)
    used_again = operator("twice", "Z[n,c] = sum[a](X[n,a] * W[a,c])",
                          {"X": "N, A", "W": "A, C", "Z": "N, C"})  # fmt: skip
    (again,) = specialise(used_again, used_again.equations[0], {"N": 4, "A": 5, "C": 6})
    assert is_contraction(again)
    window = operator("window", "z[x] = sum[i](w[i] * Y[x + i])",
                      {"w": "K", "Y": "L", "z": "X"}, sizes={"X": "L - K + 1"},
                      requires={"L - K >= 0": "too short"})  # fmt: skip
    (near,) = specialise(window, window.equations[0], {"K": 3, "L": 40, "X": 38})
    assert is_contraction(near)
