"""Mean and variance in one pass: against float64, where a sum of squares would lose everything."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import sympy as sp

from gradproof.codegen.fast.layout import Layout
from gradproof.codegen.fast.moments import moments_kernel
from gradproof.codegen.fast.nest import Nest
from gradproof.codegen.fast.specialise import specialise
from gradproof.derive.ops.batch_norm import batch_norm
from gradproof.derive.ops.layer_norm import layer_norm
from tests.fast_device import Job

U = 2.0**-24
CASES = {  # operator, sizes, layout of X, of the vectors, axes
    "blocked": (batch_norm, {"N": 5, "C": 20, "L": 1024}, Layout.blocked((5, 20, 1024), 1)),
    "planes": (batch_norm, {"N": 3, "C": 7, "L": 49}, Layout.row_major((3, 7, 49))),
    "prime": (batch_norm, {"N": 2, "C": 16, "L": 1021}, Layout.blocked((2, 16, 1021), 1)),
    "rows": (layer_norm, {"M": 9, "L": 1000}, Layout.row_major((9, 1000))),
}


def _pair(name: str) -> tuple[Nest, Nest]:
    d, known, _ = CASES[name]
    first, second = (specialise(d, e, known) for e in d.equations[:2])
    assert first is not None and second is not None
    return first[0], second[0]


def _layouts(name: str) -> dict[str, Layout]:
    d, known, layout = CASES[name]
    n = known["C"] if d is batch_norm else known["M"]
    one = Layout.blocked((n,), 0) if layout.block(1) > 1 else Layout.row_major((n,))
    return {"X": layout, "mean": one, "var": one}


@pytest.fixture(scope="module")
def jobs() -> dict[str, Job]:
    found = {}
    for name in CASES:
        kernel = moments_kernel("moments", *_pair(name), _layouts(name))
        assert kernel is not None
        found[name] = Job([kernel], _layouts(name))
    return found


def _moments(job: Job, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    job.put("X", x)
    job.run()
    return job.get("mean"), job.get("var")


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("level", [0.0, 3000.0, -1e5])
def test_mean_and_variance(jobs: dict[str, Job], name: str, level: float) -> None:
    """All is summed relative to the first term x0, in chains of at most 4096/4 + 64 additions; with
    d = max |x - x0| the mean is off by that many u*d, and one rounding of the mean; the variance by
    as many u*d^2."""
    rng = np.random.default_rng(7)
    x = rng.normal(level, 1, _layouts(name)["X"].shape).astype(np.float32)
    axes = (0, 2) if x.ndim == 3 else (1,)
    mean, var = _moments(jobs[name], x)
    exact = x.astype(np.float64)
    d = np.abs(
        exact - exact[tuple(slice(0, 1) if a in axes else slice(None) for a in range(x.ndim))]
    )
    d = d.max(axes)
    chain = 4096 / 4 + 64
    assert (np.abs(mean - exact.mean(axes)) <= U * (chain * d + np.abs(level) + 5)).all()
    assert (np.abs(var - exact.var(axes)) <= U * chain * d**2).all()


@pytest.mark.parametrize("name", CASES)
def test_constant(jobs: dict[str, Job], name: str) -> None:
    mean, var = _moments(jobs[name], np.full(_layouts(name)["X"].shape, 3000.1, np.float32))
    assert (mean == np.float32(3000.1)).all() and (var == 0).all()


def test_nan_stays_in_its_channel(jobs: dict[str, Job]) -> None:
    x = np.random.default_rng(3).normal(size=(5, 20, 1024))
    x[4, 3, 17] = np.nan
    mean, var = _moments(jobs["blocked"], x)
    assert np.isnan(mean[3]) and np.isnan(var[3])
    assert np.isfinite(np.delete(mean, 3)).all() and np.isfinite(np.delete(var, 3)).all()


def test_other_nests_are_refused() -> None:
    mean, var = _pair("blocked")
    layouts = _layouts("blocked")
    (r,) = var.reductions
    cubed = replace(var, reductions=(replace(r, term=r.term * sp.Symbol("r1", real=True)),))
    plus = replace(var, reductions=(replace(r, term=sp.expand(r.term) + 1),))
    third = replace(mean, value=mean.value / 3)
    assert moments_kernel("m", mean, cubed, layouts) is None
    assert moments_kernel("m", mean, plus, layouts) is None
    assert moments_kernel("m", third, var, layouts) is None
    assert moments_kernel("m", var, mean, layouts) is None
    assert moments_kernel("m", mean, mean, layouts) is None
